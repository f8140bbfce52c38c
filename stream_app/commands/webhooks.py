"""`segmenter webhooks`: deliver migrations to HTTP endpoints, and send again what an endpoint never took."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import Throttle, quieten_clients
from stream_app.bootstrap.webhooks import create_webhooks, replay_webhooks
from stream_app.errors import BrokerUnreachable, ConfigurationError
from stream_app.settings import Settings, load_settings
from stream_app.webhooks.subscriptions import Subscription, load_subscriptions

EXIT_DEAD: Final = 1
REPLAY_PATIENCE_SECONDS: Final = 60

_CONFIG = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, a TOML file.")


@click.group(invoke_without_command=True)
@_CONFIG
@click.pass_context
def webhooks(context: click.Context, config: Path | None) -> None:
    """Deliver migrations to the endpoints in the file of subscriptions, until Ctrl-C or SIGTERM."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise click.UsageError("put --config after the subcommand")
        return
    settings = load_settings(config)
    run = create_webhooks(settings, load_subscriptions(settings.webhooks.subscriptions_file))
    _log()
    asyncio.run(run())


@webhooks.command(name="replay")
@_CONFIG
@click.option("--subscription", "name", help="Only those of this subscription.")
@click.option(
    "--patience",
    "patience_seconds",
    type=click.IntRange(0, 86_400),
    default=REPLAY_PATIENCE_SECONDS,
    show_default=True,
    help="Seconds for which each is tried, five times at least.",
)
def webhooks_replay(config: Path | None, name: str | None, patience_seconds: int) -> None:
    """Send again the dead letters there are now; exit with 1 if some were refused once more.

    Those become new dead letters. The next replay starts after the ones that this one has sent.
    """
    settings = load_settings(config)
    chosen = _choose(load_subscriptions(settings.webhooks.subscriptions_file), name)
    _log()
    try:
        are_delivered = asyncio.run(_replay(settings, chosen, patience_seconds))
    except KafkaError as error:
        raise BrokerUnreachable(f"Kafka is away ({type(error).__name__}); start the replay again") from error
    if not are_delivered:
        raise SystemExit(EXIT_DEAD)


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


def _log() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quieten_clients()
    logging.getLogger().handlers[0].addFilter(Throttle())
