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

import msgspec.structs
import numpy as np

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Delivery
from stream_app.adapters.topics import TopicNames
from stream_app.core.arrays import NO_INDICES, Indices
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Events, Position
from stream_app.core.local_days import boundary_number, last_boundary
from stream_app.core.marks import Marks
from stream_app.core.partition import Partition, Reached, Sweeps
from stream_app.core.privacy import (
    leave_everything,
    parts_at_requests,
    readmit,
    remove_rows,
    request_places,
    requests_of,
)
from stream_app.core.processor import Outcome, begin_anew, process_events
from stream_app.core.records import NO_RECORDS, Batch
from stream_app.core.segmentation import Segmentation
from stream_app.core.timeline import Begin, Pace, Step, Sweep, crosses_sweep, judge, pass_time, steps
from stream_app.errors import RecordsLost
from stream_app.learning.drawing import SampleDrawer
from stream_app.segmentations.describing import NO_CHUNK, Chunk, Describer
from stream_app.worker.counters import ACCEPTED, Arrivals, PartitionCounters
from stream_app.worker.doubts import DoubtLog
from stream_app.worker.figures import PartitionFigures
from stream_app.worker.identity_follower import Changed, IdentityFollower
from stream_app.worker.intake import InputChunk, no_record, offsets_after
from stream_app.worker.joining import Joiner, Part, RecordAt
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.outbox import Outbox
from stream_app.worker.privacy import PrivacyDesk
from stream_app.worker.samples import NO_TAKER, SampleTaker
from stream_app.worker.sweeping import Sweeper
from stream_app.worker.ticks import Ticks, TickWait

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
        self.figures.written_at_ms = now_ms()
        self.arrivals = Arrivals(self.figures.latency_seconds)
        self.folded_to: dict[str, int] = dict(position.offsets)
        self.committed = position
        self._offered_to: Mapping[str, int] = position.offsets
        self._delivery = delivery
        self._topics = topics
        self._settings = settings
        self._now_ms = now_ms
        self._input_names = list(position.offsets)
        self._inbox: deque[InputChunk] = deque()
        self._outbox = Outbox(topics, number)
        self._ticks = ticks
        self._taker = taker
        self._describer = Describer(partition.context, topics.group)
        self._drawer = SampleDrawer(partition, settings.sample_size, settings.seed)
        self._wait = TickWait(ticks, number, self.figures)
        self._doubts = DoubtLog(number, self._input_names, partition.trust)
        self._said_empty_ms = NO_TIME
        self._quiet_since = -SETTLING_SECONDS
        self._sweeper = Sweeper(partition, position, settings, now_ms, self._send_sample)
        self.joiner = (
            Joiner(number, partition, identities, topics, self._input_names, position.statements)
            if identities is not None
            else None
        )
        self._record_at: RecordAt = no_record
        self._members = PartitionFigures(partition, number, settings.figures_interval_ms, now_ms)
        self._pace = Pace(
            settings.sweep_interval_ms,
            settings.tick_ms,
            settings.chunk_records_max,
            INLINE_DUE_MAX,
            timezone=partition.table.timezone,
            gap_ms=settings.gap_ms,
        )
        self.privacy = PrivacyDesk(number, Marks() if marks is None else marks, settings.privacy, now_ms)
        self._sweep_seconds = 0.0
        self._is_closing = False
        self._wake = asyncio.Event()
        self._gathered = asyncio.Event()
        self._sealed = asyncio.Event()
        self._folder: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    # --- what the outside does -----------------------------------------------------------------------------------

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin to work; `failed` is called with whatever ends the lane but `close`."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._folder = asyncio.create_task(self._fold_for_ever(), name=f"fold {self.number}")
        self._writer = asyncio.create_task(self._write_until_closed(), name=f"write {self.number}")
        self._folder.add_done_callback(ended)
        self._writer.add_done_callback(ended)

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
        if self.joiner is not None:
            self.joiner.note(changed)
            self._wake.set()

    def wake(self) -> None:
        """Look at the clock and at what is known of ticks."""
        self._wake.set()

    @property
    def waits_for_decision(self) -> bool:
        """Whether folding stands still at a tick; it resumes by itself, within the time that it may take."""
        return self._wait.is_under_way

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
        return self.folded_to != self._offered_to or self._outbox.is_touched or self.committed.offsets != self.folded_to

    async def close(self) -> None:
        """Write what is folded, fold nothing more, and give up the partition.

        Raises
        ------
        DeliveryFailed
            If it could not be written.
        """
        if self._folder is not None:
            self._folder.cancel()
            await asyncio.wait([self._folder])
        if self._writer is not None:
            self._tell_figures(at_once=True)
            self._is_closing = True
            self._gathered.set()
            await self._writer
        await self._delivery.close()

    # --- folding -------------------------------------------------------------------------------------------------

    async def _fold_for_ever(self) -> None:
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
                await self._make_room()
                self._sweep_part()
            if self.joiner is not None:
                await self._make_room()
                self._end_ids(self.joiner)
            self._tell_figures()
            for record in self.privacy.drop_expired():
                self._outbox.add(self._topics.changelog, self.number, record)
            if not self._inbox or self._outbox.size >= self._settings.transaction_records_max // WORTH_WRITING:
                self._gathered.set()
            is_ending = self.joiner is not None and self.joiner.is_waiting
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
        self._record_at = chunk.intake.record_at if chunk.intake else no_record
        if not request_places(chunk.batch):
            await self._fold_records(chunk.batch)
        else:
            for part in parts_at_requests(chunk.batch):
                if len(part.records):
                    await self._fold_records(part.records)
                if len(part.requests):
                    await self._finish_sweep()  # it counts rows by number
                    await self._make_room()
                    self._carry_out(part.requests)
        if chunk.intake is not None:
            chunk.intake.forget(self.folded_to)

    def _carry_out(self, batch: Batch) -> None:
        """Forget customers, or note that they may be known again; all in one transaction with the requests' offsets."""
        requests = requests_of(batch)
        self._outbox.touch((), len(batch))
        outcome, events, sequences = leave_everything(self.partition, requests)
        if outcome is not None:
            self._take(outcome, Chunk(events, self._input_names, self.number))
            for erased in remove_rows(self.partition.table, sequences):
                self._outbox.forget(erased)
        changelog, topics = self._topics.changelog, self._topics
        for request in requests:
            left = sequences.get(request.customer_id, b"")
            done = self.privacy.take(request, self.folded_to, left, was_known=bool(left))
            for record in done.changelog:
                self._outbox.add(changelog, self.number, record)
            self._outbox.add(topics.receipts, self.number, done.receipt)
            if done.marker is not None:
                self._outbox.mark_forgotten(done.marker)
            self.figures.outcomes[topics.privacy_requests, ACCEPTED] += 1
        self.folded_to = offsets_after(batch, self._input_names, self.folded_to)

    async def _fold_records(self, batch: Batch) -> None:
        """Fold records, letting time pass between them."""
        if len(self.privacy.marks):
            sifted = self.privacy.marks.sift(batch)
            readmit(self.partition, self.privacy.marks, sifted)
            batch = sifted.batch
        verdicts = judge(self.partition, batch, self._pace)
        batch = dataclasses.replace(batch, watermarks_ms=verdicts.watermarks_ms)
        if self._sweeper.is_sweeping and crosses_sweep(self.partition, verdicts, self._pace):
            await self._finish_sweep()  # so that time does not pass in two ways
        known = verdicts.watermarks_ms != NO_TIME
        if max(self.partition.clock) == NO_TIME and known.any():
            await self._enter(int(verdicts.watermarks_ms[known.argmax()]))
        await self._make_room()
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
            self._fold_part(batch.part(step.start, step.stop), step.sweeps, step.reached)
        await self._make_room()

    def _fold_part(self, batch: Batch, sweeps: Sweeps, reached: Reached | None) -> None:
        """Fold records, and move the partition's position past them."""
        if self.joiner is not None:
            batch, sweeps, reached = self.joiner.sort_out(Part(batch, sweeps, reached), self._record_at)
        events, placed = batch.folded(), NO_INDICES
        self._outbox.touch((), len(batch))
        if len(events) or len(sweeps.at_ms):
            started = perf_counter()
            placed = batch.placed(self._process(events, sweeps, reached))
            took = perf_counter() - started
            self._doubts.note(self.partition.trust)
            if len(events):
                self.figures.processing_seconds.observe(took / len(events), len(events))
                self.figures.note_accepted(batch, self._input_names, self._now_ms(), placed)
            else:
                self.figures.note_sweep(took)
        if self.joiner is not None:
            batch = self.joiner.pass_on_unnamed(batch, placed, self._record_at)
        self._outbox.set_aside(batch, self._input_names, self._settings.keep_payload, self.figures, placed)
        self.folded_to = offsets_after(batch, self._input_names, self.folded_to)

    def _process(self, events: Events, sweeps: Sweeps, reached: Reached | None) -> Indices:
        """Fold events and take down what comes of it; return whose those are that name no customer."""
        if self.joiner is None:
            outcome = process_events(self.partition, events, sweeps, reached)
            self._take(outcome, Chunk(events, self._input_names, self.number))
            return outcome.owners
        owners = []
        for outcome, piece in self.joiner.process(events, sweeps, reached, self._record_at):
            self._take(outcome, Chunk(piece, self._input_names, self.number))
            owners.append(outcome.owners)
        return np.concatenate(owners)

    def _end_ids(self, joiner: Joiner) -> None:
        """Let some ids end that go by another one, and tell of statements that do not count."""
        ended = joiner.end_some() if joiner.is_waiting else None
        if ended is not None:
            self._outbox.touch((), len(ended.events))
            self._take(ended.outcome, Chunk(ended.events, [self._topics.identities]))
            self._outbox.hand_over(ended.handed, joiner.home_of)
            self.figures.handed_over += len(ended.handed)
            self.figures.joined += len(ended.events) - len(ended.handed)
        for offset, refused in joiner.refusals():
            position = Position(self._topics.identities, 0, offset)
            self._outbox.reject(refused, position, self._settings.keep_payload)
            self.figures.note_rejected(position.topic, refused.error.reason)

    def _take(self, outcome: Outcome, chunk: Chunk = NO_CHUNK) -> None:
        """Note what came of a step, to be written."""
        self._outbox.touch(outcome.changed.tolist(), 0)
        if len(outcome.changed):
            self._members.note_change()
        if len(outcome.moves):
            self._outbox.migrate(self._describer.describe_step(self.partition, outcome.moves, chunk, outcome.facts))
            self.figures.note_moves(self.partition.segmentations, outcome.moves)
        if len(outcome.notices):
            self._outbox.notify(self._describer.describe_step_notices(self.partition, outcome.notices, chunk))
        self.figures.late += outcome.late
        self.figures.duplicates += outcome.duplicates
        self.figures.not_profiled += outcome.not_profiled

    async def _follow_versions(self) -> None:
        """Let the versions take over that may, and finish what sweeps that needs; rules do so right behind one."""
        self._sweeper.follow_versions(self.folded_to)
        while self._sweeper.must_finish:
            await self._finish_sweep()
            self._sweeper.follow_versions(self.folded_to)

    async def _finish_sweep(self) -> None:
        """Assess everybody that the sweep under way has not come to, and pass the tick if it is one."""
        while self._sweeper.is_sweeping:
            await self._make_room()
            self._sweep_part()
            await asyncio.sleep(0)
            if self._sweeper.open_tick_ms is not None:
                await self._pass_tick(self._sweeper.open_tick_ms)
                return  # what took over there keeps its pace

    def _sweep_part(self) -> None:
        """Assess some more customers, or give the trainer its sample once all are."""
        started = perf_counter()
        known = self._sweeper.versions.keys()
        self._sweeper.assess_part(self._take)
        if known - self._sweeper.versions.keys():  # in the same transaction: the next owner knows nothing of them
            self._tell_figures(at_once=True)
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
        await self._make_room()
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
        self._outbox.sample(sample)
        self._gathered.set()

    def _tell_figures(self, *, at_once: bool = False) -> None:
        for record in self._members.due(at_once=at_once):
            self._outbox.add(self._topics.figures, self.number, record)

    # --- writing -------------------------------------------------------------------------------------------------

    async def _make_room(self) -> None:
        """Wait while the outbox holds as much as one transaction should."""
        while self._outbox.size >= self._settings.transaction_records_max:
            self._gathered.set()
            self._sealed.clear()
            await self._sealed.wait()

    async def _write_until_closed(self) -> None:
        """Commit what has gathered, again and again."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            if self._outbox.is_touched:
                outbox, self._outbox = self._outbox, Outbox(self._topics, self.number)
                position = self._sweeper.position(self.folded_to)
                if self.joiner is not None:
                    position = msgspec.structs.replace(position, statements=self.joiner.statements)
                outgoing = outbox.seal(self.partition.table, position)
                self._sealed.set()
                await self._delivery.commit(outgoing)
                self._taker.note_committed(self.number, outbox.samples)
                if position.offsets != self.committed.offsets:
                    self.figures.written_at_ms = self._now_ms()
                    self.arrivals.note_written(position.offsets, self.figures.written_at_ms)
                self.committed = position
                if self.joiner is not None:
                    self.joiner.note_committed(position.statements)
                self.figures.transactions += 1
            if self._is_closing and not self._outbox.is_touched:
                return
