"""The right to write for one partition: everything that a chunk does becomes visible at once, or never.

The mechanism is Kafka's transactions, one transactional id for each partition, the same for every owner: a new owner's
`InitProducerId` aborts what the former owner left open and makes every later write of it fail (KIP-98, KIP-360).
The rules that aiokafka needs beyond that are in `TransactionalDelivery.commit`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final, Protocol

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.adapters.faust_bridge import producer_identity
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.record_batches import PreparedBatch, prepare
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.wall_clock import now_ms
from stream_app.errors import DeliveryFailed
from stream_app.native import batches as native

BATCH_BYTES: Final = 1_000_000
"""Below the brokers' default of 1,048,588 a batch, with room for its header."""
COMMIT_DEADLINE_SECONDS: Final = 20
"""A transaction without a verdict by then ends the process: its outcome is unknown, and a restart finds out."""

Headers = list[tuple[str, bytes | None]]
NO_HEADERS: Final[Headers] = []


class OutgoingRecord(msgspec.Struct, frozen=True, gc=False):
    """A record on its way out; a value of None deletes the key from a compacted topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = NO_HEADERS


Outgoing = Mapping[tuple[str, int], Sequence[OutgoingRecord] | RecordBlock]
"""Records by topic and partition, each in the order in which they are to be appended."""


class Delivery(Protocol):
    """Writes for one partition, as long as no other owner has opened it."""

    async def open(self) -> None:
        """Become the one owner; every earlier owner's later writes fail.

        Raises
        ------
        DeliveryFailed
            If the brokers do not grant it.
        """
        ...

    @property
    def identity(self) -> tuple[int, int]:
        """A number that stays, and one that is one higher at each opening, by any owner."""
        ...

    async def commit(self, outgoing: Outgoing) -> None:
        """Append all records, visible together once this returns.

        Raises
        ------
        DeliveryFailed
            If it is not known to be so; the state in memory must be thrown away then.
        """
        ...

    async def close(self) -> None:
        """Give up the right without writing anything."""
        ...


class TransactionalDelivery:
    """`Delivery` by one Kafka transaction each.

    Parameters
    ----------
    connection
        The cluster.
    transactional_id
        The same for every owner of the partition.
    timeout_seconds
        After which the broker aborts a transaction whose producer has gone; readers wait for it as long.
    """

    def __init__(self, connection: KafkaConnection, transactional_id: str, timeout_seconds: int) -> None:
        self._producer = AIOKafkaProducer(
            **connection.client_options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_seconds * 1000,
            max_batch_size=BATCH_BYTES,
            max_request_size=32 << 20,
        )

    async def open(self) -> None:
        """See `Delivery`."""
        try:
            async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
                await self._producer.start()
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise DeliveryFailed(f"transactional producer did not start: {error!r}") from error

    @property
    def identity(self) -> tuple[int, int]:
        """The producer's id and epoch."""
        return producer_identity(self._producer)

    async def commit(self, outgoing: Outgoing) -> None:
        """See `Delivery`."""
        try:
            async with asyncio.timeout(COMMIT_DEADLINE_SECONDS):
                await self._producer.begin_transaction()
                pending = await self._append(outgoing)
                # Every append must be known to have succeeded: aiokafka commits without the batches that failed.
                await asyncio.gather(*pending)
                await self._producer.commit_transaction()
        except Exception as error:  # aiokafka raises errors of many families here, and asserts on fencing
            raise DeliveryFailed(f"transaction not known to be committed: {error!r}") from error

    async def close(self) -> None:
        """See `Delivery`."""
        try:
            async with asyncio.timeout(2):
                await self._producer.stop()
        except (KafkaError, TimeoutError):
            pass  # the next owner aborts what it left open

    async def _append(self, outgoing: Outgoing) -> list[asyncio.Future[object]]:
        """Hand records over in as few batches as they fit in; return what tells when each is acknowledged.

        First goes the first batch of every place: the producer, which has one batch of a partition at a time, then
        names all partitions to the coordinator at once, and they leave in one request.
        """
        places = [(place, list(_batches_of(records))) for place, records in outgoing.items()]
        rounds = zip_longest(*(batches for _, batches in places))
        return [
            await self._producer.send_batch(batch, topic, partition=partition)
            for batches in rounds
            for ((topic, partition), _), batch in zip(places, batches, strict=True)
            if batch is not None
        ]


def _batches_of(records: Sequence[OutgoingRecord] | RecordBlock) -> Iterable[PreparedBatch]:
    if not records:
        return ()
    block = records if isinstance(records, RecordBlock) else RecordBlock.to_send(records)
    block.records[native.TIMESTAMP_MS] = now_ms()
    return prepare(block, BATCH_BYTES, is_transactional=True)
