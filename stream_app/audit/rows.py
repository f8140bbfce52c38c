"""Customer rows as they are on the changelog, read apart from the code that writes them.

The layout, little-endian: version and number m of memberships (a byte each), then four lengths of two bytes; the
instant up to which moves have been published, and two words, each a count in its low byte and a length above: of dated
places and the ledger, of undated places and the traits. 16 numbers of activity; m times the digest of a segmentation's
name and the customer's membership; digest, place and date of segmentations by rules, then digest and place of the
others; ledger and traits; last, ids of events, orders, active and engaged days, as long as the four lengths say. Until
version 4, ids and orders were of another form, which nobody reads here. Until version 3 there was nothing of rules and
no instant; until version 2 there were 14 numbers, of other half-lives; rows of version 1 have one membership, of the
segmentation `value`, and no digest before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from stream_app.audit.recount import Totals
from stream_app.errors import RowDamaged, RowVersionUnknown

NEWEST_VERSION: Final = 5
ENGAGEMENT_HALF_LIFE_DAYS: Final = 30
FIRST_SEGMENTATION: Final = "value"
"""The only one that rows of version 1 know of."""

_HEADER: Final = Struct("<BBHHHH")
_ACTIVITY: Final = Struct("<6q6d4i")
_EARLIER_ACTIVITY: Final = Struct("<5q5d4i")
_EARLIER_ORDER_HALF_LIFE_DAYS: Final = 90
_EARLIER_ENGAGEMENT_HALF_LIFE_DAYS: Final = 21
_TOLD: Final = Struct("<qII")
_DIGEST: Final = Struct("<8s")
_MEMBERSHIP: Final = Struct("<qqiihhhh")
_PLACE: Final = Struct("<8sihh")
_DATED_PLACE: Final = Struct("<8sihhq")
_TRAIT: Final = Struct("<BBHq")


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


class RowPlace(NamedTuple):
    """A customer's place in a segmentation by rules.

    Attributes
    ----------
    sequence
        Of the last migration.
    segment
        Code of the segment; 0 for none.
    since_ms
        When it was entered; None where the row does not say.
    """

    sequence: int
    segment: int
    since_ms: int | None = None


class RowTrait(NamedTuple):
    """A trait: the kind of its value, the value's bytes, and when it was observed; see `native/traits.c`."""

    kind: int
    value: bytes
    observed_ms: int


class CustomerRow(NamedTuple):
    """What a row says: totals, memberships and places by the digest of their segmentation's name, traits by name.

    `closed_at_ms` is the instant up to which the customer's moves have been published; None where the row does not say.
    """

    totals: Totals
    engaged_days: float
    memberships: Mapping[bytes, RowMembership]
    engagement_half_life_days: int = ENGAGEMENT_HALF_LIFE_DAYS
    closed_at_ms: int | None = None
    places: Mapping[bytes, RowPlace] = {}
    ledger: bytes = b""
    traits: Mapping[str, RowTrait] = {}


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
    told = _told(value) if version >= 4 else None
    head = _HEADER.size + (_TOLD.size if told else 0)
    start = head + (_ACTIVITY if version >= 3 else _EARLIER_ACTIVITY).size
    end = start + entry * (1 if version == 1 else memberships)
    expected = end + sum(lengths) + (told.size if told else 0)
    if len(value) != expected:
        raise RowDamaged(f"row: {len(value)} bytes, expected {expected}")
    found = _memberships(value, start, end, entry)
    activity = value[head:start]
    row = _earlier_row(activity, found) if version < 3 else _present_row(activity, found)
    return row if told is None else _with_told(row, told, value[end : end + told.size])


def _memberships(value: bytes, start: int, end: int, entry: int) -> dict[bytes, RowMembership]:
    """Return the memberships between two places, each of a given number of bytes; without a digest in version 1."""
    found: dict[bytes, RowMembership] = {}
    for at in range(start, end, entry):
        has_name = entry > _MEMBERSHIP.size
        name = bytes(value[at : at + _DIGEST.size]) if has_name else name_digest(FIRST_SEGMENTATION)
        since_ms, assessed_at_ms, sequence, in_force, segment, *_ = _MEMBERSHIP.unpack_from(
            value, at + entry - _MEMBERSHIP.size
        )
        if name in found:
            raise RowDamaged(f"row: two memberships of the segmentation with digest {name.hex()}, expected one")
        found[name] = RowMembership(since_ms, assessed_at_ms, sequence, in_force, segment)
    return found


class _Told(NamedTuple):
    """What a row of version 4 says beside that: an instant, and how much there is of the rest."""

    closed_at_ms: int
    dated: int
    ledger: int
    undated: int
    traits: int

    @property
    def size(self) -> int:
        """Bytes that the rest takes, between memberships and event ids."""
        return self.dated * _DATED_PLACE.size + self.undated * _PLACE.size + self.ledger + self.traits


def _told(value: bytes) -> _Told:
    if len(value) < _HEADER.size + _TOLD.size:
        raise RowDamaged(f"row: {len(value)} bytes, expected at least {_HEADER.size + _TOLD.size}")
    closed_at_ms, dated, undated = _TOLD.unpack_from(value, _HEADER.size)
    return _Told(closed_at_ms, dated & 0xFF, dated >> 8, undated & 0xFF, undated >> 8)


def _with_told(row: CustomerRow, told: _Told, rest: bytes) -> CustomerRow:
    dated_size, undated_size = told.dated * _DATED_PLACE.size, told.undated * _PLACE.size
    ledger_at = dated_size + undated_size
    places: dict[bytes, RowPlace] = {}
    for name, sequence, segment, _, since_ms in _DATED_PLACE.iter_unpack(rest[:dated_size]):
        _enter(places, name, RowPlace(sequence, segment, since_ms))
    for name, sequence, segment, _ in _PLACE.iter_unpack(rest[dated_size:ledger_at]):
        _enter(places, name, RowPlace(sequence, segment))
    return row._replace(
        closed_at_ms=told.closed_at_ms,
        places=places,
        ledger=rest[ledger_at : ledger_at + told.ledger],
        traits=_traits(rest[ledger_at + told.ledger :]),
    )


def _enter(places: dict[bytes, RowPlace], name: bytes, place: RowPlace) -> None:
    if name in places:
        raise RowDamaged(f"row: two places in the segmentation with digest {name.hex()}, expected one")
    places[name] = place


def _traits(encoded: bytes) -> dict[str, RowTrait]:
    traits: dict[str, RowTrait] = {}
    at = 0
    while at < len(encoded):
        if len(encoded) - at < _TRAIT.size:
            raise RowDamaged(f"row: a trait of {len(encoded) - at} bytes, expected at least {_TRAIT.size}")
        name_size, kind, value_size, observed_ms = _TRAIT.unpack_from(encoded, at)
        name_at = at + _TRAIT.size
        value_at = name_at + name_size
        at = value_at + value_size
        if at > len(encoded):
            raise RowDamaged(f"row: {at - len(encoded)} bytes of a trait are missing, expected all of it")
        name = encoded[name_at:value_at].decode(errors="replace")
        traits[name] = RowTrait(kind, encoded[value_at:at], observed_ms)
    return traits


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
