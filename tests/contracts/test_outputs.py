"""The output models against the values that the core really makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.outputs.migrations import Cause
from stream_app.contracts.outputs.samples import SampledActivity
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.contracts.rejections import REJECTION_REASONS
from stream_app.core.clock import format_instant
from stream_app.core.events import EVENT_KINDS
from tests.reference.row import ACTIVITY_DTYPE

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


def example(topic: str, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((EXAMPLES / topic / f"{name}.pass.json").read_text(encoding="utf-8"))
    return record


def test_sampled_activity_is_that_of_rows() -> None:
    assert tuple(SampledActivity.model_fields) == ACTIVITY_DTYPE.names


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_cause_names_every_kind_of_event(kind: str) -> None:
    assert Cause(kind=kind, event_id="e1", position=None).kind == kind


@pytest.mark.parametrize("reason", REJECTION_REASONS)
def test_dead_letter_knows_every_reason(reason: str) -> None:
    assert DeadLetter.model_validate(example("dead-letters", "kept") | {"reason": reason}).reason == reason


@pytest.mark.parametrize("at_ms", [0, 1, 1_714_564_800_123, 253_402_300_799_999])
def test_instants_are_as_the_clock_formats_them(at_ms: int) -> None:
    record = example("segment-memberships", "member") | {"since": format_instant(at_ms)}
    assert OUTPUT_MODELS["segment-memberships"].model_validate(record)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_never_go_out(number: float) -> None:
    record = example("segment-models", "published")
    record["thresholds"]["hysteresis"] = number
    with pytest.raises(ValidationError, match="hysteresis"):
        OUTPUT_MODELS["segment-models"].model_validate(record)


@pytest.mark.parametrize(
    ("topic", "name"),
    [(path.parent.name, path.name.removesuffix(".pass.json")) for path in sorted(EXAMPLES.glob("*/*.pass.json"))],
)
def test_outputs_round_trip_unchanged(topic: str, name: str) -> None:
    if topic not in OUTPUT_MODELS:
        return
    record = example(topic, name)
    assert json.loads(OUTPUT_MODELS[topic].model_validate(record).model_dump_json()) == record
