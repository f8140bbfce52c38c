"""Places, ledgers and series in the table: what rules need of a row."""

from __future__ import annotations

import ctypes
import struct
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.members import MemberSums
from stream_app.errors import ConfigurationError, RowDamaged
from stream_app.native.library import address, function
from stream_app.native.structures import SERIES_MAX, Bytes
from tests.reference.customers import CustomerTable as ReferenceTable
from tests.reference.row import MEMBERSHIP_DTYPE, Beside, Place, Row, digest, encode_row, split_row

NAMES = ["tier", "vip", "big"]
IDS = st.sampled_from("abcde")
INSTANTS = st.integers(-3, 3) | st.sampled_from([NO_TIME, 2**63 - 1])
SEQUENCES = st.integers(-(2**31), 2**31 - 1).filter(bool)
PLACES = st.builds(Place, SEQUENCES, st.integers(0, 32_767), st.integers(-5, 5), INSTANTS)
SERIES = st.dictionaries(st.integers(0, 2**64 - 1) | st.integers(0, 5), st.integers(1, 7), max_size=4)


def ledger_of(series: dict[int, int], numbers: dict[int, int] | None = None) -> bytes:
    """Return a ledger of series of so many instants: as rows have it, or, with their numbers, as a table does."""
    return b"".join(
        (struct.pack("<Q", key) if numbers is None else b"")
        + struct.pack("<H", (0 if numbers is None else numbers[key]) | count << 13)
        + b"".join(instant.to_bytes(6, "little") for instant in range(count))
        for key, count in sorted(series.items(), key=lambda item: item[0] if numbers is None else numbers[item[0]])
    )


def membership(segment: int, sequence: int, since_ms: int = 5, change: int = 1) -> bytes:
    record = np.zeros(1, MEMBERSHIP_DTYPE)
    record["segment"], record["sequence"], record["since_ms"], record["change"] = segment, sequence, since_ms, change
    return record.tobytes()


def ledger_in(table: CustomerTable, row: int) -> bytes:
    found = function("seg_table_ledger", Bytes, ctypes.c_void_p, ctypes.c_int64)(table.handle, row)
    return ctypes.string_at(found.data, found.size) if found.size else b""


def put(table: CustomerTable, row: int, content: bytes, what: str = "ledger") -> int:
    data = np.frombuffer(content or b"\0", np.uint8)
    call = function(f"seg_table_put_{what}", ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, Bytes)
    return int(call(table.handle, row, Bytes(address(data), len(content))))


def rows_of(table: CustomerTable | ReferenceTable) -> dict[str, bytes]:
    return dict(zip(table.customer_ids, table.encode_all(range(len(table))), strict=True))


# --- places ------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150)
def test_rules_columns_are_as_the_reference_after_any_restores_removals_and_admissions(data: st.DataObject) -> None:
    tables: list[Any] = [CustomerTable(["value"], ["tier"]), ReferenceTable(["value"], ["tier"])]
    for number in range(data.draw(st.integers(0, 12))):
        customer_id, step = data.draw(IDS), data.draw(st.sampled_from(["row", "row", "remove", "admit", "keep"]))
        places = data.draw(st.dictionaries(st.sampled_from([*NAMES, "other", "old"]), PLACES, max_size=4))
        beside = Beside(
            data.draw(INSTANTS),
            {digest(name.encode()): place for name, place in places.items()},
            ledger_of(data.draw(SERIES)),
        )
        members = {name: membership(number, number % 3) for name in data.draw(st.lists(st.sampled_from(NAMES)))}
        new = [name for name in NAMES if name not in tables[0].ruled_names]
        kept = [name for name in tables[0].ruled_names[::-1] if data.draw(st.booleans())]
        for table in tables:
            if step == "row":
                table.restore(customer_id, encode_row(Row(purchases=number), members, beside))
            elif step == "remove":
                table.remove(customer_id)
            elif step == "admit" and new:
                table.admit_ruled(new[0])
            elif step == "keep":
                table.keep_since(kept)
    table, reference = tables
    assert rows_of(table) == rows_of(reference)
    assert table.closed_at_ms.tolist() == reference.closed_at_ms.tolist()
    for number in range(len(table)):
        places = dict(zip(table.ruled_names, table.places[:, number].tolist(), strict=True))
        since = dict(zip(table.since_names, table.since_ms[:, number].tolist(), strict=True))
        assert {
            name: Place(*place, since.get(name, NO_TIME)) for name, place in places.items() if place[0]
        } == reference.places_of(number)


