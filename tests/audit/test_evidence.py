"""Records of earlier releases are read; records that lack only a part of what has been added are breaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.audit.evidence import read_memberships, read_migrations
from stream_app.audit.records import LogRecord

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
EARLIER_FIGURES = {
    "recency_days": 29.0,
    "usual_gap_days": 5.2,
    "probability_active": 0.35,
    "orders_90d": 2.0,
    "revenue_90d": 61.4,
    "engaged_days_21d": 1.5,
    "tenure_days": 310.0,
}
EARLIER_EXPLANATION = {
    "kind": "learned",
    "before": EARLIER_FIGURES,
    "after": EARLIER_FIGURES,
    "distance_from": 1.9,
    "distance_to": 1.1,
    "margin": 0.6,
    "decisive_feature": "inactivity",
    "sentence": "Silent for 29 days.",
}


def example(topic: str, name: str) -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / topic / f"{name}.pass.json").read_text("utf-8")))


def without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def log_of(record: dict[str, Any]) -> list[LogRecord]:
    return [LogRecord(0, 0, b"c-42", json.dumps(record).encode())]


def test_migration_of_an_earlier_release_is_read() -> None:
    earlier = without(example("segment-migrations", "lapse"), "direction", "next_move")
    (seen,), faults = read_migrations(log_of(earlier | {"explanation": EARLIER_EXPLANATION}), "t", 0)
    assert not faults
    assert (seen.customer_id, seen.change, seen.to.segment_id, seen.to.sequence) == ("c-42", "lapsed", "s5", 3)


@pytest.mark.parametrize("lacking", [("direction",), ("next_move",), ("direction", "next_move", "sequence")])
def test_migration_that_lacks_something_else_is_a_breach(lacking: tuple[str, ...]) -> None:
    seen, faults = read_migrations(log_of(without(example("segment-migrations", "lapse"), *lacking)), "t", 0)
    assert not seen
    assert [fault.check for fault in faults] == ["contracts"]


def test_membership_of_an_earlier_release_is_read() -> None:
    (seen,), faults = read_memberships(log_of(without(example("segment-memberships", "member"), "next_move")), "t", 0)
    assert not faults
    assert seen.standing is not None
    assert seen.standing.segment_id == "s5"
