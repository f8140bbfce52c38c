from __future__ import annotations

import math
import struct
from ctypes import c_char_p, c_int32, c_int64, c_void_p
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.segments import NO_SEGMENT
from stream_app.errors import RowDamaged, RowVersionUnknown
from stream_app.native.library import address, function
from stream_app.native.structures import EVENT_DTYPE
from tests.core.test_row import BESIDE, VERSION_1, VERSION_2, VERSION_2_MANY, VERSION_3, VERSION_4
from tests.native.histories import as_records, fold, mixed_events
from tests.reference.customers import CustomerTable as ReferenceTable
from tests.reference.earlier_rows import EARLIER_ORDER
from tests.reference.ids import Ids, unpack_ids
from tests.reference.members import MemberTotals
from tests.reference.orders import ORDER, ORDER_LIMIT, unpack_orders
from tests.reference.row import (
    MEMBERSHIP_DTYPE,
    NO_MEMBERSHIP,
    Beside,
    EncodedParts,
    Place,
    Row,
    decode_row,
    digest,
    encode_row,
    split_row,
)
from tests.support.tables import outdated_in, row_of

IDS = st.text(max_size=6) | st.sampled_from(["a", "b", "ä", "\0", "x" * 1_024])


def membership(segment: int, sequence: int = 1) -> bytes:
    record = np.zeros(1, MEMBERSHIP_DTYPE)
    record["segment"], record["sequence"] = segment, sequence
    return record.tobytes()


def table_of_events(size: int = 3_000, seed: int = 5) -> CustomerTable:
    """Return a table of simulated and wild customers."""
    table, events = CustomerTable(), mixed_events(seed, size)
    fold(table, np.array([table.insert(event.customer_id) for event in events]), as_records(events))
    return table


def rows_of(table: CustomerTable | ReferenceTable) -> dict[str, bytes]:
    return dict(zip(table.customer_ids, table.encode_all(range(len(table))), strict=True))


# --- who is in the table -----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(IDS, st.sampled_from(["insert", "restore", "remove"])), max_size=60))
@settings(max_examples=200)
def test_table_is_as_the_reference_after_any_inserts_restores_and_removals(steps: list[tuple[str, str]]) -> None:
    table, reference = CustomerTable(["value", "x"]), ReferenceTable(["value", "x"])
    for number, (customer_id, step) in enumerate(steps):
        row = encode_row(
            Row(
                purchases=number,
                recent_events=Ids(engagements=(b"abcd\0\0",) * (number % 33)).pack(),
                active_day_bits=1 << number,
            ),
            {"value": membership(number), "other": membership(1 + number)},
        )
        if step == "remove":
            table.remove(customer_id)
            reference.remove(customer_id)
        elif step == "restore":
            table.restore(customer_id, row)
            reference.restore(customer_id, row)
        elif reference.find(customer_id) < 0:
            assert table.insert(customer_id) == reference.insert(customer_id)
            reference.restore(customer_id, table.encode(table.find(customer_id)))
    assert list(table.customer_ids) == reference.customer_ids
    assert rows_of(table) == rows_of(reference)
    everybody = {customer_id for customer_id, _ in steps}
    assert {i: table.find(i) for i in everybody} == {i: reference.find(i) for i in everybody}
    assert {i for i in everybody if table.find(i) >= 0} == set(reference.customer_ids)


def test_many_customers_come_and_go() -> None:
    random, table, expected = Random(1), CustomerTable(), dict[str, bytes]()
    for number in range(30_000):
        customer_id = f"customer {random.randrange(3_000)}" + "x" * random.randrange(60)
        if random.random() < 0.45 and expected:
            gone = random.choice(table.customer_ids[:1] + table.customer_ids[-3:])
            table.remove(gone)
            del expected[gone]
        row = encode_row(
            Row(purchases=number, orders=bytes(ORDER.size * random.randrange(17))), {"value": membership(1)}
        )
        table.restore(customer_id, row)
        expected[customer_id] = row
    assert rows_of(table) == expected
    assert [table.find(i) for i in table.customer_ids] == list(range(len(table)))
    assert table.memory["ids"] < 4 * sum(map(len, expected)) + 2 * 65_536


