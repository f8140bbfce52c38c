"""The same events give the same migrations however they are divided: over partitions, and into chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.bootstrap.replay import create_readers
from stream_app.bootstrap.segmentation import create_partition
from stream_app.core.clock import DAY_MS, WEEK_MS
from stream_app.core.events import Event
from stream_app.core.records import batch_of
from stream_app.core.timeline import Pace, Step, Sweep, pass_time, steps
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile, merge_by_time
from tests.support.batches import contents_of
from tests.support.playing import play_events, play_sweep
from tests.support.published import Migration

FOUR = [
    {"kind": "learned", "name": "value"},
    {"kind": "learned", "name": "eager", "hysteresis": 0.1, "no_return_days": 7},
    {
        "kind": "rules",
        "name": "lifecycle",
        "segments": [
            {"id": "active", "name": "Active", "when": {"figure": "recency_days", "less_than": 20}},
            {"id": "slipping", "name": "Slipping", "when": {"figure": "recency_days", "less_than": 60}},
        ],
        "otherwise": {"id": "lapsed", "name": "Lapsed"},
    },
    {
        "kind": "audience",
        "name": "regulars",
        "when": {
            "all": [
                {"event": "order_completed", "at_least": 2, "last": "60d"},
                {"segmentation": "lifecycle", "segment": "active"},
            ]
        },
    },
]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(None, {"segmentations": FOUR})


@pytest.fixture(scope="module")
def events(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    folder: Path = tmp_path_factory.mktemp("simulated")
    simulate(40, 150, 5, folder)
    sources = [SourceFile(folder / f"{t}.jsonl.gz", t, {}, {}, None) for t in ("purchases", "engagements")]
    readers = create_readers(settings, sources, 2**42)
    found = [
        content for batch in merge_by_time(readers) for content in contents_of(batch) if isinstance(content, Event)
    ]
    for reader in readers:
        reader.close()
    return found


def parts_of(events: list[Event], size: int) -> Iterator[tuple[int, int]]:
    """Yield parts of so many events, or of more where an instant would be torn apart."""
    start = 0
    while start < len(events):
        stop = min(start + size, len(events))
        while stop < len(events) and events[stop].at_ms == events[stop - 1].at_ms:
            stop += 1
        yield start, stop
        start = stop


def play(settings: Settings, events: list[Event], chunk: int, due_max: int, until_ms: int) -> list[Migration]:
    """Fold events into one partition and let time pass up to an instant; nothing is learned."""
    partition = create_partition(settings)
    pace = Pace(DAY_MS, WEEK_MS, chunk, due_max)
    found: list[Migration] = []

    def do(step: Step, part: list[Event]) -> None:
        if isinstance(step, Sweep):
            played = play_sweep(partition, step.at_ms)
        else:
            played = play_events(partition, part[step.start : step.stop], step.sweeps)
        found.extend(played.migrations)

    for start, stop in parts_of(events, 5 * chunk):
        part = events[start:stop]
        batch = batch_of(part, 0, range(start, start + len(part)), partition.clock.watermark_ms)
        for step in steps(partition, batch, pace):
            do(step, part)
    for step in pass_time(partition, until_ms, pace):
        do(step, [])
    return [*found, *play_sweep(partition, until_ms).migrations]


def by_customer(migrations: list[Migration]) -> dict[str, list[Any]]:
    """Return what is said of each customer, in order, but for when and where its partition found it."""
    said: defaultdict[str, list[Any]] = defaultdict(list)
    for migration in migrations:
        cause = msgspec.structs.replace(migration.cause, position=None)
        said[migration.customer_id].append(msgspec.structs.replace(migration, decided_at="", cause=cause))
    return dict(said)


@pytest.mark.parametrize(
    ("partitions", "chunk", "due_max"), [(1, 7, 10_000), (1, 100_000, 0), (4, 50, 3), (4, 9_999, 10_000)]
)
def test_partitions_and_chunks_do_not_matter(
    settings: Settings, events: list[Event], partitions: int, chunk: int, due_max: int
) -> None:
    until_ms = max(event.at_ms for event in events) + 90 * DAY_MS
    expected = by_customer(play(settings, events, 500, 10_000, until_ms))
    found: dict[str, list[Any]] = {}
    for number in range(partitions):
        mine = [event for event in events if int(event.customer_id[1:]) % partitions == number]
        found |= by_customer(play(settings, mine, chunk, due_max, until_ms))
    assert found == expected
    moves = [migration for said in expected.values() for migration in said]
    assert {migration.segmentation for migration in moves} == {"value", "eager", "lifecycle", "regulars"}
    assert sum(migration.cause.kind == "lapse" for migration in moves) > 100
