"""One owned partition, from its opening to its end. This file is the worker's main loop.

A lane folds chunks into its partition in memory and notes in its outbox what that did. Whenever no transaction is
under way, its writer makes one of all that has gathered. So chunks are small when little comes and large under load,
folding goes on while the brokers answer, and a customer that changes often is written once a transaction.

Memory leads the log by what is in the outbox and on its way. That is safe because there are only two ways for a lane
to end: `close`, which writes the rest first, and a failure, which ends the process and the memory with it.

Between chunks time passes: see `_TimeKeeper` for what the time is. A sweep goes in parts, and other lanes
run between two of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Delivery, OutgoingRecord
from stream_app.adapters.topics import TopicNames
from stream_app.agents.intake import Chunk, Misplaced, offsets_after
from stream_app.agents.outbox import Outbox
from stream_app.agents.samples import encode_sample
from stream_app.contracts.records import Batch, Positions, Rejection, Skipped
from stream_app.core.clock import NO_TIME, SECOND_MS, next_boundary
from stream_app.core.events import Event
from stream_app.core.partition import Effects, Partition
from stream_app.core.processor import apply_effects, process_events, sweep
from stream_app.core.snapshot import Snapshot
from stream_app.errors import RecordsLost
from stream_app.learning.drawing import draw_sample

LIVE_WITHIN_MS: Final = 60 * SECOND_MS
"""A partition whose newest event is no older than this has caught up with the wall clock."""
WAKE_SECONDS: Final = 0.25
"""An idle lane looks at the clock so often."""
PART_SECONDS: Final = 0.015
"""What a part of a sweep should take: other lanes wait for it."""
PART_ROWS_MIN: Final = 256
PART_ROWS_MAX: Final = 262_144


@dataclass(frozen=True)
class LaneSettings:
    """How lanes go about it.

    Parameters
    ----------
    sweep_interval_ms
        Time between two sweeps while the time is that of the events; a divisor of `tick_ms`.
    live_interval_ms
        The same once it is that of the wall clock.
    tick_ms
        Time between two population samples.
    sample_size
        Customers in a sample.
    seed
        Fixes every random choice.
    keep_payload
        Whether dead letters carry the refused record itself.
    follows_wall_clock
        False if time is what events say, for ever: for backtests.
    idle_ms
        A drained partition without events for so long has caught up.
    chunk_records_max
        No more records are folded at once: other lanes wait for it.
    transaction_records_max
        Folding waits when so many records are folded and not yet on their way.
    model_moves_per_second
        Pace of migrations that a new model causes.
    """

    sweep_interval_ms: int
    live_interval_ms: int
    tick_ms: int
    sample_size: int
    seed: int
    keep_payload: bool
    follows_wall_clock: bool
    idle_ms: int
    chunk_records_max: int
    transaction_records_max: int
    model_moves_per_second: int


@dataclass
class LaneFigures:
    """What a lane has done since it was opened."""

    applied: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    tombstones: int = 0
    forwarded: int = 0
    migrations: int = 0
    transactions: int = 0


@dataclass
class _Sweep:
    """An assessment of everyone that is under way: rows before `row` are done."""

    at_ms: int
    is_tick: bool = False
    by_model: bool = False
    row: int = 0


class Lane:
    """Folds, sweeps and writes one partition.

    Parameters
    ----------
    number
        Of the partition.
    partition
        Its state as restored.
    position
        Where that state stands in the inputs.
    delivery
        The right to write.
    topics, settings
        Names and numbers.
    now_ms
        The wall clock.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        position: PartitionPosition,
        delivery: Delivery,
        topics: TopicNames,
        settings: LaneSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self.number = number
        self.partition = partition
        self.figures = LaneFigures()
        self.folded_to: dict[str, int] = dict(position.offsets)
        self.committed = position
        self._offered_to: Mapping[str, int] = position.offsets
        self._model_version = position.model_version
        self._delivery = delivery
        self._topics = topics
        self._settings = settings
        self._now_ms = now_ms
        self._input_names = list(position.offsets)
        self._inbox: deque[Chunk] = deque()
        self._outbox = Outbox(topics, number)
        self._sweep: _Sweep | None = None
        self._part_rows = PART_ROWS_MIN
        self._next_snapshot: Snapshot | None = None
        self._is_drained = False
        self._last_record_ms = now_ms()
        self._resume_sweep_ms = NO_TIME
        self._said_empty = False
        self._is_closing = False
        self._wake = asyncio.Event()
        self._gathered = asyncio.Event()
        self._sealed = asyncio.Event()
        self._folder: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        if partition.snapshot.version != position.model_version and len(partition.table):
            self._sweep = _Sweep(max(partition.clock), by_model=True)

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

    def offer(self, chunk: Chunk) -> None:
        """Take a chunk; it is folded after those that came before.

        Raises
        ------
        RecordsLost
            If it does not begin where the last one ended.
        """
        if chunk.start != self._offered_to:
            raise RecordsLost(f"partition {self.number}: chunk from {chunk.start}, expected {self._offered_to}")
        self._offered_to = chunk.end
        self._last_record_ms = self._now_ms()
        self._inbox.append(chunk)
        self._wake.set()

    def note_drained(self, is_drained: bool) -> None:
        """Note whether there is nothing more to fetch and nothing that waits to be merged."""
        self._is_drained = is_drained

    def follow(self, snapshot: Snapshot) -> None:
        """Adopt a model as soon as the chunk at hand is folded; everyone is assessed again under it."""
        self._next_snapshot = snapshot
        self._wake.set()

    @property
    def waiting_records(self) -> int:
        """Number of records that are offered and not folded."""
        return sum(len(chunk.batch.contents) for chunk in self._inbox)

    @property
    def is_busy(self) -> bool:
        """Whether there is something to fold or to write."""
        return (
            self.folded_to != self._offered_to or self._outbox.is_touched or self.committed.offsets != self.folded_to
        )

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
            self._is_closing = True
            self._gathered.set()
            await self._writer
        await self._delivery.close()

    # --- folding -------------------------------------------------------------------------------------------------

    async def _fold_for_ever(self) -> None:
        while True:
            self._follow_model()
            self._follow_clock()
            if self._inbox:
                await self._fold(self._inbox.popleft())
            if self._sweep is not None and self._may_sweep():
                await self._make_room()
                self._sweep_part(self._sweep)
            if self._inbox or self._may_sweep():
                await asyncio.sleep(0)
            else:
                self._wake.clear()
                try:
                    async with asyncio.timeout(WAKE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _fold(self, chunk: Chunk) -> None:
        """Fold a chunk, letting time pass between its records."""
        partition = self.partition
        batch = chunk.batch
        watermarks_ms = np.maximum(batch.watermarks_ms, partition.clock.watermark_ms)
        start, count = 0, len(batch.contents)
        while start < count:
            await self._make_room()
            known = watermarks_ms[watermarks_ms != NO_TIME]
            limit = count
            if len(known):
                since_ms = max(*partition.clock, int(known[0]) if max(partition.clock) == NO_TIME else NO_TIME)
                boundary_ms = next_boundary(since_ms, self._settings.sweep_interval_ms)
                limit = int(np.searchsorted(watermarks_ms, boundary_ms))
                if limit <= start:
                    await self._sweep_whole(boundary_ms)
                    continue
            self._fold_part(batch.part(start, limit))
            start = limit

    def _fold_part(self, batch: Batch) -> None:
        """Fold records between which no time passes, and move the partition's position behind them."""
        contents = batch.contents
        events = [content for content in contents if type(content) is Event]
        chosen: range | list[int] = range(len(contents))
        if len(events) < len(contents):
            chosen = [index for index in chosen if type(contents[index]) is Event]
            for index, content in enumerate(contents):
                if isinstance(content, Rejection):
                    position = Positions(batch, [index], self._input_names, self.number)[0]
                    self._outbox.reject(content, position, self._settings.keep_payload)
                    self.figures.rejected += 1
                elif isinstance(content, Skipped):
                    self._pass_on(content.record)
        self._outbox.touch((), len(contents))
        if events:
            positions = Positions(batch, chosen, self._input_names, self.number)
            self._take(process_events(self.partition, events, positions))
        self.folded_to = offsets_after(batch, self._input_names, self.folded_to)
        self._gathered.set()

    def _pass_on(self, misplaced: Misplaced | None) -> None:
        if misplaced is None:
            self.figures.tombstones += 1
            return
        record = misplaced.record
        forwarded = OutgoingRecord(record.key, record.value, list(record.headers))
        self._outbox.add(misplaced.topic, misplaced.partition, forwarded)
        self.figures.forwarded += 1

    def _take(self, effects: Effects) -> None:
        """Apply effects and note what has to be written."""
        numbers = apply_effects(self.partition, effects)
        self._outbox.touch(numbers.tolist(), 0)
        if effects.migrations:
            self._outbox.migrate(effects.migrations)
        figures = self.figures
        figures.applied += effects.applied
        figures.late += effects.late
        figures.duplicates += effects.duplicates
        figures.migrations += len(effects.migrations)

    # --- time and models -----------------------------------------------------------------------------------------

    def _is_live(self, now_ms: int) -> bool:
        """Return whether the time is that of the wall clock, and no longer that of the events.

        A backlog that is still being produced may be drained again and again: it counts as caught up only when its
        events are recent, or when nothing has come for a while.
        """
        if not self._settings.follows_wall_clock:
            return False
        if self.partition.clock.watermark_ms >= now_ms - LIVE_WITHIN_MS:
            return True
        return self._is_idle(now_ms)

    def _is_idle(self, now_ms: int) -> bool:
        return self._is_drained and not self._inbox and now_ms - self._last_record_ms >= self._settings.idle_ms

    def _follow_clock(self) -> None:
        """Begin a sweep if one is due by the wall clock."""
        if self._sweep is not None:
            return
        now_ms = self._now_ms()
        clock, settings = self.partition.clock, self._settings
        if max(clock) == NO_TIME:
            if self._is_idle(now_ms) and not self._said_empty:
                self._said_empty = True
                self._send_sample(now_ms)  # the trainer waits for every partition
            return
        if not self._is_live(now_ms):
            return
        tick_at_ms = next_boundary(max(clock), settings.tick_ms)
        if tick_at_ms <= now_ms:
            self._sweep = _Sweep(tick_at_ms, is_tick=True)
        elif now_ms - clock.swept_at_ms >= settings.live_interval_ms:
            self._sweep = _Sweep(now_ms)

    def _follow_model(self) -> None:
        """Let a new model take over. Whatever sweep is under way begins anew, under the new model."""
        snapshot, self._next_snapshot = self._next_snapshot, None
        if snapshot is None or snapshot.version <= self.partition.snapshot.version:
            return
        self.partition.snapshot = snapshot
        if not len(self.partition.table):
            self._model_version = snapshot.version
            return
        self._part_rows = PART_ROWS_MIN  # many more move than before
        if self._sweep is None:
            self._sweep = _Sweep(max(self.partition.clock))
        self._sweep.row, self._sweep.by_model = 0, True

    def _may_sweep(self) -> bool:
        return self._sweep is not None and self._now_ms() >= self._resume_sweep_ms

    async def _sweep_whole(self, at_ms: int) -> None:
        """Let the clock reach an instant before anything else is folded."""
        while self._sweep is not None:  # an earlier one
            await self._make_room()
            self._sweep_part(self._sweep)
            await asyncio.sleep(0)
        self._sweep = _Sweep(at_ms, is_tick=at_ms % self._settings.tick_ms == 0)
        while self._sweep is not None:
            await self._make_room()
            self._sweep_part(self._sweep)
            await asyncio.sleep(0)

    def _sweep_part(self, sweeping: _Sweep) -> None:
        """Assess some more customers."""
        started = perf_counter()
        size = len(self.partition.table)
        last = sweeping.row + self._part_rows
        effects = sweep(self.partition, sweeping.at_ms, sweeping.row, None if last >= size else last)
        self._take(effects)
        sweeping.row = last
        factor = PART_SECONDS / max(perf_counter() - started, 1e-6)
        self._part_rows = int(min(max(self._part_rows * min(factor, 2.0), PART_ROWS_MIN), PART_ROWS_MAX))
        if sweeping.by_model:
            pause_ms = len(effects.migrations) * SECOND_MS // self._settings.model_moves_per_second
            self._resume_sweep_ms = self._now_ms() + pause_ms
        if last >= size:
            self._sweep = None
            self._resume_sweep_ms = NO_TIME
            self._model_version = self.partition.snapshot.version
            if sweeping.is_tick:
                self._send_sample(sweeping.at_ms)
        self._gathered.set()

    def _send_sample(self, at_ms: int) -> None:
        settings = self._settings
        tick = at_ms // settings.tick_ms
        sample = draw_sample(self.partition, tick, at_ms, settings.sample_size, settings.seed)
        value = encode_sample(sample, self.partition.snapshot.segmentation, self.number)
        record = OutgoingRecord(str(self.number).encode(), value)
        self._outbox.add(self._topics.samples, 0, record)
        self._gathered.set()

    # --- writing -------------------------------------------------------------------------------------------------

    async def _make_room(self) -> None:
        """Wait while the outbox holds as much as one transaction should."""
        while self._outbox.size >= self._settings.transaction_records_max:
            self._sealed.clear()
            await self._sealed.wait()

    async def _write_until_closed(self) -> None:
        """Commit what has gathered, again and again."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            if self._outbox.is_touched:
                outbox, self._outbox = self._outbox, Outbox(self._topics, self.number)
                position = PartitionPosition(dict(self.folded_to), self.partition.clock, self._model_version)
                outgoing = outbox.seal(self.partition.table, position)
                self._sealed.set()
                await self._delivery.commit(outgoing)
                self.committed = position
                self.figures.transactions += 1
            if self._is_closing and not self._outbox.is_touched:
                return
