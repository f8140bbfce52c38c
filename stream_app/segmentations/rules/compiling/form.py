"""The form of a program: lists of records as `native/program.h` has them, one field named once on this side.

A *reference* to a condition is an index, doubled, plus 1 where it is negated. Nodes are numbered from `NODES_FROM` on
while a program grows; in the form they follow the literals.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

FORMAT: Final = 1
NEVER_MS: Final = 2**62
COUNT_MAX: Final = 4_096
"""`SEG_COUNT_MAX`: the greatest n of "at least n" in a window."""
LITERALS_MAX: Final = 2_048
NODES_MAX: Final = 2_048
SERIES_MAX: Final = 512
TRAITS_MAX: Final = 128
FIELDS_MAX: Final = 256
NODES_FROM: Final = 1 << 20

(INSTANTS, DAYS, OLDEST, COUNT, TOTALS, VALUES, GREATEST, LEAST, DECAYED, LAST, OBSERVED) = range(11)
"""What a series keeps, `SEG_KEEP_…`."""
NOTHING, AMOUNT, TYPE, ONE = -1, -2, -3, -4
"""In place of a field, `SEG_OF_…`."""
(EXISTS, NUMBER_FROM, NUMBER_ABOVE, NUMBER_IS, TEXT_IS, IS_TRUE, IS_FALSE, AMONG, CONTAINS, BEGINS) = range(10)
"""Tests of a value, `SEG_TEST_…`."""
(
    IS_COUNT,
    IS_TOTAL,
    IS_PILE,
    IS_TOTALS,
    IS_FIRST,
    IS_SEQUENCE,
    IS_DECAYED,
    IS_LAST,
    IS_HELD,
    IS_FIGURE,
    IS_TRAIT,
    IS_DATE,
    IS_ROUND,
    IS_MEMBER,
    IS_LISTED,
    IS_DRAWN,
) = range(16)
"""Kinds of literals, `SEG_IS_…`."""
SUM, LOWEST, HIGHEST, AVERAGE = range(4)
"""What of a pile of values is compared, `SEG_WHAT_…`."""
FROM, ABOVE, KNOWN = range(3)
"""Comparisons: `SEG_AT_LEAST`, `SEG_MORE_THAN`, `SEG_KNOWN`."""
PAST, AHEAD, BEFORE, NOT_BEFORE = range(4)
"""`SEG_DATE_…`."""
ALL, POINTS, HELD = range(3)
"""Kinds of nodes, `SEG_NODE_…`."""


def _record(**fields: str) -> np.dtype[Any]:
    return np.dtype([(name, f"<{code}") for name, code in fields.items()])


SERIES_DTYPE: Final = _record(
    number="i4",
    keep="i4",
    newest="i4",
    spread="i4",
    width_ms="i8",
    horizon_ms="i8",
    from_ms="i8",
    to_ms="i8",
    half_life_ms="f8",
    zone="i4",
    first_test="i4",
    test_count="i4",
    trait="i4",
)
SELECTOR_DTYPE: Final = _record(
    type_at="i4",
    type_size="i4",
    is_prefix="i4",
    kinds="i4",
    first_test="i4",
    test_count="i4",
    value="i4",
    first_feed="i4",
    feed_count="i4",
    reserved="i4",
)
TEST_DTYPE: Final = _record(field="i4", test="i4", negated="i4", at="i4", size="i4", reserved="i4", number="f8")
NAME_DTYPE: Final = _record(at="i4", size="i4")
LITERAL_DTYPE: Final = _record(
    kind="i4",
    series="i4",
    other="i4",
    n="i4",
    a="i8",
    b="i8",
    least="i8",
    number="f8",
    compare="i4",
    what="i4",
    zone="i4",
    days="i4",
    trait="i4",
    test="i4",
)
NODE_DTYPE: Final = _record(
    kind="i4", first_edge="i4", edge_count="i4", rule="i4", root="i4", reserved="i4", least="i8"
)
EDGE_DTYPE: Final = _record(to="i4", points="i4")
RULE_DTYPE: Final = _record(
    first_root="i4",
    root_count="i4",
    otherwise="i4",
    otherwise_code="i4",
    since="i4",
    first_condition="i4",
    condition_count="i4",
    reserved="i4",
)
ROOT_DTYPE: Final = _record(to="i4", code="i4")
CONDITION_DTYPE: Final = _record(to="i4", measured="i4")
ZONE_DTYPE: Final = _record(first_run="i4", run_count="i4")
RUN_DTYPE: Final = _record(day="i4", behind="i4")
_INDEX_DTYPE: Final = np.dtype("<i4")
_HASH_DTYPE: Final = np.dtype("<u8")
_HEADER: Final = struct.Struct("<16iqd")

LISTS: Final[dict[str, np.dtype[Any]]] = {
    "series": SERIES_DTYPE,
    "selectors": SELECTOR_DTYPE,
    "feeds": _INDEX_DTYPE,
    "tests": TEST_DTYPE,
    "fields": NAME_DTYPE,
    "traits": NAME_DTYPE,
    "literals": LITERAL_DTYPE,
    "nodes": NODE_DTYPE,
    "edges": EDGE_DTYPE,
    "rules": RULE_DTYPE,
    "roots": ROOT_DTYPE,
    "conditions": CONDITION_DTYPE,
    "zones": ZONE_DTYPE,
    "runs": RUN_DTYPE,
    "hashes": _HASH_DTYPE,
}
"""The lists of a form, in its order."""


class Texts:
    """Bytes that records refer to by their place, each kept once."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at: dict[bytes, int] = {}

    def keep(self, text: str) -> tuple[int, int]:
        """Return place and size of a text."""
        encoded = text.encode()
        if encoded not in self._at:
            self._at[encoded] = len(self._data)
            self._data += encoded
        return self._at[encoded], len(encoded)

    def __bytes__(self) -> bytes:
        """Return all of them."""
        return bytes(self._data)


def encode(lists: dict[str, list[Any]], texts: Texts, minor_per_major: int) -> bytes:
    """Return a form; a record is a tuple in the order of its fields."""
    own = bytes(texts)
    header = _HEADER.pack(FORMAT, *(len(lists[name]) for name in LISTS), len(own), float(minor_per_major))
    parts = [np.array(lists[name], dtype).tobytes() for name, dtype in LISTS.items()]
    return header + b"".join(part + b"\0" * (-len(part) % 8) for part in (*parts, own))
