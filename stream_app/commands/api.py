"""`segmenter api`: serve look-ups and the live stream over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from stream_app.adapters.service import run_service
from stream_app.api.access import READING, SCOPES, create_token, hash_token
from stream_app.bootstrap.api import create_api
from stream_app.bootstrap.logs import create_log_policy
from stream_app.commands.groups import CONFIG, GuessingGroup, runs_itself
from stream_app.settings.loading import build_settings, load_settings

Entry = dict[str, Any]


def _toml(entry: Entry) -> str:
    """Return a table; JSON's strings and lists of strings are TOML's, too."""
    return "\n".join(
        ("[[api.tokens]]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()))
    )


def _json(entry: Entry) -> str:
    return json.dumps([entry], ensure_ascii=False)


def _kubernetes(entry: Entry) -> str:
    return (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: segmenter-api\ntype: Opaque\n"
        f"stringData:\n  tokens: {json.dumps(_json(entry), ensure_ascii=False)}"
    )


TOKEN_FORMS: Final = {"toml": _toml, "json": _json, "kubernetes": _kubernetes}


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
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=READING,
    help="May be repeated.  [default: those that read]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(TOKEN_FORMS)),
    default="toml",
    show_default=True,
    help="Of the entry: for a settings file, for SEGMENTER_API__TOKENS, or a Secret for Kubernetes.",
)
def api_token(name: str, scopes: tuple[str, ...], form: str) -> None:
    """Make a token: the token is for the client, the entry with its hash for the settings.

    The entry goes to standard output, and the token, which is shown this once, to standard error.
    """
    token = create_token()
    entry = {"name": name, "sha256": hash_token(token), "scopes": list(dict.fromkeys(scopes))}
    build_settings({"api": {"tokens": [entry]}}, {})  # refuses now what would be refused there
    click.echo(f"token, shown this once: {token}\n", err=True)
    click.echo(TOKEN_FORMS[form](entry))
