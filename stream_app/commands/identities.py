"""`segmenter identities`: which ids are one customer's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import numpy as np

from stream_app.adapters import wall_clock
from stream_app.adapters.kafka_client import START_SECONDS
from stream_app.adapters.logs import silence_kafka
from stream_app.adapters.topic_admin import require_topics
from stream_app.audit.reading import TopicReader
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.bootstrap.replay import create_readers
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.input_files import FILE, ManyFiles
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.table import STATEMENT_CONTRACTS
from stream_app.core.clock import format_instant
from stream_app.core.events import MERGE, pack_events
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.core.weaving import Weaver, statement_of
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.plurals import counted
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.sources.files import Reader, SourceFile, merge_by_time


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
    settings = load_settings(config)
    if not files:
        silence_kafka()
        _tell(*asyncio.run(_read_topic(settings)), customer_id)
        return
    sources = [SourceFile(path, IDENTITIES.topic, {}, {}, ZoneInfo(settings.business.timezone)) for path in files]
    weaver = create_weaver(settings)
    with ExitStack() as opened:
        readers = create_readers(settings, sources, wall_clock.now_ms())
        for reader in readers:
            opened.callback(reader.close)
        refused = list(_follow(weaver, readers))
    _tell(weaver.identities, refused, customer_id)


def _tell(known: Identities, refused: Sequence[tuple[Statement, Refused]], customer_id: str) -> None:
    for line in describe_customer(known, customer_id, refused):
        click.echo(line)


async def _read_topic(settings: Settings) -> tuple[Identities, list[tuple[Statement, Refused]]]:
    """Return what the topic says; statements that cannot be read are among the dead letters."""
    if not settings.identities.enabled:
        raise ConfigurationError("setting identities.enabled: False, expected True, or files of statements")
    connection, names, weaver = create_connection(settings), create_topic_names(settings), create_weaver(settings)
    decoder = create_decoders(settings, contracts=STATEMENT_CONTRACTS)[IDENTITIES.topic]
    specs = [spec for spec in create_topic_specs(settings) if spec.name == names.identities]
    await require_topics(connection, specs, START_SECONDS)
    refused = []
    async with TopicReader(connection) as reader:
        bounds = await reader.bounds([(names.identities, 0)])
        async for records in reader.read(names.identities, 0, bounds):
            for record in records:
                with suppress(InvalidRecord):
                    event = decoder.decode(record.value or b"", record.timestamp_ms, record.key or b"")
                    said = statement_of(pack_events([event], [record.offset], 0), 0)
                    taken = weaver.take(said)
                    if isinstance(taken, Refused):
                        refused.append((said, taken))
    return weaver.identities, refused


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
