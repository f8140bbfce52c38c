"""What people read: the whole sentence of every kind of move, from events to words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from stream_app.core.events import PURCHASE, Event, Position
from stream_app.core.moves import MODEL as MODEL_CAUSE
from stream_app.core.moves import MOVED, MigrationContext, Moves
from stream_app.core.partition import Partition
from stream_app.core.segmentation import NEVER_MS, Due
from stream_app.core.segments import NOWHERE
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.model_changes import Change, describe_change
from stream_app.segmentations.learned.roles import (
    AT_RISK,
    BIG_SPENDERS,
    BROWSERS,
    HIBERNATING,
    KINDS,
    LOST,
    LOYAL,
    OCCASIONAL,
    ONE_TIME,
    REGULAR,
)
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.learned.words import statement_of
from tests.native.moves import describe
from tests.segmentations.learned.fixed_model import FRAME, MODEL, RHYTHM
from tests.support.events import engagement, instant, purchase, refund
from tests.support.playing import Step, play
from tests.support.published import Migration, read_migration
from tests.support.tables import activity_of

ORDERS_ALONE = dataclasses.replace(MODEL, frame=dataclasses.replace(FRAME, engagement_weight=0.0))
"""Of a shop without engagements."""
LAST = instant(900)
EVERY_12 = [purchase(day, order_id=f"o{day}") for day in range(0, 60, 12)]
SEVEN = [purchase(day) for day in (0, 8, 15, 25, 33, 40, 50)]
RICH = [purchase(day, 25_000) for day in (0, 15, 30, 45)]
VISITS = [engagement(day + (0.001 if day else 0)) for day in range(0, 60, 5)]
"""None comes right when somebody is new no longer, as that instant would be the visit's."""
STRICT = dataclasses.replace(RHYTHM, log_gap=math.log(3), log_gap_variance=0.2, prior_weight=3.0)
"""A population that comes every third day."""
PATIENT = dataclasses.replace(RHYTHM, log_gap=math.log(200), prior_weight=10.0)
"""A population that stays away for half a year."""


def shifted(axis: int, by: dict[int, float]) -> np.ndarray:
    centres = FRAME.centres.copy()
    for role, shift in by.items():
        centres[role, axis] += shift
    return centres


def successor(model: Model = MODEL, **frame: Any) -> Model:
    """Return the next version of a model, of another frame."""
    changed = dataclasses.replace(model.frame, **frame)
    return dataclasses.replace(model, version=model.version + 1, previous=model.frame, frame=changed)


def moves(steps: list[Step], model: Model = MODEL) -> list[Migration]:
    return play(Partition([LearnedSegmentation(model)]), steps)


def sentences(steps: list[Step], model: Model = MODEL) -> list[str]:
    return [migration.explanation.sentence for migration in moves(steps, model)]


ENTRY = "Purchase of 50.00 EUR, the first event; enters New."
SECOND = "Purchase of 50.00 EUR: 12 days after the last one, 2 orders in 12 days; New → Regular."
SECOND_OF_SEVEN = "Purchase of 50.00 EUR: 8 days after the last one, 2 orders in 8 days; New → Loyal."

