"""`segmenter webhooks`: deliver migrations to HTTP endpoints, and send again what an endpoint never took."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from aiokafka.errors import KafkaError

from stream_app.adapters.logs import log_to_stderr
from stream_app.adapters.service import run_service
from stream_app.bootstrap.logs import create_log_policy
from stream_app.bootstrap.webhooks import create_webhooks, replay_webhooks
from stream_app.commands.groups import CONFIG, GuessingGroup, runs_itself
from stream_app.errors import BrokerUnreachable, ConfigurationError
from stream_app.exits import ExitCode
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.webhooks.subscriptions import Subscription, load_subscriptions

REPLAY_PATIENCE_SECONDS: Final = 60


@click.group(cls=GuessingGroup, invoke_without_command=True)
@CONFIG
@click.pass_context
def webhooks(context: click.Context, config: Path | None) -> None:
    """Deliver migrations to the endpoints in the file of subscriptions, until Ctrl-C or SIGTERM."""
    if not runs_itself(context, config):
        return
    settings = load_settings(config)
    subscriptions = load_subscriptions(settings.webhooks.subscriptions_file)
    run_service(create_webhooks(settings, subscriptions), log=create_log_policy(settings))


@webhooks.command(name="replay")
@CONFIG
@click.option("--subscription", "name", help="Replay this subscription only.")
@click.option(
    "--patience",
    "patience_seconds",
    type=click.IntRange(0, 86_400),
    default=REPLAY_PATIENCE_SECONDS,
    show_default=True,
    help="Seconds for which each one is tried, at least five times.",
)
def webhooks_replay(config: Path | None, name: str | None, patience_seconds: int) -> None:
    """Send again the dead letters that exist now; exit with 1 if some were refused again.

    Those become new dead letters. The next replay starts after the last one that this replay has sent.
    """
    settings = load_settings(config)
    chosen = _choose(load_subscriptions(settings.webhooks.subscriptions_file), name)
    log_to_stderr(create_log_policy(settings))
    try:
        are_delivered = asyncio.run(_replay(settings, chosen, patience_seconds))
    except KafkaError as error:
        raise BrokerUnreachable(
            f"no Kafka broker answers any more ({type(error).__name__}); start the replay again"
        ) from error
    if not are_delivered:
        raise SystemExit(ExitCode.FAILED)


async def _replay(settings: Settings, chosen: Sequence[Subscription], patience_seconds: int) -> bool:
    """Return whether all were delivered."""
    results = await asyncio.gather(*(replay_webhooks(settings, each, patience_seconds) for each in chosen))
    for subscription, result in zip(chosen, results, strict=True):
        click.echo(f"{subscription.name}: {result.delivered} delivered, {result.dead} refused again")
    return not any(result.dead for result in results)


def _choose(subscriptions: Sequence[Subscription], name: str | None) -> Sequence[Subscription]:
    chosen = [subscription for subscription in subscriptions if name in (None, subscription.name)]
    if not chosen:
        names = ", ".join(subscription.name for subscription in subscriptions)
        raise ConfigurationError(f"--subscription: {name!r}, expected one of {names}")
    return chosen
