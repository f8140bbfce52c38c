"""Where a customer's id is still written: a search through every record and key.

What is searched for is the id as it stands, between characters that are in no id, in keys and values alike, also
inside of what a record quotes. Records of transactions that were broken off count as well: nobody reads them, but they
are there. A salted hash is no trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, NamedTuple

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.audit.reading import TopicReader, describe
from stream_app.audit.records import LogRecord

FEW_IDS: Final = 64
"""So many are searched for anywhere in a record, more of them only where a JSON string or a key is one."""
_BOUNDARY: Final = rb"[0-9A-Za-z_\-]"


class Trace(NamedTuple):
    """What one partition of a topic has of a customer.

    Attributes
    ----------
    topic, partition
        Where.
    customer_id
        Whose.
    records
        How many have the id in their key or value.
    first_offset
        Of the first of them.
    newest_ms
        Timestamp of the newest.
    """

    topic: str
    partition: int
    customer_id: str
    records: int
    first_offset: int
    newest_ms: int


class IdFinder:
    """Finds ids in bytes.

    Parameters
    ----------
    ids
        Of customers.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self._id_of: dict[bytes, str] = {}
        for each in ids:
            self._id_of[each.encode()] = each
            self._id_of[json.dumps(each)[1:-1].encode()] = each
        parts = b"|".join(re.escape(each) for each in sorted(self._id_of, key=len, reverse=True))
        is_few = len(self._id_of) <= 2 * FEW_IDS
        self._pattern = re.compile(rb"(?<!%b)(%b)(?!%b)" % (_BOUNDARY, parts, _BOUNDARY)) if is_few else None

    def find(self, text: bytes | None) -> set[str]:
        """Return the ids that are in a text."""
        if not text:
            return set()
        if self._pattern is not None:
            return {self._id_of[each] for each in self._pattern.findall(text)}
        whole, _, behind = text.partition(b"/")
        tokens = {text, whole, behind, *text.replace(b'\\"', b'"').split(b'"')}
        return {self._id_of[each] for each in tokens & self._id_of.keys()}


async def find_traces(
    connection: KafkaConnection, group: str, topics: Sequence[str], ids: Sequence[str]
) -> list[Trace]:
    """Return what is written of customers in topics.

    Parameters
    ----------
    group
        The deployment's.
    topics
        Those that do not exist are passed by.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """
    finder, found = IdFinder(ids), dict[tuple[str, int, str], Trace]()
    there, _ = await describe(connection, group)
    async with TopicReader(connection, is_committed=False) as reader:
        places = [(topic, number) for topic in topics for number in range(there.get(topic, 0))]
        bounds = await reader.bounds(places)
        for topic, partition in places:
            async for records in reader.read(topic, partition, bounds):
                for record in records:
                    for customer_id in finder.find(record.key) | finder.find(record.value):
                        _count(found, (topic, partition, customer_id), record)
    return list(found.values())


def _count(found: dict[tuple[str, int, str], Trace], place: tuple[str, int, str], record: LogRecord) -> None:
    known = found.get(place)
    if known is None:
        found[place] = Trace(*place, 1, record.offset, record.timestamp_ms)
    else:
        newest_ms = max(known.newest_ms, record.timestamp_ms)
        found[place] = known._replace(records=known.records + 1, newest_ms=newest_ms)


async def records_of(
    connection: KafkaConnection, group: str, topics: Sequence[str], customer_id: str
) -> AsyncIterator[tuple[str, int, LogRecord]]:
    """Yield the committed records that are about a customer, with topic and partition, in the order of each log."""
    finder = IdFinder([customer_id])
    there, _ = await describe(connection, group)
    async with TopicReader(connection) as reader:
        places = [(topic, number) for topic in topics for number in range(there.get(topic, 0))]
        bounds = await reader.bounds(places)
        for topic, partition in places:
            async for records in reader.read(topic, partition, bounds):
                for record in records:
                    if finder.find(record.key) or finder.find(record.value):
                        yield topic, partition, record
