"""`segmenter verify`: check what a deployment has written against its inputs."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import click

from stream_app.adapters.kafka_client import quieten_clients
from stream_app.audit.report import document, lines
from stream_app.audit.verification import verify as run_audit
from stream_app.bootstrap import create_deployment
from stream_app.settings import load_settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings as TOML: the workers' own.")
@click.option("--drained", is_flag=True, help="Fail, too, if an input is not folded yet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(config: Path | None, drained: bool, as_json: bool) -> None:
    """Recount all inputs and compare with state and outputs; exit with 1 on any breach.

    Stop the workers before, or wait until they are idle: what they write meanwhile looks like a breach.
    """
    quieten_clients(logging.CRITICAL)  # the error that the command ends with says the same, once
    found = asyncio.run(run_audit(create_deployment(load_settings(config)), drained))
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        for line in lines(found):
            click.echo(line)
    if not found.tally.is_clean:
        raise SystemExit(1)
