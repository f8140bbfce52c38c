"""Playing a history: events and sweeps through a partition, chunk by chunk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from stream_app.core.events import Event, pack_events
from stream_app.core.partition import NO_SWEEPS, Partition, Reached, Sweeps
from stream_app.core.processor import Outcome, process_events, sweep
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.describing import NO_CHUNK, Chunk
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.support.published import Migration, published

Step: TypeAlias = Event | int | Model | Segmentation
"""An event, the instant of a sweep, or a model or segmentation that takes over or is added."""


class Played(NamedTuple):
    """What came of a chunk or sweep, and the migrations that are published of it."""

    outcome: Outcome
    migrations: list[Migration]


def play(partition: Partition, steps: Sequence[Step], cuts: Collection[int] = ()) -> list[Migration]:
    """Play steps and return the migrations; events in a row are one chunk, but for cuts before the steps named.

    Events of equal instants in a row are in one chunk all the same.
    """
    return [migration for played in play_chunks(partition, steps, cuts) for migration in played.migrations]


def play_chunks(partition: Partition, steps: Sequence[Step], cuts: Collection[int] = ()) -> list[Played]:
    """Play steps and return what came of each chunk and sweep; an event's offset is its index among the steps."""
    done: list[Played] = []
    chunk: list[Event] = []
    first = 0
    for index, step in enumerate([*steps, None]):
        if chunk and (not isinstance(step, Event) or (index in cuts and step.at_ms != chunk[-1].at_ms)):
            done.append(play_events(partition, chunk, first=first))
            chunk = []
        if isinstance(step, Event):
            first = first if chunk else index
            chunk.append(step)
        elif isinstance(step, int):
            done.append(play_sweep(partition, step))
        elif step is not None:
            partition.follow(LearnedSegmentation(step) if isinstance(step, Model) else step)
    return done


class TimedChunk(NamedTuple):
    """Events and the sweeps among them, and what takes over after them."""

    events: list[Event]
    sweeps: Sweeps
    then: Segmentation | None


def timed_chunks(steps: Sequence[Step], cuts: Collection[int] = ()) -> Iterator[TimedChunk]:
    """Yield steps in a row as one chunk, sweeps within it, but for cuts before the steps named; as `play`."""
    events: list[Event] = []
    swept: list[tuple[int, int]] = []

    def chunk(then: Segmentation | None = None) -> TimedChunk:
        at_ms, before = (np.array([each[column] for each in swept], np.int64) for column in range(2))
        done = TimedChunk(events.copy(), Sweeps(at_ms, before), then)
        events.clear()
        swept.clear()
        return done

    for index, step in enumerate(steps):
        if index in cuts and (isinstance(step, int) or (isinstance(step, Event) and not _goes_on(step, events, swept))):
            yield chunk()
        if isinstance(step, Event):
            events.append(step)
        elif isinstance(step, int):
            swept.append((step, len(events)))
        else:
            yield chunk(LearnedSegmentation(step) if isinstance(step, Model) else step)
    yield chunk()


def _goes_on(event: Event, events: Sequence[Event], swept: Sequence[tuple[int, int]]) -> bool:
    """Say whether an event is of the same instant as the one before it, so that no chunk may end between them."""
    is_next = bool(events) and not (swept and swept[-1][1] == len(events))
    return is_next and events[-1].at_ms == event.at_ms


def play_events(
    partition: Partition,
    events: Sequence[Event],
    sweeps: Sweeps = NO_SWEEPS,
    reached: Reached | None = None,
    *,
    first: int = 0,
    name: str = "log",
) -> Played:
    """Take events in as one chunk, the first of which is the record of the offset `first`."""
    packed = pack_events(events, range(first, first + len(events)), 0)
    outcome = process_events(partition, packed, sweeps, reached)
    return Played(outcome, published(partition, outcome.moves, Chunk(packed, [name]), outcome.facts))


def play_sweep(partition: Partition, at_ms: int, first: int = 0, last: int | None = None) -> Played:
    """Let time pass."""
    outcome = sweep(partition, at_ms, first, last)
    return Played(outcome, published(partition, outcome.moves, NO_CHUNK, outcome.facts))


def undated(migrations: Sequence[Migration]) -> list[Migration]:
    """Return migrations, customer by customer, without where and when they were found."""
    return sorted(
        (
            msgspec.structs.replace(m, decided_at="", cause=msgspec.structs.replace(m.cause, position=None))
            for m in migrations
        ),
        key=lambda m: (m.segmentation, m.customer_id, m.sequence),
    )


def state_of(partition: Partition) -> dict[str, bytes]:
    """Return every customer's whole row, encoded."""
    table = partition.table
    return {customer_id: table.encode(number) for number, customer_id in enumerate(table.customer_ids)}
