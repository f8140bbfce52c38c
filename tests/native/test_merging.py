"""Rows of two ids as one: as the reference has them, and as if all events had come under one id."""

from __future__ import annotations

import ctypes
from collections import Counter
from functools import cache
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.native.library import function
from stream_app.native.structures import Columns
from tests.native.histories import as_records, fold, wild_events
from tests.reference.ids import unpack_ids
from tests.reference.merging import merge_rows
from tests.reference.orders import ORDER, ORDER_LIMIT
from tests.reference.row import Row, encode_row
from tests.support.events import START_MS, engagement, histories, purchase, refund, visits
from tests.support.tables import row_of

_NUMBERS = ("orders_decayed", "revenue_decayed", "log_order_values", "engaged_days", "log_gaps", "log_gaps_squared")
"""Sums that depend on the order of additions in their last digits."""


@cache
def _merge() -> Any:
    pointer = ctypes.c_void_p
    columns = ctypes.POINTER(Columns)
    return function("seg_table_merge", ctypes.c_int32, pointer, columns, pointer, ctypes.c_int64, ctypes.c_int64)


def merge(table: CustomerTable, into: int, other: int) -> None:
    columns = table.columns()
    assert _merge()(table.handle, ctypes.byref(columns), None, into, other) == 0


def split_table(own: list[Event], others: list[Event]) -> CustomerTable:
    """Return a table of two customers with these events."""
    table = CustomerTable()
    for customer_id, events in (("into", own), ("other", others)):
        number = table.insert(customer_id)
        if events:
            fold(table, np.full(len(events), number), as_records(events))
    return table


def merged(own: list[Event], others: list[Event]) -> Row:
    table = split_table(own, others)
    merge(table, 0, 1)
    return row_of(table, 0)


def alone(events: list[Event]) -> Row:
    return row_of(split_table(events, []), 0)


def canonical(row: Row) -> dict[str, Any]:
    """Return a row as what it says: ids as sets, sums to ten digits."""
    said = msgspec.structs.asdict(row)
    said["recent_events"] = [Counter(each[:4] for each in kind) for kind in unpack_ids(row.recent_events)]
    for name in _NUMBERS:
        said[name] = pytest.approx(said[name], rel=1e-9, abs=1e-6 * max(1.0, row.purchases, abs(row.revenue_minor)))
    return said


def with_sorted_ids(row: Row) -> Row:
    """Return a row with its ids in an order of their own: of one day's nobody knows in which they came."""
    ids = unpack_ids(row.recent_events)
    return msgspec.structs.replace(row, recent_events=ids._replace(engagements=tuple(sorted(ids.engagements))).pack())


def split(events: list[Event], seed: int) -> tuple[list[Event], list[Event]]:
    draw = Random(seed)
    share = draw.choice((0.0, 0.2, 0.5, 1.0))
    sides: tuple[list[Event], list[Event]] = ([], [])
    for event in events:
        sides[draw.random() < share].append(event)
    return sides


@given(histories(max_size=24, days=100, order_count=12) | visits(), st.integers(0, 1_000))
@settings(max_examples=300)
def test_merged_row_is_that_of_all_events_under_one_id(events: list[Event], seed: int) -> None:
    own, others = split(events, seed)
    found, expected = merged(own, others), alone(events)
    assert canonical(expected) == msgspec.structs.asdict(found) | {"recent_events": canonical(found)["recent_events"]}


@given(st.integers(0, 10_000))
@settings(max_examples=200)
def test_merged_row_is_the_same_to_the_byte_where_events_come_in_order_and_within_bounds(seed: int) -> None:
    draw = Random(seed)
    at_ms, events, orders = START_MS, [], 0
    for number in range(draw.randrange(20)):
        at_ms += draw.randrange(1, 9 * DAY_MS)
        if orders < 16 and draw.random() < 0.5:
            orders += 1
            events.append(Event(PURCHASE, "c", f"p{number}", at_ms, "order", draw.randrange(10_000), f"o{number}"))
        else:
            events.append(Event(ENGAGEMENT, "c", f"e{number}", at_ms, "view"))
    own, others = split(events, seed)
    assert with_sorted_ids(merged(own, others)) == with_sorted_ids(alone(events))


