"""The only place that wires: settings in, ready objects out."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import faust

from stream_app.adapters.health import HealthServer
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.kafka_security import KafkaSecurity, create_ssl_context
from stream_app.adapters.metrics import API, VIEW, WEBHOOKS, Metrics
from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.state_log import KafkaStateLog
from stream_app.adapters.topic_admin import require_topics
from stream_app.adapters.topic_specs import TopicRules, TopicSpec, topic_specs
from stream_app.adapters.topics import ENGAGEMENTS, PURCHASES, TopicNames
from stream_app.adapters.view_schema import ViewKeys
from stream_app.agents.application import create_faust_app
from stream_app.agents.models import ModelFollower
from stream_app.agents.partitions import OwnedPartitions, PartitionSettings
from stream_app.agents.sweeping import LaneSettings
from stream_app.agents.worker import run_worker
from stream_app.api.access import Client
from stream_app.api.application import create_application
from stream_app.api.memory_store import MemoryStore
from stream_app.api.redis_store import RedisStore
from stream_app.api.server import StoreJudge, serve
from stream_app.api.store import SegmentStore
from stream_app.audit.verification import Deployment
from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.rules import DEFAULT_ENGAGEMENT_WEIGHTS, INPUT_TOPICS, DecodingRules
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.cold_start import cold_start_snapshot
from stream_app.core.migration import MigrationRules
from stream_app.core.partition import Partition
from stream_app.core.snapshot import Snapshot
from stream_app.embedded.outputs import OutputFolder
from stream_app.embedded.replay import Replay, ReplaySettings
from stream_app.embedded.sources import FileReader, SourceFile
from stream_app.errors import ConfigurationError
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.settings import Settings, read_secret
from stream_app.view.follower import FollowerSettings, ViewFollower
from stream_app.view.process import run_rebuild, run_view
from stream_app.view.target import ViewTarget
from stream_app.webhooks.addresses import parse_networks
from stream_app.webhooks.courier import Courier
from stream_app.webhooks.dead_letters import KafkaDeadLetters
from stream_app.webhooks.replaying import DeadLetterReplay, Replayed
from stream_app.webhooks.retrying import RetryRules
from stream_app.webhooks.sending import Sender, SendingRules, create_tls
from stream_app.webhooks.service import delivery_counter, latency_observer, run_webhooks
from stream_app.webhooks.subscriber import Subscriber, SubscriberSettings
from stream_app.webhooks.subscriptions import Subscription

SEGMENTATION = "value"
"""The segmentation that is learned from recency, frequency, money and engagement."""


def create_decoders(settings: Settings) -> dict[str, Decoder]:
    """Return the decoder of each input topic."""
    return {
        topic: Decoder(
            DecodingRules(
                topic=topic,
                base_currency=settings.money.base_currency,
                currency_rates=settings.money.rates,
                engagement_weights={**DEFAULT_ENGAGEMENT_WEIGHTS, **settings.records.engagement_weights},
                max_payload_bytes=settings.records.max_payload_bytes,
                future_tolerance_ms=settings.records.future_tolerance_seconds * SECOND_MS,
            )
        )
        for topic in INPUT_TOPICS
    }


def create_initial_snapshot(settings: Settings) -> Snapshot:
    """Return the cold-start rules."""
    return cold_start_snapshot(SEGMENTATION, settings.assignment.hysteresis, settings.assignment.no_return_days)


def create_migration_rules(settings: Settings) -> MigrationRules:
    """Return what migrations say beyond the move itself."""
    return MigrationRules(
        currency=settings.money.base_currency,
        minor_per_major=_minor_per_major(settings),
        holdout_percent=settings.holdout.percent,
        holdout_salt=settings.holdout.salt,
    )


def create_partition(settings: Settings) -> Partition:
    """Return an empty partition under the cold-start rules."""
    return Partition(snapshot=create_initial_snapshot(settings), rules=create_migration_rules(settings))


def create_trainer_settings(settings: Settings) -> TrainerSettings:
    """Return how segments are learned."""
    learning = settings.learning
    return TrainerSettings(
        segmentation=SEGMENTATION,
        feature_set=learning.feature_set,
        n_clusters=learning.clusters,
        sample_size=learning.sample_size,
        hysteresis=settings.assignment.hysteresis,
        no_return_days=settings.assignment.no_return_days,
        min_history_days=learning.min_history_days,
        max_expected_churn=learning.max_expected_churn,
        held_ticks_max=learning.held_ticks_max,
        algorithm=learning.algorithm,
        minor_per_major=_minor_per_major(settings),
        seed=learning.seed,
    )


def create_trainer(settings: Settings, partition: Partition) -> Trainer:
    """Return a trainer that takes over from the rules in force."""
    return Trainer(create_trainer_settings(settings), partition.snapshot)


def create_readers(settings: Settings, sources: Sequence[SourceFile], now_ms: int) -> list[FileReader]:
    """Open all input files.

    Raises
    ------
    ConfigurationError
        If one cannot be read.
    """
    decoders = create_decoders(settings)
    names = _tell_apart([source.path for source in sources])
    readers: list[FileReader] = []
    with ExitStack() as opened:
        for number, (source, name) in enumerate(zip(sources, names, strict=True)):
            readers.append(FileReader(source, decoders[source.topic], now_ms, number, name))
            opened.callback(readers[-1].close)
        opened.pop_all()  # all went well: they stay open
    return readers


def create_replay(
    settings: Settings,
    out: Path,
    until_ms: int | None = None,
    watch: Callable[[Partition, int], None] | None = None,
) -> Replay:
    """Return a replay that writes into a folder.

    Raises
    ------
    ConfigurationError
        If the folder cannot be written, or the settings do not fit together.
    """
    partition = create_partition(settings)
    interval_ms, tick_ms = _intervals_ms(settings)
    return Replay(
        partition,
        create_trainer(settings, partition),
        OutputFolder(out),
        ReplaySettings(
            sweep_interval_ms=interval_ms,
            tick_ms=tick_ms,
            sample_size=settings.learning.sample_size,
            seed=settings.learning.seed,
            keep_payload=settings.records.keep_rejected_payload,
            until_ms=until_ms,
        ),
        watch,
    )


def create_topic_names(settings: Settings) -> TopicNames:
    """Return the names of the deployment's topics."""
    return TopicNames(settings.kafka.topic_prefix, settings.kafka.app_id)