def test_membership_in_a_segmentation_that_is_by_rules_now_becomes_a_place() -> None:
    encoded = encode_row(Row(), {"value": membership(2, 9), "tier": membership(7, 3, 77, 2), "vip": membership(1, 0)})
    early, late = CustomerTable(["value"], ["tier", "vip"]), CustomerTable(["value"])
    early.restore("a", encoded)
    late.restore("a", encoded)
    for name in ("tier", "vip"):
        late.admit_ruled(name)
    for table in (early, late):
        assert table.places[:, 0].tolist() == [(3, 7, 2), (0, 0, 0)]
        assert table.since_ms[:, 0].tolist() == [77, NO_TIME]
        assert list(split_row(table.encode(0)).memberships) == [digest(b"value")]
    assert early.encode(0) == late.encode(0)


def test_new_row_is_empty_in_the_columns_of_rules_where_another_was_removed() -> None:
    table = CustomerTable(["value"], ["tier", "vip"])
    table.set_words(2)
    place = {digest(b"tier"): Place(4, 5, 1, 66)}
    table.restore("a", encode_row(Row(), {}, Beside(9, place, ledger_of({7: 2}))))
    table.outdate_rules()
    table._columns["bits"][:, 0] = 3
    table.rules_due_at_ms[0] = 8
    table.remove("a")
    table.insert("b")
    assert (table.places[:, 0].tolist(), table.since_ms[:, 0].tolist()) == ([(0, 0, 0)] * 2, [NO_TIME] * 2)
    assert (table.closed_at_ms.tolist(), table.rules_due_at_ms.tolist()) == ([NO_TIME], [NO_TIME])
    assert not table._columns["bits"][:, 0].any()
    assert not table._columns["rules_outdated"][0]
    assert (ledger_in(table, 0), table.traits_of("b")) == (b"", {})


def test_removed_row_gives_its_number_with_all_that_rules_know_to_the_last_one() -> None:
    table = CustomerTable([], ["tier"])
    table.set_words(1)
    for number, customer_id in enumerate("abc"):
        table.restore(customer_id, encode_row(Row(), {}, Beside(number, {digest(b"tier"): Place(1 + number, 2, 1, 3)})))
        table._columns["bits"][0, number] = 10 + number
        table._columns["rules_outdated"][number] = number == 2
        table.rules_due_at_ms[number] = 20 + number
        put(table, number, bytes([number]) * 40)
    table.remove("a")
    assert (table.closed_at_ms.tolist(), table.places["sequence"].tolist()) == ([2, 1], [[3, 2]])
    assert (table.rules_due_at_ms.tolist(), table._columns["bits"][0, :2].tolist()) == ([22, 21], [12, 11])
    assert table._columns["rules_outdated"][:2].tolist() == [True, False]
    assert [ledger_in(table, number) for number in (0, 1, 2)] == [b"\2" * 40, b"\1" * 40, b""]


def test_rules_are_to_be_evaluated_after_a_row_words_or_a_version_are_new() -> None:
    table = CustomerTable([], ["tier"])
    table.set_words(1)
    row = encode_row(Row(), {})

    def restore() -> None:
        table.restore("a", row)

    for renew in (restore, table.outdate_rules, lambda: table.set_words(2), lambda: table.admit_ruled("vip"), restore):
        table.restore("a", row)
        table.rules_due_at_ms[:] = 5
        table._columns["bits"][:, 0] = 7
        renew()
        assert table.rules_due_at_ms.tolist() == [NO_TIME]
        assert renew == table.outdate_rules or not table._columns["bits"][:, 0].any()
    assert table._columns["rules_outdated"][0]


