"""`segmenter identities`: which ids are one customer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import numpy as np

from stream_app.adapters import wall_clock
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.replay import create_readers
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.input_files import FILE, ManyFiles
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.core.clock import format_instant
from stream_app.core.events import MERGE
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.core.weaving import Weaver, statement_of
from stream_app.plurals import counted
from stream_app.settings.loading import load_settings
from stream_app.sources.files import Reader, SourceFile, merge_by_time


@click.group(cls=GuessingGroup)
@passes_config
def identities() -> None:
    """Show which ids are one customer's, by the statements in files."""


@identities.command(cls=ManyFiles)
@click.argument("customer_id", metavar="ID")
@click.option(
    "--identities",
    "files",
    type=FILE,
    multiple=True,
    required=True,
    help="Statements: CSV, JSON, Excel or Parquet, also packed; may be repeated.",
)
@CONFIG
def show(customer_id: str, files: Sequence[Path], config: Path | None) -> None:
    """Print the graph of the customer who goes by ID: its ids, what connects them, and what was refused.

    Statements are read in the order of their times, as a replay reads them.
    """
    settings = load_settings(config)
    sources = [SourceFile(path, IDENTITIES.topic, {}, {}, ZoneInfo(settings.business.timezone)) for path in files]
    weaver = create_weaver(settings)
    with ExitStack() as opened:
        readers = create_readers(settings, sources, wall_clock.now_ms())
        for reader in readers:
            opened.callback(reader.close)
        refused = list(_follow(weaver, readers))
    for line in describe_customer(weaver.identities, customer_id, refused):
        click.echo(line)


def _follow(weaver: Weaver, readers: Sequence[Reader]) -> Iterator[tuple[Statement, Refused]]:
    """Take in all statements; yield those that do not count."""
    for batch in merge_by_time(readers):
        events = batch.events()
        for index in np.flatnonzero(events.records["kind"] == MERGE).tolist():
            said = statement_of(events, index)
            taken = weaver.take(said)
            if isinstance(taken, Refused):
                yield said, taken


def describe_customer(
    known: Identities, customer_id: str, refused: Sequence[tuple[Statement, Refused]]
) -> Iterator[str]:
    """Yield the lines that tell of a customer.

    Parameters
    ----------
    known
        All statements that count.
    customer_id
        Any of its ids.
    refused
        Those that do not count, of whomever.
    """
    group, end = known.group_of(customer_id), known.end_of(customer_id)
    ids = {customer_id} if group is None else group.ids
    yield f"{end}: {counted(len(ids), 'id')}" + (", shared" if known.is_shared(end) else "")
    for said in () if group is None else group.statements:
        yield f"  {_line(said)}"
    for said, why in refused:
        if ids & {said.alias, said.customer_id}:
            yield f"  refused: {_line(said)}: {why.reason}"


def _line(said: Statement) -> str:
    what = f"{said.kind} of a {said.namespace}" if said.namespace else said.kind
    return f"{said.alias} → {said.customer_id} ({what}, {format_instant(said.at_ms)})"
