"""`segmenter api`: serve look-ups and the live stream over HTTP."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop

from stream_app.adapters.service import run_service
from stream_app.api.access import SCOPES, create_token, hash_token
from stream_app.bootstrap.api import create_api
from stream_app.bootstrap.logs import create_log_policy
from stream_app.commands.groups import CONFIG, GuessingGroup, runs_itself
from stream_app.settings.loading import load_settings


@click.group(cls=GuessingGroup, invoke_without_command=True)
@CONFIG
@click.pass_context
def api(context: click.Context, config: Path | None) -> None:
    """Serve look-ups and the live stream of migrations from the view, until Ctrl-C or SIGTERM."""
    if not runs_itself(context, config):
        return
    settings = load_settings(config)
    run_service(create_api(settings), uvloop.run, create_log_policy(settings))


@api.command(name="token")
@click.option("--name", required=True, help="Of the client.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=SCOPES, help="Default: all.")
def api_token(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token: the token is for the client, the entry with its hash for the settings."""
    token = create_token()
    listed = ", ".join(f'"{scope}"' for scope in dict.fromkeys(scopes))
    click.echo(f"token, shown this once: {token}\n")
    click.echo(f'[[api.tokens]]\nname = "{name}"\nsha256 = "{hash_token(token)}"\nscopes = [{listed}]')