STORIES: dict[str, tuple[Model, list[Step], list[str]]] = {
    "one order and never back": (
        MODEL,
        [purchase(0), LAST],
        [
            ENTRY,
            "Silent for 30 days since the only active day, customers usually return after 23 days; New → One-time.",
        ],
    ),
    "a regular customer who stops": (
        MODEL,
        [*EVERY_12, LAST],
        [
            ENTRY,
            SECOND,
            "Silent for 54 days, usually active every 15 days; Regular → At risk.",
            "Silent for 81 days, usually active every 15 days; At risk → Hibernating.",
            "Silent for 365 days, usually active every 15 days; Hibernating → Lost.",
        ],
    ),
    "a visitor who never orders": (
        MODEL,
        [*VISITS, instant(70)],
        [
            "Engagement (product_viewed), the first event; enters New.",
            "No longer new after 30 days: no order, comes about every 5 days; New → Browsers.",
        ],
    ),
    "a visitor who begins to order": (
        MODEL,
        [
            purchase(0),
            *(engagement(day) for day in range(1, 60, 4)),
            *(purchase(day) for day in (60, 64, 70, 75)),
        ],
        [
            ENTRY,
            "No longer new after 30 days: 1 order, 30 days ago, comes about every 4 days; New → Browsers.",
            "Purchase of 50.00 EUR: 6 days after the last one, 4 orders in 70 days; Browsers → Loyal.",
        ],
    ),
    "orders and then visits become rarer": (
        MODEL,
        [
            purchase(0),
            purchase(10),
            *(engagement(day) for day in (12, 30, 48, 66, 84, 102, 120, 160)),
            instant(280),
        ],
        [
            ENTRY,
            "Purchase of 50.00 EUR: 10 days after the last one, 2 orders in 10 days; New → Regular.",
            "Engagement (product_viewed): comes about every 9 days; Regular → Loyal.",
            "Orders have become rarer: 2 orders in 44 days, the last 34 days ago; Loyal means orders at least once in "
            "38 days; Loyal → Regular.",
            "Orders and visits have become rarer: 2 orders in 211 days, the last 201 days ago, "
            "the last visit 51 days ago; Regular means orders at least once in 99 days or comes at least once "
            "in 40 days; Regular → Occasional.",
        ],
    ),
    "visits of a browser become rarer": (
        dataclasses.replace(MODEL, frame=dataclasses.replace(FRAME, rhythm=PATIENT)),
        [*VISITS, instant(140)],
        [
            "Engagement (product_viewed), the first event; enters New.",
            "No longer new after 30 days: no order, comes about every 5 days; New → Browsers.",
            "Visits have become rarer: the last visit 74 days ago; Browsers means comes at least once in 25 days, "
            "orders at most once in 14 days; Browsers → Occasional.",
        ],
    ),
    "visits of somebody who never orders become rarer": (
        MODEL,
        [*(engagement(day) for day in (0, 3, 6, 45, 90, 150)), instant(240)],
        [
            "Engagement (product_viewed), the first event; enters New.",
            "No longer new after 30 days: no order, comes about every 12 days; New → Regular.",
            "Visits have become rarer: the last visit 45 days ago; Regular means orders at "
            "least once in 99 days or comes at least once in 40 days; Regular → Occasional.",
        ],
    ),
    "orders of somebody who never visits become rarer": (
        MODEL,
        [purchase(0), purchase(25), purchase(80), purchase(160), instant(400)],
        [
            ENTRY,
            "Purchase of 50.00 EUR: 25 days after the last one, 2 orders in 25 days; New → Regular.",
            "Orders have become rarer: 4 orders in 271 days, the last 111 days ago; Regular means orders at least once "
            "in 99 days or comes at least once in 40 days; Regular → Occasional.",
        ],
    ),
    "a single order is not followed by another": (
        dataclasses.replace(ORDERS_ALONE, frame=dataclasses.replace(ORDERS_ALONE.frame, rhythm=PATIENT)),
        [purchase(0, order_id="o0"), purchase(9, order_id="o9"), refund(10, 5_000, "o0"), instant(200)],
        [
            ENTRY,
            "Purchase of 50.00 EUR: 9 days after the last one, 2 orders in 9 days; New → Loyal.",
            "No further order: 1 order, 4 days ago; Loyal means orders at least once in 38 days; Loyal → Regular.",
            "No further order: 1 order, 52 days ago; Regular means orders at least once in 99 days; "
            "Regular → Occasional.",
        ],
    ),
    "a customer who comes back and slows down": (
        ORDERS_ALONE,
        [*(purchase(day) for day in range(0, 60, 8)), purchase(120), instant(182)],
        [
            ENTRY,
            SECOND_OF_SEVEN,
            "Silent for 32 days, usually active every 10 days; Loyal → At risk.",
            "Silent for 45 days, usually active every 10 days; At risk → Hibernating.",
            "Purchase of 50.00 EUR: back after 64 days, usually active every 10 days; Hibernating → Loyal.",
            "Orders have become rarer: 9 orders in 181 days, the last 61 days ago; Loyal means orders at least once in "
            "38 days; Loyal → Regular.",
        ],
    ),
    "a customer who comes back after one order": (
        MODEL,
        [purchase(0), instant(40), purchase(61)],
        [
            ENTRY,
            "Silent for 30 days since the only active day, customers usually return after 23 days; New → One-time.",
            "Purchase of 50.00 EUR: back after 61 days; One-time → Occasional.",
        ],
    ),
    "a customer who spends much from the beginning": (
        MODEL,
        [purchase(0, 25_000), purchase(15, 25_000)],
        [
            "Purchase of 250.00 EUR, the first event; enters New.",
            "Purchase of 250.00 EUR: 15 days after the last one, 2 orders in 15 days, spends about 112 EUR an order, "
            "others about 50 EUR; New → Big spenders.",
        ],
    ),
    "an order that is heard of late": (
        MODEL,
        [purchase(0), engagement(14), purchase(12)],
        [ENTRY, "Purchase of 50.00 EUR: 2 orders in 14 days, the last 2 days ago; New → Loyal."],
    ),
    "a customer who spends more and more": (
        MODEL,
        [
            *(purchase(day, 2_000) for day in (0, 20, 40)),
            *(purchase(day, 60_000) for day in (45, 50, 55, 60, 65)),
        ],
        [
            "Purchase of 20.00 EUR, the first event; enters New.",
            "Purchase of 20.00 EUR: 20 days after the last one, 2 orders in 20 days; New → Regular.",
            "Purchase of 600.00 EUR: spends about 111 EUR an order, others about 50 EUR; Regular → Big spenders.",
        ],
    ),
    "orders that are all refunded": (
        MODEL,
        [
            *(purchase(day, order_id=f"o{day}") for day in range(0, 40, 5)),
            *(refund(36 + number / 10, 5_000, f"o{number * 5}") for number in range(8)),
        ],
        [
            ENTRY,
            "Purchase of 50.00 EUR: 5 days after the last one, 2 orders in 5 days; New → Loyal.",
            "Refund of 50.00 EUR: 1 order, 2 days ago; Loyal means orders at least once in 38 days; "
            "Loyal → Occasional.",
        ],
    ),
    "a segmentation that is added to active customers": (
        MODEL,
        [*SEVEN, instant(60), dataclasses.replace(MODEL, name="second"), instant(61)],
        [
            ENTRY,
            SECOND_OF_SEVEN,
            "Segmentation second is new: 7 orders in 60 days, the last 10 days ago; enters Regular.",
        ],
    ),
    "a segmentation that is added to new customers": (
        MODEL,
        [purchase(0), instant(1), dataclasses.replace(MODEL, name="second"), instant(2)],
        [ENTRY, "Segmentation second is new: first seen 1 day ago, 1 order; enters New."],
    ),
    "a segmentation that is added to visitors": (
        MODEL,
        [*VISITS, instant(60), dataclasses.replace(MODEL, name="second"), instant(61)],
        [
            "Engagement (product_viewed), the first event; enters New.",
            "No longer new after 30 days: no order, comes about every 5 days; New → Browsers.",
            "Segmentation second is new: first seen 60 days ago, no order, comes about every 5 days; enters Browsers.",
        ],
    ),
    "a segmentation that is added to customers who are gone": (
        MODEL,
        [*EVERY_12, instant(160), dataclasses.replace(MODEL, name="second"), instant(161)],
        [
            ENTRY,
            SECOND,
            "Silent for 54 days, usually active every 15 days; Regular → At risk.",
            "Silent for 81 days, usually active every 15 days; At risk → Hibernating.",
            "Segmentation second is new: silent for 112 days, usually active every 15 days; enters Hibernating.",
        ],
    ),
}


