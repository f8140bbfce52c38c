from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Event, Events, pack_events
from stream_app.core.native_rows import LIBRARY
from stream_app.core.segments import NO_SEGMENT
from stream_app.errors import RowDamaged, RowVersionUnknown
from stream_app.native.library import NO_MEMORY, NO_ROOM
from tests.reference.orders import ORDER
from tests.reference.row import (
    MEMBERSHIP_DTYPE,
    NO_MEMBERSHIP,
    Row,
    decode_row,
    digest,
    encode_row,
)
from tests.support.events import histories, purchase
from tests.support.tables import row_of
from tests.support.totals import fold


def membership(segment: int, sequence: int = 1, name: str = "value") -> dict[str, bytes]:
    record = np.zeros(1, MEMBERSHIP_DTYPE)
    record["segment"], record["sequence"] = segment, sequence
    return {name: record.tobytes()}


def table_of(rows: dict[str, Row], segment: int = 1) -> CustomerTable:
    table = CustomerTable()
    for customer_id, row in rows.items():
        table.restore(customer_id, encode_row(row, membership(segment)))
    return table


@given(st.lists(histories(max_size=5), max_size=4))
def test_restored_table_equals_the_one_it_was_encoded_from(customers: list[list[Event]]) -> None:
    rows = {f"c{number}": fold(events) for number, events in enumerate(customers)}
    table = table_of(rows)
    copy = CustomerTable()
    for number, customer_id in enumerate(table.customer_ids):
        copy.restore(customer_id, table.encode(number))
    assert list(copy.customer_ids) == list(table.customer_ids) == list(rows)
    assert [row_of(copy, number) for number in range(len(copy))] == list(rows.values())
    assert copy.activity.tobytes() == table.activity.tobytes()
    assert copy.memberships.tobytes() == table.memberships.tobytes()


@given(histories(min_size=2, max_size=8))
def test_restoring_a_known_customer_replaces_its_row(events: list[Event]) -> None:
    table = table_of({"a": fold(events[:1]), "b": fold(events)})
    table.restore("a", encode_row(fold(events), membership(7, 9)))
    assert (len(table), table.find("a")) == (2, 0)
    assert row_of(table, 0) == row_of(table, 1) == fold(events)
    assert table.memberships[0]["segment"].tolist() == [7, 1]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=12), histories(min_size=1, max_size=4))
def test_table_holds_what_was_put_in_and_not_removed_since(steps: list[tuple[str, bool]], events: list[Event]) -> None:
    table = CustomerTable()
    expected: dict[str, int] = {}
    for number, (customer_id, is_removed) in enumerate(steps, start=1):
        if is_removed:
            table.remove(customer_id)
            expected.pop(customer_id, None)
        else:
            table.restore(customer_id, encode_row(fold(events[:number]), membership(number)))
            expected[customer_id] = number
    segments = table.memberships[0]["segment"].tolist()
    assert dict(zip(table.customer_ids, segments, strict=True)) == expected
    assert [table.find(customer_id) for customer_id in table.customer_ids] == list(range(len(expected)))
    for customer_id, number in expected.items():
        assert row_of(table, table.find(customer_id)) == fold(events[:number])
    assert all(table.find(customer_id) < 0 for customer_id in "abcd" if customer_id not in expected)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from([None, (), ("value",), ("x",), ("service", "x", "value")]))
    ),
    st.sets(st.sampled_from(["service", "x", "y"])),
)
def test_customers_that_are_removed_take_all_their_memberships_along(
    steps: list[tuple[str, tuple[str, ...] | None]], admitted_later: set[str]
) -> None:
    table = CustomerTable(["value", "y"])
    expected: dict[str, dict[str, int]] = {}
    for number, (customer_id, names) in enumerate(steps, start=1):
        if names is None:
            table.remove(customer_id)
            expected.pop(customer_id, None)
            continue
        own = {name: membership(number + place, name=name)[name] for place, name in enumerate(names)}
        table.restore(customer_id, encode_row(Row(purchases=number), own))
        expected[customer_id] = {"purchases": number} | {name: number + place for place, name in enumerate(names)}
        table.due_at_ms[table.find(customer_id)] = number
    for name in sorted(admitted_later - {"y"}):
        table.admit(name)
    assert set(table.customer_ids) == set(expected)
    for number, customer_id in enumerate(table.customer_ids):
        own = expected[customer_id]
        assert row_of(table, number).purchases == own["purchases"]
        found = dict(zip(table.names, table.memberships[:, number]["segment"].tolist(), strict=True))
        assert found == {name: own.get(name, NO_SEGMENT) for name in table.names}
        assert table.due_at_ms[number] == (NO_TIME if admitted_later - {"y"} else own["purchases"])
        _, encoded = decode_row(table.encode(number))
        others = {digest(name.encode()) for name in own if name not in ("purchases", *table.names)}
        assert set(encoded) == others | {digest(name.encode()) for name in table.names}


def test_row_of_a_new_customer_is_empty_where_another_was_removed() -> None:
    table = table_of({"a": fold([purchase(0)]), "b": fold([purchase(1)])})
    table.remove("a")
    table.remove("b")
    table.insert("c")
    assert row_of(table, 0) == Row()
    assert table.memberships.tolist() == [[NO_MEMBERSHIP.item()]]
    assert table.due_at_ms.tolist() == [NO_TIME]


