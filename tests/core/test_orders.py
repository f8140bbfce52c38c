"""What is said of an order moves customers once, whatever is delivered again and however it is called."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from stream_app.core.clock import NO_TIME
from stream_app.core.events import ALL_LEFT, Event
from stream_app.core.partition import Partition
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from tests.support.events import cancellation, edit, engagement, instant, purchase, refund
from tests.support.models import partition_under, prior_model
from tests.support.playing import play


def are_in(when: dict[str, Any], events: list[Event]) -> bool:
    """Say whether the one customer of some events is in an audience at the end."""
    audience = AudienceConfiguration(kind="audience", name="some", when=when)
    migrations = play(Partition([AudienceSegmentation(audience)]), [*events, instant(400)])
    return bool(migrations) and migrations[-1].to_segment is not None


def test_return_of_an_unknown_order_moves_nobody() -> None:
    for returned in (refund(0, 4_000, "900"), refund(0, ALL_LEFT, "900"), cancellation(0, "900")):
        partition = partition_under(prior_model())
        assert play(partition, [returned, instant(300)]) == []
        assert partition.table.activity["first_at_ms"].tolist() == [-NO_TIME]


def test_return_of_an_unknown_order_is_in_no_audience_either_not_even_of_who_has_not_bought() -> None:
    assert not are_in({"not": {"event": "order_completed"}}, [refund(0, 4_000, "900")])
    assert not are_in({"figure": "purchases", "at_most": 0}, [cancellation(0, "900")])


def test_customer_whose_return_came_first_is_new_at_its_order() -> None:
    partition = partition_under(prior_model())
    (entered, *_) = play(partition, [refund(5, 1_000, "o"), purchase(1, 5_000, order_id="o")])
    assert (entered.change, entered.cause.kind) == ("entered", "purchase")
    assert partition.table.activity["revenue_minor"].tolist() == [4_000]


@pytest.mark.parametrize("told", list(permutations(range(3))))
def test_condition_on_events_counts_an_order_once_however_it_is_told(told: tuple[int, ...]) -> None:
    events = [
        purchase(1, 10_000, order_id="o", event_id="created"),
        purchase(2, 10_000, order_id="o", event_id="updated"),
        edit(3, 8_000, "o"),
    ]
    arrived = [events[index] for index in told]
    assert are_in({"event": "order_completed", "at_least": 1}, arrived)
    assert not are_in({"event": "order_completed", "at_least": 2}, arrived)
    assert not are_in({"event": "order_completed", "sum": "amount", "more_than": 100}, arrived)
    assert are_in({"figure": "revenue", "equals": 80}, arrived)


def test_edits_and_cancellations_can_be_counted() -> None:
    bought = purchase(1, 10_000, order_id="o")
    edited = [bought, edit(2, 10_000, "o"), edit(3, 9_000, "o"), edit(4, 8_000, "o")]
    assert are_in({"event": "order_updated", "at_least": 2}, edited)
    assert not are_in({"event": "order_updated", "at_least": 3}, edited)
    assert are_in({"event": "order_cancelled"}, [bought, cancellation(2, "o"), cancellation(3, "o")])
    assert not are_in({"event": "order_cancelled", "at_least": 2}, [bought, cancellation(2, "o"), cancellation(3, "o")])


def test_return_of_all_that_is_left_has_no_amount_to_sum_up() -> None:
    events = [purchase(1, 10_000, order_id="o"), refund(2, 1_000, "o"), refund(3, ALL_LEFT, "o")]
    assert are_in({"event": "order_refunded", "at_least": 2}, events)
    assert not are_in({"event": "order_refunded", "sum": "amount", "more_than": 10}, events)
    assert are_in({"figure": "revenue", "equals": 0}, events)


def test_cancellation_is_told_as_one() -> None:
    partition = partition_under(prior_model())
    orders = [purchase(day, 90_000, order_id=f"o{day}") for day in range(8)]
    migrations = play(partition, [*orders, *(cancellation(9 + day, f"o{day}") for day in range(8)), engagement(20)])
    told = [m.explanation.sentence for m in migrations if m.cause.kind == "refund"]
    assert all(sentence.startswith("Cancellation of an order: ") for sentence in told)
    assert told


def test_saying_again_what_an_order_is_moves_nobody() -> None:
    events = [purchase(day, 5_000, order_id=f"o{day}") for day in (0, 20, 40)]
    again = [edit(60 + day, 5_000, f"o{day}") for day in (0, 20, 40)]
    once, twice = partition_under(prior_model()), partition_under(prior_model())
    silent = play(once, [*events, instant(300)])
    assert [m.effective_at for m in play(twice, [*events, *again, instant(300)])] == [m.effective_at for m in silent]