@pytest.mark.parametrize(("model", "steps", "told"), STORIES.values(), ids=STORIES.keys())
def test_every_move_of_a_story_is_told_in_a_whole_sentence(model: Model, steps: list[Step], told: list[str]) -> None:
    assert sentences(steps, model) == told


BY_MODEL: dict[str, tuple[list[Step], str]] = {
    "rhythm, at risk": (
        [*SEVEN, instant(63), successor(rhythm=STRICT), instant(64)],
        "Model 2 expects customers of this rhythm back within 12 days, before 36: silent for 13 days, usually active "
        "every 6 days; Loyal → At risk.",
    ),
    "rhythm, lapsed": (
        [*SEVEN, instant(99), successor(rhythm=STRICT), instant(100)],
        "Model 2 gives customers of this rhythm up after 30 days, before 52: silent for 49 days, usually active every "
        "6 days; At risk → Hibernating.",
    ),
    "statement": (
        [*SEVEN, instant(78), successor(centres=shifted(ORDERS, {REGULAR: 1.0, LOYAL: 1.0})), instant(79)],
        "Model 2: Loyal now means orders at least once in 14 days, before at least once in 38 days: 7 orders in 78 "
        "days, the last 28 days ago; Loyal → Regular.",
    ),
    "statement of several bounds": (
        [*VISITS, instant(68), successor(centres=shifted(ENGAGEMENT, {BROWSERS: 1.2, OCCASIONAL: 1.8})), instant(69)],
        "Model 2: Browsers now means comes at least once in 6 days, orders at most once in 14 days, before comes at "
        "least once in 25 days, orders at most once in 14 days: comes about every 7 days, the last visit 13 days ago; "
        "Browsers → Occasional.",
    ),
    "visits that count no more": (
        [*VISITS, instant(62), successor(engagement_weight=0.0), instant(63)],
        "Model 2: visits no longer count: comes about every 6 days, the last visit 7 days ago; Browsers → Occasional.",
    ),
    "usual order value": (
        [*RICH, instant(60), successor(order_value_minor=20_000.0), instant(61)],
        "Model 2: the usual order is now about 200 EUR, before about 50 EUR: spends about 232 EUR an order, "
        "others about 200 EUR; Big spenders → Occasional.",
    ),
    "statement about order values": (
        [*RICH, instant(60), successor(centres=shifted(VALUE, {BIG_SPENDERS: 2.5})), instant(61)],
        "Model 2: Big spenders now means spends at least 4.5 times the usual order value, and orders at least once in "
        "99 days or comes at least once in 40 days, before spends at least 1.3 times the usual order value, and orders "
        "at least once in 99 days or comes at least once in 40 days: spends about 146 EUR an order, others about 50 "
        "EUR; Big spenders → Occasional.",
    ),
    "statement of those who order more often by now": (
        [
            *(purchase(day) for day in (0, 45, 90, 150)),
            instant(160),
            successor(centres=shifted(ORDERS, {REGULAR: -2.0, LOYAL: -2.0, OCCASIONAL: -2.0})),
            instant(161),
        ],
        "Model 2: Occasional now means orders at most once in 104 days, before at most once in 14 days: 4 orders in "
        "160 days, the last 10 days ago; Occasional → Regular.",
    ),
    "days of being new": (
        [purchase(0), instant(20), successor(new_days=14.0), instant(21)],
        "Model 2 counts customers as new for 14 days, before 30: 1 order, 20 days ago; New → Occasional.",
    ),
    "days of being new, silent": (
        [purchase(0), instant(25), successor(new_days=14.0, rhythm=STRICT), instant(26)],
        "Model 2 counts customers as new for 14 days, before 30: silent for 25 days; New → One-time.",
    ),
    "nothing known of the version before": (
        [
            *RICH,
            instant(60),
            dataclasses.replace(successor(order_value_minor=20_000.0), previous=None),
            instant(61),
        ],
        "Model 2: Big spenders means spends at least 1.3 times the usual order value, and orders at least once in 99 "
        "days or comes at least once in 40 days: spends about 232 EUR an order, others about 200 EUR; Big spenders → "
        "Occasional.",
    ),
}