def test_inserting_a_known_customer_returns_its_row() -> None:
    table = CustomerTable()
    assert [table.insert(i) for i in ("b", "a", "b", "")] == [0, 1, 0, 2]
    assert list(table.customer_ids) == ["b", "a", ""]


def test_new_row_is_empty_where_another_was_removed() -> None:
    table = CustomerTable(["value", "x"])
    table.restore("a", encode_row(Row(purchases=9), {"value": membership(1), "x": membership(2), "y": membership(3)}))
    table.due_at_ms[0] = 5
    table.outdate(1)
    table.remove("a")
    table.insert("b")
    assert row_of(table, 0) == Row()
    assert table.memberships[:, 0].tolist() == [NO_MEMBERSHIP.item()] * 2
    assert table.due_at_ms.tolist() == [NO_TIME]
    assert not outdated_in(table).any()
    assert set(decode_row(table.encode(0))[1]) == {digest(b"value"), digest(b"x")}


def test_columns_grow_and_keep_what_they_hold() -> None:
    table = CustomerTable()
    for number in range(5_000):
        table.insert(f"c{number}")
        table.activity["purchases"][number] = number
    table.due_at_ms[:] = np.arange(5_000)
    table.reserve(10_000)
    assert table.activity["purchases"].tolist() == table.due_at_ms.tolist() == list(range(5_000))
    assert table.due_by(9).tolist() == list(range(10))
    assert table.due_by(2_000, 1_995, 1_998).tolist() == [1_995, 1_996, 1_997]


def test_ids_can_be_sliced_as_a_list() -> None:
    ids = [f"kündin {number}" for number in range(9)]
    table = CustomerTable()
    for customer_id in ids:
        table.insert(customer_id)
    assert (table.customer_ids[3], table.customer_ids[-1]) == (ids[3], ids[-1])
    for part in (slice(2, 5), slice(None), slice(-3, None), slice(7, 2), slice(None, None, -2), slice(50, 60)):
        assert table.customer_ids[part] == ids[part]
    with pytest.raises(IndexError):
        table.customer_ids[9]


def found_by_events(table: CustomerTable, ids: list[bytes], texts_size: int | None = None) -> tuple[int, list[int]]:
    """Return the status and the rows that a batch of events of these customers finds."""
    records = np.zeros(len(ids), EVENT_DTYPE)
    records["customer_size"] = [len(customer_id) for customer_id in ids]
    records["text_at"] = np.cumsum(records["customer_size"], dtype=np.uint32) - records["customer_size"]
    records["customer_hash"] = [xxh3_64_intdigest(customer_id) for customer_id in ids]
    texts, rows = b"".join(ids), np.full(len(ids), -7)
    call = function("seg_table_find_events", c_int32, c_void_p, c_void_p, c_int64, c_char_p, c_int64, c_void_p)
    size = len(texts) if texts_size is None else texts_size
    return call(table.handle, address(records), len(ids), texts, size, address(rows)), rows.tolist()


def test_batch_of_events_finds_the_rows_of_its_customers() -> None:
    random, table = Random(4), CustomerTable()
    known = [f"customer {number}" for number in range(0, 2_000, 2)]
    for customer_id in known:
        table.insert(customer_id)
    asked = [f"customer {random.randrange(2_000)}" for _ in range(3_000)]
    status, rows = found_by_events(table, [customer_id.encode() for customer_id in asked])
    assert (status, rows) == (0, [table.find(customer_id) for customer_id in asked])
    assert table.customer_ids.hashes(990).tolist() == [xxh3_64_intdigest(i.encode()) for i in known[990:]]
    assert found_by_events(table, [b"customer 2", b"customer 4"], texts_size=19)[0] == -5


