"""`segmenter view`: keep the view in Redis."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import click

from stream_app.adapters.kafka_client import Throttle, quieten_clients
from stream_app.bootstrap.view import create_view
from stream_app.settings import load_settings

_CONFIG = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, a TOML file.")


@click.group(invoke_without_command=True)
@_CONFIG
@click.pass_context
def view(context: click.Context, config: Path | None) -> None:
    """Keep the view of memberships and migrations in Redis, until Ctrl-C or SIGTERM."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise click.UsageError("put --config after the subcommand")
        return
    run = create_view(load_settings(config))
    _log()
    asyncio.run(run())


@view.command(name="rebuild")
@_CONFIG
def view_rebuild(config: Path | None) -> None:
    """Build the view anew from the topics, beside the one that is read, and put it in its place.

    `segmenter view` may go on meanwhile; it takes over what was built.
    """
    run = create_view(load_settings(config), is_rebuild=True)
    _log()
    asyncio.run(run())


def _log() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quieten_clients()
    logging.getLogger().handlers[0].addFilter(Throttle())
