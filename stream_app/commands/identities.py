"""`segmenter identities`: which ids are one customer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.input_files import FILE, ManyFiles
from stream_app.commands.statements import read_statements
from stream_app.core.clock import format_instant
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.plurals import counted
from stream_app.settings.loading import load_settings


@click.group(cls=GuessingGroup)
@passes_config
def identities() -> None:
    """Show which ids are one customer's, by the statements on Kafka or in files."""


@identities.command(cls=ManyFiles)
@click.argument("customer_id", metavar="ID")
@click.option(
    "--identities",
    "files",
    type=FILE,
    multiple=True,
    help="Statements: CSV, JSON, Excel or Parquet, also packed; may be repeated.  [default: the topic]",
)
@CONFIG
def show(customer_id: str, files: Sequence[Path], config: Path | None) -> None:
    """Print the graph of the customer who goes by ID: its ids, what connects them, and what was refused.

    Statements on Kafka are followed as workers follow them; those in files in the order of their times, as a replay
    does it.
    """
    known, refused = read_statements(load_settings(config), files)
    for line in describe_customer(known, customer_id, refused):
        click.echo(line)


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