def test_id_too_long_to_be_kept_is_refused() -> None:
    table = CustomerTable()
    table.insert("x" * 65_535)
    with pytest.raises(ValueError, match="id of 65536 bytes"):
        table.insert("x" * 65_536)
    with pytest.raises(ValueError, match="id of 65536 bytes"):
        table.restore("y" * 65_536, encode_row(Row(), {}))
    assert [len(i) for i in table.customer_ids] == [65_535]


def test_row_that_there_is_not_cannot_be_encoded() -> None:
    table = CustomerTable()
    table.insert("a")
    for number in (-1, 1):
        with pytest.raises(IndexError):
            table.encode(number)


def test_no_more_memberships_are_kept_than_a_row_can_say() -> None:
    row = encode_row(Row(), {f"s{number}": membership(1) for number in range(255)})
    table = CustomerTable()
    with pytest.raises(RowDamaged, match="row: 256 memberships, expected at most 255"):
        table.restore("a", row)
    roomy = CustomerTable([])
    roomy.restore("a", row)
    roomy.admit("one too many")
    with pytest.raises(ValueError, match="255"):
        roomy.encode(0)


# --- memberships -------------------------------------------------------------------------------------------------


def test_memberships_of_other_segmentations_come_back_when_these_are_admitted() -> None:
    own = {"x": membership(3), "value": membership(1), "y": membership(4)}
    tables: list[Any] = [CustomerTable(["value", "z"]), ReferenceTable(["value", "z"])]
    for table in tables:
        table.restore("a", encode_row(Row(), own))
        table.restore("b", encode_row(Row(), {"y": membership(7)}))
    assert rows_of(tables[0]) == rows_of(tables[1])
    for table in tables:
        table.admit("y")
    assert rows_of(tables[0]) == rows_of(tables[1])
    assert tables[0].memberships["segment"].tolist() == [[1, 0], [0, 0], [4, 7]]
    for table in tables:
        table.remove("a")
    assert rows_of(tables[0]) == rows_of(tables[1])


def test_membership_named_twice_is_the_later_one() -> None:
    for name in ("value", "x"):
        doubled = bytearray(encode_row(Row(), {name: membership(1), "y": membership(2)}))
        doubled[-40:-32] = digest(name.encode())
        table, reference = CustomerTable(), ReferenceTable()
        table.restore("a", bytes(doubled))
        reference.restore("a", bytes(doubled))
        assert table.encode(0) == reference.encode(0)


def test_members_are_counted_anew_after_rows_were_put_in() -> None:
    table = table_of_events()
    table.memberships["segment"] = np.arange(len(table)) % 5 * 8_191
    for _ in range(2):
        assert table.members() == MemberTotals.count(table.activity, table.memberships).of(0)
        assert NO_SEGMENT not in table.segment_sizes()
        table.remove(table.customer_ids[3])
        table.restore("new", encode_row(Row(purchases=3), {"value": membership(32_767)}))


# --- rows as bytes -----------------------------------------------------------------------------------------------


def test_restored_table_is_the_one_that_was_encoded() -> None:
    table, copy = table_of_events(), CustomerTable()
    rows = rows_of(table)
    copy.restore_many([(i.encode(), row) for i, row in rows.items()])
    assert rows_of(copy) == rows
    assert copy.activity.tobytes() == table.activity.tobytes()
    again = CustomerTable()
    for i, row in rows.items():
        again.restore(i, row)
    assert rows_of(again) == rows


def test_rows_given_several_times_are_as_given_last_and_those_of_none_are_removed() -> None:
    rows = list(rows_of(table_of_events()).values())
    random, records, table, reference = Random(2), [], CustomerTable(), ReferenceTable()
    for _ in range(2_000):
        records.append((f"c{random.randrange(200)}".encode(), random.choice([None, *rows[:30]])))
    for start in range(0, 2_000, 300):
        table.restore_many(records[start : start + 300])
    for key, value in records:
        reference.remove(key.decode()) if value is None else reference.restore(key.decode(), value)
    assert list(table.customer_ids) == reference.customer_ids
    assert rows_of(table) == rows_of(reference)


