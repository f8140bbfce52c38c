"""Kafka's log in memory, as far as a worker relies on it.

Partitions with offsets; transactions whose records take offsets at once and become visible with a marker, which takes
one too; last stable offsets; producer epochs that shut former owners out (KIP-98, KIP-360); append only for those whose
transaction the coordinator knows (KIP-890); compaction. What a request does happens between two random delays, in the
world and not in the process that asked: so a process may die before its request arrives, before it is answered, or
before it hears the answer.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from stream_app.adapters.changelog import FENCE_KEY
from stream_app.adapters.delivery import Outgoing, OutgoingRecord
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.errors import DeliveryFailed
from tests.support.simulated_loop import Process, SimulatedLoop

COMMIT_DEADLINE_SECONDS = 2.0
TRANSACTION_TIMEOUT_SECONDS = 1.5
RETRY_SECONDS = 0.02

T = TypeVar("T")
TopicPartition = tuple[str, int]


@dataclass(eq=False)
class Transaction:
    """`verdict` is None while it is open."""

    verdict: bool | None = None
    partitions: set[TopicPartition] = field(default_factory=set)


@dataclass(slots=True)
class StoredRecord:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    transaction: Transaction | None = None
    is_marker: bool = False

    @property
    def is_visible(self) -> bool:
        return not self.is_marker and (self.transaction is None or self.transaction.verdict is True)


class PartitionLog:
    """One partition."""

    def __init__(self) -> None:
        self.records: list[StoredRecord] = []
        self.end = 0
        self.watchers: list[asyncio.Event] = []
        self._open: dict[Transaction, int] = {}

    @property
    def stable_end(self) -> int:
        """Behind the last record that readers of committed records may see (the last stable offset)."""
        return min(self._open.values()) if self._open else self.end

    def append(self, records: Sequence[OutgoingRecord], now_ms: int, transaction: Transaction | None = None) -> int:
        """Append records and return the offset of the first."""
        first = self.end
        if transaction is not None:
            self._open.setdefault(transaction, first)
        for record in records:
            self.records.append(StoredRecord(self.end, now_ms, record.key, record.value, record.headers, transaction))
            self.end += 1
        self._tell()
        return first

    def mark(self, transaction: Transaction, now_ms: int) -> None:
        """Append the marker that ends a transaction here."""
        self.records.append(StoredRecord(self.end, now_ms, None, None, (), transaction, is_marker=True))
        self.end += 1
        self._open.pop(transaction, None)
        self._tell()

    def read(self, position: int, limit: int) -> tuple[list[StoredRecord], int]:
        """Return committed records from a position on, and the position behind them and what is no record."""
        found: list[StoredRecord] = []
        stable_end = self.stable_end
        index = bisect_left(self.records, position, key=lambda record: record.offset)
        for record in self.records[index:]:
            if record.offset >= stable_end:
                break
            if record.is_visible:
                if len(found) == limit:
                    return found, record.offset
                found.append(record)
        return found, max(position, stable_end)

    def visible(self) -> list[StoredRecord]:
        """Return all committed records."""
        return self.read(0, self.end + 1)[0]

    def compact(self) -> None:
        """Drop what the committed records behind it supersede, and what was never committed."""
        stable_end = self.stable_end
        last = {
            record.key: record.offset for record in self.records if record.offset < stable_end and record.is_visible
        }
        self.records = [
            record
            for record in self.records
            if record.offset >= stable_end or (record.is_visible and last[record.key] == record.offset)
        ]

    def _tell(self) -> None:
        for event in self.watchers:
            event.set()


@dataclass
class ProducerState:
    """What the transaction coordinator knows of a transactional id."""

    producer_id: int
    epoch: int = -1
    transaction: Transaction | None = None


class Fenced(Exception):
    """A newer producer has the transactional id."""


class Concurrent(Exception):
    """The former transaction is not over yet; ask again."""


class Unreliable(Exception):
    """The broker refuses or does not answer."""


class Surroundings(Protocol):
    """What a log needs of the world around it."""

    loop: SimulatedLoop
    drawn: random.Random

    def now_ms(self) -> int: ...

    def step(self, process: Process, what: str) -> None:
        """Tell of a step; the process may be killed by it."""
        ...

    def is_overtaken(self) -> bool:
        """Draw whether records that were fetched before a rebalance arrive after it."""
        ...


@dataclass
class Latencies:
    """Seconds a message takes, and how often something goes wrong with a write."""

    usual: float = 0.005
    slow: float = 0.3
    slow_share: float = 0.01
    refused_share: float = 0.0
    lost_share: float = 0.0

    def draw(self, drawn: random.Random) -> float:
        seconds = drawn.random() * self.usual
        return seconds + drawn.random() * self.slow if drawn.random() < self.slow_share else seconds


class MemoryLog:
    """All topics, and the coordinator of transactions."""

    def __init__(self, around: Surroundings, latencies: Latencies, checks_epochs: bool = True) -> None:
        self.around = around
        self.latencies = latencies
        self.is_reliable = False
        self._checks_epochs = checks_epochs
        self._partitions: dict[TopicPartition, PartitionLog] = {}
        self._producers: dict[str, ProducerState] = {}

    def __getitem__(self, tp: TopicPartition) -> PartitionLog:
        if tp not in self._partitions:
            self._partitions[tp] = PartitionLog()
        return self._partitions[tp]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(list(self._partitions))

    async def ask(self, process: Process, what: str, effect: Callable[[], T]) -> T:
        """Have a broker do something."""
        around, latencies = self.around, self.latencies
        drawn, loop = around.drawn, around.loop
        future: asyncio.Future[T] = loop.create_future()

        def answer(error: Exception | None, result: Any) -> None:
            around.step(process, f"{what}: answered")
            if process.is_dead or future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def arrive() -> None:
            error, result = None, None
            try:
                result = effect()
            except (Fenced, Concurrent, Unreliable) as raised:
                error = raised
            around.step(process, f"{what}: {'done' if error is None else repr(error)}")
            loop.in_world(latencies.draw(drawn), answer, error, result)

        around.step(process, f"{what}: asked")
        loop.in_world(latencies.draw(drawn), arrive)
        return await future

    def fails(self, share: float) -> bool:
        """Draw whether a write fails."""
        return not self.is_reliable and share > 0 and self.around.drawn.random() < share

    # --- transactions ---------------------------------------------------------------------------------------------

    def open_producer(self, transactional_id: str) -> tuple[int, int]:
        """Do InitProducerId."""
        state = self._producers.setdefault(transactional_id, ProducerState(len(self._producers)))
        transaction = state.transaction
        if transaction is not None:
            if transaction.verdict is None:
                if not self._checks_epochs:
                    return state.producer_id, state.epoch + 1
                state.epoch += 1
                self._decide(state, transaction, False)
            raise Concurrent
        state.epoch += 1
        return state.producer_id, state.epoch

    def begin(self, transactional_id: str, epoch: int, partitions: Sequence[TopicPartition]) -> Transaction:
        """Do AddPartitionsToTxn."""
        state = self._checked(transactional_id, epoch)
        if state.transaction is not None:
            raise Concurrent
        transaction = state.transaction = Transaction(partitions=set(partitions))
        self.around.loop.in_world(TRANSACTION_TIMEOUT_SECONDS, self._expire, state, transaction)
        return transaction

    def produce(
        self,
        transactional_id: str,
        epoch: int,
        transaction: Transaction,
        tp: TopicPartition,
        records: Sequence[OutgoingRecord],
    ) -> None:
        """Append a batch of a transaction."""
        state = self._checked(transactional_id, epoch)
        if transaction.verdict is not None or (self._checks_epochs and state.transaction is not transaction):
            raise Fenced
        if self.fails(self.latencies.refused_share):
            raise Unreliable
        self[tp].append(records, self.around.now_ms(), transaction)

    def end(self, transactional_id: str, epoch: int, transaction: Transaction, is_commit: bool = True) -> None:
        """Do EndTxn."""
        state = self._checked(transactional_id, epoch)
        if transaction.verdict is not None or (self._checks_epochs and state.transaction is not transaction):
            raise Fenced
        self._decide(state, transaction, is_commit)

    def _checked(self, transactional_id: str, epoch: int) -> ProducerState:
        state = self._producers[transactional_id]
        if self._checks_epochs and epoch != state.epoch:
            raise Fenced
        return state

    def _decide(self, state: ProducerState, transaction: Transaction, verdict: bool) -> None:
        """Decide on a transaction; its markers follow one by one."""
        transaction.verdict = verdict
        waiting = set(transaction.partitions)

        def mark(tp: TopicPartition) -> None:
            self[tp].mark(transaction, self.around.now_ms())
            waiting.discard(tp)
            if not waiting and state.transaction is transaction:
                state.transaction = None

        for tp in sorted(transaction.partitions):
            self.around.loop.in_world(self.latencies.draw(self.around.drawn), mark, tp)

    def _expire(self, state: ProducerState, transaction: Transaction) -> None:
        if transaction.verdict is None:
            state.epoch += 1
            self._decide(state, transaction, False)


class MemoryDelivery:
    """`Delivery` on a `MemoryLog`, for one process."""

    def __init__(self, log: MemoryLog, process: Process, transactional_id: str) -> None:
        self.log = log
        self.process = process
        self.transactional_id = transactional_id
        self.is_open = False
        self._identity = (-1, -1)

    async def open(self) -> None:
        self._identity = await self._retried("InitProducerId", lambda: self.log.open_producer(self.transactional_id))
        self.is_open = True

    @property
    def identity(self) -> tuple[int, int]:
        return self._identity

    async def commit(self, outgoing: Outgoing) -> None:
        log, name, epoch = self.log, self.transactional_id, self._identity[1]
        try:
            async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
                transaction = await self._retried("AddPartitionsToTxn", lambda: log.begin(name, epoch, list(outgoing)))
                await self.append_all(transaction, outgoing)
                await self.ask("EndTxn", lambda: log.end(name, epoch, transaction))
        except (Fenced, Unreliable, TimeoutError) as error:
            raise DeliveryFailed(f"{name}: transaction not known to be committed: {error!r}") from error

    async def append_all(self, transaction: Transaction, outgoing: Outgoing) -> None:
        """Append to all partitions side by side, and wait for every acknowledgement."""
        await asyncio.gather(*(self.append(transaction, tp, records) for tp, records in outgoing.items()))

    async def append(self, transaction: Transaction, tp: TopicPartition, records: Sequence[OutgoingRecord]) -> None:
        """Append records in one or two batches."""
        cut = self.log.around.drawn.randrange(len(records)) if len(records) > 1 else 0
        for batch in (records[:cut], records[cut:]):
            if batch:
                await self.ask(
                    f"append {len(batch)} to {tp[0]}[{tp[1]}]",
                    lambda batch=batch: self.log.produce(  # type: ignore[misc]
                        self.transactional_id, self._identity[1], transaction, tp, batch
                    ),
                )

    async def ask(self, what: str, effect: Callable[[], T]) -> T:
        """Ask a broker; its answer may be lost."""
        result = await self.log.ask(self.process, f"{self.transactional_id} {what}", effect)
        if self.log.fails(self.log.latencies.lost_share):
            await asyncio.sleep(COMMIT_DEADLINE_SECONDS)
        return result

    async def close(self) -> None:
        self.is_open = False
        await asyncio.sleep(self.log.latencies.draw(self.log.around.drawn))

    async def _retried(self, what: str, effect: Callable[[], T]) -> T:
        while True:
            try:
                return await self.ask(what, effect)
            except Concurrent:
                await asyncio.sleep(RETRY_SECONDS)


class MemoryStateLog:
    """`StateLog` on a `MemoryLog`, for one process.

    Attributes
    ----------
    deliveries
        All that were given out.
    """

    def __init__(self, log: MemoryLog, process: Process, delivery: type[MemoryDelivery] = MemoryDelivery) -> None:
        self.deliveries: list[MemoryDelivery] = []
        self._log = log
        self._process = process
        self._delivery = delivery

    def delivery(self, transactional_id: str) -> MemoryDelivery:
        delivery = self._delivery(self._log, self._process, transactional_id)
        self.deliveries.append(delivery)
        return delivery

    async def read_back(self, topic: str, partitions: Sequence[int]) -> AsyncIterator[tuple[int, RecordBlock]]:
        log, drawn, now_ms = self._log, self._log.around.drawn, self._log.around.now_ms
        fence = [OutgoingRecord(FENCE_KEY, b"token")]
        ends = {}
        for number in partitions:
            partition = log[topic, number]
            ends[number] = await log.ask(
                self._process, f"fence {topic}[{number}]", lambda p=partition: p.append(fence, now_ms())
            )
        positions = dict.fromkeys(ends, 0)
        while ends:
            number = drawn.choice(list(ends))
            limit = drawn.choice([3, 10, 100])
            records, positions[number] = await log.ask(
                self._process,
                f"read back {topic}[{number}] from {positions[number]}",
                lambda number=number, limit=limit: log[topic, number].read(positions[number], limit),
            )
            if records and records[-1].offset >= ends[number]:
                end = ends.pop(number)
                yield number, RecordBlock.of([record for record in records if record.offset < end])
            elif records:
                yield number, RecordBlock.of(records)

    async def log_starts(self, topics: Sequence[str], partition: int) -> Mapping[str, int]:
        return await self._log.ask(self._process, f"starts of partition {partition}", lambda: dict.fromkeys(topics, 0))
