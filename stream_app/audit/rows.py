"""Customer rows as they lie on the changelog, read apart from the code that writes them.

The layout, little-endian: version and number m of memberships (a byte each), then four lengths of two bytes; 16 numbers
of activity; m times the digest of a segmentation's name and the customer's place in it; last, event ids, orders, active
and engaged days, as long as the four lengths say. Rows of version 1 have one membership, of the segmentation `value`,
and no digest before it. Until version 2 there were 14 numbers, of other half-lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from stream_app.audit.recount import Totals
from stream_app.errors import RowDamaged, RowVersionUnknown

NEWEST_VERSION: Final = 3
ENGAGEMENT_HALF_LIFE_DAYS: Final = 30
FIRST_SEGMENTATION: Final = "value"
"""The only one that rows of version 1 know of."""

_HEADER: Final = Struct("<BBHHHH")
_ACTIVITY: Final = Struct("<6q6d4i")
_EARLIER_ACTIVITY: Final = Struct("<5q5d4i")
_EARLIER_ORDER_HALF_LIFE_DAYS: Final = 90
_EARLIER_ENGAGEMENT_HALF_LIFE_DAYS: Final = 21
_DIGEST: Final = Struct("<8s")
_MEMBERSHIP: Final = Struct("<qqiihhhh")


class RowMembership(NamedTuple):
    """A customer's place in one segmentation.

    Attributes
    ----------
    since_ms, assessed_at_ms
        When the segment was entered, and the last instant at which an event or a move assessed the customer.
    sequence
        Of the last migration; 0 if there was none.
    version
        Of the model or definition that was in force then.
    segment
        Code of the segment; 0 for none.
    """

    since_ms: int
    assessed_at_ms: int
    sequence: int
    version: int
    segment: int


class CustomerRow(NamedTuple):
    """What a row says: totals, and memberships by the digest of their segmentation's name."""

    totals: Totals
    engaged_days: float
    memberships: Mapping[bytes, RowMembership]
    engagement_half_life_days: int = ENGAGEMENT_HALF_LIFE_DAYS


def name_digest(segmentation: str) -> bytes:
    """Return the 8 bytes that stand for a segmentation's name in a row."""
    return xxh3_64_digest(segmentation.encode())


def read_row(value: bytes) -> CustomerRow:
    """Return what a row says.

    Raises
    ------
    RowVersionUnknown
        If it is of a later version.
    RowDamaged
        If it is shorter or longer than it says.
    """
    if len(value) < _HEADER.size:
        raise RowDamaged(f"row: {len(value)} bytes, expected at least {_HEADER.size}")
    version, memberships, *lengths = _HEADER.unpack_from(value)
    if not 1 <= version <= NEWEST_VERSION:
        raise RowVersionUnknown(f"row version: {version}, expected 1 to {NEWEST_VERSION}")
    entry = _MEMBERSHIP.size if version == 1 else _DIGEST.size + _MEMBERSHIP.size
    start = _HEADER.size + (_ACTIVITY if version == NEWEST_VERSION else _EARLIER_ACTIVITY).size
    end = start + entry * (1 if version == 1 else memberships)
    expected = end + sum(lengths)
    if len(value) != expected:
        raise RowDamaged(f"row: {len(value)} bytes, expected {expected}")
    found: dict[bytes, RowMembership] = {}
    for at in range(start, end, entry):
        name = name_digest(FIRST_SEGMENTATION) if version == 1 else bytes(value[at : at + _DIGEST.size])
        since_ms, assessed_at_ms, sequence, in_force, segment, *_ = _MEMBERSHIP.unpack_from(
            value, at + entry - _MEMBERSHIP.size
        )
        if name in found:
            raise RowDamaged(f"row: two memberships of the segmentation with digest {name.hex()}, expected one")
        found[name] = RowMembership(since_ms, assessed_at_ms, sequence, in_force, segment)
    activity = value[_HEADER.size : start]
    return _earlier_row(activity, found) if version < NEWEST_VERSION else _present_row(activity, found)


def _present_row(activity: bytes, memberships: Mapping[bytes, RowMembership]) -> CustomerRow:
    (
        first_at_ms, first_purchased_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
        orders_decayed, revenue_decayed, log_order_values, engaged_days, log_gaps, log_gaps_squared,
        gaps, purchases, refunds, engagements,
    ) = _ACTIVITY.unpack(activity)  # fmt: skip
    totals = Totals(
        purchases, refunds, engagements, revenue_minor, first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms,
        first_purchased_at_ms, gaps, orders_decayed, revenue_decayed, log_order_values, log_gaps, log_gaps_squared,
    )  # fmt: skip
    return CustomerRow(totals, engaged_days, memberships)


def _earlier_row(activity: bytes, memberships: Mapping[bytes, RowMembership]) -> CustomerRow:
    (
        first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
        orders_decayed, revenue_decayed, _engagement_decayed, _active_days, engaged_days,
        _first_active_day, purchases, refunds, engagements,
    ) = _EARLIER_ACTIVITY.unpack(activity)  # fmt: skip
    totals = Totals(
        purchases, refunds, engagements, revenue_minor, first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms,
        None, None, orders_decayed, revenue_decayed, None, None, None, _EARLIER_ORDER_HALF_LIFE_DAYS,
    )  # fmt: skip
    return CustomerRow(totals, engaged_days, memberships, _EARLIER_ENGAGEMENT_HALF_LIFE_DAYS)
