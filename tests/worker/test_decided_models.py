"""What a worker knows and exports of models that wait, were rejected, or are pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.metrics import Reading
from stream_app.contracts.decisions import Outcome, outcome_key
from stream_app.segmentations.learned.document import Drift, ModelProposal
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker.decisions import model_record
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.telemetry import Telemetry

MODEL = Model("value", version=7, as_of_ms=7, expected_churn=0.01)
DRIFT = Drift({"order_rate": 0.3, "silence": 0.05}, {"loyal": 0.7})


class NothingOwned:
    """As much of `OwnedPartitions` as a scrape asks of a worker without partitions."""

    lanes: Mapping[int, Any] = {}
    intakes: Mapping[int, Any] = {}
    figures: Mapping[int, Any] = {}
    inputs = ("purchases",)
    rebalances = 0
    recovery_seconds = 0.0

    def committable(self, _: object) -> Mapping[Any, int]:
        return {}


@pytest.fixture
def follower() -> DefinitionFollower:
    follower = DefinitionFollower(KafkaConnection("nowhere:1"), "models", lambda _: [LearnedSegmentation(MODEL)])
    read(follower, ModelProposal(MODEL))
    follower._finish_reading()
    return follower


def read(follower: DefinitionFollower, proposal: ModelProposal) -> None:
    record = model_record(proposal)
    follower._read(record.value, record.key)


def decide(follower: DefinitionFollower, pinned_version: int | None) -> None:
    outcome = Outcome(
        segmentation="value",
        action="pin" if pinned_version else "unpin",
        version=pinned_version,
        status="done",
        reason=None,
        published_version=7,
        pinned_version=pinned_version,
        decided_by="Ada",
        decided_at="2024-06-01T12:00:00.000Z",
        offset=1,
    )
    follower._read(msgspec.json.encode(outcome), outcome_key("value"))


def held(version: int, as_of_ms: int = 8, *, rejected: bool = False) -> ModelProposal:
    model = replace(MODEL, version=version, as_of_ms=as_of_ms, expected_churn=0.015)
    return ModelProposal(model, held=True, drift=DRIFT, rejected=rejected)


def exported(follower: DefinitionFollower) -> dict[str, dict[tuple[str, ...], float]]:
    owned: Any = NothingOwned()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for reading in Telemetry(owned, follower, lambda: ({}, {})).readings():
        assert isinstance(reading, Reading)
        found.setdefault(reading.metric.name, {})[tuple(reading.labels)] = float(reading.value)  # type: ignore[arg-type]
    return found


def test_model_that_is_held_waits_until_its_version_is_published(follower: DefinitionFollower) -> None:
    assert follower.waiting("value") is None
    read(follower, held(8))
    read(follower, held(8, as_of_ms=9))
    waiting = follower.waiting("value")
    assert waiting is not None
    assert waiting.model.as_of_ms == 9
    assert follower.current["value"].version == 7
    read(follower, ModelProposal(replace(MODEL, version=8, as_of_ms=1)))  # an earlier one that was brought back
    assert follower.waiting("value") is None
    assert follower.waiting("habits") is None


def test_model_that_is_rejected_waits_no_more_and_is_never_in_force(follower: DefinitionFollower) -> None:
    read(follower, held(8))
    read(follower, held(8, rejected=True))
    assert follower.waiting("value") is None
    assert follower.current["value"].version == 7
    assert follower.newest["value"].rejected


def test_pin_is_known_until_it_is_taken_away(follower: DefinitionFollower) -> None:
    decide(follower, 7)
    assert follower.pinned == {"value": 7}
    decide(follower, None)
    decide(follower, None)
    assert follower.pinned == {}


def test_held_pinned_and_drifting_models_are_exported(follower: DefinitionFollower) -> None:
    found = exported(follower)
    assert "segmenter_model_held_expected_churn" not in found
    assert found["segmenter_model_pinned"] == {("value",): 0.0}
    read(follower, held(8))
    decide(follower, 7)
    found = exported(follower)
    assert found["segmenter_model_held_expected_churn"] == {("value", "8"): 0.015}
    assert found["segmenter_model_pinned"] == {("value",): 1.0}
    assert found["segmenter_model_drift_score"] == {("value", "order_rate"): 0.3, ("value", "silence"): 0.05}
    assert found["segmenter_model_role_drift"] == {("value", "loyal"): 0.7}


@pytest.mark.parametrize("break_it", [lambda value: value[:-1], lambda _: b"{}"])
def test_outcome_that_is_none_is_left_out(follower: DefinitionFollower, break_it: Callable[[bytes], bytes]) -> None:
    follower._read(break_it(b'{"kind":"decision"}'), outcome_key("value"))
    assert follower.pinned == {}