def create_connection(settings: Settings) -> KafkaConnection:
    """Return how clients reach the brokers.

    Raises
    ------
    ConfigurationError
        If the security that is set does not fit together, or is not enough for production.
    """
    return KafkaConnection(settings.kafka.bootstrap_servers, security=create_kafka_security(settings))


def create_kafka_security(settings: Settings) -> KafkaSecurity:
    """Return how connections to the brokers are protected.

    Raises
    ------
    ConfigurationError
        See `create_connection`.
    """
    kafka = settings.kafka
    has_tls = kafka.security_protocol in ("SSL", "SASL_SSL")
    has_sasl = kafka.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")
    if settings.deployment.production and not has_tls:
        raise ConfigurationError(
            f"setting kafka.security_protocol: {kafka.security_protocol!r}, expected 'SASL_SSL' or 'SSL' "
            "(setting deployment.production asks for TLS)"
        )
    if settings.deployment.production and not kafka.verify_hostname:
        raise ConfigurationError("setting kafka.verify_hostname: False, expected True (setting deployment.production)")
    needs = {
        "ca_file": has_tls,
        "client_certificate_file": has_tls,
        "client_key_file": kafka.client_certificate_file is not None,
        "username": has_sasl,
        "password": has_sasl,
        "password_file": has_sasl,
    }
    for name, is_used in needs.items():
        if getattr(kafka, name) is not None and not is_used:
            raise ConfigurationError(
                f"setting kafka.{name}: has no use with kafka.security_protocol {kafka.security_protocol!r}"
                + (" without kafka.client_certificate_file" if name == "client_key_file" and has_tls else "")
            )
    context = None
    if has_tls:
        key_password = read_secret(kafka, "client_key_password", "kafka.client_key_password")
        context = create_ssl_context(
            kafka.ca_file, kafka.client_certificate_file, kafka.client_key_file, key_password, kafka.verify_hostname
        )
    return KafkaSecurity(
        protocol=kafka.security_protocol,
        mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=read_secret(kafka, "password", "kafka.password"),
        ssl_context=context,
    )


