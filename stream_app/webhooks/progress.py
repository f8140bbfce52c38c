"""How far a partition is, when migrations are settled out of order.

Customers do not wait for each other, so thousands of migrations may be settled after one that is retried for hours. The
offset that a group commits can only say "everything below"; a restart would send those thousands again. So the commit's
metadata, which Kafka keeps beside the offset, name the open ones beyond it:

    w1;1200;3x40,7      taken up to 1200; open are the three from the offset committed + 40, and one 7 beyond their end

The commit never covers a migration that is not settled: without metadata, or with some that cannot be parsed,
everything from the offset on is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

VERSION: Final = "w1"
METADATA_CHARACTERS_MAX: Final = 3_500
"""The brokers' limit is 4,096 bytes, by default (`offset.metadata.max.bytes`)."""
RUN: Final = "[0-9]{1,9}x[0-9]{1,18}"
FORM: Final = re.compile(rf"{VERSION};([0-9]{{1,18}});((?:{RUN}(?:,{RUN})*)?)")


class Progress:
    """Which records of a partition are settled, which are open, and which have not been read.

    Parameters
    ----------
    position
        The offset that was committed.
    metadata
        Committed with it.
    """

    def __init__(self, position: int, metadata: str = "") -> None:
        self._next = position
        self._open: dict[int, None] = {}
        self._settled_until, self._left_open = _decode(position, metadata)

    @property
    def open_count(self) -> int:
        """How many are taken and not settled."""
        return len(self._open)

    @property
    def next(self) -> int:
        """The first offset that has not been read."""
        return self._next

    @property
    def position(self) -> int:
        """Everything below is settled."""
        return next(iter(self._open), self._next)

    def take(self, offset: int) -> bool:
        """Note that a record is at hand, each later than the one before; return whether it is still to be settled."""
        assert offset >= self._next, "records come in order"
        self._next = offset + 1
        if offset < self._settled_until and offset not in self._left_open:
            return False
        self._open[offset] = None
        return True

    def settle(self, offset: int) -> None:
        """Note that a record needs no more work."""
        del self._open[offset]

    def skip_to(self, offset: int) -> None:
        """Note that there are no records below an offset beyond those taken: markers, or expired ones."""
        self._next = max(self._next, offset)

    def metadata(self) -> str:
        """Return the metadata to commit with the position; migrations that do not fit in count as open."""
        # records settled before a restart that have not been read again stay known
        seen = self._next
        later = (offset for offset in sorted(self._left_open) if offset >= seen)
        position, until = self.position, max(seen, self._settled_until)
        text, at = "", position
        for first, length in _runs((*self._open, *later)):
            part = f"{',' if text else ''}{length}x{first - at}"
            if len(text) + len(part) > METADATA_CHARACTERS_MAX:
                until = first
                break
            text += part
            at = first + length
        return f"{VERSION};{until};{text}" if until > position else ""


def _runs(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first of each unbroken run of ascending offsets, and its length."""
    offsets = list(offsets)
    if not offsets:
        return []
    starts = [offsets[0], *(after for before, after in pairwise(offsets) if after != before + 1)]
    ends = [*(before for before, after in pairwise(offsets) if after != before + 1), offsets[-1]]
    return [(first, last - first + 1) for first, last in zip(starts, ends, strict=True)]


def _decode(position: int, metadata: str) -> tuple[int, frozenset[int]]:
    """Return the offset below which all is settled but the open ones, and those."""
    found = FORM.fullmatch(metadata)
    if found is None:
        return position, frozenset()
    left_open: set[int] = set()
    at = position
    for run in filter(None, found[2].split(",")):
        length, distance = (int(number) for number in run.split("x"))
        if len(left_open) + length > METADATA_CHARACTERS_MAX * 1_000:
            return position, frozenset()
        left_open.update(range(at + distance, at + distance + length))
        at += distance + length
    return int(found[1]), frozenset(left_open)
