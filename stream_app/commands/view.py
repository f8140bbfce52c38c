"""`segmenter view`: keep the view in Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from stream_app.adapters.logs import log_to_stderr
from stream_app.adapters.service import run_service
from stream_app.bootstrap.logs import create_log_policy
from stream_app.bootstrap.view import create_view
from stream_app.commands.groups import CONFIG, GuessingGroup, runs_itself
from stream_app.settings.loading import load_settings


@click.group(cls=GuessingGroup, invoke_without_command=True)
@CONFIG
@click.pass_context
def view(context: click.Context, config: Path | None) -> None:
    """Keep the view of memberships and migrations in Redis, until Ctrl-C or SIGTERM."""
    if not runs_itself(context, config):
        return
    settings = load_settings(config)
    run_service(create_view(settings), log=create_log_policy(settings))


@view.command(name="rebuild")
@CONFIG
def view_rebuild(config: Path | None) -> None:
    """Build a new view from the topics beside the one in use, then replace it.

    `segmenter view` may keep running; it continues with the new view.
    """
    settings = load_settings(config)
    run = create_view(settings, is_rebuild=True)
    log_to_stderr(create_log_policy(settings))
    asyncio.run(run())
