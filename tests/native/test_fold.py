from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from tests.native.equality import first_difference
from tests.native.histories import FOLDED, QUIET, REPEATED, as_records, fold, mixed_events, wild_events
from tests.reference.ids import unpack_ids
from tests.reference.orders import ORDER, ORDER_LIMIT, REFUNDS_MAX, unpack_orders
from tests.reference.row import Row, encode_row
from tests.support.events import START_MS, engagement, histories, instant, purchase, visits
from tests.support.tables import row_of


def folded(events: list[Event], table: CustomerTable | None = None) -> Row:
    """Return the row of the one customer of some events."""
    table = table or CustomerTable()
    number = table.insert(events[0].customer_id)
    fold(table, np.full(len(events), number), as_records(events))
    return row_of(table, number)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_row_is_the_references_after_each_event(seed: int) -> None:
    assert first_difference(mixed_events(seed, 10_000), CustomerTable(), {}) is None


@given(histories(max_size=60, order_count=30) | visits())
@settings(max_examples=200)
def test_row_is_the_references_after_each_event_of_any_customer(events: list[Event]) -> None:
    assert first_difference(events, CustomerTable(), {}) is None


@pytest.mark.parametrize("gap_days", [2, 7, 30, 300, 329, 364])
def test_row_is_the_references_where_nothing_is_left_of_a_gap_but_rounding(gap_days: int) -> None:
    days = [0, *range(gap_days, 368)]
    assert first_difference([engagement(day) for day in days], CustomerTable(), {}) is None


def test_histories_to_compare_reach_the_bounds_of_the_memories() -> None:
    table, seen = CustomerTable(), Counter[str]()
    first_difference(mixed_events(1, 10_000), table, {})
    for number in range(len(table)):
        row = row_of(table, number)
        for name, ids in unpack_ids(row.recent_events)._asdict().items():
            seen[f"ids of {name}"] = max(seen[f"ids of {name}"], len(ids))
        seen["orders"] = max(seen["orders"], len(row.orders) // ORDER.size)
        seen["active"] = max(seen["active"], row.active_day_bits.bit_length())
        seen["engaged"] = max(seen["engaged"], row.engaged_day_bits.bit_length())
        seen["revenue"] = max(seen["revenue"], row.revenue_minor)
    assert seen["ids of engagements"] >= 24
    assert min(seen["ids of orders"], seen["ids of refunds"]) > 10
    assert seen["orders"] == 16
    assert 360 < seen["active"] <= 366
    assert 178 < seen["engaged"] <= 182
    assert seen["revenue"] > 2**53


def test_events_folded_together_are_as_one_by_one() -> None:
    events = list(wild_events(7, 4_000, 100))
    one, together = CustomerTable(), CustomerTable()
    for event in events:
        fold(one, np.array([one.insert(event.customer_id)]), as_records([event]))
    numbers = np.array([together.insert(event.customer_id) for event in events])
    fold(together, numbers, as_records(events))
    everyone = list(range(len(one)))
    assert one.encode_all(everyone) == together.encode_all(everyone)


def test_event_is_new_continues_a_session_or_is_a_repetition() -> None:
    events = [engagement(0.5), engagement(0.51), engagement(0.5), engagement(0.6), purchase(0.61)]
    table = CustomerTable()
    number = table.insert("c1")
    outcomes = fold(table, np.full(len(events), number), as_records(events)).tolist()
    assert outcomes == [FOLDED, QUIET, REPEATED, FOLDED, FOLDED]


def test_repetition_changes_nothing() -> None:
    events = [purchase(0), engagement(1)]
    table = CustomerTable()
    before = folded(events, table)
    assert folded(events, table) == before


@pytest.mark.parametrize(
    ("kind", "name"), [(PURCHASE, "purchases"), (REFUND, "refunds"), (ENGAGEMENT, "engagements"), (ENGAGEMENT, "gaps")]
)
def test_counters_stay_at_the_end_of_their_range(kind: int, name: str) -> None:
    row = Row(engaged_at_ms=instant(-1), active_day_bits=1)
    setattr(row, name, 2**31 - 1)
    table = CustomerTable()
    table.restore("c1", encode_row(row, {}))
    events = [Event(kind, "c1", f"e{day}", instant(day), "t", 1, f"o{day}") for day in (0, 1)]
    assert getattr(folded(events, table), name) == 2**31 - 1


def test_money_stays_at_the_ends_of_its_range() -> None:
    highest = 2**63 - 1
    paid = [Event(PURCHASE, "c1", f"e{n}", START_MS + n, "t", highest, f"o{n}") for n in range(3)]
    assert folded(paid).revenue_minor == highest
    returned = [Event(REFUND, "c1", f"r{n}", START_MS, "t", highest, f"o{n % 3}") for n in range(6)]
    assert folded(paid + returned).revenue_minor == -(2**63)


def test_refunds_of_an_order_stay_at_what_a_row_can_say() -> None:
    events = [Event(REFUND, "c1", f"e{n}", START_MS, "t", 1, "o") for n in range(REFUNDS_MAX + 9)]
    row = folded([*events, Event(PURCHASE, "c1", "p", START_MS, "t", 10_000, "o")])
    assert row.refunds == unpack_orders(row.orders)[0].refunds == REFUNDS_MAX


@given(
    st.builds(
        Row,
        **{name: st.integers(-(2**63), 2**63 - 1) for name in ("first_at_ms", "purchased_at_ms", "ordered_at_ms")},
        engaged_at_ms=st.integers(-(2**63), 2**63 - 1),
        gaps=st.integers(-(2**31), 2**31 - 1),
        active_day_bits=st.integers(0, 2**366 - 1),
        engaged_day_bits=st.integers(0, 2**182 - 1),
        orders=st.binary(min_size=ORDER.size * ORDER_LIMIT, max_size=ORDER.size * ORDER_LIMIT),
    ),
    histories(min_size=1, max_size=20, days=4_000),
)
def test_rows_of_nonsense_take_events_and_stay_readable(row: Row, events: list[Event]) -> None:
    table = CustomerTable()
    table.restore("c1", encode_row(row, {}))
    after = folded(events, table)
    assert after.active_day_bits < 2**366
    assert after.engaged_day_bits < 2**182
    copy = CustomerTable()
    copy.restore("c1", table.encode(0))
    assert copy.encode(0) == table.encode(0)