def test_unknown_row_version_leaves_the_table_as_it_was() -> None:
    table = CustomerTable()
    with pytest.raises(RowVersionUnknown):
        table.restore("a", b"\xff" + encode_row(Row(), membership(1))[1:])
    assert len(table) == 0


def test_damaged_row_is_named_and_leaves_the_table_as_it_was() -> None:
    table = CustomerTable()
    with pytest.raises(RowDamaged, match="customer 'a': row: "):
        table.restore("a", encode_row(Row(), membership(1))[:-1])
    assert len(table) == 0


def test_customers_are_numbered_as_they_come() -> None:
    table = CustomerTable()
    assert [table.insert(customer_id) for customer_id in "bca"] == [0, 1, 2]
    assert [table.find(customer_id) for customer_id in "abcd"] == [2, 0, 1, -1]


def test_rows_encoded_together_are_as_alone() -> None:
    table = table_of({customer_id: Row(purchases=number) for number, customer_id in enumerate("abc")})
    assert table.encode_all([2, 0]) == [table.encode(2), table.encode(0)]
    assert table.encode_all([]) == []


def test_table_grows_and_keeps_what_it_holds() -> None:
    rows = {f"c{number}": Row(purchases=number, orders=bytes([number % 256]) * ORDER.size) for number in range(4_000)}
    table = table_of(rows)
    assert len(table.activity) == table.memberships.shape[1] == len(table.due_at_ms) == 4_000
    assert table.activity["purchases"].tolist() == list(range(4_000))
    assert [row_of(table, number) for number in range(4_000)] == list(rows.values())
    assert (table.memberships[0]["segment"] == 1).all()


def test_nothing_to_restore_changes_nothing() -> None:
    table = table_of({"a": Row()})
    table.restore_many([])
    assert list(table.customer_ids) == ["a"]


def test_customer_that_there_is_not_has_no_id() -> None:
    table = table_of({"a": Row()})
    with pytest.raises(IndexError, match="rows: 0 to 1, expected 0 to 0"):
        table.customer_ids.of(np.array([0, 1]))


def test_events_find_the_rows_of_their_customers() -> None:
    table = CustomerTable()
    for customer_id in ("c1", "c2"):
        table.insert(customer_id)
    events = pack_events([purchase(0, customer_id=each) for each in ("c2", "c3", "c1", "c2")], range(4), 0)
    assert table.customer_ids.rows_of(events).tolist() == [1, -1, 0, 1]


def test_events_without_their_texts_are_refused() -> None:
    table, events = CustomerTable(), pack_events([purchase(0)], range(1), 0)
    with pytest.raises(IndexError, match="1, expected within their 1 bytes of texts"):
        table.customer_ids.rows_of(Events(events.records, events.texts[:1]))


def test_ids_may_be_taken_at_steps() -> None:
    table = CustomerTable()
    for number in range(5):
        table.insert(f"c{number}")
    assert table.customer_ids[::2] == ["c0", "c2", "c4"]
    assert table.customer_ids[::-1] == ["c4", "c3", "c2", "c1", "c0"]


def test_row_that_there_is_not_cannot_be_encoded() -> None:
    table = CustomerTable()
    table.insert("c0")
    with pytest.raises(IndexError, match="rows: 0 to 1, expected 0 to 0"):
        table.encode_all([0, 1])


def test_id_that_is_too_long_is_an_error() -> None:
    table, long_id = CustomerTable(), "c" * 65_536
    row = CustomerTable()
    row.insert("c")
    for put_in in (table.insert, lambda customer_id: table.restore(customer_id, row.encode(0))):
        with pytest.raises(ValueError, match="id of 65536 bytes, expected at most 65535"):
            put_in(long_id)
    assert len(table) == 0


def test_customers_who_may_be_due_are_found_within_some_rows() -> None:
    table = CustomerTable()
    for number in range(4):
        table.insert(f"c{number}")
    table.due_at_ms[:] = [5, 9, 5, 6]
    assert table.due_by(5).tolist() == [0, 2]
    assert table.due_by(6, 1, 4).tolist() == [2, 3]


def test_table_for_which_there_is_no_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LIBRARY, "new", lambda: None)
    with pytest.raises(MemoryError):
        CustomerTable()


@pytest.mark.parametrize(("status", "error"), [(NO_MEMORY, MemoryError), (NO_ROOM, RuntimeError)])
def test_customer_for_whom_there_is_no_room_is_an_error(
    status: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = CustomerTable()
    monkeypatch.setattr(LIBRARY, "insert", lambda *_: status)
    with pytest.raises(error):
        table.insert("a")


def test_segment_sizes_leave_out_customers_without_segment() -> None:
    table = CustomerTable()
    assert table.segment_sizes() == {}
    for number, segment in enumerate([3, NO_SEGMENT, 1, 3, 32_767]):
        table.restore(f"c{number}", encode_row(Row(), membership(segment)))
    assert table.segment_sizes() == {1: 1, 3: 2, 32_767: 1}
