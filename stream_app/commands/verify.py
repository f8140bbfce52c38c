"""`segmenter verify`: check what a deployment has written against its inputs."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from stream_app.adapters.logs import silence_kafka
from stream_app.audit.report import document, lines
from stream_app.audit.verification import verify as run_audit
from stream_app.bootstrap.verify import create_deployment
from stream_app.commands.groups import CONFIG, SEGMENTATIONS, with_segmentations
from stream_app.exits import ExitCode
from stream_app.settings.loading import load_settings

COLLECTED_AFTER: Final = 200_000
"""Allocations between two garbage collections. An audit makes many objects and no cycles, and at Python's usual 700
a third of its time went into looking for some."""


@click.command()
@CONFIG
@SEGMENTATIONS
@click.option("--drained", is_flag=True, help="Also fail if an input record has not been processed yet.")
@click.option("--expired-ok", is_flag=True, help="Accept that retention has removed the oldest input records.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(config: Path | None, segmentations: Path | None, drained: bool, expired_ok: bool, as_json: bool) -> None:
    """Recount all inputs and compare with state and outputs; exit with 1 on any breach.

    Use the workers' own settings. Stop the workers first, or wait until they are idle: what they write in the
    meantime looks like a breach.
    """
    silence_kafka()
    deployment = create_deployment(load_settings(config, with_segmentations(segmentations)))
    click.echo("reading the topics from their beginning, and counting anew what they say …", err=True)
    with _rare_collections():
        found = asyncio.run(run_audit(deployment, drained))
    if expired_ok:
        found.tally.accepted.add("history")
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        for line in lines(found):
            click.echo(line)
    if not found.tally.is_clean:
        raise SystemExit(ExitCode.FAILED)


@contextmanager
def _rare_collections() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.set_threshold(COLLECTED_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