@pytest.mark.parametrize(("steps", "told"), BY_MODEL.values(), ids=BY_MODEL.keys())
def test_move_by_a_model_says_what_in_the_model_changed(steps: list[Step], told: str) -> None:
    (by_model,) = [move for move in moves(steps) if move.cause.kind == "model"]
    assert by_model.explanation.sentence == told
    assert by_model.explanation.decisive == "model"


def test_where_visits_do_not_count_there_are_no_browsers() -> None:
    assert statement_of(MODEL, BROWSERS) == "comes at least once in 25 days, orders at most once in 14 days"
    assert statement_of(ORDERS_ALONE, BROWSERS) == "nobody, since visits do not count"


def change(origin: int, target: int, axis: int = ORDERS) -> Change:
    return Change(origin, target, 41.2, 44.4, axis)


CHANGES: dict[str, tuple[Model, Change, str]] = {
    "rhythm": (
        successor(),
        change(LOYAL, AT_RISK),
        "Model 2 expects customers of this rhythm back within 41 days, before 44",
    ),
    "lapsed": (
        successor(),
        change(LOYAL, HIBERNATING),
        "Model 2 gives customers of this rhythm up after 41 days, before 44",
    ),
    "one order and no more": (
        successor(),
        change(OCCASIONAL, ONE_TIME),
        "Model 2 gives customers of this rhythm up after 41 days, before 44",
    ),
    "rhythm, of one version": (
        MODEL,
        change(LOYAL, AT_RISK),
        "Model 1 expects customers of this rhythm back within 41 days",
    ),
    "lost": (successor(), change(HIBERNATING, LOST), "Model 2: Lost means silent for at least 365 days"),
    "other segments": (successor(), change(-1, LOYAL), "Model 2 has other segments"),
    "from a stage": (
        successor(),
        change(AT_RISK, OCCASIONAL),
        "Model 2: Occasional means orders at most once in 14 days",
    ),
    "statement entered": (
        successor(centres=shifted(ORDERS, {LOYAL: -0.3})),
        change(REGULAR, LOYAL),
        "Model 2: Loyal now means orders at least once in 45 days, before at least once in 38 days",
    ),
    "statement left, which people would not tell apart": (
        successor(centres=shifted(ORDERS, {LOYAL: 0.001})),
        change(LOYAL, REGULAR),
        "Model 2: Loyal and Regular are divided differently",
    ),
    "typical order value unknown before": (
        successor(
            dataclasses.replace(MODEL, frame=dataclasses.replace(FRAME, order_value_minor=None)),
            order_value_minor=5_000.0,
        ),
        change(BIG_SPENDERS, LOYAL, VALUE),
        "Model 2: Big spenders and Loyal are divided differently",
    ),
}


