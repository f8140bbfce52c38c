"""The scenarios on Kafka: two partitions, one worker, all definitions at once, and the same moves.

All scenarios are played side by side: their names stand before those of their customers and definitions. Time is that
of the events, so beside the scenarios' records there are some that do nothing but let time pass on every partition:
where something arrives late, where a definition takes over, and in the end.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.core.trust import AGREEING
from tests.integration.test_worker import Deployment, Input, partition_of
from tests.scenarios.inputs import CONSENTS, ENGAGEMENTS, PROFILES, consent, engagement, profile
from tests.scenarios.inputs import Input as Record
from tests.scenarios.notation import ALWAYS, Move, NotSupported, Scenario, parse_scenario, read_scenarios
from tests.scenarios.playing import differences

PARTITIONS = 2
CLOCK = "time passes"
"""Whose records do nothing but let time pass."""


class FromFile(Deployment):
    """A deployment whose segmentations are in a file."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        super().__init__(
            kafka,
            prefix,
            folder,
            kafka={"partitions": PARTITIONS},
            worker={"clock": "event"},
            assignment={"sweep_interval_seconds": HOUR_MS // 1_000},
        )
        self.file = folder / "segmentations.yaml"
        self._environment[-1] = f"SEGMENTER_SEGMENTATIONS_FILE={self.file}"


