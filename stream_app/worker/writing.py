"""What a partition has gathered, written transaction after transaction.

Whenever no transaction is under way, one is made of all that has gathered, as soon as `wake` says that it is worth it.
Folding continues meanwhile, and waits only where an outbox holds as much as one transaction should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Delivery
from stream_app.worker.counters import Arrivals, PartitionCounters
from stream_app.worker.folding import Folding
from stream_app.worker.samples import SampleTaker


class Writer:
    """Writes what one partition has gathered.

    Parameters
    ----------
    number
        Of the partition.
    folding
        Gathers it.
    delivery
        The right to write.
    committed
        What is written so far.
    position_now
        Returns where the partition is.
    records_max
        Most records in an outbox, but for those of one step.
    now_ms
        The wall clock.
    figures
        What is counted.
    taker
        Learns from the samples.

    Attributes
    ----------
    committed
        Where the partition is for good.
    arrivals
        When records came, until they are written.
    """

    def __init__(
        self,
        number: int,
        folding: Folding,
        delivery: Delivery,
        committed: PartitionPosition,
        position_now: Callable[[], PartitionPosition],
        records_max: int,
        now_ms: Callable[[], int],
        figures: PartitionCounters,
        taker: SampleTaker,
    ) -> None:
        self.committed = committed
        self.arrivals = Arrivals(figures.latency_seconds)
        self._number = number
        self._folding = folding
        self._delivery = delivery
        self._position_now = position_now
        self._records_max = records_max
        self._now_ms = now_ms
        self._figures = figures
        self._taker = taker
        self._is_closing = False
        self._gathered = asyncio.Event()
        self._sealed = asyncio.Event()
        figures.written_at_ms = now_ms()

    def wake(self) -> None:
        """Write what has gathered, as soon as no transaction is under way."""
        self._gathered.set()

    def finish(self) -> None:
        """Let `run` return once all is written."""
        self._is_closing = True
        self._gathered.set()

    async def make_room(self) -> None:
        """Wait while the outbox holds as much as one transaction should."""
        while self._folding.outbox.size >= self._records_max:
            self._gathered.set()
            self._sealed.clear()
            await self._sealed.wait()

    async def run(self) -> None:
        """Commit what has gathered, again and again.

        Raises
        ------
        DeliveryFailed
            If it could not be written.
        """
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            if self._folding.outbox.is_touched:
                await self._commit()
            if self._is_closing and not self._folding.outbox.is_touched:
                return

    async def _commit(self) -> None:
        outgoing, position, samples = self._folding.seal(self._position_now())
        self._sealed.set()
        await self._delivery.commit(outgoing)
        self._taker.note_committed(self._number, samples)
        if position.offsets != self.committed.offsets:
            self._figures.written_at_ms = self._now_ms()
            self.arrivals.note_written(position.offsets, self._figures.written_at_ms)
        self.committed = position
        self._folding.note_committed(position)
        self._figures.transactions += 1