@pytest.mark.parametrize("seed", range(12))
def test_merged_row_is_the_references_whatever_the_rows_hold(seed: int) -> None:
    draw, table = Random(seed), CustomerTable()
    for event in wild_events(seed, 3_000, 12):
        number = table.find(event.customer_id)
        number = table.insert(event.customer_id) if number < 0 else number
        fold(table, np.array([number]), as_records([event]))
    for _ in range(11):
        into, other = draw.sample(range(len(table)), 2)
        expected = merge_rows(row_of(table, into), row_of(table, other))
        merge(table, into, other)
        assert row_of(table, into) == expected


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_left_of_the_other_row_but_that_it_was_merged(seed: int) -> None:
    events = list(wild_events(seed, 300, 1))
    table = split_table(events[:150], events[150:])
    blank = split_table([], [])
    merge(table, 0, 1)
    merge(blank, 0, 1)
    assert table.encode(1) == blank.encode(1)
    assert table.activity["first_at_ms"][1] == 2**62 + 1


def nonsense() -> st.SearchStrategy[Row]:
    instants = ("first_at_ms", "purchased_at_ms", "ordered_at_ms", "engaged_at_ms", "revenue_minor")
    return st.builds(
        Row,
        **{name: st.integers(-(2**63), 2**63 - 1) for name in instants},
        gaps=st.integers(-(2**31), 2**31 - 1),
        refunds=st.integers(-(2**31), 2**31 - 1),
        active_day_bits=st.integers(0, 2**366 - 1),
        engaged_day_bits=st.integers(0, 2**182 - 1),
        orders=st.binary(min_size=ORDER.size * ORDER_LIMIT, max_size=ORDER.size * ORDER_LIMIT),
        recent_events=st.binary(min_size=6 * 200, max_size=6 * 200).map(lambda ids: bytes([90, 100]) + ids),
    )


@given(nonsense(), nonsense())
def test_rows_of_nonsense_are_merged_and_stay_readable(one: Row, other: Row) -> None:
    table = CustomerTable()
    table.restore("one", encode_row(one, {}))
    table.restore("other", encode_row(other, {}))
    merge(table, 0, 1)
    merge(table, 0, 1)
    copy = CustomerTable()
    copy.restore("one", table.encode(0))
    assert copy.encode(0) == table.encode(0)


def test_what_was_delivered_under_both_ids_counts_once() -> None:
    events = [purchase(1, 5_000, order_id="o"), engagement(2), refund(3, 1_000, "o"), engagement(4)]
    found, expected = merged(events, events), alone(events)
    assert canonical(expected) == msgspec.structs.asdict(found) | {"recent_events": canonical(found)["recent_events"]}


def test_order_that_one_row_has_forgotten_counts_once() -> None:
    shared = purchase(0, 1_234, order_id="shared")
    later = [purchase(day, 100, order_id=f"own {day}") for day in range(1, 20)]
    for own, others in (([shared, *later], [shared]), ([shared], [shared, *later])):
        row = merged(own, others)
        assert (row.purchases, row.revenue_minor) == (20, 1_234 + 1_900)


def test_order_that_is_older_than_one_row_knew_leaves_its_day() -> None:
    late, early = purchase(9, 700, order_id="o", event_id="late"), purchase(2, 700, order_id="o", event_id="early")
    row = merged([late, purchase(5, 100)], [early])
    expected = canonical(alone([late, purchase(5, 100), early]))
    assert expected == msgspec.structs.asdict(row) | {"recent_events": canonical(row)["recent_events"]}
    assert row.active_day_bits == 0b1001
