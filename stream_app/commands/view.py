"""`segmenter view`: keep the view in Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from stream_app.adapters.logs import log_to_stderr
from stream_app.adapters.service import run_service
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
            raise click.UsageError("--config belongs behind the name of the command")
        return
    run_service(create_view(load_settings(config)))


@view.command(name="rebuild")
@_CONFIG
def view_rebuild(config: Path | None) -> None:
    """Build the view anew from the topics, beside the one that is read, and put it in its place.

    `segmenter view` may go on meanwhile; it takes over what was built.
    """
    run = create_view(load_settings(config), is_rebuild=True)
    log_to_stderr()
    asyncio.run(run())