@pytest.mark.parametrize("known", [VERSION_1, VERSION_2, VERSION_2_MANY, VERSION_3, VERSION_4])
def test_earlier_rows_are_carried_over_as_in_the_reference(known: str) -> None:
    table, reference = CustomerTable(), ReferenceTable()
    table.restore("a", bytes.fromhex(known))
    reference.restore("a", bytes.fromhex(known))
    assert table.encode(0) == reference.encode(0)


def earlier_row(random: Random, row: Row, version: int) -> bytes:
    """Return a row of an earlier version that remembers about the same."""
    numbers = struct.pack(
        "<5q5d4i", row.first_at_ms, row.purchased_at_ms, row.ordered_at_ms, row.engaged_at_ms, row.revenue_minor,
        *(random.choice((0.0, random.random() * 20, random.random() * 1e6)) for _ in range(5)),
        1, random.choice((row.purchases, row.purchases + 7)), row.refunds, row.engagements,
    )  # fmt: skip
    members = membership(3) if version == 1 else digest(b"value") + membership(2) + digest(b"y") + membership(1)
    active, engaged = row.active_day_bits.to_bytes(46, "little"), row.engaged_day_bits.to_bytes(23, "little")
    events = random.randbytes(8 * random.randrange(33))
    orders = b"".join(
        EARLIER_ORDER.pack(
            order.digest, order.at_ms, order.stated_minor, order.refunded_minor, random.choice((0, 1, 1, 1, 2, 9))
        )
        for order in unpack_orders(row.orders)
    )
    sizes = (len(events), len(orders), len(active), len(engaged))
    header = struct.pack("<BBHHHH", version, 2, *sizes)
    return b"".join((header, numbers, members, events, orders, active, engaged))


@pytest.mark.parametrize("version", [1, 2])
def test_earlier_rows_of_any_customers_are_carried_over_as_in_the_reference(version: int) -> None:
    random, source = Random(3), table_of_events(12_000)
    assert max(len(row_of(source, number).orders) for number in range(len(source))) == ORDER_LIMIT * ORDER.size
    for number in range(len(source)):
        row = earlier_row(random, row_of(source, number), version)
        if has_no_first_purchase(row):
            continue
        table, reference = CustomerTable(), ReferenceTable()
        table.restore("a", row)
        reference.restore("a", row)
        assert table.encode(0) == reference.encode(0)


def has_no_first_purchase(row: bytes) -> bool:
    """Say whether a row is refused, as it says that its customer has purchased and knows no order of all."""
    (_, purchased_at_ms), (events, orders) = struct.unpack_from("<qq", row, 10), struct.unpack_from("<HH", row, 2)
    start = len(row) - sum(struct.unpack_from("<HHHH", row, 2)) + events
    known = [fields[-1] for fields in EARLIER_ORDER.iter_unpack(row[start : start + orders])]
    return purchased_at_ms != NO_TIME and len(known) < ORDER_LIMIT and not any(known)


def test_restored_customer_is_looked_at_again() -> None:
    table = CustomerTable()
    for number in (1, 2):
        table.restore("a", encode_row(Row(purchases=number), {}))
        assert table.due_at_ms.tolist() == [NO_TIME]
        table.due_at_ms[0] = 5


# --- rows that cannot be taken -----------------------------------------------------------------------------------


