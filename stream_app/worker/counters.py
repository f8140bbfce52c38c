"""What a worker counts of its own work, at a cost per chunk and not per event."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_app.adapters.metrics import Distribution, Reading
from stream_app.adapters.metrics.declared import (
    DEAD_LETTERS,
    DUPLICATE_EVENTS,
    END_TO_END_LATENCY,
    EVENT_AGE,
    EVENT_PROCESSING,
    EVENTS,
    IDENTITY_ROWS,
    LATE_EVENTS,
    MIGRATIONS,
    NOT_PROFILED_EVENTS,
    SWEEP,
    TICK_WAIT,
    TICK_WAITS_EXPIRED,
)
from stream_app.core.arrays import NO_INDICES, Indices
from stream_app.core.clock import SECOND_MS
from stream_app.core.moves import CAUSE_KINDS
from stream_app.core.records import Batch
from stream_app.core.segmentation import Segmentation

ACCEPTED = "accepted"
REJECTED = "rejected"
TOMBSTONE = "tombstone"
FORWARDED = "forwarded"
ERASED = "erased"
KAFKA = "kafka"
"""The sink whose latency is a worker's."""


@dataclass
class PartitionCounters:
    """What this process has done for a partition, in all the times that it has owned it.

    Attributes
    ----------
    outcomes
        Records by input topic and what became of them.
    dead_letters
        By input topic and reason.
    moves
        Migrations by segmentation, segment left (empty at a first entry), segment entered and cause.
    joined, handed_over
        Rows of ids that have ended, of customers in this partition and in others.
    waits_expired
        Ticks that were gone past before they were decided.
    longest_sweep_seconds
        Of those since the journal last set it to 0.
    processing_seconds, age_seconds, latency_seconds, sweep_seconds, tick_wait_seconds
        See the metrics of these names.
    written_at_ms
        When input records were last committed, or the partition was opened.
    """

    late: int = 0
    duplicates: int = 0
    not_profiled: int = 0
    transactions: int = 0
    waits_expired: int = 0
    written_at_ms: int = 0
    longest_sweep_seconds: float = 0.0
    joined: int = 0
    handed_over: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    processing_seconds: Distribution = field(default_factory=lambda: Distribution(EVENT_PROCESSING.bounds))
    age_seconds: Distribution = field(default_factory=lambda: Distribution(EVENT_AGE.bounds))
    latency_seconds: Distribution = field(default_factory=lambda: Distribution(END_TO_END_LATENCY.bounds))
    sweep_seconds: Distribution = field(default_factory=lambda: Distribution(SWEEP.bounds))
    tick_wait_seconds: Distribution = field(default_factory=lambda: Distribution(TICK_WAIT.bounds))

    def note_accepted(self, batch: Batch, topics: Sequence[str], now_ms: int, placed: Indices = NO_INDICES) -> None:
        """Count what was folded of a batch: where it came from, and how old it was.

        Parameters
        ----------
        placed
            Indices of the records that name no customer and were folded.
        """
        is_event = batch.is_event.copy()
        is_event[placed] = True
        sources, watermarks_ms = batch.sources[is_event], batch.watermarks_ms[is_event]
        for topic, count in zip(topics, np.bincount(sources, minlength=len(topics)).tolist(), strict=True):
            if count:
                self.outcomes[topic, ACCEPTED] += count
        self.age_seconds.observe_many(np.maximum(now_ms - watermarks_ms, 0) / SECOND_MS)

    def note_sweep(self, seconds: float) -> None:
        """Count a sweep that is over, and the processor time that it took."""
        self.sweep_seconds.observe(seconds)
        self.longest_sweep_seconds = max(self.longest_sweep_seconds, seconds)

    def note_rejected(self, topic: str, reason: str) -> None:
        """Count a dead letter."""
        self.outcomes[topic, REJECTED] += 1
        self.dead_letters[topic, reason] += 1

    def note_moves(self, segmentations: Sequence[Segmentation], moves: np.ndarray) -> None:
        """Count moves, `MOVE_DTYPE`, in these segmentations."""
        kinds = (moves[name].tolist() for name in ("segmentation", "from_code", "target", "cause"))
        for (number, from_code, target, cause), count in Counter(zip(*kinds, strict=True)).items():
            roster = segmentations[number].roster
            ends = (roster.references.get(code) for code in (from_code, int(roster.codes[target])))
            origin, destination = (reference.id if reference else "" for reference in ends)
            self.moves[segmentations[number].name, origin, destination, CAUSE_KINDS[cause]] += count

    def readings(self) -> Iterator[Reading]:
        """Yield all totals; the collector adds them up over partitions."""
        for labels, total in self.outcomes.items():
            yield Reading(EVENTS, labels, total)
        for labels, total in self.dead_letters.items():
            yield Reading(DEAD_LETTERS, labels, total)
        for move, total in self.moves.items():
            yield Reading(MIGRATIONS, move, total)
        for how, total in (("joined", self.joined), ("handed_over", self.handed_over)):
            if total:
                yield Reading(IDENTITY_ROWS, (how,), total)
        yield Reading(DUPLICATE_EVENTS, (), self.duplicates)
        yield Reading(NOT_PROFILED_EVENTS, (), self.not_profiled)
        yield Reading(LATE_EVENTS, (), self.late)
        yield Reading(EVENT_PROCESSING, (), self.processing_seconds)
        yield Reading(EVENT_AGE, (), self.age_seconds)
        yield Reading(SWEEP, (), self.sweep_seconds)
        yield Reading(TICK_WAIT, (), self.tick_wait_seconds)
        yield Reading(TICK_WAITS_EXPIRED, (), self.waits_expired)
        yield Reading(END_TO_END_LATENCY, (KAFKA,), self.latency_seconds)


class Arrivals:
    """Knows since when records wait for their effects to be committed, one entry for each fetch.

    Parameters
    ----------
    latency_seconds
        Where the waits are counted.
    """

    def __init__(self, latency_seconds: Distribution) -> None:
        self._latency_seconds = latency_seconds
        self._waiting: dict[str, deque[tuple[int, int, int]]] = {}

    def note(self, topic: str, end: int, timestamp_ms: int, count: int) -> None:
        """Note records of a topic up to the offset `end`; the oldest has this timestamp, negative if it has none."""
        if timestamp_ms >= 0:
            self._waiting.setdefault(topic, deque()).append((end, timestamp_ms, count))

    def note_written(self, offsets: Mapping[str, int], now_ms: int) -> None:
        """Count the waits that are over because everything before these offsets is committed."""
        for topic, waiting in self._waiting.items():
            written_to = offsets.get(topic, 0)
            while waiting and waiting[0][0] <= written_to:
                _, timestamp_ms, count = waiting.popleft()
                self._latency_seconds.observe(max(now_ms - timestamp_ms, 0) / SECOND_MS, count)
