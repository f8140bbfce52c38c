"""`segmenter api`: serve look-ups and the live stream over HTTP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click
import uvloop

from stream_app.api.access import SCOPES, create_token, hash_token
from stream_app.bootstrap.api import create_api, create_demo_api
from stream_app.settings import load_settings

_CONFIG = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, a TOML file.")


@click.group(invoke_without_command=True)
@_CONFIG
@click.pass_context
def api(context: click.Context, config: Path | None) -> None:
    """Serve look-ups and the live stream of migrations from the view, until Ctrl-C or SIGTERM."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise click.UsageError("put --config after the subcommand")
        return
    run = create_api(load_settings(config))
    _log()
    uvloop.run(run())


@api.command(name="token")
@click.option("--name", required=True, help="Of the client.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=SCOPES, help="Default: all.")
def api_token(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token: the token is for the client, the entry with its hash for the settings."""
    token = create_token()
    listed = ", ".join(f'"{scope}"' for scope in dict.fromkeys(scopes))
    click.echo(f"token, shown this once: {token}\n")
    click.echo(f'[[api.tokens]]\nname = "{name}"\nsha256 = "{hash_token(token)}"\nscopes = [{listed}]')


def serve_demo(folder: Path, port: int) -> None:
    """Serve what a demo has written, to this host alone and without tokens."""
    alone = {"allow_anonymous": True, "host": "127.0.0.1", "port": port, "health_port": 0, "tokens": []}
    settings = load_settings(None, {"api": alone})
    run = create_demo_api(settings, folder, _show_address)
    _log()
    uvloop.run(run())


def _show_address(address: str) -> None:
    click.echo(f"\nserving {address}/v1/segmentations/value/segments (Ctrl-C ends it)")


def _log() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
