"""Conditions of subscriptions are the segmentations' own, as far as a migration holds what they look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from stream_app.contracts.migration_conditions import HELD_FIGURES, holds, read_condition
from stream_app.contracts.migration_filter import MigrationFilter
from stream_app.contracts.readers import MigrationRecord, read_migration
from tests.support.replays import ROOT

EXAMPLES = ROOT / "schemas" / "examples" / "segment-migrations"
FIGURES: dict[str, Any] = {
    "recency_days": 40.0,
    "tenure_days": 400.0,
    "usual_gap_days": 11.0,
    "probability_active": 0.25,
    "orders": 4,
    "order_recency_days": 41.0,
    "order_tenure_days": None,
    "order_interval_days": 30.0,
    "order_value": 59.9,
    "engagement_recency_days": 40.0,
    "engagement_interval_days": 9.0,
}


def example(name: str, **explanation: Any) -> MigrationRecord:
    document = json.loads(Path(EXAMPLES / f"{name}.pass.json").read_text("utf-8"))
    document["explanation"] |= explanation
    return read_migration(msgspec.json.encode(document))


LEARNED = example("lapse", after=FIGURES)
RULES = example("rules")


@pytest.mark.parametrize(
    ("document", "is_true"),
    [
        ({"figure": "recency_days", "at_least": 40}, True),
        ({"figure": "recency_days", "more_than": 40}, False),
        ({"figure": "purchases", "at_least": 2, "less_than": 5}, True),
        ({"figure": "purchases", "equals": 5}, False),
        ({"figure": "order_tenure_days", "at_most": 1_000}, False),  # there is none
        ({"not": {"figure": "order_tenure_days", "at_most": 1_000}}, True),
        (
            {"all": [{"figure": "tenure_days", "at_least": 9}, {"figure": "probability_active", "less_than": 0.5}]},
            True,
        ),
        ({"all": [{"figure": "tenure_days", "at_least": 365}, {"figure": "purchases", "more_than": 9}]}, False),
        ({"any": [{"figure": "tenure_days", "less_than": 365}, {"figure": "purchases", "more_than": 3}]}, True),
        ({"any": [{"figure": "tenure_days", "less_than": 365}, {"figure": "purchases", "more_than": 4}]}, False),
        (
            {
                "score": [
                    {"when": {"figure": "purchases", "at_least": 4}, "points": 2},
                    {"when": {"figure": "usual_gap_days", "less_than": 7}, "points": 3},
                ],
                "at_least": 2,
            },
            True,
        ),
        ({"score": [{"when": {"figure": "purchases", "at_least": 4}, "points": 2}], "at_least": 3}, False),
        ({"random": {"salt": "a", "to_percent": 100}}, True),
    ],
)
def test_condition_is_evaluated_on_what_a_migration_holds(document: dict[str, Any], is_true: bool) -> None:
    condition = read_condition(document)
    assert holds(condition, LEARNED) is is_true
    assert MigrationFilter(where=condition).selects(LEARNED) is is_true


@pytest.mark.parametrize("figure", HELD_FIGURES)
def test_no_figure_is_known_of_a_move_by_rules(figure: str) -> None:
    document = {"figure": figure, "at_least": 0}
    assert not holds(read_condition(document), RULES)
    assert holds(read_condition({"not": document}), RULES)
    assert holds(read_condition({"random": {"salt": "a", "to_percent": 100}}), RULES)


@given(customer_id=st.text(min_size=1, max_size=12), border=st.integers(1, 99))
def test_random_shares_divide_customers_without_gap_and_overlap(customer_id: str, border: int) -> None:
    migration = msgspec.structs.replace(LEARNED, customer_id=customer_id)
    shares = ({"to_percent": border}, {"from_percent": border, "to_percent": 100})
    assert sum(holds(read_condition({"random": {"salt": "x", **share}}), migration) for share in shares) == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"figure": "revenue", "at_least": 1}, "a migration does not hold the figure 'revenue', but recency_days, "),
        ({"trait": "country", "equals": "IT"}, "'trait' cannot be evaluated on a migration, expected figure or random"),
        (
            {"all": [{"figure": "purchases", "at_least": 1}, {"not": {"event": "order_completed"}}]},
            "all[1].not: 'event' cannot be evaluated on a migration, ",
        ),
        ({"segmentation": "value", "segment": "s5"}, "'segmentation' cannot be evaluated on a migration, "),
        ({"any": [{"figure": "recency_days"}]}, "any[0]: nothing is compared, expected at least one of at_least, "),
        ({"figure": "recency_day", "at_least": 1}, "figure: 'recency_day', expected recency_days, "),
        ({"figur": "recency_days"}, "a mapping with figur, expected a condition with one of all, any, not, "),
        (None, "nothing, expected a condition: "),
        ([], "an empty list, expected a condition: "),
    ],
)
def test_condition_that_cannot_be_evaluated_is_refused_by_its_place(document: Any, message: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        read_condition(document)
    assert caught.value.message().startswith(message)
    assert "\n" not in caught.value.message()


def test_conditions_that_stand_too_deep_in_each_other_are_refused() -> None:
    document: dict[str, Any] = {"figure": "purchases", "at_least": 1}
    for _ in range(2_000):
        document = {"not": document}
    with pytest.raises(PydanticCustomError) as caught:
        read_condition(document)
    assert len(caught.value.message()) <= 500