@pytest.mark.parametrize(("model", "moved", "told"), CHANGES.values(), ids=CHANGES.keys())
def test_change_of_a_model_is_named_with_its_numbers(model: Model, moved: Change, told: str) -> None:
    assert describe_change(model, moved, MigrationContext()) == told


def sentence_of(
    model: Model, ends: tuple[int, int], events: list[Event], at_days: float, cause: Event | None = None
) -> str:
    """Return why a customer of these events moves from one segment to another, by its last act or by the model."""
    at_ms = np.array([instant(at_days)])
    moves = Moves(
        customer_ids=["c1"],
        cause_kind=np.array([MODEL_CAUSE if cause is None else PURCHASE]),
        change=np.array([MOVED]),
        from_code=np.array([KINDS[ends[0]].code], np.int16),
        target=np.array([ends[1]]),
        sequence=np.array([2]),
        effective_at_ms=at_ms,
        decided_at_ms=at_ms,
        before=activity_of(events),
        before_ms=at_ms,
        after=activity_of([*events, cause] if cause else events),
        following=Due(np.array([NEVER_MS]), np.array([NOWHERE])),
        causes=[(cause, Position("log", 0, 0)) if cause else None],
    )
    described = describe(moves, LearnedSegmentation(model), MigrationContext())
    return read_migration(described.migration(0)).explanation.sentence


@pytest.mark.parametrize(
    ("model", "origin", "told"),
    [
        (MODEL, LOYAL, "1 order, 3 days ago"),
        (MODEL, BROWSERS, "no visit so far"),
        (MODEL, BIG_SPENDERS, "spends about 29 EUR an order, others about 50 EUR"),
        (successor(order_value_minor=None), BIG_SPENDERS, "1 order, 3 days ago"),
    ],
)
def test_role_is_told_of_by_what_it_is_judged_by(model: Model, origin: int, told: str) -> None:
    undone = [purchase(0, order_id="o1"), refund(1, 5_000, "o1")]
    said = sentence_of(model, (origin, OCCASIONAL), [*undone, purchase(87, 1_000)], 90)
    assert f": {told}; " in said


def test_first_order_of_a_visitor_is_told_as_such() -> None:
    said = sentence_of(MODEL, (BROWSERS, REGULAR), [engagement(0)], 1, purchase(1))
    assert said == "Purchase of 50.00 EUR: the first order; Browsers → Regular."


def test_refund_of_a_customer_who_is_silent_does_not_call_it_back() -> None:
    silent: list[Step] = [*EVERY_12, instant(105)]
    assert sentences([*silent, refund(110, 5_000, "o48")]) == sentences(silent)


def test_return_that_is_heard_of_late_is_told_with_its_date() -> None:
    (*_, last) = sentences([*EVERY_12, instant(105), purchase(100)])
    assert last == "Purchase of 50.00 EUR: 6 orders in 105 days, the last 5 days ago; At risk → Regular."


def test_two_orders_of_one_day_are_told_as_such() -> None:
    (_, second) = sentences([purchase(0), purchase(0.1)])
    assert second.startswith("Purchase of 50.00 EUR: less than a day after the last one, 2 orders within a day; ")


def test_configured_names_and_another_currency_are_used() -> None:
    named = dataclasses.replace(MODEL, names={"big_spenders": "Patrons"})
    steps: list[Step] = [*RICH, instant(60), successor(named, order_value_minor=20_000.0), instant(61)]
    partition = Partition([LearnedSegmentation(named)], MigrationContext(currency="JPY", minor_per_major=1))
    (*_, last) = play(partition, steps)
    assert last.explanation.sentence.endswith(
        "spends about 23208 JPY an order, others about 20000 JPY; Patrons → Occasional."
    )
