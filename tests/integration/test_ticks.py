"""The same events give the same models and migrations, however they come: replayed, loaded, live, or with failures.

Only positions and the instants of deciding may differ. Every input ends with a purchase in each partition, a moment
after a day has begun, so that time has passed equally far everywhere.
"""

from __future__ import annotations

import gzip
import json
import operator
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.settings.sections import Settings
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile
from tests.integration.test_worker import BACKTEST, NOW_MS, Deploy, Deployment, Input, deploy, partition_of, stopped
from tests.support.events import START_MS

__all__ = ["deploy"]

PARTITIONS = 4
DAYS = 200
LAST = "2024-12-02T00:00:00.001Z"
STEP_MS = 5 * DAY_MS
"""Of the last customers: shorter than what is trusted of a single one."""
SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "worker": BACKTEST,
    "learning": {"sample_size": 300, "wait_seconds": 300},
}
SEGMENTATIONS: Sequence[Mapping[str, Any]] = (
    {
        "kind": "rules",
        "name": "buyers",
        "segments": [
            {"id": "away", "name": "Away", "when": {"figure": "recency_days", "more_than": 40}},
            {"id": "often", "name": "Often", "when": {"event": "order_completed", "last": "60d", "at_least": 2}},
        ],
        "otherwise": {"id": "here", "name": "Here"},
    },
    {"kind": "learned", "name": "value"},
    {
        "kind": "audience",
        "name": "quiet",
        "when": {"all": [{"segmentation": "buyers", "segment": "often"}, {"not": {"event": "*", "last": "14d"}}]},
        "warn_before": "3d",
    },
)
"""A model among rules that look at each other, at windows and at silence."""
BOTH, ALONE = ("purchases", "engagements"), ("purchases",)

Migrations = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated population, in order, and a last customer of each partition, whom time follows step by step."""
    folder = tmp_path_factory.mktemp("population")
    simulate(500, DAYS, 11, folder)
    homes = {partition_of(f"last-{number}".encode(), PARTITIONS): f"last-{number}" for number in range(40)}
    path = folder / "purchases.jsonl.gz"
    assert len(homes) == PARTITIONS
    ends_ms = parse_instant(LAST)
    steps_ms = range(ends_ms - (ends_ms - START_MS - DAYS * DAY_MS) // STEP_MS * STEP_MS, ends_ms + 1, STEP_MS)
    last = [
        {
            "event_id": f"{c} {at_ms}",
            "customer_id": c,
            "occurred_at": format_instant(at_ms),
            "order_id": f"{c} {at_ms}",
            "total": "1.00",
            "currency": "EUR",
        }
        for at_ms in steps_ms
        for c in homes.values()
    ]
    lines = gzip.decompress(path.read_bytes()) + b"".join(json.dumps(each).encode() + b"\n" for each in last)
    path.write_bytes(gzip.compress(lines))
    return folder


class Replays:
    """Replays of the population, by its topics."""

    def __init__(self, population: Path, folder: Path) -> None:
        self._population = population
        self._folder = folder

    def folder(self, settings: Settings, topics: Sequence[str]) -> Path:
        out = self._folder / "-".join([*topics, *(each.name for each in settings.segmentations or ())])
        if not out.exists():
            sources = [SourceFile(self._population / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in topics]
            readers = create_readers(settings, sources, NOW_MS)
            create_replay(settings, out).run(readers)
            for reader in readers:
                reader.close()
        return out


@pytest.fixture(scope="module")
def replays(population: Path, tmp_path_factory: pytest.TempPathFactory) -> Replays:
    return Replays(population, tmp_path_factory.mktemp("replays"))


def inputs_of(population: Path, topics: Sequence[str]) -> list[Input]:
    """Return all records, by time; those of a topic and an instant by their text, as files are loaded."""
    timed = []
    for topic in topics:
        for line in sorted(gzip.decompress((population / f"{topic}.jsonl.gz").read_bytes()).splitlines()):
            record = json.loads(line)
            timed.append((record["occurred_at"], Input(topic, record["customer_id"].encode(), line)))
    return [item for _, item in sorted(timed, key=operator.itemgetter(0))]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        yield json.loads(line)


def by_customer(migrations: Iterator[dict[str, Any]]) -> Migrations:
    """Return everybody's migrations in order, without what may differ."""
    found: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for migration in migrations:
        del migration["decided_at"], migration["cause"]["position"]
        found[migration["segmentation"], migration["customer_id"]].append(migration)
    return found


