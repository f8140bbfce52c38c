"""Playing a history: events and sweeps through a partition, chunk by chunk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

import msgspec

from stream_app.core.events import Event
from stream_app.core.migration import Migration
from stream_app.core.partition import Effects, Partition
from stream_app.core.processor import apply_effects, process_events, sweep
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.support.events import positions

Step: TypeAlias = Event | int | Model | Segmentation
"""An event, the instant of a sweep, or a model or segmentation that takes over or is added."""


def play(partition: Partition, steps: Sequence[Step], cuts: Collection[int] = ()) -> list[Migration]:
    """Play steps and return the migrations; events in a row are one chunk, but for cuts before the steps named."""
    return [migration for effects in play_effects(partition, steps, cuts) for migration in effects.migrations]


def play_effects(partition: Partition, steps: Sequence[Step], cuts: Collection[int] = ()) -> list[Effects]:
    """Play steps and return the effects of each chunk and sweep; an event's offset is its index among the steps."""
    done: list[Effects] = []
    chunk: list[Event] = []
    first = 0

    def finish(effects: Effects) -> None:
        apply_effects(partition, effects)
        done.append(effects)

    for index, step in enumerate([*steps, None]):
        if chunk and (index in cuts or not isinstance(step, Event)):
            finish(process_events(partition, chunk, positions(len(chunk), first)))
            chunk = []
        if isinstance(step, Event):
            first = first if chunk else index
            chunk.append(step)
        elif isinstance(step, int):
            finish(sweep(partition, step))
        elif step is not None:
            partition.follow(LearnedSegmentation(step) if isinstance(step, Model) else step)
    return done


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
