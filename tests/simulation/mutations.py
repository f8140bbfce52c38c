"""Workers and brokers that break a rule on purpose: the simulation has to find each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec.structs
from faust.types import TP

from stream_app.adapters.changelog import POSITION_KEY
from stream_app.adapters.delivery import Delivery, Outgoing
from stream_app.errors import DeliveryFailed
from stream_app.worker.intake import InputChunk
from stream_app.worker.opening import PartitionOpener, RestoredPartition
from stream_app.worker.owned import OwnedPartitions
from tests.simulation.consumer import SimulatedConsumer
from tests.simulation.memory_log import MemoryDelivery, Transaction
from tests.simulation.simulation import Variant
from tests.simulation.worker import CountedTicks, SimulatedFollower, WorkerParts


class PositionApart(MemoryDelivery):
    """Writes the position in a transaction of its own, after that of the rows it speaks of."""

    async def commit(self, outgoing: Outgoing) -> None:
        positions = {
            tp: [record for record in records if record.key == POSITION_KEY] for tp, records in outgoing.items()
        }
        rest = {tp: [record for record in records if record.key != POSITION_KEY] for tp, records in outgoing.items()}
        for part in (rest, positions):
            some = {tp: records for tp, records in part.items() if records}
            if some:
                await super().commit(some)


class FailureForgotten(MemoryDelivery):
    """Becomes the owner again after a transaction has failed, and goes on with the memory that it would have led to."""

    async def commit(self, outgoing: Outgoing) -> None:
        try:
            await super().commit(outgoing)
        except DeliveryFailed:
            await self.open()


class AppendsUnawaited(MemoryDelivery):
    """Commits whatever becomes of the appends, as aiokafka does."""

    async def append_all(self, transaction: Transaction, outgoing: Outgoing) -> None:
        appends = (self.append(transaction, tp, records) for tp, records in outgoing.items())
        await asyncio.gather(*appends, return_exceptions=True)


class TopicsApart(MemoryDelivery):
    """Writes the records of each topic in a transaction of their own."""

    async def commit(self, outgoing: Outgoing) -> None:
        for tp, records in outgoing.items():
            await super().commit({tp: records})


class MemoryTrusted(PartitionOpener):
    """Goes on with the table in memory, whoever has opened the partition since."""

    def _still_valid(self, number: int, delivery: Delivery) -> Any:
        restored = self._cached.get(number)
        if restored is not None:
            restored.identity = delivery.identity
        return restored


class EndedForgotten(PartitionOpener):
    """Does not look at segmentations that were taken out of the configuration, so that nobody leaves them."""

    async def _restore(self, deliveries: Mapping[int, Delivery]) -> None:
        await super()._restore(deliveries)
        for number in deliveries:
            restored = self._cached[number]
            kept = {n: v for n, v in restored.position.versions.items() if n in self._follower.names}
            restored.position = msgspec.structs.replace(restored.position, versions=kept)


class ImpatientTicks(CountedTicks):
    """Takes everything for decided."""

    async def reach(self, at_ms: int, seconds: float) -> bool:  # noqa: ARG002
        return True


class TickUndecided(SimulatedFollower):
    """Goes past every tick at once, whether it is decided or not."""

    ticks_type = ImpatientTicks


class ChunkGapAccepted(OwnedPartitions):
    """Forgets chunks that did not arrive, and folds what does not follow on."""

    async def segment(self, chunk: InputChunk) -> None:
        intake = self.intakes.get(chunk.partition)
        if intake is not None and intake is chunk.intake:
            intake._under_way.clear()
            self.lanes[chunk.partition]._offered_to = chunk.start
            self.lanes[chunk.partition].offer(chunk)


class VersionsUnawaited(SimulatedFollower):
    """Goes on under whatever versions it has read, though rows were written under later ones."""

    async def reach(self, versions: Mapping[str, int]) -> None:
        pass

    async def reach_any(self) -> None:
        pass


class OwnDefinitions(SimulatedFollower):
    """Puts the definitions of its own configuration in force, whether they are published or not."""

    def _finish_reading(self) -> None:
        super()._finish_reading()
        self.current = {each.name: each for each in self.wanted}


class RowsTakenAgain(PartitionOpener):
    """Goes over all rows again that were handed over to a partition."""

    async def _restore(self, deliveries: Mapping[int, Delivery]) -> None:
        await super()._restore(deliveries)
        for number in deliveries:
            restored = self._cached[number]
            again = {topic: 0 for topic in restored.position.offsets if topic == self._topics.handovers}
            restored.position = msgspec.structs.replace(restored.position, offsets=restored.position.offsets | again)


class IdsForgotten(OwnedPartitions):
    """Looks at no id that was known to have ended before its partition was opened."""

    def _look_at_identities(self) -> None:
        pass


class IdsTakenAsTheyCome(OwnedPartitions):
    """Folds records of ids that have ended as if they had not."""

    def _start(self, number: int, restored: RestoredPartition, delivery: Delivery) -> None:
        super()._start(number, restored, delivery)
        joiner = self.lanes[number].folding.joiner
        if joiner is not None:
            joiner.sort_out = lambda part, _: part  # type: ignore[method-assign]


class FetchGapAccepted(SimulatedConsumer):
    """Never asks for the records that a fetch has passed over."""

    async def _without_gap(self, tp: TP, records: list[Any]) -> list[Any]:
        expected = self.host.expected_offset(tp.topic, tp.partition)
        return [] if expected is None else [record for record in records if record.offset >= expected]


@dataclass(frozen=True)
class Mutation:
    """A broken rule."""

    name: str
    variant: Variant


MUTATIONS = (
    Mutation("brokers let former owners write", Variant(checks_epochs=False)),
    Mutation("the position is no part of the transaction", Variant(WorkerParts(delivery=PositionApart))),
    Mutation("each topic has its own transaction", Variant(WorkerParts(delivery=TopicsApart))),
    Mutation("memory is kept after a failed commit", Variant(WorkerParts(delivery=FailureForgotten))),
    Mutation("commits do not wait for appends", Variant(WorkerParts(delivery=AppendsUnawaited))),
    Mutation("memory is kept while others own the partition", Variant(WorkerParts(opener=MemoryTrusted))),
    Mutation("segmentations that have ended are not left", Variant(WorkerParts(opener=EndedForgotten))),
    Mutation("gaps between chunks are accepted", Variant(WorkerParts(owned=ChunkGapAccepted))),
    Mutation("definitions are in force before they are published", Variant(WorkerParts(follower=OwnDefinitions))),
    Mutation("versions that rows were written under are not awaited", Variant(WorkerParts(follower=VersionsUnawaited))),
    Mutation("partitions fold past ticks that are not decided", Variant(WorkerParts(follower=TickUndecided))),
    Mutation("rows that were handed over are taken again", Variant(WorkerParts(opener=RowsTakenAgain))),
    Mutation("ids that have ended are forgotten at an opening", Variant(WorkerParts(owned=IdsForgotten))),
    Mutation("records of ids that have ended are folded", Variant(WorkerParts(owned=IdsTakenAsTheyCome))),
    Mutation("gaps between fetches are accepted", Variant(WorkerParts(consumer=FetchGapAccepted))),
)