def create_deployment(settings: Settings) -> Deployment:
    """Return what an audit looks at."""
    return Deployment(
        create_connection(settings), create_topic_names(settings), settings.kafka.partitions, create_decoders(settings)
    )


def create_topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """Return what the deployment's topics must be like."""
    return topic_specs(
        create_topic_names(settings),
        TopicRules(
            partitions=settings.kafka.partitions,
            replication_factor=settings.kafka.replication_factor,
            retention_ms=settings.kafka.retention_days * DAY_MS,
            dead_letter_retention_ms=settings.kafka.dead_letter_retention_days * DAY_MS,
            future_tolerance_ms=settings.records.future_tolerance_seconds * SECOND_MS,
            recovery_timeout_ms=settings.worker.recovery_timeout_seconds * SECOND_MS,
        ),
    )


def create_worker(settings: Settings) -> Callable[[], Coroutine[None, None, None]]:
    """Return what runs a worker on Kafka until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    """
    topics, connection = create_topic_names(settings), create_connection(settings)
    by_contract = create_decoders(settings)
    lane_settings = create_lane_settings(settings)
    trainer_settings = create_trainer_settings(settings)
    kafka, worker = settings.kafka, settings.worker

    def create(failed: Callable[[BaseException], None]) -> tuple[faust.App, OwnedPartitions, ModelFollower]:
        follower = ModelFollower(connection, topics.models, create_initial_snapshot(settings))
        owned = OwnedPartitions(
            log=KafkaStateLog(connection, kafka.transaction_timeout_seconds),
            topics=topics,
            settings=PartitionSettings(kafka.partitions, worker.recovery_timeout_seconds),
            lane_settings=lane_settings,
            trainer_settings=trainer_settings,
            rules=create_migration_rules(settings),
            decoders={topics.purchases: by_contract[PURCHASES], topics.engagements: by_contract[ENGAGEMENTS]},
            follower=follower,
            failed=failed,
        )
        options = {
            **connection.faust_options(),
            "broker_session_timeout": float(kafka.session_timeout_seconds),
            "broker_heartbeat_interval": kafka.session_timeout_seconds / 5,
            "broker_request_timeout": float(max(40, worker.recovery_timeout_seconds)),
            "broker_rebalance_timeout": 30.0,
            "broker_commit_interval": 1.0,
            "consumer_group_instance_id": kafka.instance_id,
        }
        return create_faust_app(topics, owned, kafka.partitions, options), owned, follower

    async def run() -> None:
        specs = [spec for spec in create_topic_specs(settings) if spec.name != topics.webhook_dead_letters]
        await require_topics(connection, specs, worker.recovery_timeout_seconds)
        await run_worker(create, worker.health_host, worker.health_port, worker.recovery_timeout_seconds)

    return run


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
    rules, retries = create_sending_rules(settings), create_retry_rules(settings)
    for subscription in subscriptions:
        rules.check(subscription)
    metrics = Metrics(WEBHOOKS)

    async def run() -> None:
        wanted = names.migrations, names.webhook_dead_letters
        specs = [spec for spec in create_topic_specs(settings) if spec.name in wanted]
        await require_topics(connection, specs, settings.worker.recovery_timeout_seconds)
        dead_letters = KafkaDeadLetters(connection, names.webhook_dead_letters)
        subscribers = [
            Subscriber(
                connection,
                SubscriberSettings(
                    topic=names.migrations,
                    group=names.webhooks_group(subscription.name),
                    waiting_max=webhooks.max_waiting,
                    session_seconds=settings.kafka.session_timeout_seconds,
                    instance_id=settings.kafka.instance_id,
                ),
                Courier(
                    subscription,
                    names.group,
                    Sender(subscription, rules),
                    retries,
                    webhooks.max_in_flight,
                    dead_letters,
                    delivery_counter(metrics, subscription.name),
                ),
                latency_observer(metrics),
            )
            for subscription in subscriptions
        ]
        await run_webhooks(subscribers, dead_letters, metrics, webhooks.health_host, webhooks.health_port)

    return run


