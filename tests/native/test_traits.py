from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.customers import CustomerTable
from stream_app.errors import RowDamaged
from stream_app.native.library import address, function
from stream_app.native.structures import Bytes
from tests.reference.row import Beside, Row, encode_row, split_row
from tests.reference.traits import STATEMENT_LIMIT, TRAIT_LIMIT, VALUE_BYTES_MAX, Value, kept_fields, traits_after

NAMES = st.sampled_from(["", "a", "ab", "b", "consent.", "consent.a", "consent", "consent.b", "ä", "x" * 255])
VALUES = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.lists(st.text(max_size=4), max_size=3)
    | st.integers(VALUE_BYTES_MAX - 1, VALUE_BYTES_MAX + 1).map(lambda size: "x" * size)
)
PROFILES = st.lists(
    st.tuples(
        st.integers(-2, 2) | st.sampled_from([-(2**63), 2**63 - 1]), st.lists(st.tuples(NAMES, VALUES), max_size=4)
    ),
    max_size=12,
)


def take(table: CustomerTable, row: int, kept: bytes, observed_ms: int) -> tuple[int, bool]:
    """Have a profile's kept fields taken over; return the status, and whether anything changed."""
    rows, instants, changed = np.array([row]), np.array([observed_ms], np.int64), np.zeros(1, np.uint8)
    data = np.frombuffer(kept or b"\0", np.uint8)
    part = Bytes(address(data), len(kept))
    arguments = (ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4)
    call = function("seg_table_take_traits", ctypes.c_int32, *arguments)
    status = call(table.handle, 1, address(rows), ctypes.addressof(part), address(instants), address(changed))
    return status, bool(changed[0])


def tell(table: CustomerTable, customer_id: str, traits: Sequence[tuple[str, Value]], observed_ms: int) -> bool:
    """Have a profile say traits; return whether anything changed."""
    status, changed = take(table, table.insert(customer_id), kept_fields(traits), observed_ms)
    assert status == 0
    return changed


def traits_in(table: CustomerTable, number: int = 0) -> bytes:
    return split_row(table.encode(number)).beside.traits