def test_columns_of_rules_grow_and_keep_what_they_hold() -> None:
    table = CustomerTable([], ["tier", "vip"])
    table.keep_since(["vip"])
    table.set_words(1)
    for number in range(3_000):
        table.insert(f"c{number}")
        table.places["sequence"][:, number] = number
        table.since_ms[0, number] = table.closed_at_ms[number] = table._columns["bits"][0, number] = number
    table.reserve(10_000)
    everybody = list(range(3_000))
    assert table.places["sequence"].tolist() == [everybody] * 2
    assert table.since_ms[0].tolist() == table.closed_at_ms.tolist() == everybody
    assert table._columns["bits"][0, :3_000].tolist() == everybody


def test_members_of_segmentations_by_rules_come_behind_the_others() -> None:
    table = CustomerTable(["value"], ["tier"])
    for number, customer_id in enumerate("abc"):
        place = {digest(b"tier"): Place(1, number, 1)}
        table.restore(customer_id, encode_row(Row(purchases=number), {"value": membership(9, 1)}, Beside(0, place)))
    assert table.segment_sizes(0) == {9: 3}
    assert table.segment_sizes(1) == {1: 1, 2: 1}
    table.restore("c", encode_row(Row(first_at_ms=0, engaged_at_ms=5_000, purchases=8), {}, Beside(0, place)))
    assert table.members(1)[2] == MemberSums(1, 8, 0, 0, 5)


# --- rows that cannot be taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (Beside(0, {digest(b"x"): Place(1, -2)}), "segment -2, expected at least 0"),
        (Beside(0, {digest(b"x"): Place(0, 2, 1, 4)}), "a place of sequence 0, expected one that is not 0"),
        (Beside(0, {bytes([n]) * 8: Place(1, 2) for n in range(255)}), "256 places .* expected at most 255"),
        (
            Beside(0, {bytes([n % 200, n % 199]) * 4: Place(1, 2, 0, n % 2 or NO_TIME) for n in range(300)}),
            "256 places in segmentations by rules, expected at most 255",
        ),
        (Beside(0, ledger=ledger_of({1: 2})[:-1]), "21 bytes of series of events, expected series"),
        (Beside(0, ledger=ledger_of({1: 2}) + ledger_of({1: 2})), "44 bytes of series of events"),
    ],
)
def test_row_whose_places_or_ledger_are_none_is_refused_and_changes_nothing(beside: Beside, message: str) -> None:
    table = CustomerTable(["value"], ["tier"])
    table.restore("a", encode_row(Row(), {}, Beside(3, {digest(b"tier"): Place(1, 2, 3)}, ledger_of({9: 1}))))
    before = table.encode(0)
    for customer_id in ("a", "b"):
        with pytest.raises(RowDamaged, match=message):
            table.restore(customer_id, encode_row(Row(purchases=1), {}, beside))
    assert (len(table), table.encode(0), table.series_digests) == (1, before, [9])


def test_no_more_places_are_kept_than_a_row_can_say() -> None:
    table = CustomerTable([])
    table.restore("a", encode_row(Row(), {}, Beside(0, {bytes([n]) * 8: Place(1, 2) for n in range(255)})))
    table.admit_ruled("one too many")
    with pytest.raises(ValueError, match="places in more than 255"):
        table.encode(0)


# --- series and ledgers ------------------------------------------------------------------------------------------


def test_series_keep_their_numbers_and_are_limited() -> None:
    table, random = CustomerTable([]), Random(3)
    digests = [0, 2**64 - 1, *(random.randrange(2**64) for _ in range(SERIES_MAX - 2))]
    assert [table.series_number(each) for each in digests] == list(range(SERIES_MAX))
    assert [table.series_number(each) for each in digests[::-1]] == list(range(SERIES_MAX))[::-1]
    assert table.series_digests == digests
    with pytest.raises(ConfigurationError, match="expected at most 1024"):
        table.series_number(12_345)
    table.restore("a", encode_row(Row(), {}, Beside(ledger=ledger_of({digests[7]: 1}))))
    with pytest.raises(RowDamaged, match="1025 different series of events in a partition, expected at most 1024"):
        table.restore("b", encode_row(Row(), {}, Beside(ledger=ledger_of({digests[7]: 1, 12_345: 1}))))


