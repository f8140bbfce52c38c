"""Letting time pass for a partition, and letting a new version take over: both assess customers whom no event mentions.

The time is that of the events until the partition has caught up, and then that of the wall clock. A sweep goes in
parts, each of which holds other partitions up for about `PART_SECONDS`; chunks may be folded between two parts.

At a tick everybody is swept, the trainer is given its sample, and the tick is *open* until it is decided what is in
force from it on: nothing is folded until then. New versions then take over at the tick's instant, see
`stream_app.worker.ticks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Final

from stream_app.adapters.changelog import PartitionPosition
from stream_app.core.clock import NO_TIME, SECOND_MS
from stream_app.core.local_days import following_boundary, is_boundary
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, sweep
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.registry import counted_by
from stream_app.worker.loop_settings import LoopSettings

LIVE_WITHIN_MS: Final = 60 * SECOND_MS
"""A partition whose newest event is no older than this has caught up with the wall clock."""
PART_SECONDS: Final = 0.008
"""What a part of a sweep should take."""
ALWAYS: Final = 0
"""Stands for the instant from which on events have been counted, where there was none before."""
NEVER_ASSESSED: Final = -1
"""Stands for the version of a segmentation in which nobody or not everybody has been assessed yet."""
PART_ROWS_MIN: Final = 1_024
"""Of parts about which nothing is known: should all of them move, that takes 2 to 4 ms."""
PART_ROWS_MAX: Final = 262_144
GROWTH_MAX: Final = 4.0
"""From one part to the next."""


@dataclass
class _Sweep:
    """An assessment of everyone that is under way: rows before `row` are done."""

    at_ms: int
    is_tick: bool = False
    by_version: bool = False
    before_rules: bool = False
    row: int = 0


class Sweeper:
    """Decides when everyone of a partition is to be assessed, and does it part by part.

    Parameters
    ----------
    partition
        Whose customers.
    position
        Where it stands, and under which versions everyone was assessed.
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
    open_tick_ms
        Instant of the tick that the partition stands at and that is not decided yet, as far as this knows; else None.
    versions
        By segmentation, the last version under which everyone was assessed.
    counted_since
        By the key of a condition on events, the instant from which on they have been counted for it; 0 for always.
    """

    def __init__(
        self,
        partition: Partition,
        position: PartitionPosition,
        settings: LoopSettings,
        now_ms: Callable[[], int],
        send_sample: Callable[[int], None],
    ) -> None:
        self.is_drained = False
        self._next: dict[str, Segmentation] = {}
        self._coming: deque[tuple[Sequence[Segmentation], Mapping[str, int]]] = deque()
        self._partition = partition
        self._settings = settings
        self._now_ms = now_ms
        self._send_sample = send_sample
        self._sweep: _Sweep | None = None
        self._part_rows = PART_ROWS_MIN
        self._resume_ms = NO_TIME
        self._last_record_ms = now_ms()
        self.open_tick_ms = self._tick_stood_at()
        # A new segmentation is named at once: it may be taken out again before its first sweep has ended.
        self.versions = dict.fromkeys(self._present_versions(), NEVER_ASSESSED) | dict(position.versions)
        self.counted_since: dict[str, int] = dict(position.counted_since)
        self._note_counted()
        if not len(partition.table):
            self.versions = self._present_versions()
        elif self.versions != self._present_versions():
            self._revise_outdated()
            self._sweep = _Sweep(max(partition.clock), by_version=True)

    def _revise_outdated(self) -> None:
        """Have customers assessed under the versions under which they have not been."""
        present = self._present_versions()
        outdated = [
            segmentation
            for segmentation in self._partition.segmentations
            if self.versions.get(segmentation.name) != present.get(segmentation.name)
        ]
        for segmentation in outdated:
            if not segmentation.is_ruled:
                self._partition.revise(segmentation.name)
        if any(segmentation.is_ruled for segmentation in outdated):
            self._partition.revise_rules()

    @property
    def is_sweeping(self) -> bool:
        """Whether a sweep is under way."""
        return self._sweep is not None

    @property
    def part_is_due(self) -> bool:
        """Whether the sweep under way may have its next part: a new version's migrations keep a pace."""
        return self._sweep is not None and self._now_ms() >= self._resume_ms

    @property
    def is_live(self) -> bool:
        """Whether the partition's time is that of the wall clock, or nearly so."""
        return self.is_live_at(max(self._partition.clock))

    def is_live_at(self, reached_ms: int) -> bool:
        """Return whether a partition whose time has come so far is live."""
        settings = self._settings
        behind_ms = self._now_ms() - reached_ms
        return settings.follows_wall_clock and behind_ms <= LIVE_WITHIN_MS + settings.live_interval_ms

    @property
    def must_finish(self) -> bool:
        """Whether the sweep under way has to be over before records are folded.

        So it is before new rules take over, and in a backlog while any version does.
        """
        sweeping = self._sweep
        return sweeping is not None and (sweeping.before_rules or (sweeping.by_version and not self.is_live))

    def position(self, folded_to: Mapping[str, int]) -> PartitionPosition:
        """Return where the partition stands, up to these offsets."""
        partition = self._partition
        return PartitionPosition(
            offsets=dict(folded_to),
            clock=partition.clock,
            trust=partition.trust,
            versions=dict(self.versions),
            adopted={segmentation.name: segmentation.version for segmentation in partition.segmentations},
            counted_since=dict(self.counted_since),
            timezone=partition.table.timezone,
        )

    def counted_since_ms(self, segmentation: Segmentation) -> int:
        """Return from when on all is counted that a segmentation's conditions look at; `ALWAYS` if it always was."""
        since = self.counted_since
        return max((since.get(key, ALWAYS) for key in counted_by(segmentation)), default=ALWAYS)

    def follow(self, segmentations: Iterable[Segmentation], behind: Mapping[str, int]) -> None:
        """Have new versions take over as soon as that is possible, all at one instant; rules behind some offsets."""
        ruled = []
        for segmentation in segmentations:
            if segmentation.is_ruled:
                ruled.append(segmentation)
            else:
                self._next[segmentation.name] = segmentation
        if ruled:
            self._coming.append((ruled, behind))

    def note_record(self) -> None:
        """Note that records have come."""
        self._last_record_ms = self._now_ms()

    def begin_due_sweep(self, is_waiting: bool) -> None:
        """Begin a sweep by the wall clock if one is due and none is under way.

        Parameters
        ----------
        is_waiting
            Whether records wait to be folded.
        """
        if self._sweep is None:
            self._follow_clock(self._now_ms(), is_waiting)

    def begin(self, at_ms: int) -> None:
        """Begin a sweep at an instant of event time; none may be under way."""
        self._sweep = _Sweep(at_ms, is_tick=self._is_tick(at_ms))

    def assess_part(self, take: Callable[[Outcome], None]) -> None:
        """Assess some more customers and hand over what that does."""
        sweeping = self._sweep
        if sweeping is None:
            return
        started = thread_time()
        table = self._partition.table
        due = table.due_by(sweeping.at_ms, sweeping.row)
        last = None if len(due) <= self._part_rows else int(due[self._part_rows])
        outcome = sweep(self._partition, sweeping.at_ms, sweeping.row, last)
        take(outcome)
        if len(due) >= self._part_rows:  # smaller parts say little about large ones
            factor = PART_SECONDS / max(thread_time() - started, 1e-6)
            self._part_rows = int(min(max(self._part_rows * min(factor, GROWTH_MAX), PART_ROWS_MIN), PART_ROWS_MAX))
        if sweeping.by_version and self.is_live:
            pause_ms = len(outcome.moves) * SECOND_MS // self._settings.model_moves_per_second
            self._resume_ms = self._now_ms() + pause_ms
        if last is None:
            self._end(sweeping)
        else:
            sweeping.row = last

    def _end(self, sweeping: _Sweep) -> None:
        self._sweep = None
        self._resume_ms = NO_TIME
        self.versions = self._present_versions()
        if sweeping.is_tick:
            self._send_sample(sweeping.at_ms)
            self.open_tick_ms = sweeping.at_ms

    def _tick_stood_at(self) -> int | None:
        """Return the instant of the tick at which a former owner has left the partition, if it was at one."""
        at_ms = self._partition.clock.swept_at_ms
        is_at_tick = at_ms != NO_TIME and self._is_tick(at_ms) and at_ms == max(self._partition.clock)
        return at_ms if is_at_tick else None

    def _is_tick(self, at_ms: int) -> bool:
        return is_boundary(at_ms, self._settings.tick_ms, self._partition.table.timezone)

    def follow_versions(self, folded_to: Mapping[str, int]) -> None:
        """Let new versions take over, rules where all records before their offsets are folded and everyone is assessed.

        A sweep that is under way begins again under them, unless there are rules: these wait until it is over, and so
        does what comes with them.

        Parameters
        ----------
        folded_to
            By topic, the offset of the first record that is not folded.
        """
        while self._coming and all(folded_to[topic] >= offset for topic, offset in self._coming[0][1].items()):
            if not self._is_assessed_to_present():
                return
            self._next |= {segmentation.name: segmentation for segmentation in self._coming.popleft()[0]}
        renewed, self._next = self._next, {}
        partition = self._partition
        present = {segmentation.name: segmentation for segmentation in partition.segmentations}
        renewed = {n: new for n, new in renewed.items() if _succeeds(new, present.get(n))}
        if not renewed:
            return
        partition.follow_all(list(renewed.values()))
        self._note_counted()
        self.versions = dict.fromkeys(renewed, NEVER_ASSESSED) | self.versions
        if not len(partition.table):
            self.versions = self._present_versions()
            return
        self._part_rows = PART_ROWS_MIN  # many more move than before
        if self._sweep is None:
            self._sweep = _Sweep(max(partition.clock))
        self._sweep.row, self._sweep.by_version = 0, True

    def _is_assessed_to_present(self) -> bool:
        """Return whether all moves that silence has made up to now are found; if not, see to it that they will be.

        Rules are one program: once new ones are in force, nobody can say what the old ones would have done.
        """
        clock = self._partition.clock
        if not len(self._partition.table):
            return True
        if self._sweep is None and clock.swept_at_ms < max(clock):
            self._sweep = _Sweep(max(clock), before_rules=True)
        return self._sweep is None

    def _note_counted(self) -> None:
        """Note what conditions count from now on."""
        keys = frozenset[str]().union(*map(counted_by, self._partition.segmentations))
        since_ms = self._folded_to_ms() if keys - self.counted_since.keys() else ALWAYS
        self.counted_since = {key: self.counted_since.get(key, since_ms) for key in sorted(keys)}

    def _folded_to_ms(self) -> int:
        """Return the latest instant of which something may be folded, but for what is in doubt; `ALWAYS` for none.

        Time may not have come so far: it goes to the earliest of those records ahead that agree.
        """
        partition = self._partition
        if not len(partition.table):
            return ALWAYS
        reached_ms = max(partition.clock)
        told_ms = partition.table.closed_at_ms
        return max(reached_ms, int(told_ms[told_ms <= reached_ms + self._settings.gap_ms].max(initial=NO_TIME)))

    def _present_versions(self) -> dict[str, int]:
        """Return the versions in force; a segmentation that has ended has none."""
        return {
            segmentation.name: segmentation.version
            for segmentation in self._partition.segmentations
            if not isinstance(segmentation, EndedSegmentation)
        }

    def _follow_clock(self, now_ms: int, is_waiting: bool) -> None:
        """Begin a sweep if one is due by the wall clock."""
        clock, settings = self._partition.clock, self._settings
        is_idle = self.is_drained and not is_waiting and now_ms - self._last_record_ms >= settings.idle_ms
        if max(clock) == NO_TIME:
            return
        # A backlog that is still being produced may be drained again and again: it has caught up only when its events
        # are recent, or when nothing has come for a while.
        has_caught_up = is_idle or clock.watermark_ms >= now_ms - LIVE_WITHIN_MS
        if not (settings.follows_wall_clock and has_caught_up):
            return
        tick_at_ms = following_boundary(max(clock), settings.tick_ms, self._partition.table.timezone)
        if tick_at_ms <= now_ms:
            self._sweep = _Sweep(tick_at_ms, is_tick=True)
        elif now_ms - clock.swept_at_ms >= settings.live_interval_ms:
            self._sweep = _Sweep(now_ms)


def _succeeds(segmentation: Segmentation, present: Segmentation | None) -> bool:
    """Return whether a version is to take the place of the one that is present."""
    if present is None or isinstance(present, EndedSegmentation):
        return not isinstance(segmentation, EndedSegmentation)
    return isinstance(segmentation, EndedSegmentation) or segmentation.version > present.version