def assert_as_replayed(deployment: Deployment, out: Path) -> None:
    """Compare all models and all migrations with a replay's."""
    models = [model for model in deployment.values(deployment.topics.models) if model["kind"] == "learned"]
    replayed = [model for model in lines(out / "models.jsonl") if model["kind"] == "learned"]
    assert [(m["version"], m["status"], m["as_of"]) for m in models] == [
        (m["version"], m["status"], m["as_of"]) for m in replayed
    ]
    assert len(models) > DAYS // 7 - 3
    for model, expected in zip(models, replayed, strict=True):
        assert model == expected
    found = by_customer(iter(deployment.values(deployment.topics.migrations)))
    expected_moves = by_customer(lines(out / "migrations.jsonl"))
    differing = [key for key in expected_moves.keys() | found.keys() if found.get(key) != expected_moves.get(key)]
    assert differing == [], (found.get(differing[0]), expected_moves.get(differing[0]))
    assert sum(map(len, found.values())) > 1_000


def finish(deployment: Deployment) -> None:
    deployment.wait_until_drained()
    for worker in deployment.workers:
        assert "the trainers have not decided" not in worker.log()
    stopped(deployment)


def test_three_workers_of_which_one_after_the_other_is_killed_give_what_a_replay_gives(
    deploy: Deploy, population: Path, replays: Replays
) -> None:
    deployment = deploy(kafka={"partitions": PARTITIONS, "session_timeout_seconds": 6}, **SECTIONS)
    deployment.produce(inputs_of(population, BOTH))
    for _ in range(3):
        deployment.begin_worker()
    for version in (1, 9):
        deployment.wait(lambda least=version: deployment.newest_version() >= least, f"model {version}")  # type: ignore[misc]
        deployment.workers.pop(0).kill()
        deployment.begin_worker()
    deployment.wait(lambda: all(deployment.readiness(number).get("ready") for number in range(2, 5)), "three workers")
    finish(deployment)
    assert_as_replayed(deployment, replays.folder(deployment.settings, BOTH))


def test_live_events_give_what_a_replay_gives(deploy: Deploy, population: Path, replays: Replays) -> None:
    deployment = deploy(kafka={"partitions": PARTITIONS}, **SECTIONS)
    inputs = inputs_of(population, ALONE)
    deployment.start_worker()
    for piece in range(6):
        deployment.produce(inputs[piece * len(inputs) // 6 : (piece + 1) * len(inputs) // 6])
        deployment.wait_until_drained()
        time.sleep(0.5)
    finish(deployment)
    assert_as_replayed(deployment, replays.folder(deployment.settings, ALONE))


@pytest.mark.parametrize("partitions", [1, PARTITIONS])
def test_rules_beside_a_model_move_as_in_a_replay(
    deploy: Deploy, population: Path, replays: Replays, partitions: int
) -> None:
    deployment = deploy(kafka={"partitions": partitions}, segmentations=SEGMENTATIONS, **SECTIONS)
    deployment.produce(inputs_of(population, ALONE))
    deployment.start_worker()
    finish(deployment)
    assert_as_replayed(deployment, replays.folder(deployment.settings, ALONE))
    told = {migration["segmentation"] for migration in deployment.values(deployment.topics.migrations)}
    assert told == {"buyers", "value", "quiet"}