@pytest.fixture
def deployment(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[FromFile]:
    made = FromFile(kafka, topic_prefix, tmp_path)
    made.create_topics()
    yield made
    made.discard()


def prefixed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario with its name before those of its customers, definitions and lists."""
    name = str(document["id"])
    inputs = [
        {**entry, "user": f"{name}:{entry['user']}"} if "user" in entry else entry for entry in document["inputs"]
    ]
    moves = {
        key: [{**m, "segment": f"{name}_{m['segment']}", "user": f"{name}:{m['user']}"} for m in document[key]]
        for key in ("moves", "all_moves")
        if document.get(key) is not None
    }
    expect = [
        {**e, "segment": f"{name}_{e['segment']}", "members": [f"{name}:{member}" for member in e["members"]]}
        for e in document.get("expect", [])
    ]
    definitions = {f"{name}_{key}": _renamed(value, name) for key, value in document["definitions"].items()}
    lists = {f"{name}_{key}": [f"{name}:{each}" for each in ids] for key, ids in (document.get("lists") or {}).items()}
    return {
        **document,
        **moves,
        "inputs": inputs,
        "expect": expect,
        "definitions": definitions,
        "lists": lists,
    }


def _renamed(definition: Any, name: str) -> Any:
    if isinstance(definition, list):
        return [_renamed(part, name) for part in definition]
    if not isinstance(definition, dict):
        return definition
    return {
        key: f"{name}_{part}" if key in ("segment", "list") else _renamed(part, name)
        for key, part in definition.items()
    }


def scenarios(names: str) -> list[Scenario]:
    """Return those whose names begin so, whose whole story lies in the past, and whose definitions do not change."""
    found = []
    for document in read_scenarios():
        if document["id"][0] not in names:
            continue
        try:
            scenario = parse_scenario(prefixed(document))
        except NotSupported:
            continue
        if all(a.from_ms == ALWAYS for a in scenario.adoptions) and last_said_ms(scenario) + 2 * DAY_MS < now_ms():
            found.append(scenario)
    return found


def last_said_ms(scenario: Scenario) -> int:
    instants = [each.arrives_ms for each in scenario.inputs] + [move.at_ms for move in scenario.all_moves or ()]
    return max(instants)


def write_file(path: Path, told: Sequence[Scenario]) -> None:
    """Write the definitions of all scenarios, and their lists."""
    lists = {}
    for scenario in told:
        for name, ids in scenario.lists.items():
            (path.parent / f"{name}.csv").write_text("".join(f"{each}\n" for each in ids))
            lists[name] = f"{name}.csv"
    entries = [adoption.entry for scenario in told for adoption in scenario.adoptions]
    path.write_text(json.dumps({"version": 1, "lists": lists, "segmentations": entries}))


def record_of(record: Record) -> Input:
    return Input(record.topic, record.customer_id.encode(), record.payload)


def ticks(at_ms: int) -> Iterator[Input]:
    """Yield records that let time pass up to an instant, on every partition and topic."""
    ids: dict[int, list[str]] = defaultdict(list)
    for number in range(64):
        customer_id = f"{CLOCK} {number}"
        ids[partition_of(customer_id.encode(), PARTITIONS)].append(customer_id)
    for customer_id in chain.from_iterable(ids[partition][:AGREEING] for partition in range(PARTITIONS)):
        identity = f"{customer_id} {at_ms}"
        yield record_of(engagement(customer_id, at_ms, identity, CLOCK))
        yield record_of(profile(customer_id, at_ms, identity, {"clock": at_ms}))
        yield record_of(consent(customer_id, at_ms, identity, "email", is_granted=True))


def inputs_of(told: Sequence[Scenario]) -> Iterator[Input]:
    """Yield all inputs in the order of arrival, and what lets time pass before one that is late."""
    everything = sorted((each for scenario in told for each in scenario.inputs), key=lambda each: each.arrives_ms)
    for each in everything:
        assert each.topic in (ENGAGEMENTS, PROFILES, CONSENTS)
        if each.arrives_ms > each.at_ms:
            yield from ticks(each.arrives_ms)
        yield record_of(each)
    yield from ticks(max(map(last_said_ms, told)) + DAY_MS)


def moves_of(scenario: Scenario, migrations: Sequence[Mapping[str, Any]]) -> list[Move]:
    """Return the moves of a scenario's customers in its own definitions."""
    own = f"{scenario.name}:"
    return sorted(
        Move(
            parse_instant(each["effective_at"]),
            each["segmentation"],
            each["customer_id"],
            each["to_segment"] is not None,
        )
        for each in migrations
        if each["customer_id"].startswith(own) and each["segmentation"].startswith(f"{scenario.name.lower()}_")
    )


@pytest.mark.parametrize(("names", "least"), [("SE", 19), ("PC", 32)])
def test_scenarios_come_out_as_expected_on_two_partitions(deployment: FromFile, names: str, least: int) -> None:
    told = scenarios(names)
    assert len(told) >= least
    write_file(deployment.file, told)
    deployment.produce(inputs_of(told))
    worker = deployment.start_worker()
    deployment.wait_until_drained()
    assert worker.stop() == 0
    assert deployment.values(deployment.topics.dead_letters) == []
    migrations = deployment.values(deployment.topics.migrations)
    assert len({message.partition() for message in deployment.read(deployment.topics.migrations)}) == PARTITIONS
    complaints = {scenario.name: list(differences(scenario, moves_of(scenario, migrations))) for scenario in told}
    assert {name: wrong for name, wrong in complaints.items() if wrong} == {}


def test_a_definition_takes_over_at_its_instant_on_every_partition(deployment: FromFile) -> None:
    documents = {document["id"]: document for document in read_scenarios()}
    changing = [parse_scenario(prefixed(each)) for each in (without(documents["S02"], "recent"), documents["P09"])]
    instants = sorted({adoption.from_ms for scenario in changing for adoption in scenario.adoptions})
    assert instants[0] == ALWAYS
    everything = sorted((each for s in changing for each in s.inputs), key=lambda each: each.arrives_ms)
    for from_ms, until_ms in pairwise([*instants, max(map(last_said_ms, changing)) + DAY_MS]):
        in_force = {a.entry["name"]: a.entry for s in changing for a in s.adoptions if a.from_ms <= from_ms}
        deployment.file.write_text(json.dumps({"version": 1, "segmentations": list(in_force.values())}))
        worker = deployment.start_worker()
        if from_ms != ALWAYS:
            deployment.wait(lambda known=set(in_force): adopted(deployment) >= known, "definitions in force")
        deployment.produce(record_of(each) for each in everything if from_ms <= each.arrives_ms < until_ms)
        deployment.produce(ticks(until_ms))
        deployment.wait_until_drained()
        assert worker.stop() == 0
        deployment.workers.clear()
    migrations = deployment.values(deployment.topics.migrations)
    complaints = {s.name: list(differences(s, moves_of(s, migrations))) for s in changing}
    assert {name: wrong for name, wrong in complaints.items() if wrong} == {}


def without(document: Mapping[str, Any], segment: str) -> dict[str, Any]:
    """Return a scenario without a definition: a worker does not count events from before one that it first asks for."""
    lists = {key: [e for e in document[key] if e["segment"] != segment] for key in ("expect", "moves", "all_moves")}
    definitions = {name: each for name, each in document["definitions"].items() if name != segment}
    return {**document, **lists, "definitions": definitions}


def adopted(deployment: FromFile) -> set[str]:
    """Return the segmentations that all partitions follow."""
    positions = deployment.positions()
    known = [set(position.versions) for position in positions.values()]
    return set.intersection(*known) if len(positions) == PARTITIONS else set()
