"""What an explanation holds beside its sentence: figures, what decided, the margin, and the next move."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from stream_app.contracts.outputs.migrations import Figures, LearnedExplanation, SegmentMigration
from stream_app.core.events import Event, pack_events
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events, sweep
from stream_app.segmentations.describing import Chunk, Described, Describer
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.reference.figures import CustomerFigures
from tests.segmentations.learned.fixed_model import MODEL, RHYTHM
from tests.support.events import engagement, instant, purchase, refund
from tests.support.playing import Step, play
from tests.support.published import Explanation, Migration

LEFT_OUT = ("consents", "merged_into")
SEVEN = [purchase(day) for day in (0, 8, 15, 25, 33, 40, 50)]
BUSY = [
    purchase(0),
    *(engagement(day) for day in range(1, 60, 4)),
    *(purchase(day) for day in (60, 64, 70, 75)),
    instant(900),
]
"""New, Browsers, Loyal, and then silent for good."""


def moves(steps: list[Step], model: Model = MODEL) -> list[Migration]:
    return play(Partition([LearnedSegmentation(model)]), steps)


def by_target(steps: list[Step]) -> dict[str, Migration]:
    return {move.to_segment.name: move for move in moves(steps) if move.to_segment}


def described(events: list[Event], until_ms: int) -> tuple[Described, Described]:
    """Return what is published of moves by events, and of those by the silence that follows."""
    partition = Partition([LearnedSegmentation(MODEL)])
    describer, packed = Describer(partition.context), pack_events(events, range(len(events)), 0)
    acts = describer.describe_step(partition, process_events(partition, packed).moves, Chunk(packed, ["log"]))
    return acts, describer.describe_step(partition, sweep(partition, until_ms).moves)


def documents(steps: list[Step]) -> list[dict[str, Any]]:
    """Return the migrations of events and of the silence that follows, as they are published."""
    events = [step for step in steps if isinstance(step, Event)]
    return [json.loads(line) for step in described(events, instant(900)) for line in step.lines.splitlines()]


def reason(move: Migration) -> Explanation:
    assert move.explanation.kind == "learned"
    return move.explanation


def figures(move: Migration) -> CustomerFigures:
    """Return what a move says of its customer after it."""
    assert move.explanation.after is not None
    return move.explanation.after


@pytest.mark.parametrize("steps", [BUSY, [*SEVEN, refund(60, 5_000, "order c1 50")]])
def test_migrations_keep_their_contract(steps: list[Step]) -> None:
    for document in documents(steps):
        SegmentMigration.model_validate(document)


def test_explanation_has_the_fields_of_the_contract_in_their_order() -> None:
    for document in documents(BUSY):
        assert list(document) == [name for name in SegmentMigration.model_fields if name not in LEFT_OUT]
        assert list(document["explanation"]) == list(LearnedExplanation.model_fields)
        assert list(document["explanation"]["after"]) == list(Figures.model_fields)


@pytest.mark.parametrize(("minor_per_major", "digits"), [(1, 0), (100, 2), (1_000, 3)])
def test_order_value_has_as_many_decimals_as_the_currency(minor_per_major: int, digits: int) -> None:
    steps = [purchase(day, 1_237 + day) for day in (0, 8, 15, 25, 33, 40, 50)]
    partition = Partition([LearnedSegmentation(MODEL)], MigrationContext("XXX", minor_per_major))
    for move in play(partition, steps):
        value = figures(move).order_value
        assert value == round(value or 0, digits) > 0


def test_figures_are_what_events_add_up_to() -> None:
    steps = [purchase(0), purchase(10), engagement(12), refund(14, 5_000, "order c1 10"), instant(900)]
    (lapsed,) = [figures(move) for move in moves(steps) if move.to_segment and move.to_segment.name == "One-time"]
    assert lapsed.orders == 1
    assert lapsed.order_recency_days == pytest.approx(lapsed.tenure_days - 10)
    assert lapsed.order_tenure_days == pytest.approx(lapsed.tenure_days)
    assert lapsed.engagement_recency_days == pytest.approx(lapsed.recency_days)
    assert lapsed.recency_days == pytest.approx(lapsed.tenure_days - 12)
    assert lapsed.order_value == pytest.approx(50.0, abs=1.0)
    assert 0 < lapsed.probability_active < 0.5


def test_what_has_never_happened_is_none() -> None:
    visited = figures(moves([engagement(0)], Model("value"))[0])
    assert (visited.orders, visited.order_recency_days, visited.order_tenure_days) == (0, None, None)
    assert visited.order_value is None
    assert figures(moves([purchase(0)])[0]).engagement_recency_days is None


def test_first_entry_has_nothing_before_it_and_nothing_decided() -> None:
    (entry, *_) = moves(SEVEN)
    explained = reason(entry)
    assert (explained.before, explained.decisive, explained.margin) == (None, None, None)
    assert entry.direction is None


def test_each_move_is_put_down_to_what_decided() -> None:
    found = by_target(BUSY)
    decisive = {name: reason(move).decisive for name, move in found.items()}
    assert decisive == {
        "New": None,
        "Browsers": "tenure",
        "Loyal": "order_rate",
        "At risk": "silence",
        "Hibernating": "silence",
        "Lost": "silence",
    }


def test_more_is_told_of_every_move_but_the_first_entry_than_that_something_is_new() -> None:
    acts, silence = described([step for step in BUSY if isinstance(step, Event)], instant(900))
    assert acts.is_specific.tolist() == [False] + [True] * (len(acts) - 1)
    assert silence.is_specific.all()


def test_margin_is_there_where_a_distance_decided_and_nowhere_else() -> None:
    margins = {name: reason(move).margin for name, move in by_target(BUSY).items()}
    loyal = margins.pop("Loyal")
    assert loyal is not None
    assert loyal > MODEL.thresholds.hysteresis
    assert set(margins.values()) == {None}
    failed = [reason(move) for move in moves([purchase(0), purchase(10), engagement(12), instant(60)])]
    assert failed[-1].sentence.startswith("Orders have become rarer")
    assert failed[-1].margin is None


def test_statement_is_that_of_the_segment_entered() -> None:
    statements = {name: reason(move).statement for name, move in by_target(BUSY).items()}
    assert statements == {
        "New": "ordered at most once, came first within 30 days",
        "Browsers": "comes at least once in 25 days, orders at most once in 14 days",
        "Loyal": "orders at least once in 38 days",
        "At risk": "silent for at least 10 days, longer than its own rhythm explains",
        "Hibernating": "silent for at least 30 days, most likely gone",
        "Lost": "silent for at least 365 days",
    }


def test_directions_follow_the_order_of_segments() -> None:
    directions = {name: move.direction for name, move in by_target(BUSY).items()}
    assert directions == {
        "New": None,
        "Browsers": "sideways",
        "Loyal": "up",
        "At risk": "down",
        "Hibernating": "down",
        "Lost": "down",
    }


def test_next_move_is_the_one_that_silence_makes() -> None:
    found = moves(BUSY)
    for move, following in zip(found[-4:-1], found[-3:], strict=True):
        assert move.next_move is not None
        assert move.next_move.to_segment == following.to_segment
        if move.change == "lapsed":
            assert move.next_move.at == following.effective_at
    assert found[-1].next_move is None


def test_move_by_a_model_has_the_figures_of_both_versions() -> None:
    strict = dataclasses.replace(RHYTHM, log_gap=math.log(3), log_gap_variance=0.2, prior_weight=3.0)
    frame = dataclasses.replace(MODEL.frame, rhythm=strict)
    later = dataclasses.replace(MODEL, version=2, frame=frame, previous=MODEL.frame)
    *_, moved = moves([*SEVEN, instant(63), later, instant(64)])
    explained = reason(moved)
    assert explained.before is not None
    assert explained.after is not None
    assert explained.before.recency_days == explained.after.recency_days == 13.0
    assert explained.before.usual_gap_days > explained.after.usual_gap_days
    assert explained.before.probability_active > explained.after.probability_active