@given(PROFILES, st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_traits_are_the_same_in_any_order_of_arrival(
    profiles: list[tuple[int, list[tuple[str, Value]]]], random: Random
) -> None:
    expected = traits_after(profiles)
    for _ in range(3):
        table = CustomerTable([])
        table.insert("a")
        for observed_ms, traits in profiles:
            before = traits_in(table)
            assert tell(table, "a", traits, observed_ms) == (traits_in(table) != before)
        assert traits_in(table) == expected
        random.shuffle(profiles)


def test_more_traits_than_a_customer_can_have_leave_those_observed_last_in_any_order_of_arrival() -> None:
    random = Random(5)
    for _ in range(8):
        profiles = [
            (random.randrange(60), [(f"t{random.randrange(260)}", random.choice([None, 1.0, "x" * 30, True]))])
            for _ in range(900)
        ]
        orders = []
        for _ in range(3):
            table = CustomerTable([])
            for observed_ms, traits in profiles:
                tell(table, "a", traits, observed_ms)
            orders.append(traits_in(table))
            random.shuffle(profiles)
        assert orders == [traits_after(profiles)] * 3


def test_largest_traits_there_can_be_fit_a_row_and_come_back() -> None:
    table, copy = CustomerTable([]), CustomerTable([])
    for number in range(TRAIT_LIMIT + 5):
        tell(table, "a", [(f"{number:0255}", "x" * VALUE_BYTES_MAX)], number)
    copy.restore("a", table.encode(0))
    assert copy.encode(0) == table.encode(0)
    assert len(copy.traits_of("a")) == TRAIT_LIMIT
    assert min(copy.traits_of("a")) == f"{5:0255}"


def test_trait_that_was_taken_away_is_not_brought_back_by_what_was_observed_before() -> None:
    table = CustomerTable([])
    assert tell(table, "a", [("vip", True)], 10)
    assert tell(table, "a", [("vip", None)], 30)
    assert not tell(table, "a", [("vip", True)], 20)
    assert table.traits_of("a") == table.count_traits() == {}
    assert tell(table, "a", [("vip", False)], 31)
    assert table.traits_of("a") == {"vip": False}


def test_value_too_long_to_be_kept_takes_the_trait_away() -> None:
    table = CustomerTable([])
    tell(table, "a", [("bio", "x" * VALUE_BYTES_MAX)], 1)
    assert table.traits_of("a") == {"bio": "x" * VALUE_BYTES_MAX}
    tell(table, "a", [("bio", "ä" * VALUE_BYTES_MAX)], 2)
    assert table.traits_of("a") == {}


def test_traits_are_read_and_counted_by_name() -> None:
    table = CustomerTable([])
    values: list[tuple[str, Value]] = [("b", 2.5), ("a", "ä"), ("list", ["x", "", "ü"]), ("yes", True), ("no", False)]
    tell(table, "a", values, 1)
    tell(table, "b", [("a", "y"), ("gone", 1.0)], 1)
    tell(table, "b", [("gone", None)], 2)
    table.insert("c")
    assert table.traits_of("a") == dict(values)
    assert table.traits_of("c") == table.traits_of("nobody") == {}
    assert list(table.count_traits().items()) == [("a", 2), ("b", 1), ("list", 1), ("no", 1), ("yes", 1)]
    many = CustomerTable([])
    for number in range(300):
        tell(many, f"c{number}", [(f"t{number % 97}", 1.0), (f"u{number}", 1.0), ("all", 1.0)], 1)
    counts = many.count_traits()
    assert (counts["all"], counts["t3"], counts["u299"], len(counts)) == (300, 4, 1, 398)
    assert list(counts) == sorted(counts)


@pytest.mark.parametrize(
    "kept",
    [
        b"\1",
        struct.pack("<BBH", 1, 4, 0),
        struct.pack("<BBH", 0, 4, 1),
        struct.pack("<BBH", 0, 6, 0),
        struct.pack("<BBHB", 0, 0, 1, 0),
        struct.pack("<BBHf", 0, 3, 4, 1.0),
        struct.pack("<BBHB", 0, 5, 1, 0),
        struct.pack("<BBHHB", 0, 5, 3, 2, 0),
        kept_fields([("a", True)]) + b"\0",
    ],
)
def test_fields_that_are_none_are_refused_and_change_nothing(kept: bytes) -> None:
    table = CustomerTable([])
    tell(table, "a", [("a", 1.0)], 1)
    before = table.encode(0)
    assert take(table, 0, kept, 2) == (-5, False)
    assert take(table, 7, b"", 2)[0] == -5
    assert table.encode(0) == before


def trait(name: bytes, kind: int = 4, value: bytes = b"") -> bytes:
    return struct.pack("<BBHq", len(name), kind, len(value), 5) + name + value


@pytest.mark.parametrize(
    "traits",
    [
        b"\0" * 11,
        trait(b"b") + trait(b"a"),
        trait(b"a") + trait(b"a"),
        trait(b"a", 6),
        trait(b"a", 3, bytes(7)),
        trait(b"a", 5, b"\2\0x"),
        trait(b"a", 4, bytes(VALUE_BYTES_MAX + 1)),
        b"".join(trait(bytes([number])) for number in range(TRAIT_LIMIT + 1)),
    ],
)
def test_row_whose_traits_are_none_is_refused(traits: bytes) -> None:
    table = CustomerTable([])
    with pytest.raises(RowDamaged, match=f"{len(traits)} bytes of traits, expected traits in the order of their names"):
        table.restore("a", encode_row(Row(), {}, Beside(traits=traits)))
    assert len(table) == 0
    table.restore("a", encode_row(Row(), {}, Beside(traits=trait(b"") + trait(b"a", 5, b"\1\0x\0\0"))))
    assert table.traits_of("a") == {"": "", "a": ["x", ""]}


def test_statements_on_consent_are_counted_apart() -> None:
    profiles = [(at, [(f"consent.p{at}", at % 2 == 0), (f"t{at}", float(at))]) for at in range(TRAIT_LIMIT + 40)]
    table = CustomerTable([])
    table.insert("a")
    for observed_ms, traits in profiles:
        tell(table, "a", traits, observed_ms)
    assert traits_in(table) == traits_after(profiles)
    assert len(table.traits_of("a")) == TRAIT_LIMIT + STATEMENT_LIMIT
    copy = CustomerTable([])
    copy.restore_many([(b"a", table.encode(0))])
    assert copy.traits_of("a") == table.traits_of("a")