def test_refused_row_is_named_and_those_before_it_are_in() -> None:
    good, damaged = encode_row(Row(), {}), encode_row(Row(), {})[:-1]
    table = CustomerTable()
    with pytest.raises(RowDamaged, match=r"^customer 'b': row: 137 bytes, expected 138$"):
        table.restore_many([(b"a", good), (b"b", damaged), (b"c", good)])
    assert list(table.customer_ids) == ["a"]
    with pytest.raises(RowVersionUnknown, match=r"^row version: 255, expected at most 5$"):
        table.restore("d", b"\xff" + good[1:])
    with pytest.raises(RowDamaged, match=r"^customer 'd': row: 9 bytes, expected at least 10$"):
        table.restore("d", good[:9])
    with pytest.raises(RowDamaged, match="id: not UTF-8"):
        table.restore_many([(b"\xff", good)])
    assert list(table.customer_ids) == ["a"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row(recent_events=b"\0"), "1 bytes of event ids, expected whole ids and at most 4508 bytes"),
        (Row(recent_events=b"\0\1abcde"), "7 bytes of event ids, expected whole ids and at most 4508 bytes"),
        (Row(recent_events=b"\0\xf1" + bytes(6 * 241)), "1448 bytes of event ids, expected whole ids"),
        (Row(recent_events=bytes(2 + 6 * 257)), "1544 bytes of event ids, expected whole ids"),
        (Row(orders=bytes(41)), "41 bytes of orders, expected whole orders and at most 672 bytes"),
        (Row(orders=bytes(714)), "714 bytes of orders, expected whole orders and at most 672 bytes"),
        (Row(active_day_bits=1 << 366), "active days: 367, expected at most 366"),
        (Row(engaged_day_bits=1 << 182), "engaged days: 183, expected at most 182"),
    ],
)
def test_rows_that_say_more_than_a_row_can_hold_are_refused(row: Row, message: str) -> None:
    table = CustomerTable()
    with pytest.raises(RowDamaged, match=message):
        table.restore("a", encode_row(row, {}))
    assert len(table) == 0


def test_segment_below_zero_is_refused() -> None:
    for field in ("segment", "previous", "kept"):
        record = np.zeros(1, MEMBERSHIP_DTYPE)
        record[field] = -3
        for name in ("value", "other"):
            with pytest.raises(RowDamaged, match="segment -3, expected at least 0"):
                CustomerTable().restore("a", encode_row(Row(), {name: record.tobytes()}))


LEDGERS = (b"", BESIDE.ledger)
BESIDES = (
    Beside(5),
    BESIDE,
    Beside(-7, {digest(bytes([number])): Place(1 + number, number, 3, number) for number in range(9)}),
    Beside(2**63 - 1, {digest(b"y"): Place(-1, 32_767, -1)}, traits=BESIDE.traits),
)


def are_traits(encoded: bytes) -> bool:
    """Say whether a row's traits are such as the library writes."""
    names, at = [], 0
    while at < len(encoded):
        if len(encoded) - at < 12:
            return False
        name_size, kind, size, _ = struct.unpack_from("<BBHq", encoded, at)
        value_at = at + 12 + name_size
        at = value_at + size
        if at > len(encoded) or kind > 5 or size > 4_096 or size != {0: 0, 1: 0, 2: 0, 3: 8}.get(kind, size):
            return False
        if kind == 5:
            while value_at < at - 1:
                value_at += 2 + int.from_bytes(encoded[value_at : value_at + 2], "little")
            if value_at != at:
                return False
        names.append(encoded[at - size - name_size : at - size])
    return names == sorted(set(names)) and len(names) <= 128


def are_no_ids(encoded: bytes) -> bool:
    """Say whether a row's ids are not such as the library writes."""
    if not encoded:
        return False
    ids = unpack_ids(encoded)
    whole = len(encoded) >= 2 and all(len(each) == 6 for kind in ids for each in kind)
    counted = whole and (len(ids.refunds), len(ids.orders)) == tuple(encoded[:2])
    return not counted or len(ids.orders) > 240 or len(ids.engagements) > 256


def is_beyond_its_memories(encoded: bytes) -> bool:
    """Say whether a row has more ids or orders than its version allows, or not whole ones."""
    events, orders = struct.unpack_from("<HH", encoded, 2)
    if encoded[0] < 5:
        return events % 8 != 0 or events > 256 or orders % 34 != 0 or orders > 16 * 34
    _, _, history, _ = split_row(encoded)
    return are_no_ids(history.recent_events) or orders % ORDER.size != 0 or orders > ORDER_LIMIT * ORDER.size


