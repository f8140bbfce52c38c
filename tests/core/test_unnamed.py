"""Refunds and cancellations that name an order and no customer: whose they are, wherever the log is cut."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.rejections import unnamed
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import named, process_events, sweep
from stream_app.core.records import Batch, Content, Rejection, batch_of, join_batches
from stream_app.core.timeline import Fold, Pace, Sweep, steps
from stream_app.native.structures import UNNAMED
from tests.segmentations.examples import COLD_START
from tests.support.events import cancellation, engagement, instant, purchase, refund

PACE = Pace(interval_ms=86_400_000, pause_ms=86_400_000, records_max=1_000)


def told(event: Event) -> Event:
    """Return an event as it is told where nobody knows the customer."""
    return msgspec.structs.replace(event, customer_id="")


def folded(*events: Event) -> tuple[Partition, list[int]]:
    """Fold events in one step; return the partition, and the owners of those without a customer."""
    partition = Partition([COLD_START])
    return partition, process_events(partition, pack_events(events, range(len(events)), 0)).owners.tolist()


def rows(partition: Partition) -> dict[str, bytes]:
    table = partition.table
    return dict(zip(table.customer_ids, table.encode_all(range(len(table))), strict=True))


def test_refund_by_its_order_alone_is_its_customers() -> None:
    bought = [purchase(0, order_id="o1"), purchase(0, customer_id="c2", order_id="o2")]
    returned = refund(3, 2_000, "o2", "c2", event_id="r1")
    partition, owners = folded(*bought, told(returned))
    assert owners == [1]
    activity = partition.table.activity
    assert (activity["refunds"].tolist(), activity["revenue_minor"].tolist()) == ([0, 1], [5_000, 3_000])


def test_cancellation_by_its_order_alone_is_its_customers_also_in_a_later_step() -> None:
    partition, _ = folded(purchase(0, order_id="o1"), purchase(1, order_id="o2"))
    outcome = process_events(partition, pack_events([told(cancellation(2, "o1"))], [2], 0))
    assert (outcome.owners.tolist(), outcome.applied, outcome.changed.tolist()) == ([0], 1, [0])
    assert partition.table.activity["purchases"].tolist() == [1]


@pytest.mark.parametrize(
    "known",
    [
        [purchase(0, order_id="o1")],
        [purchase(0, order_id="o7"), purchase(0, customer_id="c2", order_id="o7")],
        [],
    ],
    ids=["order of nobody", "order of two customers", "nobody at all"],
)
def test_return_of_an_order_that_is_not_of_one_customer_changes_nothing(known: list[Event]) -> None:
    partition, _ = folded(*known)
    before = rows(partition), partition.clock
    outcome = process_events(partition, pack_events([told(refund(3, 2_000, "o7"))], [9], 0))
    assert outcome.owners.tolist() == [-1]
    assert (outcome.applied, outcome.late, outcome.duplicates, outcome.changed.tolist()) == (0, 0, 0, [])
    assert (rows(partition), partition.clock) == before


def test_order_of_which_only_the_id_is_left_is_known_and_one_beyond_is_not() -> None:
    bought = [purchase(day, order_id=f"o{day}") for day in range(257)]
    _, owners = folded(*bought, *(told(refund(300, 1, order)) for order in ("o0", "o1", "o256")))
    assert owners == [-1, 0, 0]


def test_returns_of_a_customer_are_told_apart_by_their_ids_named_or_not() -> None:
    returned = refund(3, 2_000, "o1", event_id="r1")
    partition, _ = folded(purchase(0, order_id="o1"), told(returned), returned, told(returned))
    assert partition.table.activity["revenue_minor"].tolist() == [3_000]


def test_nobody_stands_for_the_time_of_a_record_without_a_customer() -> None:
    partition, owners = folded(purchase(0, order_id="o1"), told(refund(30, 1, "o1")))
    assert owners == [0]
    assert partition.clock.watermark_ms == instant(0)


def test_chunk_names_the_customers_that_were_found() -> None:
    events = pack_events([purchase(0, order_id="o1"), told(refund(1, 1, "o1")), told(refund(1, 1, "o2"))], range(3), 0)
    events.records["status"][1:] = UNNAMED
    partition = Partition([COLD_START])
    known = named(partition, events, process_events(partition, events).owners)
    assert known.records["customer_hash"][1] == events.records["customer_hash"][0]
    assert (known.records["status"] == UNNAMED).tolist() == [False, False, True]
    assert named(partition, events, np.empty(0, np.intp)) is events


# --- in batches -----------------------------------------------------------------------------------------------------


def content(event: Event) -> Content:
    return event if event.customer_id else Rejection(unnamed(event), b"{}")


def batch(events: Sequence[Event], first: int = 0) -> Batch:
    return batch_of([content(event) for event in events], 0, range(first, first + len(events)), NO_TIME)


def test_batch_folds_what_is_unnamed_at_its_place_and_time_says_nothing_of_it() -> None:
    events = [purchase(0, order_id="o1"), told(refund(400, 1, "o1")), engagement(1)]
    whole = batch(events)
    assert whole.folded().event(1) == msgspec.structs.replace(told(refund(400, 1, "o1")), order_id=whole_digest(whole))
    assert (whole.is_event.tolist(), whole.is_folded.tolist()) == ([True, False, True], [True] * 3)
    assert whole.watermarks_ms.tolist() == [instant(0), instant(0), instant(1)]
    assert whole.instants().tolist() == [1, 2]
    assert whole.placed(np.array([0])).tolist() == [1]
    assert [index for index, _ in whole.others_by_index(whole.placed(np.array([-1])))] == [1]
    assert [index for index, _ in whole.others_by_index(whole.placed(np.array([0])))] == []


def whole_digest(whole: Batch) -> str:
    return f"{int(whole.folded().records['order_digest'][0]):016x}"


def played(events: Sequence[Event], cuts: set[int]) -> tuple[dict[str, bytes], list[int]]:
    """Fold records, the batches cut at these places; return all rows and the owners in order."""
    partition, owners, start = Partition([COLD_START]), list[int](), 0
    for end in sorted({*cuts, len(events)}):
        part = join_batches([batch(events[start:end], start)]) if end > start else batch([])
        for step in steps(partition, part, PACE):
            if isinstance(step, Sweep):
                sweep(partition, step.at_ms)
            elif isinstance(step, Fold):
                some = part.part(step.start, step.stop).folded()
                owners += process_events(partition, some, step.sweeps, step.reached).owners.tolist()
        start = end
    return rows(partition), owners


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Draw what three customers do on days of their own, some of it under the same orders, in the order of time."""
    events = []
    for day in range(draw(st.integers(1, 30))):
        customer, order = f"c{draw(st.integers(0, 2))}", f"o{draw(st.integers(0, 5))}"
        match draw(st.integers(0, 3)):
            case 0:
                events.append(purchase(day, customer_id=customer, order_id=order))
            case 1:
                events.append(engagement(day, customer))
            case 2:
                events.append(told(refund(day, 10, order)))
            case _:
                events.append(told(cancellation(day, order)))
    return events


@given(logs(), st.sets(st.integers(0, 30)))
def test_owners_do_not_depend_on_how_the_log_is_cut(events: list[Event], cuts: set[int]) -> None:
    cuts = {cut for cut in cuts if cut < len(events)}
    assert played(events, cuts) == played(events, set())