async def replay_webhooks(settings: Settings, subscription: Subscription, patience_seconds: int) -> Replayed:
    """Send a subscription's dead letters again, each for so long.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or an address may not be called.
    """
    names, connection, webhooks = create_topic_names(settings), create_connection(settings), settings.webhooks
    rules = create_sending_rules(settings)
    rules.check(subscription)
    specs = [spec for spec in create_topic_specs(settings) if spec.name == names.webhook_dead_letters]
    await require_topics(connection, specs, 0)
    retries = replace(create_retry_rules(settings), give_up_seconds=patience_seconds)
    metrics = Metrics(WEBHOOKS)
    dead_letters = KafkaDeadLetters(connection, names.webhook_dead_letters)
    count = delivery_counter(metrics, subscription.name)
    sender = Sender(subscription, rules)
    courier = Courier(subscription, names.group, sender, retries, webhooks.max_in_flight, dead_letters, count)
    await dead_letters.start()
    try:
        return await DeadLetterReplay(
            connection,
            names.webhook_dead_letters,
            settings.kafka.partitions,
            names.webhooks_group(subscription.name) + "-replay",
            courier,
            webhooks.max_waiting,
        ).run()
    finally:
        await dead_letters.stop()


def create_sending_rules(settings: Settings) -> SendingRules:
    """Return what may be called by webhooks, and how.

    Raises
    ------
    ConfigurationError
        If that is not enough for production, or a network or a file is none.
    """
    webhooks = settings.webhooks
    if settings.deployment.production and webhooks.allow_http:
        raise ConfigurationError("setting webhooks.allow_http: True, expected False (setting deployment.production)")
    return SendingRules(
        timeout_seconds=webhooks.request_timeout_seconds,
        connections_max=webhooks.max_in_flight,
        allowed=parse_networks(webhooks.allowed_networks),
        allows_http=webhooks.allow_http,
        tls=create_tls(webhooks.ca_file),
    )


def create_retry_rules(settings: Settings) -> RetryRules:
    """Return when webhooks are tried again."""
    webhooks = settings.webhooks
    return RetryRules(
        webhooks.first_retry_seconds, webhooks.longest_retry_seconds, float(webhooks.give_up_after_seconds)
    )


def create_redis_connection(settings: Settings) -> RedisConnection:
    """Return how clients reach Redis.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or are not enough for production.
    """
    section = settings.redis
    if settings.deployment.production and not section.url.startswith("rediss://"):
        raise ConfigurationError("setting redis.url: expected rediss://… (setting deployment.production asks for TLS)")
    return RedisConnection(
        url=section.url,
        username=section.username,
        password=read_secret(section, "password", "redis.password"),
        timeout_seconds=section.timeout_seconds,
        ca_file=section.ca_file,
        certificate_file=section.certificate_file,
        key_file=section.key_file,
    )


def create_view(settings: Settings, *, is_rebuild: bool = False) -> Callable[[], Coroutine[None, None, None]]:
    """Return what keeps the view in Redis until it is told to stop, or builds it anew once.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    """
    topics, connection, redis = create_topic_names(settings), create_connection(settings), settings.redis
    redis_connection, metrics = create_redis_connection(settings), Metrics(VIEW)
    follower_settings = FollowerSettings(settings.kafka.partitions, settings.view.chunk_records)

    async def run() -> None:
        wanted = topics.memberships, topics.migrations, topics.models
        specs = [spec for spec in create_topic_specs(settings) if spec.name in wanted]
        await require_topics(connection, specs, settings.worker.recovery_timeout_seconds)
        target = ViewTarget(redis_connection, ViewKeys(redis.key_prefix), settings.view.recent_migrations)
        follower = ViewFollower(connection, topics, target, follower_settings, metrics)
        if is_rebuild:
            await run_rebuild(follower, target)
        else:
            await run_view(follower, target, metrics, settings.view.health_host, settings.view.health_port)

    return run


