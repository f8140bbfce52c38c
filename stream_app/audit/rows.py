"""Customer rows as they lie on the changelog, read apart from the code that writes them.

The layout, little-endian: version and number m of memberships (a byte each), then four lengths of two bytes; 14 numbers
of activity; m times the digest of a segmentation's name and the customer's place in it; last, event ids, orders, active
and engaged days, as long as the four lengths say. Rows of version 1 have one membership, of the segmentation `value`,
and no digest before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from stream_app.audit.recount import Totals
from stream_app.errors import RowDamaged, RowVersionUnknown

NEWEST_VERSION: Final = 2
FIRST_SEGMENTATION: Final = "value"
"""The only one that rows of version 1 know of."""

_HEADER: Final = Struct("<BBHHHH")
_ACTIVITY: Final = Struct("<5q5d4i")
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
    start = _HEADER.size + _ACTIVITY.size
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
    (
        first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
        orders_decayed, revenue_decayed, engagement_decayed, _active_days, engaged_days,
        first_active_day, purchases, refunds, engagements,
    ) = _ACTIVITY.unpack_from(value, _HEADER.size)  # fmt: skip
    totals = Totals(
        purchases=purchases,
        refunds=refunds,
        engagements=engagements,
        revenue_minor=revenue_minor,
        first_at_ms=first_at_ms,
        purchased_at_ms=purchased_at_ms,
        ordered_at_ms=ordered_at_ms,
        engaged_at_ms=engaged_at_ms,
        first_active_day=first_active_day,
        orders_decayed=orders_decayed,
        revenue_decayed=revenue_decayed,
        engagement_decayed=engagement_decayed,
    )
    return CustomerRow(totals, engaged_days, found)
