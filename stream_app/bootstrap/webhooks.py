"""The delivery of migrations to webhooks, and of its dead letters once more."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import WEBHOOKS, Metrics
from stream_app.adapters.topic_admin import require_topics
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.errors import ConfigurationError
from stream_app.settings.sections import Settings
from stream_app.webhooks.addresses import parse_networks
from stream_app.webhooks.dead_letters import KafkaDeadLetters
from stream_app.webhooks.deliverer import Deliverer
from stream_app.webhooks.filter_check import FilterCheck
from stream_app.webhooks.replaying import DeadLetterReplay, Replayed
from stream_app.webhooks.retrying import RetryPolicy
from stream_app.webhooks.sending import Sender, SendingPolicy, create_tls
from stream_app.webhooks.service import delivery_counter, latency_observer, run_webhooks
from stream_app.webhooks.subscriber import Subscriber, SubscriberSettings
from stream_app.webhooks.subscriptions import Subscription


def create_webhooks(
    settings: Settings, subscriptions: Sequence[Subscription]
) -> Callable[[], Coroutine[None, None, None]]:
    """Return what delivers migrations to their subscriptions until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or an address may not be called.
    """
    names, connection, webhooks = create_topic_names(settings), create_connection(settings), settings.webhooks
    sending, retries = create_sending_policy(settings), create_retry_policy(settings)
    for subscription in subscriptions:
        sending.check(subscription)
    metrics = Metrics(WEBHOOKS)
    health = Address(webhooks.health_host, webhooks.health_port, "setting webhooks.health_port")

    async def run() -> None:
        health.check()
        topics = {"migrations": names.migrations, "upcoming": names.upcoming}
        wanted = {topics[each.topic] for each in subscriptions} | {names.models, names.webhook_dead_letters}
        specs = [spec for spec in create_topic_specs(settings) if spec.name in wanted]
        await require_topics(connection, specs, settings.worker.recovery_timeout_seconds)
        filters = FilterCheck(connection, names.models, subscriptions)
        await filters.run_once()
        dead_letters = KafkaDeadLetters(connection, names.webhook_dead_letters)
        subscribers = [
            Subscriber(
                connection,
                SubscriberSettings(
                    topic=topics[subscription.topic],
                    group=names.webhooks_group(subscription.name),
                    waiting_max=webhooks.max_waiting,
                    session_seconds=settings.kafka.session_timeout_seconds,
                    instance_id=settings.kafka.instance_id,
                ),
                Deliverer(
                    subscription,
                    names.group,
                    Sender(subscription, sending),
                    retries,
                    webhooks.max_in_flight,
                    dead_letters,
                    delivery_counter(metrics, subscription.name),
                ),
                latency_observer(metrics),
            )
            for subscription in subscriptions
        ]
        await run_webhooks(subscribers, filters, dead_letters, metrics, health)

    return run


async def replay_webhooks(settings: Settings, subscription: Subscription, patience_seconds: int) -> Replayed:
    """Send a subscription's dead letters again, each for so long.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or an address may not be called.
    """
    names, connection, webhooks = create_topic_names(settings), create_connection(settings), settings.webhooks
    sending = create_sending_policy(settings)
    sending.check(subscription)
    specs = [spec for spec in create_topic_specs(settings) if spec.name == names.webhook_dead_letters]
    await require_topics(connection, specs, 0)
    retries = replace(create_retry_policy(settings), give_up_seconds=patience_seconds)
    metrics = Metrics(WEBHOOKS)
    dead_letters = KafkaDeadLetters(connection, names.webhook_dead_letters)
    count = delivery_counter(metrics, subscription.name)
    sender = Sender(subscription, sending)
    deliverer = Deliverer(subscription, names.group, sender, retries, webhooks.max_in_flight, dead_letters, count)
    await dead_letters.start()
    try:
        return await DeadLetterReplay(
            connection,
            names.webhook_dead_letters,
            settings.kafka.partitions,
            names.webhooks_group(subscription.name) + "-replay",
            deliverer,
            webhooks.max_waiting,
        ).run()
    finally:
        await dead_letters.stop()


def create_sending_policy(settings: Settings) -> SendingPolicy:
    """Return what may be called by webhooks, and how.

    Raises
    ------
    ConfigurationError
        If that is not enough for production, or a network or a file is none.
    """
    webhooks = settings.webhooks
    if settings.deployment.production and webhooks.allow_http:
        raise ConfigurationError("setting webhooks.allow_http: True, expected False (setting deployment.production)")
    return SendingPolicy(
        timeout_seconds=webhooks.request_timeout_seconds,
        connections_max=webhooks.max_in_flight,
        allowed=parse_networks(webhooks.allowed_networks),
        allows_http=webhooks.allow_http,
        tls=create_tls(webhooks.ca_file),
    )


def create_retry_policy(settings: Settings) -> RetryPolicy:
    """Return when webhooks are tried again."""
    webhooks = settings.webhooks
    return RetryPolicy(
        webhooks.first_retry_seconds, webhooks.longest_retry_seconds, float(webhooks.give_up_after_seconds)
    )
