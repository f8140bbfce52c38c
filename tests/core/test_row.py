from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.row import (
    ACTIVITY,
    ACTIVITY_DTYPE,
    MEMBERSHIP_DTYPE,
    ROW_VERSION,
    Row,
    decode_row,
    digest,
    encode_row,
)
from stream_app.errors import RowDamaged, RowVersionUnknown
from tests.support.events import engagement, histories, purchase, refund
from tests.support.totals import fold

MEMBERSHIP = np.array([(1_704_412_800_000, 1_704_499_200_000, 3, 2, 5, 4, 1, 0)], MEMBERSHIP_DTYPE).tobytes()
VALUE = digest(b"value")
ONE = {"value": MEMBERSHIP}
KNOWN_EVENTS = [
    purchase(0, 2_500, order_id="o1", event_id="e1"),
    engagement(0.5, 1.5, event_id="e2"),
    refund(2, 500, "o1", event_id="e3"),
    engagement(4.25, 2.0, event_id="e4"),
]
VERSION_1 = (
    "0100200022000100010000f451c28c01000000f451c28c01000000ac9ecc8c01000000fb34d88c010000d007000000000000"
    "4dbf7783c882ef3fd2f062d0b7c59e40abe8fa9c599a0a409e7c5afd0747ff3f5f35e15f6405fe3f0b4d0000010000000100"
    "0000020000000064ebd68c01000000c011dc8c010000030000000200000005000400010000001f7e24023b50eaef916658fb"
    "d43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f1098cf00f451c28c010000c409000000000000f40100000000"
    "000001001111"
)
"""`KNOWN_EVENTS` with `MEMBERSHIP` as version 1 wrote them. Such rows lie in changelogs: never write this anew."""
VERSION_2 = (
    "0201200022000100010000f451c28c01000000f451c28c01000000ac9ecc8c01000000fb34d88c010000d007000000000000"
    "4dbf7783c882ef3fd2f062d0b7c59e40abe8fa9c599a0a409e7c5afd0747ff3f5f35e15f6405fe3f0b4d0000010000000100"
    "00000200000087d57e269b9df0f00064ebd68c01000000c011dc8c010000030000000200000005000400010000001f7e2402"
    "3b50eaef916658fbd43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f1098cf00f451c28c010000c40900000000"
    "0000f40100000000000001001111"
)
"""The same as version 2 writes them. Never write this anew either."""


@given(histories(max_size=40), st.binary(min_size=MEMBERSHIP_DTYPE.itemsize, max_size=MEMBERSHIP_DTYPE.itemsize))
def test_row_is_decoded_as_it_was_encoded(events: list[Event], membership: bytes) -> None:
    row = fold(events)
    assert decode_row(encode_row(row, {"value": membership})) == (row, {VALUE: membership})


@given(
    histories(max_size=4),
    st.dictionaries(st.sampled_from(["value", "service", "lifecycle", "a"]), st.binary(min_size=32, max_size=32)),
)
def test_row_keeps_the_membership_of_every_segmentation(events: list[Event], memberships: dict[str, bytes]) -> None:
    row = fold(events)
    expected = {digest(name.encode()): membership for name, membership in memberships.items()}
    decoded, found = decode_row(encode_row(row, memberships))
    assert (decoded, list(found.items())) == (row, list(expected.items()))


@given(st.integers(0, 2**366 - 1), st.integers(0, 2**128 - 1))
def test_days_of_any_pattern_survive_encoding(active_day_bits: int, engaged_day_bits: int) -> None:
    row = Row(active_day_bits=active_day_bits, engaged_day_bits=engaged_day_bits)
    assert decode_row(encode_row(row, ONE))[0] == row


def test_row_written_by_version_1_still_loads_as_one_of_the_only_segmentation_there_was() -> None:
    row, memberships = decode_row(bytes.fromhex(VERSION_1))
    assert memberships == {VALUE: MEMBERSHIP}
    assert (row.purchases, row.refunds, row.engagements, row.revenue_minor) == (1, 1, 2, 2_000)
    assert row == fold(KNOWN_EVENTS)


def test_row_is_written_as_version_2_says() -> None:
    assert ROW_VERSION == 2
    assert encode_row(fold(KNOWN_EVENTS), ONE).hex() == VERSION_2


@pytest.mark.parametrize("version", [0, ROW_VERSION + 1, 255])
def test_unknown_version_is_refused(version: int) -> None:
    encoded = bytes([version]) + encode_row(Row(), ONE)[1:]
    with pytest.raises(RowVersionUnknown, match=f"row version: {version}"):
        decode_row(encoded)


@pytest.mark.parametrize("length", [0, 9, 10, 137, -1])
def test_row_of_another_length_than_it_says_is_refused(length: int) -> None:
    encoded = encode_row(fold(KNOWN_EVENTS), ONE)
    for damaged in (encoded[:length], encoded + b"\0"):
        with pytest.raises(RowDamaged, match=f"{len(damaged)} bytes, expected"):
            decode_row(damaged)


def test_row_begins_with_the_fields_of_the_activity_record() -> None:
    names = tuple(field.name for field in msgspec.structs.fields(Row))
    assert names[: len(ACTIVITY_DTYPE.names or ())] == ACTIVITY_DTYPE.names


def test_struct_and_numpy_lay_the_activity_record_out_alike() -> None:
    values = (-1, 2, NO_TIME, 4, -5, 0.1, 1e300, -0.0, 2.5, 3.25, 11, 12, -13, 2**31 - 1)
    packed = ACTIVITY.pack(*values)
    assert packed == np.array([values], ACTIVITY_DTYPE).tobytes()
    assert np.frombuffer(packed, ACTIVITY_DTYPE)[0].item() == values
    assert ACTIVITY.size == ACTIVITY_DTYPE.itemsize


def test_row_packs_its_record_where_it_is_told() -> None:
    row = fold(KNOWN_EVENTS)
    buffer = bytearray(ACTIVITY.size + 7)
    row.pack_activity_into(buffer, 5)
    assert buffer[:5] + buffer[-2:] == bytes(7)
    assert np.frombuffer(buffer[5:-2], ACTIVITY_DTYPE)[0].item() == msgspec.structs.astuple(row)[:14]


def test_digest_is_the_same_on_every_machine() -> None:
    assert digest(b"e1").hex() == "1f7e24023b50eaef"
    assert struct.calcsize("8s") == len(digest(b""))
