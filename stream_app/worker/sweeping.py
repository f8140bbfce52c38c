"""Letting time pass for a partition, and letting a new model take over: both assess customers whom no event mentions.

The time is that of the events until the partition has caught up, and then that of the wall clock. A sweep goes in
parts, each of which holds other lanes up for about `PART_SECONDS`; chunks may be folded between two parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from stream_app.core.clock import NO_TIME, SECOND_MS, next_boundary
from stream_app.core.partition import Effects, Partition
from stream_app.core.processor import sweep
from stream_app.segmentations.learned.model import Model

LIVE_WITHIN_MS: Final = 60 * SECOND_MS
"""A partition whose newest event is no older than this has caught up with the wall clock."""
PART_SECONDS: Final = 0.008
"""What a part of a sweep should take."""
PART_ROWS_MIN: Final = 128
PART_ROWS_MAX: Final = 262_144


@dataclass(frozen=True)
class LoopSettings:
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
class _Sweep:
    """An assessment of everyone that is under way: rows before `row` are done."""

    at_ms: int
    is_tick: bool = False
    by_model: bool = False
    row: int = 0


class Sweeper:
    """Decides when everyone of a partition is to be assessed, and does it part by part.

    Parameters
    ----------
    partition
        Whose customers.
    model_version
        Version of the last model under which everyone was assessed.
    settings
        How time passes.
    now_ms
        The wall clock.
    send_sample
        Called with the instant of a tick once everyone is assessed at it.

    Attributes
    ----------
    is_drained
        Whether there is nothing more to fetch and nothing that waits to be merged.
    next_snapshot
        A model that is to take over.
    """

    def __init__(
        self,
        partition: Partition,
        model_version: int,
        settings: LoopSettings,
        now_ms: Callable[[], int],
        send_sample: Callable[[int], None],
    ) -> None:
        self.model_version = model_version
        self.is_drained = False
        self.next_snapshot: Model | None = None
        self._partition = partition
        self._settings = settings
        self._now_ms = now_ms
        self._send_sample = send_sample
        self._sweep: _Sweep | None = None
        self._part_rows = PART_ROWS_MIN
        self._resume_ms = NO_TIME
        self._last_record_ms = now_ms()
        self._said_empty = False
        if partition.snapshot.version != model_version and len(partition.table):
            self._sweep = _Sweep(max(partition.clock), by_model=True)

    @property
    def is_sweeping(self) -> bool:
        """Whether a sweep is under way."""
        return self._sweep is not None

    @property
    def part_is_due(self) -> bool:
        """Whether the sweep under way may have its next part: a model's migrations keep a pace."""
        return self._sweep is not None and self._now_ms() >= self._resume_ms

    def note_record(self) -> None:
        """Note that records have come."""
        self._last_record_ms = self._now_ms()

    def begin_due_sweep(self, is_waiting: bool) -> None:
        """Begin what is due: following a model, or a sweep by the wall clock.

        Parameters
        ----------
        is_waiting
            Whether records wait to be folded.
        """
        self._follow_model()
        if self._sweep is None:
            self._follow_clock(self._now_ms(), is_waiting)

    def begin(self, at_ms: int) -> None:
        """Begin a sweep at an instant of event time; none may be under way."""
        self._sweep = _Sweep(at_ms, is_tick=at_ms % self._settings.tick_ms == 0)

    def assess_part(self, take: Callable[[Effects], None]) -> None:
        """Assess some more customers and hand over what that does."""
        sweeping = self._sweep
        if sweeping is None:
            return
        started = perf_counter()
        size = len(self._partition.table)
        last = sweeping.row + self._part_rows
        effects = sweep(self._partition, sweeping.at_ms, sweeping.row, None if last >= size else last)
        take(effects)
        sweeping.row = last
        factor = PART_SECONDS / max(perf_counter() - started, 1e-6)
        self._part_rows = int(min(max(self._part_rows * min(factor, 2.0), PART_ROWS_MIN), PART_ROWS_MAX))
        if sweeping.by_model:
            pause_ms = len(effects.migrations) * SECOND_MS // self._settings.model_moves_per_second
            self._resume_ms = self._now_ms() + pause_ms
        if last >= size:
            self._end(sweeping)

    def _end(self, sweeping: _Sweep) -> None:
        self._sweep = None
        self._resume_ms = NO_TIME
        self.model_version = self._partition.snapshot.version
        if sweeping.is_tick:
            self._send_sample(sweeping.at_ms)

    def _follow_model(self) -> None:
        """Let a new model take over. Whatever sweep is under way begins anew, under the new model."""
        snapshot, self.next_snapshot = self.next_snapshot, None
        partition = self._partition
        if snapshot is None or snapshot.version <= partition.snapshot.version:
            return
        partition.snapshot = snapshot
        if not len(partition.table):
            self.model_version = snapshot.version
            return
        self._part_rows = PART_ROWS_MIN  # many more move than before
        if self._sweep is None:
            self._sweep = _Sweep(max(partition.clock))
        self._sweep.row, self._sweep.by_model = 0, True

    def _follow_clock(self, now_ms: int, is_waiting: bool) -> None:
        """Begin a sweep if one is due by the wall clock."""
        clock, settings = self._partition.clock, self._settings
        is_idle = self.is_drained and not is_waiting and now_ms - self._last_record_ms >= settings.idle_ms
        if max(clock) == NO_TIME:
            if is_idle and not self._said_empty:
                self._said_empty = True
                self._send_sample(now_ms)  # of nobody: the trainer waits for every partition
            return
        # A backlog that is still being produced may be drained again and again: it has caught up only when its events
        # are recent, or when nothing has come for a while.
        has_caught_up = is_idle or clock.watermark_ms >= now_ms - LIVE_WITHIN_MS
        if not (settings.follows_wall_clock and has_caught_up):
            return
        tick_at_ms = next_boundary(max(clock), settings.tick_ms)
        if tick_at_ms <= now_ms:
            self._sweep = _Sweep(tick_at_ms, is_tick=True)
        elif now_ms - clock.swept_at_ms >= settings.live_interval_ms:
            self._sweep = _Sweep(now_ms)