def test_ledgers_mean_the_same_in_tables_that_number_their_series_otherwise() -> None:
    first, second = CustomerTable([]), CustomerTable([])
    for key in (30, 10, 20):
        first.series_number(key)
    assert first.insert("a") == 0
    put(first, 0, ledger_of({10: 1, 30: 2, 20: 3}, {30: 0, 10: 1, 20: 2}))
    assert split_row(first.encode(0)).beside.ledger == ledger_of({10: 1, 20: 3, 30: 2})
    second.series_number(20)
    second.restore("a", first.encode(0))
    assert second.series_digests == [20, 10, 30]
    assert ledger_in(second, 0) == ledger_of({10: 1, 30: 2, 20: 3}, {20: 0, 10: 1, 30: 2})
    assert second.encode(0) == first.encode(0)


def test_ledger_of_a_series_that_nobody_numbered_cannot_be_encoded() -> None:
    table = CustomerTable([])
    table.insert("a")
    put(table, 0, ledger_of({10: 1}, {10: 5}))
    with pytest.raises(ValueError, match="row"):
        table.encode(0)


@pytest.mark.parametrize("what", ["ledger", "traits"])
def test_bytes_beside_a_row_are_those_put_in_last_whatever_their_sizes(what: str) -> None:
    random, table, expected = Random(8), CustomerTable([]), dict[str, bytes]()
    found = function(f"seg_table_{what}", Bytes, ctypes.c_void_p, ctypes.c_int64)
    limit = {"ledger": 61_440, "traits": (128 + 16) * (12 + 255 + 4_096)}[what]
    for number in range(12_000):
        customer_id = f"c{random.randrange(40)}"
        if random.random() < 0.05:
            table.remove(customer_id)
            expected.pop(customer_id, None)
            continue
        size = random.choice((0, random.randrange(140), random.randrange(2_600), random.randrange(limit + 1), limit))
        content = bytes([number % 256]) * size
        assert put(table, table.insert(customer_id), content, what) == 0
        expected[customer_id] = content
        if number % 500 == 0:
            held = {i: found(table.handle, row) for row, i in enumerate(table.customer_ids)}
            assert {i: ctypes.string_at(h.data, h.size) if h.size else b"" for i, h in held.items()} == {
                i: expected.get(i, b"") for i in held
            }
    for customer_id in [*expected]:
        put(table, table.find(customer_id), b"", what)
    idle = table.memory["ledgers" if what == "ledger" else "traits"]
    assert idle == table.memory["ledgers"] + table.memory["traits"] < 6_000_000  # blocks of pools alone
    for row in (0, -1, 99):
        assert put(table, row, bytes(limit + 1), what) == -5
    assert put(table, 99, b"x", what) == -5


def test_long_ledgers_give_their_memory_back() -> None:
    table = CustomerTable([])
    for number in range(50):
        put(table, table.insert(f"c{number}"), bytes(60_000))
    taken = table.memory["ledgers"]
    assert 50 * 60_000 < taken < 50 * 70_000
    for _ in range(3):
        for number in range(50):
            put(table, number, bytes(3_000 + number))
        assert table.memory["ledgers"] < 50 * 3_800
        for number in range(50):
            put(table, number, bytes(60_000))
        assert table.memory["ledgers"] == taken
    for number in range(50):
        table.remove(f"c{number}")
    assert table.memory["ledgers"] == 0


def test_table_without_rules_and_traits_takes_no_memory_for_them() -> None:
    table = CustomerTable()
    for number in range(100):
        table.insert(f"c{number}")
    assert (table.memory["rules"], table.memory["ledgers"], table.memory["traits"]) == (0, 0, 0)
    table.admit_ruled("tier")
    assert table.memory["rules"] == 100 * (8 + 8 + 8 + 1)
