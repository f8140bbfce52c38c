"""One subscription follows the migrations.

    segment-migrations ──► read ──► by customer ──► deliverer ──► endpoint
        (own group)         │        (in order)        └──────► dead letters
                            └─ settled ones ──► commit

Each subscription is a consumer group of its own. So each has its own offsets, and a slow or dead endpoint delays only
itself; several processes share the partitions.

- A migration is *taken* when it is read, and *settled* when it was delivered, is among the dead letters, or is not
  selected. The group's offset never passes the oldest that is not settled (`progress`), so each migration is delivered
  at least once, however this process ends.
- Of each customer one migration is in flight at a time, and the next starts when that is settled (`partition`). After a
  crash those that were settled since the last commit are sent again, in order, with those after them.
- At most `waiting_max` are taken and not settled; then reading pauses, but this member still sends heartbeats
  (`backlog`).
- When partitions are handed over, requests in flight get a moment to be answered and are then cut off, before another
  member may start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.webhooks.backlog import Backlog, Task, create_consumer
from stream_app.webhooks.deliverer import Deliverer

logger = logging.getLogger(__name__)

POLL_MS: Final = 200
COMMIT_INTERVAL_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 3.0
"""Between two tries to reach the brokers."""


@dataclass(frozen=True)
class SubscriberSettings:
    """How a subscription is followed.

    Parameters
    ----------
    topic
        Of the migrations.
    group
        Name of the consumer group.
    waiting_max
        Most migrations that are taken and not settled.
    session_seconds
        A member that is silent for this long loses its partitions.
    instance_id
        Of this process, if it has a stable one.
    """

    topic: str
    group: str
    waiting_max: int
    session_seconds: int
    instance_id: str | None


class Subscriber(ConsumerRebalanceListener):  # type: ignore[misc]
    """Follows the migrations for one subscription.

    Parameters
    ----------
    connection
        The cluster.
    settings
        How.
    deliverer
        Delivers.
    delivered
        Is called with the timestamp of each migration that was delivered, in milliseconds.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        settings: SubscriberSettings,
        deliverer: Deliverer,
        delivered: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._deliverer = deliverer
        self._delivered = delivered
        self._assigned: frozenset[TopicPartition] | None = None
        self._failure: BaseException | None = None
        self._backlog: Backlog | None = None

    @property
    def name(self) -> str:
        """Of the subscription."""
        return self._deliverer.subscription.name

    @property
    def is_ready(self) -> bool:
        """Whether the group has assigned partitions, and those of this member are open; it may have none."""
        if self._backlog is None or self._assigned is None:
            return False
        return self._assigned <= {*self._backlog.partitions}

    @property
    def pending_count(self) -> int:
        """Migrations that are taken and not settled."""
        return 0 if self._backlog is None else self._backlog.open_count

    @property
    def oldest_pending_ms(self) -> int | None:
        """When the oldest of those was published."""
        return None if self._backlog is None else self._backlog.oldest_published_ms

    async def run(self) -> None:
        """Deliver until cancelled; while the brokers are away, try to reach them."""
        try:
            while True:
                try:
                    await self._follow()
                except (KafkaError, OSError, TimeoutError) as error:
                    logger.warning("subscription %s: Kafka is away: %s", self.name, type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            await self._deliverer.close()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Cut everything off: the group first revokes all partitions of all members."""
        self._assigned = None
        if self._backlog is not None:
            await self._deliverer.calm_down()
            await self._backlog.close()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the partitions to open; aiokafka only logs exceptions raised here."""
        self._assigned = frozenset(assigned)

    async def _follow(self) -> None:
        settings = self._settings
        consumer = create_consumer(self._connection, settings.group, settings.session_seconds, settings.instance_id)
        self._assigned = None
        self._backlog = backlog = Backlog(
            self._connection, settings.group, consumer, self._deliverer.select, self._settle, self._fail
        )
        consumer.subscribe([settings.topic], listener=self)
        try:
            await consumer.start()
            commits_at = time.monotonic()
            while True:
                await self._open_assigned(backlog)
                await backlog.take(settings.waiting_max, POLL_MS)
                if self._failure is not None:
                    raise self._failure
                if time.monotonic() >= commits_at:
                    await backlog.commit()
                    commits_at = time.monotonic() + COMMIT_INTERVAL_SECONDS
        finally:
            self._backlog = None
            await self._deliverer.calm_down()
            await backlog.close()
            await consumer.stop()

    async def _open_assigned(self, backlog: Backlog) -> None:
        assigned = self._assigned
        missing = frozenset() if assigned is None else assigned - {*backlog.partitions}
        if not missing:
            return
        found = await backlog.look_up(missing, self._deliverer.subscription.start)
        if self._assigned is not assigned:  # handed over meanwhile
            return
        for tp, progress in found.items():
            try:
                backlog.open(tp, progress)
            except IllegalStateError:
                return
        numbers = sorted(tp.partition for tp in found)
        logger.info("subscription %s: partitions %s are open", self.name, numbers, extra={"partitions": numbers})

    async def _settle(self, task: Task) -> None:
        published, messages = task
        if await self._deliverer.deliver(published, messages, published.published_ms):
            self._delivered(published.published_ms)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
