"""Statements on which ids are one customer's, read from the topic or from files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from stream_app.adapters import wall_clock
from stream_app.adapters.logs import silence_kafka
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.replay import create_readers
from stream_app.bootstrap.statements import Refusals, read_topic
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.core.events import MERGE
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.core.weaving import Weaver, statement_of
from stream_app.settings.sections import Settings
from stream_app.sources.files import Reader, SourceFile, merge_by_time


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
        return asyncio.run(read_topic(settings))
    sources = [SourceFile(path, IDENTITIES.topic, {}, {}, ZoneInfo(settings.business.timezone)) for path in files]
    weaver = create_weaver(settings)
    with ExitStack() as opened:
        readers = create_readers(settings, sources, wall_clock.now_ms())
        for reader in readers:
            opened.callback(reader.close)
        refused = list(_follow(weaver, readers))
    return weaver.identities, refused


def _follow(weaver: Weaver, readers: Sequence[Reader]) -> Iterator[tuple[Statement, Refused]]:
    """Take in all statements; yield those that do not count."""
    for batch in merge_by_time(readers):
        events = batch.events()
        for index in np.flatnonzero(events.records["kind"] == MERGE).tolist():
            said = statement_of(events.event(index))
            taken = weaver.take(said)
            if isinstance(taken, Refused):
                yield said, taken
