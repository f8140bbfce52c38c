"""Sends a subscription's dead letters again: those that are there at the start, each once.

The place is kept in a group of its own, so that the next replay starts after it. A migration that is refused again
becomes a new dead letter, for the next replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.wall_clock import now_ms
from stream_app.webhooks.backlog import Backlog, Task, create_consumer
from stream_app.webhooks.dead_letters import subscription_of
from stream_app.webhooks.deliverer import Deliverer, PublishedMigration
from stream_app.webhooks.messages import Message

POLL_MS: Final = 200
SESSION_SECONDS: Final = 10


@dataclass
class Replayed:
    """The result of a replay.

    Parameters
    ----------
    delivered, dead
        Dead letters that were taken now, and that were refused again.
    """

    delivered: int = 0
    dead: int = 0


class DeadLetterReplay:
    """Replays one subscription's dead letters.

    Parameters
    ----------
    connection
        The cluster.
    topic, partitions
        Of the dead letters.
    group
        That keeps the place.
    deliverer
        Delivers.
    waiting_max
        Most dead letters that are taken and not settled.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        partitions: int,
        group: str,
        deliverer: Deliverer,
        waiting_max: int,
    ) -> None:
        self._connection = connection
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._group = group
        self._deliverer = deliverer
        self._waiting_max = waiting_max
        self._failure: BaseException | None = None
        self._result = Replayed()
        self._forgotten: dict[tuple[int, bytes], int] = {}
        """By partition and customer who was erased, the offset behind the dead letters that are not sent again."""

    async def run(self) -> Replayed:
        """Return the result, once everything is settled.

        Raises
        ------
        KafkaError
            If the brokers do not answer.
        """
        consumer = create_consumer(self._connection, self._group, SESSION_SECONDS, None)
        backlog = Backlog(self._connection, self._group, consumer, self._select, self._settle, self._fail)
        try:
            await consumer.start()
            consumer.assign(self._partitions)
            ends = await consumer.end_offsets(self._partitions)
            await self._find_forgotten(consumer, ends)
            for tp, progress in (await backlog.look_up(self._partitions, "earliest")).items():
                backlog.open(tp, progress, ends[tp])
            while backlog.unread or backlog.open_count:
                await backlog.take(self._waiting_max, POLL_MS)
                await backlog.commit()
                if self._failure is not None:
                    raise self._failure
        finally:
            await self._deliverer.calm_down()
            await backlog.close()
            await consumer.stop()
            await self._deliverer.close()
        return self._result

    async def _find_forgotten(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        """Read once through to the end to know whose dead letters are not to be sent again."""
        await consumer.seek_to_beginning(*self._partitions)
        unread = set(self._partitions)
        while unread:
            for tp, records in (await consumer.getmany(*unread, timeout_ms=POLL_MS)).items():
                for record in records:
                    if record.value is None and record.key and record.offset < ends[tp]:
                        self._forgotten[tp.partition, record.key] = record.offset
            unread = {tp for tp in unread if await consumer.position(tp) < ends[tp]}

    def _select(self, published: PublishedMigration) -> tuple[Message, ...] | None:
        if published.offset <= self._forgotten.get((published.partition, published.key or b""), -1):
            return ()
        is_ours = subscription_of(published.headers) == self._deliverer.subscription.name
        return self._deliverer.rebuild(published) if is_ours else ()

    async def _settle(self, task: Task) -> None:
        published, messages = task
        if await self._deliverer.deliver(published, messages, now_ms()):
            self._result.delivered += 1
        else:
            self._result.dead += 1

    def _fail(self, error: BaseException) -> None:
        self._failure = error
