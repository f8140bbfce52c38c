from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.kept import KEPT_BYTES_MAX, TEXT_CHARACTERS_MAX, encode_kept, nearest_double, read_kept

VALUES = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=5)
)


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), VALUES), max_size=8))
def test_fields_are_read_back_in_their_order(fields: list[tuple[str, Any]]) -> None:
    kept = encode_kept((name.encode(), value) for name, value in fields)
    found = list(read_kept(kept))
    assert found == fields
    assert [type(value) for _, value in found] == [type(value) for _, value in fields]


def test_layout_is_that_of_the_library() -> None:
    fields = [(b"a", None), (b"bc", True), (b"d", False), (b"n", 1), (b"t", "é"), (b"l", ["x", ""])]
    assert encode_kept(fields) == (
        b"\x01\x00\x00\x00a"
        b"\x02\x02\x00\x00bc"
        b"\x01\x01\x00\x00d"
        b"\x01\x03\x08\x00n\x00\x00\x00\x00\x00\x00\xf0\x3f"
        b"\x01\x04\x02\x00t\xc3\xa9"
        b"\x01\x05\x05\x00l\x01\x00x\x00\x00"
    )


@pytest.mark.parametrize(
    "value",
    [
        "x" * (TEXT_CHARACTERS_MAX + 1),
        "\ud800",
        ["a", "\ud800"],
        ["a", 1],
        ["a", None],
        [["a"]],
        {},
        {"a": 1},
        math.inf,
        math.nan,
        10**400,
        Decimal("1e400"),
    ],
    ids=str,
)
def test_what_has_no_form_is_left_out(value: object) -> None:
    assert list(read_kept(encode_kept([(b"a", 1.0), (b"b", value), (b"c", 2.0)]))) == [("a", 1.0), ("c", 2.0)]


def test_longest_text_is_counted_in_characters() -> None:
    text = "🙂" * TEXT_CHARACTERS_MAX
    assert list(read_kept(encode_kept([(b"a", text)]))) == [("a", text)]


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers() | st.floats())
def test_number_is_the_nearest_double_however_it_is_written(number: Any) -> None:
    found = nearest_double(number)
    expected = float(str(number)) if not isinstance(number, float) else number
    assert found == (expected if math.isfinite(expected) else None)
    if found == 0:
        assert math.copysign(1, found) == 1


def test_field_that_does_not_fit_is_left_out_and_a_shorter_one_behind_it_kept() -> None:
    long = ["x" * 250] * 255
    kept = encode_kept([(b"a", long), (b"b", long), (b"c", "short"), (b"d", ["x" * 256] * 300)])
    assert [name for name, _ in read_kept(kept)] == ["a", "c"]
    room = KEPT_BYTES_MAX - len(kept) - 4 - 1
    filled = [(b"a", long), (b"c", "short"), (b"e", "y" * min(room, 250))]
    assert len(encode_kept(filled)) <= KEPT_BYTES_MAX
