"""Statements on which ids are one customer's, read from the topic or from files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from zoneinfo import ZoneInfo

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
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.table import STATEMENT_CONTRACTS
from stream_app.core.events import MERGE, pack_events
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.core.weaving import Weaver, statement_of
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.settings.sections import Settings
from stream_app.sources.files import Reader, SourceFile, merge_by_time

Refusals = list[tuple[Statement, Refused]]


def read_statements(settings: Settings, files: Sequence[Path]) -> tuple[Identities, Refusals]:
    """Return what is known of ids, and the statements that do not count; from the topic if no files are named.

    Raises
    ------
    ConfigurationError
        If statements on Kafka are not followed.
    BrokerUnreachable
        If no broker answers.
    """
    if not files:
        silence_kafka()
        return asyncio.run(_read_topic(settings))
    sources = [SourceFile(path, IDENTITIES.topic, {}, {}, ZoneInfo(settings.business.timezone)) for path in files]
    weaver = create_weaver(settings)
    with ExitStack() as opened:
        readers = create_readers(settings, sources, wall_clock.now_ms())
        for reader in readers:
            opened.callback(reader.close)
        refused = list(_follow(weaver, readers))
    return weaver.identities, refused


async def _read_topic(settings: Settings) -> tuple[Identities, Refusals]:
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
