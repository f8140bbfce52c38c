"""Two ids are one customer's, within a step: whose orders are, what moves tell, and who is nobody from then on."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stream_app.core.customers import CustomerTable
from stream_app.core.events import MERGE, Event, pack_events
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events, sweep
from tests.segmentations.examples import COLD_START
from tests.support.events import engagement, instant, profile, purchase, refund


def merge(day: float, ended: str, into: str) -> Event:
    return Event(MERGE, into, ended, instant(day), "merge")


def take(partition: Partition, *events: Event) -> Outcome:
    return process_events(partition, pack_events(events, np.arange(len(events)), 0))


def told(partition: Partition, outcome: Outcome) -> list[tuple[str, str, str, int]]:
    ids = partition.table.customer_ids
    return [
        (ids[int(move["row"])], CAUSE_KINDS[move["cause"]], CHANGES[move["change"]], int(move["sequence"]))
        for move in outcome.moves
    ]


def revenue(partition: Partition) -> dict[str, int]:
    return dict(zip(partition.table.customer_ids, partition.table.activity["revenue_minor"].tolist(), strict=True))


@pytest.mark.parametrize("cut", [True, False])
def test_refund_by_its_order_alone_is_that_of_whoever_goes_on(cut: bool) -> None:
    partition = Partition([COLD_START])
    events = [purchase(0, customer_id="a", order_id="o"), engagement(1, "b"), merge(2, "a", "b")]
    returned = msgspec.structs.replace(refund(3, 2_000, "o"), customer_id="")
    if cut:
        take(partition, *events)
        events = []
    owners = take(partition, *events, returned).owners.tolist()
    assert owners == [partition.table.find("b")]
    assert revenue(partition) == {"a": 0, "b": 3_000}


def test_who_ends_leaves_and_who_goes_on_is_moved_by_the_merge() -> None:
    partition = Partition([COLD_START])
    take(partition, *(purchase(day, customer_id="a", order_id=f"a{day}") for day in range(12)))
    take(partition, engagement(12, "b"))
    earlier = int(partition.table.memberships["sequence"][0, 0])
    moves = told(partition, take(partition, merge(13, "a", "b")))
    assert sorted(moves)[0] == ("a", "merge", "left", 1 + earlier)
    assert all(cause == "merge" for _, cause, _, _ in moves)
    assert {customer_id for customer_id, *_ in moves} == {"a", "b"}


def test_id_that_nobody_has_seen_ends_without_a_trace() -> None:
    partition = Partition([COLD_START])
    outcome = take(partition, merge(1, "a", "b"))
    assert (len(partition.table), len(outcome.moves), outcome.applied) == (0, 0, 1)


def test_sums_over_members_are_those_of_a_recount() -> None:
    partition = Partition([COLD_START])
    take(partition, purchase(0, customer_id="a"), purchase(0, customer_id="b"))
    kept = partition.table.members()
    assert kept
    take(partition, merge(1, "a", "b"))
    kept = partition.table.members()
    copy = CustomerTable(partition.table.names)
    copy.restore_many(
        [(each.encode(), partition.table.encode(row)) for row, each in enumerate(partition.table.customer_ids)]
    )
    assert kept == copy.members()


def test_who_has_ended_is_not_counted_and_asked_nothing_until_it_acts_again() -> None:
    partition = Partition([COLD_START])
    take(partition, purchase(0, customer_id="a"), purchase(0, customer_id="b"), merge(1, "a", "b"))
    assert partition.table.count_known() == 1
    assert "a" not in {each for each, *_ in told(partition, sweep(partition, instant(900)))}
    again = told(partition, take(partition, engagement(901, "a")))
    assert again[0] == ("a", "engagement", "entered", 3)
    assert partition.table.count_known() == 2


def test_who_has_ended_is_somebody_again_by_a_profile() -> None:
    partition = Partition([COLD_START])
    take(partition, purchase(0, customer_id="a"), merge(1, "a", "b"))
    take(partition, profile(2, "a", plan="pro"))
    assert partition.table.count_known() == 2
    assert partition.table.traits_of("a") == {"plan": "pro"}


def test_who_ends_and_acts_at_the_same_instant_is_nobody_or_somebody_by_the_order_of_the_log() -> None:
    partition = Partition([COLD_START])
    take(partition, purchase(0, customer_id="a"))
    first = told(partition, take(partition, engagement(1, "a"), merge(1, "a", "b")))
    assert first == [("a", "merge", "left", 2), ("b", "merge", "entered", 1)]
    other = Partition([COLD_START])
    take(other, purchase(0, customer_id="a"))
    assert told(other, take(other, merge(1, "a", "b"), engagement(1, "a"))) == [("b", "merge", "entered", 1)]


def test_merge_of_an_id_with_itself_is_a_defect_of_the_caller() -> None:
    partition = Partition([COLD_START])
    take(partition, purchase(0, customer_id="a"))
    with pytest.raises(RuntimeError, match="status -5"):
        take(partition, merge(1, "a", "a"))
