"""The records that a consumer has taken and not settled, and the commits that follow from them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.contracts.forgetting import is_last_move
from stream_app.webhooks.deliverer import FORGETS, PublishedMigration
from stream_app.webhooks.messages import Message
from stream_app.webhooks.partition import PartitionDeliveries
from stream_app.webhooks.progress import Progress

logger = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 6.0
"""For one commit; one that fails is made again with the next."""
PAUSE_SECONDS: Final = 1.0
"""A pause discards records that the client has fetched ahead, so it should not end for a few records."""
FETCH_BYTES: Final = 1 << 20
NOTHING_COMMITTED: Final = -1
"""Kafka's answer for a group that is new to a partition."""

Task = tuple[PublishedMigration, tuple[Message, ...] | None]
Start = Literal["latest", "earliest"]


def create_consumer(
    connection: KafkaConnection, group: str, session_seconds: int, instance_id: str | None
) -> AIOKafkaConsumer:
    """Return a consumer in a group that sees committed records alone and commits only on request."""
    return AIOKafkaConsumer(
        **connection.client_options(),
        group_id=group,
        group_instance_id=instance_id,
        session_timeout_ms=session_seconds * 1000,
        heartbeat_interval_ms=session_seconds * 200,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    )


def _is_kept(task: Task) -> bool:
    """Return whether a record is delivered though its customer has been erased since: that it has left."""
    published, messages = task
    return messages == FORGETS or is_last_move(published.value)


class Backlog:
    """Work in progress, partition by partition.

    Parameters
    ----------
    connection
        The cluster.
    group
        Keeps the place in the topic.
    consumer
        Of that group.
    select
        Returns the messages for a record; an empty tuple for none, `FORGETS` if what came before of its customer is to
        be dropped.
    work
        Settles a record.
    failed
        Is called with exceptions of `work`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        group: str,
        consumer: AIOKafkaConsumer,
        select: Callable[[PublishedMigration], tuple[Message, ...] | None],
        work: Callable[[Task], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._group = group
        self._consumer = consumer
        self._select = select
        self._work = work
        self._failed = failed
        self._committed: dict[TopicPartition, tuple[int, str]] = {}
        self._partitions: dict[TopicPartition, PartitionDeliveries[Task]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._resumes_at = 0.0

    @property
    def partitions(self) -> Collection[TopicPartition]:
        """Those that are open."""
        return self._partitions.keys()

    @property
    def open_count(self) -> int:
        """How many records are taken and not settled."""
        return sum(partition.progress.open_count for partition in self._partitions.values())

    @property
    def oldest_published_ms(self) -> int | None:
        """When the oldest of those was published."""
        pending = (published for partition in self._partitions.values() for published, _ in partition.pending())
        return min((published.published_ms for published in pending), default=None)

    async def look_up(self, wanted: Collection[TopicPartition], start: Start) -> dict[TopicPartition, Progress]:
        """Return how far the group is; where it is new, it begins at the topic's start or its end.

        Raises
        ------
        KafkaError
            If the brokers do not say.
        """
        admin = AIOKafkaAdminClient(**self._connection.client_options())
        try:
            await admin.start()
            committed = await admin.list_consumer_group_offsets(self._group, partitions=list(wanted))
        finally:
            await admin.close()
        firsts = await self._consumer.beginning_offsets(list(wanted))
        ends = await self._consumer.end_offsets(list(wanted))
        found = {}
        for tp in wanted:
            known = committed.get(tp)
            if known is None or known.offset == NOTHING_COMMITTED:
                found[tp] = Progress(ends[tp] if start == "latest" else firsts[tp])
            elif firsts[tp] <= known.offset <= ends[tp]:
                found[tp] = Progress(known.offset, known.metadata)
            else:
                logger.warning(
                    "%s: partition %d no longer has offset %d; it is read from %d on",
                    self._group,
                    tp.partition,
                    known.offset,
                    firsts[tp],
                )
                found[tp] = Progress(firsts[tp])
        return found

    @property
    def unread(self) -> list[TopicPartition]:
        """The open partitions that have records left: all of those without an end."""
        return [
            tp
            for tp, partition in self._partitions.items()
            if tp not in self._ends or partition.progress.next < self._ends[tp]
        ]

    def open(self, tp: TopicPartition, progress: Progress, end: int | None = None) -> None:
        """Resume a partition where the group was, up to an offset if one is given."""
        self._consumer.seek(tp, progress.position)
        if end is not None:
            self._ends[tp] = end
        self._partitions[tp] = PartitionDeliveries(progress, self._work, self._failed)

    async def take(self, records_max: int, timeout_ms: int) -> None:
        """Read some records and start on them; no more than `records_max` are open at once."""
        room = records_max - self.open_count
        paused, now = self._consumer.paused(), time.monotonic()
        if room <= 0:
            self._consumer.pause(*self._consumer.assignment())
            self._resumes_at = now + PAUSE_SECONDS
        elif paused and (room >= records_max // 2 or now >= self._resumes_at):
            self._consumer.resume(*paused)
        # also when there is no room: polling keeps this member in the group
        fetched = await self._consumer.getmany(*self.unread, timeout_ms=timeout_ms, max_records=max(1, room))
        for tp in self.unread:  # records of a partition that is not open are read again once it is
            end = self._ends.get(tp)
            records = fetched.get(tp, ())
            await self._take(self._partitions[tp], (record for record in records if end is None or record.offset < end))
        await self._pass_markers()

    async def commit(self) -> None:
        """Commit the progress of each partition; a commit that fails is tried again next time."""
        places = {tp: (part.progress.position, part.progress.metadata()) for tp, part in self._partitions.items()}
        changed = {tp: place for tp, place in places.items() if self._committed.get(tp) != place}
        if not changed:
            return
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._consumer.commit({tp: OffsetAndMetadata(*place) for tp, place in changed.items()})
        except (KafkaError, TimeoutError) as error:
            logger.warning("%s: offsets are not committed: %s", self._group, type(error).__name__)
        else:
            self._committed.update(changed)

    async def close(self) -> None:
        """Cut off everything in flight, and commit all that is settled."""
        await asyncio.gather(*(partition.close() for partition in self._partitions.values()))
        await self.commit()
        self._partitions.clear()
        self._committed.clear()

    async def _take(self, partition: PartitionDeliveries[Task], records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            if not partition.progress.take(record.offset):
                continue
            published = PublishedMigration(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                tuple(record.headers),
            )
            messages = self._select(published)
            if messages == FORGETS:
                await partition.drop(record.key, _is_kept)
                partition.put(record.key, record.offset, (published, messages))
            elif messages == ():
                partition.progress.settle(record.offset)
            else:
                partition.put(record.key, record.offset, (published, messages))

    async def _pass_markers(self) -> None:
        """Skip transaction markers, so that a group that has done everything is at the end."""
        for tp, partition in list(self._partitions.items()):
            if partition.progress.open_count:
                continue
            try:
                position = await self._consumer.position(tp)
                partition.progress.skip_to(min(position, self._ends.get(tp, position)))
            except IllegalStateError:  # it is being handed over
                return