def is_beyond_a_row(encoded: bytes) -> bool:
    """Say whether the reference takes a row that nobody wrote, and that the library refuses."""
    _, memberships, history, beside = split_row(encoded)
    codes = [np.frombuffer(record, MEMBERSHIP_DTYPE)[0] for record in memberships.values()]
    return (
        is_beyond_its_memories(encoded)
        or history.active_day_bits.bit_length() > 366 or history.engaged_day_bits.bit_length() > 182
        or any(min(code["segment"], code["previous"], code["kept"]) < 0 for code in codes)
        or len({digest(b"value"), *memberships}) > 255
        or any(place.segment < 0 or place.sequence == 0 for place in beside.places.values())
        or beside.ledger not in LEDGERS or not are_traits(beside.traits)
    )  # fmt: skip


def mutated(random: Random, encoded: bytes) -> bytes:
    """Return a row with some bytes changed, taken out or put in."""
    changed = bytearray(encoded)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.choice((random.randrange(10), random.randrange(len(changed) or 1)))
        match random.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([random.choice((0, 1, 8, 127, 128, 255))])
            case 2:
                del changed[at : at + random.choice((1, 5, 42))]
            case 3:
                changed[at:at] = bytes(random.choice((1, 5, 42, 40)))
            case _:  # lengths that fit one another, and not what they are of
                size = random.choice((1, 5, 42, 512)) * random.choice((1, -1))
                field = 2 + 2 * random.randrange(4)
                (old,) = struct.unpack_from("<H", changed.ljust(10, b"\0"), field)
                changed[field : field + 2] = struct.pack("<H", (old + size) % 65_536)
                changed[len(changed) :] = bytes(max(size, 0))
    return bytes(changed)


def has_numbers_in_range(row: Row) -> bool:
    """Say whether a row's numbers are finite, and those of its orders far from where an int64 ends."""
    numbers = (row.orders_decayed, row.revenue_decayed, row.log_order_values, row.engaged_days, row.log_gaps)
    orders = (number for _, *fields in ORDER.iter_unpack(row.orders) for number in fields)
    return all(map(math.isfinite, numbers)) and all(abs(number) < 2**62 for number in orders)


def without_ledger(encoded: bytes) -> EncodedParts:
    """Return what a row holds but the ledger of its series, which the reference does not look into."""
    parts = split_row(encoded)
    return parts._replace(beside=parts.beside._replace(ledger=b""))


def check_mutated(seed: int, size: int) -> tuple[int, int, int]:
    """Compare what becomes of mutated rows; return how many were taken, refused, and refused by the library alone."""
    random, source = Random(seed), table_of_events(12_000)
    rows = [
        row
        for number in range(len(source))
        for row in (
            source.encode(number),
            encode_row(row_of(source, number), {"value": membership(3)}, random.choice(BESIDES)),
            *(earlier_row(random, row_of(source, number), version) for version in (1, 2)),
        )
    ]
    event = as_records(mixed_events(9, 2))
    taken = refused = alone = 0
    for _ in range(size):
        row = mutated(random, random.choice(rows))
        table, reference = CustomerTable(["value"], ["tier", "y"]), ReferenceTable(["value"], ["tier", "y"])
        error: Exception | None = None
        try:
            reference.restore("a", row)
        except Exception as raised:  # of any kind: it is the reference that crashes
            error = raised
        refusal: Exception | None = None
        try:
            table.restore("a", row)
        except (RowDamaged, RowVersionUnknown) as raised:
            refusal = raised
        if refusal is not None:
            refused += 1
            assert len(table) == 0
            if error is None:
                alone += 1
                assert is_beyond_a_row(row)
            elif isinstance(error, (RowDamaged, RowVersionUnknown)):
                assert (type(refusal), str(refusal)) == (type(error), str(error))
            continue
        assert error is None or isinstance(error, (OverflowError, ZeroDivisionError)), (error, row.hex())
        taken += 1
        if error is None and has_numbers_in_range(row_of(reference, 0)):
            assert without_ledger(table.encode(0)) == without_ledger(reference.encode(0))
        fold(table, np.zeros(2, np.int64), event)
        table.encode(0)
    return taken, refused, alone


def test_mutated_rows_are_taken_as_by_the_reference_or_refused() -> None:
    taken, refused, alone = check_mutated(1, 4_000)
    assert min(taken, refused, alone) > 50
