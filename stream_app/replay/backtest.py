"""What definitions would have moved over history: read from the migrations of a replay."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np

from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import DAY_MS

TAKEN_BACK_DAYS: Final = 14
"""A customer who is back in its segment within this many days need not have left it."""
MONTH_DAYS: Final = 30.44
MOVES_MAX: Final = 1.0
"""Moves per customer and month beyond which a definition is worth a second look: nobody can follow that."""
TAKEN_BACK_MAX: Final = 0.2
"""Likewise for the share of moves that is taken back."""


class _Segment(msgspec.Struct):
    id: str


class _Cause(msgspec.Struct):
    kind: str


class _Migration(msgspec.Struct):
    customer_id: str
    segmentation: str
    from_segment: _Segment | None
    to_segment: _Segment | None
    effective_at: str
    cause: _Cause


class Backtest(NamedTuple):
    """What a segmentation has moved.

    Attributes
    ----------
    moves
        All but first entries into a segmentation that puts everybody somewhere.
    per_customer_month
        The same, by customers and months.
    causes
        How many moves by cause.
    taken_back
        Share of the moves after which the customer was back within 14 days.
    median_stay_days
        How long those who have left a segment had been in it; None if nobody has.
    """

    segmentation: str
    moves: int
    per_customer_month: float
    causes: dict[str, int]
    taken_back: float
    median_stay_days: float | None

    @property
    def warnings(self) -> list[str]:
        """Return what is worth a second look."""
        found = []
        if self.per_customer_month > MOVES_MAX:
            found.append(f"{self.per_customer_month:.2f} moves per customer and month, expected at most {MOVES_MAX:g}")
        if self.taken_back > TAKEN_BACK_MAX:
            share = f"{self.taken_back:.0%} of the moves are taken back within {TAKEN_BACK_DAYS} days"
            found.append(f"{share}, expected at most {TAKEN_BACK_MAX:.0%}")
        return found


@dataclass
class _Counted:
    moves: int = 0
    taken_back: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    stays_ms: list[int] = field(default_factory=list)
    last: dict[str, tuple[int, str | None, bool]] = field(default_factory=dict)
    """For each customer, when it last moved, where from, and whether that was more than its first entry."""


_decode: Final = msgspec.json.Decoder(_Migration).decode


def backtest_of(lines: Iterable[bytes], names: Iterable[str], customers: int, span_ms: int) -> list[Backtest]:
    """Return what each segmentation has moved.

    Parameters
    ----------
    lines
        Migrations, in the order of the stream.
    names
        Of the segmentations, in order.
    customers, span_ms
        How many there are, and how long history is.
    """
    counted: defaultdict[str, _Counted] = defaultdict(_Counted)
    for line in lines:
        migration = _decode(line)
        _count(counted[migration.segmentation], migration)
    months = max(customers, 1) * max(span_ms / (MONTH_DAYS * DAY_MS), 1e-9)
    return [_result(name, counted[name], months) for name in names]


def _count(own: _Counted, migration: _Migration) -> None:
    at_ms = parse_instant(migration.effective_at)
    to = migration.to_segment and migration.to_segment.id
    before = own.last.get(migration.customer_id)
    is_first = before is None and migration.from_segment is None
    origin = None if migration.from_segment is None else migration.from_segment.id
    own.last[migration.customer_id] = at_ms, origin, not is_first
    if is_first:
        return
    own.moves += 1
    own.causes[migration.cause.kind] += 1
    if before is not None:
        own.stays_ms.append(at_ms - before[0])
        own.taken_back += before[2] and before[1] == to and at_ms - before[0] <= TAKEN_BACK_DAYS * DAY_MS


def _result(name: str, own: _Counted, months: float) -> Backtest:
    return Backtest(
        name,
        own.moves,
        own.moves / months,
        dict(own.causes.most_common()),
        own.taken_back / own.moves if own.moves else 0.0,
        float(np.median(own.stays_ms)) / DAY_MS if own.stays_ms else None,
    )