def create_api(settings: Settings) -> Callable[[], Coroutine[None, None, None]]:
    """Return what serves the view in Redis until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or would let everybody in.
    """
    clients = create_clients(settings)
    connection, keys, metrics = create_redis_connection(settings), ViewKeys(settings.redis.key_prefix), Metrics(API)

    async def run() -> None:
        await _serve(settings, RedisStore(connection, keys, metrics), clients, metrics)

    return run


def create_demo_api(settings: Settings, folder: Path) -> Callable[[], Coroutine[None, None, None]]:
    """Return what serves a run that was written into a folder, without Kafka and Redis.

    Raises
    ------
    ConfigurationError
        If the settings would let everybody in from elsewhere.
    """
    clients, metrics = create_clients(settings), Metrics(API)

    async def run() -> None:
        await _serve(settings, MemoryStore(folder), clients, metrics)

    return run


def create_clients(settings: Settings) -> tuple[Client, ...]:
    """Return who may call the API; nobody in particular where everybody may.

    Raises
    ------
    ConfigurationError
        If everybody could call, and it is not both allowed and on a loopback address.
    """
    section = settings.api
    if not section.tokens and not section.allow_anonymous:
        raise ConfigurationError("setting api.tokens: none, expected one at least; `segmenter api token` makes one")
    if section.allow_anonymous and section.tokens:
        raise ConfigurationError("setting api.allow_anonymous: True, expected False where there are api.tokens")
    if section.allow_anonymous and not _is_loopback(section.host):
        raise ConfigurationError(
            f"setting api.host: {section.host!r}, expected 127.0.0.1 or ::1 with api.allow_anonymous"
        )
    names = [token.name for token in section.tokens]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"setting api.tokens: names {names}, expected each once")
    return tuple(Client(token.name, token.sha256, frozenset(token.scopes)) for token in section.tokens)


async def _serve(settings: Settings, store: SegmentStore, clients: Sequence[Client], metrics: Metrics) -> None:
    section = settings.api
    app = create_application(
        store,
        clients,
        metrics,
        requests_per_second=section.requests_per_second,
        burst=section.burst_requests,
        max_streams=section.max_streams,
    )
    async with HealthServer(StoreJudge(store), section.health_host, section.health_port, metrics):
        await serve(app, store, section.host, section.port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_lane_settings(settings: Settings) -> LaneSettings:
    """Return how lanes go about it."""
    interval_ms, tick_ms = _intervals_ms(settings)
    return LaneSettings(
        sweep_interval_ms=interval_ms,
        live_interval_ms=settings.worker.sweep_interval_seconds * SECOND_MS,
        tick_ms=tick_ms,
        sample_size=settings.learning.sample_size,
        seed=settings.learning.seed,
        keep_payload=settings.records.keep_rejected_payload,
        follows_wall_clock=settings.worker.clock == "wall",
        idle_ms=settings.worker.idle_seconds * SECOND_MS,
        chunk_records_max=settings.worker.max_chunk_records,
        transaction_records_max=settings.worker.max_transaction_records,
        model_moves_per_second=settings.worker.model_migrations_per_second,
    )


def _intervals_ms(settings: Settings) -> tuple[int, int]:
    """Return the time between two sweeps and between two ticks, in event time."""
    interval_ms = settings.assignment.sweep_interval_seconds * SECOND_MS
    tick_ms = settings.learning.tick_days * DAY_MS
    if tick_ms % interval_ms:
        raise ConfigurationError(
            f"setting assignment.sweep_interval_seconds: {settings.assignment.sweep_interval_seconds}, "
            f"expected a divisor of learning.tick_days ({settings.learning.tick_days} days)"
        )
    return interval_ms, tick_ms


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """Return the paths' names, with as many of their folders as it takes to tell different files apart."""
    for depth in count(1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return [os.fsencode(name).decode("utf-8", "replace") for name in names]


def _minor_per_major(settings: Settings) -> int:
    currency = settings.money.base_currency
    if currency not in MINOR_DIGITS:
        raise ConfigurationError(f"setting money.base_currency: {currency!r}, expected an ISO 4217 code such as 'EUR'")
    return int(10 ** MINOR_DIGITS[currency])
