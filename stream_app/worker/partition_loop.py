"""One owned partition, from its opening to its end. This file is the worker's main loop.

A lane folds chunks into its partition in memory and notes in its outbox what that did. Whenever no transaction is
under way, its writer makes one of all that has gathered, as soon as that is much or there is nothing more to fold at
once. So chunks are small when little comes and large under load, folding continues while the brokers answer, and a
customer that changes often is written once a transaction.

Memory leads the log by what is in the outbox and on its way. That is safe because there are only two ways for a lane
to end: `close`, which writes the rest first, and a failure, which ends the process and the memory with it.

Between chunks time passes, see `stream_app.worker.sweeping`. At a tick the folding stands still, for a bounded time,
until it is decided which models are in force from there on, see `stream_app.worker.ticks`; the writer continues.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Final

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Delivery
from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import NO_TIME
from stream_app.core.local_days import boundary_number, last_boundary
from stream_app.core.marks import Marks
from stream_app.core.partition import Partition
from stream_app.core.privacy import (
    parts_at_requests,
    request_places,
)
from stream_app.core.processor import begin_anew
from stream_app.core.records import NO_RECORDS, Batch
from stream_app.core.segmentation import Segmentation
from stream_app.core.timeline import Begin, Pace, Step, Sweep, crosses_sweep, judge, pass_time, steps
from stream_app.errors import RecordsLost
from stream_app.learning.drawing import SampleDrawer
from stream_app.worker.counters import Arrivals, PartitionCounters
from stream_app.worker.folding import Folding
from stream_app.worker.identity_follower import Changed, IdentityFollower
from stream_app.worker.intake import InputChunk, no_record
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.samples import NO_TAKER, SampleTaker
from stream_app.worker.sweeping import Sweeper
from stream_app.worker.ticks import Ticks, TickWait
from stream_app.worker.writing import Writer

INLINE_DUE_MAX: Final = 4_096
"""Where more customers may be due, they are looked at part by part, so that other partitions do not wait."""
WORTH_WRITING: Final = 4
"""This part of the largest transaction is written though there is more to fold at once."""
WAKE_SECONDS: Final = 0.25
"""How often an idle lane looks at the clock."""
NO_OFFSETS: Final[Mapping[str, int]] = MappingProxyType({})
SETTLING_SECONDS: Final = 0.5
"""A drained partition advances its time to where others wait only if nothing has come for this long: what was produced
together does not become visible in all partitions at once."""


class PartitionLoop:
    """Folds, sweeps and writes one partition.

    Parameters
    ----------
    number
        Of the partition.
    partition
        Its state as restored.
    position
        Where that state is in the inputs.
    delivery
        The right to write.
    topics, settings
        Names and numbers.
    ticks
        What is known of ticks.
    now_ms
        The wall clock.
    figures
        What is counted, continued from earlier openings.
    taker
        Learns from the samples.
    marks
        Who is not to be known, as restored; nobody if None.
    identities
        Knows which ids are one customer's, if statements on them are followed.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        position: PartitionPosition,
        delivery: Delivery,
        topics: TopicNames,
        settings: LoopSettings,
        ticks: Ticks,
        now_ms: Callable[[], int],
        figures: PartitionCounters | None = None,
        taker: SampleTaker = NO_TAKER,
        marks: Marks | None = None,
        identities: IdentityFollower | None = None,
    ) -> None:
        self.number = number
        self.partition = partition
        self.figures = figures or PartitionCounters()
        self._offered_to: Mapping[str, int] = position.offsets
        self._delivery = delivery
        self._settings = settings
        self._inbox: deque[InputChunk] = deque()
        self._ticks = ticks
        self._taker = taker
        self._drawer = SampleDrawer(partition, settings.sample_size, settings.seed)
        self._wait = TickWait(ticks, number, self.figures)
        self._said_empty_ms = NO_TIME
        self._quiet_since = -SETTLING_SECONDS
        self._sweeper = Sweeper(partition, position, settings, now_ms, self._send_sample)
        self._pace = Pace(
            settings.sweep_interval_ms,
            settings.tick_ms,
            settings.chunk_records_max,
            INLINE_DUE_MAX,
            timezone=partition.table.timezone,
            gap_ms=settings.gap_ms,
        )
        self.folding = Folding(number, partition, position, topics, settings, now_ms, self.figures, marks, identities)
        self._writer = Writer(
            number,
            self.folding,
            delivery,
            position,
            self._position,
            settings.transaction_records_max,
            now_ms,
            self.figures,
            taker,
        )
        self._sweep_seconds = 0.0
        self._wake = asyncio.Event()
        self._folds: asyncio.Task[None] | None = None
        self._writes: asyncio.Task[None] | None = None

    # --- what the outside does -----------------------------------------------------------------------------------

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin to work; `failed` is called with whatever ends the lane but `close`."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._folds = asyncio.create_task(self._fold_for_ever(), name=f"fold {self.number}")
        self._writes = asyncio.create_task(self._writer.run(), name=f"write {self.number}")
        self._folds.add_done_callback(ended)
        self._writes.add_done_callback(ended)

    def offer(self, chunk: InputChunk) -> None:
        """Take a chunk; it is folded after those that came before.

        Raises
        ------
        RecordsLost
            If it does not begin where the last one ended.
        """
        if chunk.start != self._offered_to:
            raise RecordsLost(f"partition {self.number}: chunk from {chunk.start}, expected {self._offered_to}")
        self._offered_to = chunk.end
        self._sweeper.note_record()
        self._quiet_since = asyncio.get_running_loop().time()
        self._inbox.append(chunk)
        self._wake.set()

    def note_drained(self, is_drained: bool) -> None:
        """Note whether there is nothing more to fetch and nothing that waits to be merged."""
        self._sweeper.is_drained = is_drained

    def follow(self, segmentations: Sequence[Segmentation], behind: Mapping[str, int] = NO_OFFSETS) -> None:
        """Adopt new versions, at one instant, as soon as the chunk at hand is folded; everyone is assessed again.

        At a tick they take over once that is decided.

        Parameters
        ----------
        behind
            By topic, the offset before which records were decoded without fields that these versions look at. They
            wait until all of these are folded, and later rules wait with them.
        """
        self._sweeper.follow(segmentations, behind)
        self._wake.set()

    def note_identities(self, changed: Changed) -> None:
        """Look at ids of this partition that go by another one."""
        if self.folding.joiner is not None:
            self.folding.joiner.note(changed)
            self._wake.set()

    def wake(self) -> None:
        """Look at the clock and at what is known of ticks."""
        self._wake.set()

    @property
    def waits_for_decision(self) -> bool:
        """Whether folding stands still at a tick; it resumes by itself, within the time that it may take."""
        return self._wait.is_under_way

    @property
    def committed(self) -> PartitionPosition:
        """Where the partition is in the inputs for good."""
        return self._writer.committed

    @property
    def arrivals(self) -> Arrivals:
        """When records came, until they are written."""
        return self._writer.arrivals

    @property
    def folded_to(self) -> Mapping[str, int]:
        """By topic, the offset after the last record that is folded."""
        return self.folding.folded_to

    @property
    def offered_to(self) -> Mapping[str, int]:
        """By topic, the offset after the last record that was offered."""
        return self._offered_to

    @property
    def waiting_records(self) -> int:
        """Number of records that are offered and not folded."""
        return sum(len(chunk.batch) for chunk in self._inbox)

    def counted_since_ms(self, segmentation: Segmentation) -> int:
        """Return from when on all is counted that a segmentation's conditions look at; 0 for always."""
        return self._sweeper.counted_since_ms(segmentation)

    @property
    def is_busy(self) -> bool:
        """Whether there is something to fold or to write."""
        is_open = self.folded_to != self._offered_to or self.committed.offsets != self.folded_to
        return is_open or self.folding.outbox.is_touched

    async def close(self) -> None:
        """Write what is folded, fold nothing more, and give up the partition.

        Raises
        ------
        DeliveryFailed
            If it could not be written.
        """
        if self._folds is not None:
            self._folds.cancel()
            await asyncio.wait([self._folds])
        if self._writes is not None:
            self.folding.add_figures(at_once=True)
            self._writer.finish()
            await self._writes
        await self._delivery.close()

    # --- folding -------------------------------------------------------------------------------------------------

    async def _fold_for_ever(self) -> None:
        joiner = self.folding.joiner
        while True:
            if self._sweeper.open_tick_ms is not None:
                await self._pass_tick(self._sweeper.open_tick_ms)
            await self._follow_versions()
            self._sweeper.begin_due_sweep(is_waiting=bool(self._inbox))
            if self._inbox:
                await self._fold(self._inbox.popleft())
            elif self._is_asked:
                await self._pass_time(self._ticks.awaited_ms)
            if self._sweeper.part_is_due:
                await self._writer.make_room()
                self._sweep_part()
            if joiner is not None:
                await self._writer.make_room()
                self.folding.end_ids(joiner)
            self.folding.add_figures()
            self.folding.drop_expired_marks()
            if not self._inbox or self.folding.outbox.size >= self._settings.transaction_records_max // WORTH_WRITING:
                self._writer.wake()
            is_ending = joiner is not None and joiner.is_waiting
            if self._inbox or is_ending or self._sweeper.part_is_due or self._sweeper.open_tick_ms is not None:
                await asyncio.sleep(0)
            else:
                self._wake.clear()
                try:
                    async with asyncio.timeout(WAKE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _fold(self, chunk: InputChunk) -> None:
        """Fold a chunk, and carry out the privacy requests in it."""
        self.folding.record_at = chunk.intake.record_at if chunk.intake else no_record
        if not request_places(chunk.batch):
            await self._fold_records(chunk.batch)
        else:
            for part in parts_at_requests(chunk.batch):
                if len(part.records):
                    await self._fold_records(part.records)
                if len(part.requests):
                    await self._finish_sweep()  # it counts rows by number
                    await self._writer.make_room()
                    self.folding.carry_out(part.requests)
        if chunk.intake is not None:
            chunk.intake.forget(self.folded_to)

    async def _fold_records(self, batch: Batch) -> None:
        """Fold records, letting time pass between them."""
        batch = self.folding.sift(batch)
        verdicts = judge(self.partition, batch, self._pace)
        batch = dataclasses.replace(batch, watermarks_ms=verdicts.watermarks_ms)
        if self._sweeper.is_sweeping and crosses_sweep(self.partition, verdicts, self._pace):
            await self._finish_sweep()  # so that time does not pass in two ways
        known = verdicts.watermarks_ms != NO_TIME
        if max(self.partition.clock) == NO_TIME and known.any():
            await self._enter(int(verdicts.watermarks_ms[known.argmax()]))
        await self._writer.make_room()
        for step in steps(self.partition, batch, self._pace, verdicts):
            await self._take_step(step, batch)

    async def _take_step(self, step: Step, batch: Batch) -> None:
        if isinstance(step, Sweep):
            await self._finish_sweep()
            self._sweeper.begin(step.at_ms)
            await self._finish_sweep()
        elif isinstance(step, Begin):
            await self._finish_sweep()
            begin_anew(self.partition)
            await self._enter(step.at_ms)
        else:
            if len(step.sweeps.at_ms):
                await self._finish_sweep()
            self.folding.fold(batch.part(step.start, step.stop), step.sweeps, step.reached)
        await self._writer.make_room()

    async def _follow_versions(self) -> None:
        """Let the versions take over that may, and finish what sweeps that needs; rules do so right behind one."""
        self._sweeper.follow_versions(self.folded_to)
        while self._sweeper.must_finish:
            await self._finish_sweep()
            self._sweeper.follow_versions(self.folded_to)

    async def _finish_sweep(self) -> None:
        """Assess everybody that the sweep under way has not come to, and pass the tick if it is one."""
        while self._sweeper.is_sweeping:
            await self._writer.make_room()
            self._sweep_part()
            await asyncio.sleep(0)
            if self._sweeper.open_tick_ms is not None:
                await self._pass_tick(self._sweeper.open_tick_ms)
                return  # what took over there keeps its pace

    def _sweep_part(self) -> None:
        """Assess some more customers, or give the trainer its sample once all are."""
        started = perf_counter()
        known = self._sweeper.versions.keys()
        self._sweeper.assess_part(self.folding.take)
        if known - self._sweeper.versions.keys():  # in the same transaction: the next owner knows nothing of them
            self.folding.add_figures(at_once=True)
        self._sweep_seconds += perf_counter() - started
        if not self._sweeper.is_sweeping:
            self.figures.note_sweep(self._sweep_seconds)
            self._sweep_seconds = 0.0

    # --- ticks ---------------------------------------------------------------------------------------------------

    async def _pass_tick(self, at_ms: int, reached_ms: int = NO_TIME) -> None:
        """Wait until a tick is decided, and let the versions take over that are in force from it on.

        Parameters
        ----------
        at_ms
            The tick's instant.
        reached_ms
            How far time has come, if the partition's clock does not say it.
        """
        await self._writer.make_room()
        settings, clock = self._settings, self.partition.clock
        is_live = self._sweeper.is_live_at(max(*clock, reached_ms))
        await self._wait.for_decision(at_ms, settings.live_tick_wait_ms if is_live else settings.tick_wait_ms)
        self._sweeper.open_tick_ms = None
        await self._follow_versions()

    async def _enter(self, first_ms: int) -> None:
        """Have the trainer know that from now on this partition has customers; begin under what is in force then."""
        tick_at_ms = last_boundary(first_ms, self._settings.tick_ms, self._pace.timezone)
        self._send_sample(tick_at_ms)
        await self._pass_tick(tick_at_ms, first_ms)

    @property
    def _is_asked(self) -> bool:
        """Whether others wait at a tick for this partition, which has nothing to fold."""
        ticks, sweeper = self._ticks, self._sweeper
        reached_ms = max(*self.partition.clock, self._said_empty_ms)
        if not sweeper.is_drained or sweeper.is_sweeping or reached_ms >= ticks.awaited_ms:
            return False
        since = max(self._quiet_since, ticks.awaited_since)
        return asyncio.get_running_loop().time() - since >= SETTLING_SECONDS

    def _position(self) -> PartitionPosition:
        return self._sweeper.position(self.folded_to)

    async def _pass_time(self, until_ms: int) -> None:
        """Let time pass up to a tick, as long as nothing comes."""
        if max(self.partition.clock) == NO_TIME:
            self._said_empty_ms = until_ms
            self._send_sample(until_ms)
            return
        for step in pass_time(self.partition, until_ms, self._pace):
            await self._take_step(step, NO_RECORDS)
            if self._inbox:
                return

    def _send_sample(self, at_ms: int) -> None:
        tick = boundary_number(at_ms, self._settings.tick_ms, self._pace.timezone)
        sample = self._drawer.draw(tick, at_ms, self._ticks.sample_share)
        self._taker.note_drawn(self.number, sample)
        self.folding.outbox.sample(sample)
        self._writer.wake()
