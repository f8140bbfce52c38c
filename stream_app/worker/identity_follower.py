"""Following statements on ids: every worker reads all of `identities`, as it reads `segment-models`.

The topic has one partition, so statements have one order, and each is judged at the brokers' time of it: all workers
take the same ones in and refuse the same ones, without asking each other. What follows from them, which id goes by
which, is in the memory of each worker and nowhere else. Nothing in a row points to another row.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

from aiokafka import TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.contracts.decoding import Decoder
from stream_app.core.identities import Refused
from stream_app.core.placement import place_of, places_of_ids
from stream_app.core.records import Rejection
from stream_app.core.weaving import Weaver, statement_of
from stream_app.errors import InvalidRecord

RECORDS_AT_ONCE: Final = 250
"""Partitions wait for these: they take some 10 ms."""
_PLACES_KEPT: Final = 65_536


class StatementRecord(Protocol):
    """A record of the topic."""

    @property
    def offset(self) -> int:  # noqa: D102  (these names say all)
        ...

    @property
    def timestamp(self) -> int:
        """When the brokers took it, in milliseconds."""
        ...

    @property
    def key(self) -> bytes | None:  # noqa: D102
        ...

    @property
    def value(self) -> bytes | None:  # noqa: D102
        ...


Changed = Mapping[str, int]
"""Ids that go by another id than before, and the offset of the statement that says so."""


class IdentityFollower:
    """Knows which ids are one customer's, as far as the topic was read.

    Parameters
    ----------
    connection, topic
        Where statements are made.
    decoder
        Reads them.
    weaver
        Follows them; nothing is known to it yet.
    partitions
        Of the inputs.

    Attributes
    ----------
    weaver
        Follows statements.
    next_offset
        Of the first statement that was not read.
    is_read
        Set once everything that was said before the start is known.
    taken, refused
        How many statements count, and how many do not, by reason.
    """

    def __init__(
        self, connection: KafkaConnection, topic: str, decoder: Decoder, weaver: Weaver, partitions: int
    ) -> None:
        self.topic: Final = topic
        self.weaver: Final = weaver
        self.next_offset = 0
        self.is_read = asyncio.Event()
        self.taken = 0
        self.refused: Counter[str] = Counter()
        self.home_of: Final = lru_cache(_PLACES_KEPT)(lambda customer_id: place_of(customer_id.encode(), partitions))
        """Returns the partition of an id."""
        self._connection = connection
        self._decoder = decoder
        self._partitions = partitions
        self._offsets: dict[str, int] = {}
        self._refusals: deque[tuple[int, Rejection]] = deque()
        self._followers: list[Callable[[Changed], None]] = []

    def subscribe(self, follow: Callable[[Changed], None]) -> None:
        """Have ids announced that go by another one than before."""
        self._followers.append(follow)

    def end_of(self, customer_id: str) -> str:
        """Return the id that a customer goes by."""
        return self.weaver.identities.end_of(customer_id)

    def joined_ms(self, customer_id: str) -> int:
        """Return from when on an id goes by another one, which it has to do."""
        group = self.weaver.identities.group_of(customer_id)
        assert group is not None
        return group.joined_ms(customer_id)

    def aliases_of(self, partitions: Iterable[int]) -> dict[int, dict[str, int]]:
        """Return by partition all ids of it that go by another one, each with the offset of a statement."""
        ids = list(self.weaver.identities.ends)
        found: dict[int, dict[str, int]] = {number: {} for number in partitions}
        for customer_id, place in zip(ids, places_of_ids(ids, self._partitions).tolist(), strict=True):
            if place in found:
                found[place][customer_id] = self._offset_of(customer_id)
        return found

    def refusals_from(self, offset: int) -> Iterator[tuple[int, Rejection]]:
        """Yield the refused statements from an offset on."""
        yield from ((at, refused) for at, refused in self._refusals if at >= offset)

    def forget_refusals(self, before: int) -> None:
        """Forget refused statements that have been published."""
        while self._refusals and self._refusals[0][0] < before:
            self._refusals.popleft()

    async def run(self) -> None:
        """Read without end."""
        tp = TopicPartition(self.topic, 0)
        async with committed_reader(self._connection) as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while True:
                for records in (await consumer.getmany(tp, timeout_ms=200, max_records=RECORDS_AT_ONCE)).values():
                    self.read(records)
                    await asyncio.sleep(0)
                if not self.is_read.is_set() and await consumer.position(tp) >= end:
                    self.is_read.set()

    def read(self, records: Sequence[StatementRecord]) -> None:
        """Take the next records of the topic, one at least."""
        changed: dict[str, int] = {}
        for record in records:
            if record.value is not None:
                changed |= dict.fromkeys(self._take(record), record.offset)
        self.next_offset = records[-1].offset + 1
        if self.is_read.is_set() and changed:
            for follow in self._followers:
                follow(changed)

    def _take(self, record: StatementRecord) -> list[str]:
        """Take a statement; return which ids go by another one than before."""
        try:
            said = statement_of(self._decoder.decode(record.value or b"", record.timestamp, record.key or b""))
        except InvalidRecord as error:
            self._refuse(record, error)
            return []
        groups = [self.weaver.identities.group_of(each) for each in (said.alias, said.customer_id)]
        ids = {said.alias, said.customer_id}.union(*(group.ids for group in groups if group is not None))
        before = {each: self.end_of(each) for each in ids}
        taken = self.weaver.take(said)
        if isinstance(taken, Refused):
            self._refuse(record, InvalidRecord(taken.reason, "alias", taken.message))
        else:
            self.taken += 1
            self._offsets[said.alias] = record.offset
        return [each for each, end in before.items() if self.end_of(each) not in (each, end)]

    def _refuse(self, record: StatementRecord, error: InvalidRecord) -> None:
        self.refused[error.reason] += 1
        refused = Rejection(error, record.value or b"", record.key, record.timestamp)
        self._refusals.append((record.offset, refused))

    def _offset_of(self, customer_id: str) -> int:
        """Return the offset of a statement that says something of an id."""
        if customer_id in self._offsets:
            return self._offsets[customer_id]
        group = self.weaver.identities.group_of(customer_id)
        return max(self._offsets.get(each, 0) for each in (group.ids if group else ()))
