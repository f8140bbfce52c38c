"""One customer's state: its layout in memory, its encoding, and the bounded history beside the totals.

The numbers of all customers lie in numpy arrays of records (see `tests.reference.customers`), so that a sweep reads
them without touching a Python object. What has no fixed size lies beside them in `CustomerHistory`. `Row` is both taken
together, for whoever looks at one customer.

The reference that `native/row_encoding.c` and `native/histories.c` are compared with, byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, get_type_hints

import msgspec
import numpy as np
from msgspec.structs import astuple
from xxhash import xxh3_64_digest

from stream_app.core.clock import NO_TIME
from stream_app.errors import RowDamaged, RowVersionUnknown
from tests.reference.earlier_rows import EARLIER_ACTIVITY, carry_over, earlier_ids, unpack_earlier_orders

Int64: TypeAlias = Annotated[int, "q"]
Int32: TypeAlias = Annotated[int, "i"]
Float64: TypeAlias = Annotated[float, "d"]
"""The types of numbers in a record; the letters are those of `struct` and of numpy alike."""


class Row(msgspec.Struct, gc=False):
    """One customer's activity. This is the one declaration of what a row holds.

    What events add up to: the first purchase was at `first_purchased_at_ms`, the last one at `purchased_at_ms`; the
    last purchase or refund at `ordered_at_ms`, and decayed orders and revenue are as of then; the last engagement at
    `engaged_at_ms`, and engaged days are as of then. A customer is active on the days, UTC, of its purchases and
    engagements. What gaps and log order values are, `stream_app.core.quantities` says. The last four fields are those
    of `CustomerHistory`.
    """

    first_at_ms: Int64 = -NO_TIME
    first_purchased_at_ms: Int64 = -NO_TIME
    purchased_at_ms: Int64 = NO_TIME
    ordered_at_ms: Int64 = NO_TIME
    engaged_at_ms: Int64 = NO_TIME
    revenue_minor: Int64 = 0
    orders_decayed: Float64 = 0.0
    revenue_decayed: Float64 = 0.0
    log_order_values: Float64 = 0.0
    engaged_days: Float64 = 0.0
    log_gaps: Float64 = 0.0
    log_gaps_squared: Float64 = 0.0
    gaps: Int32 = 0
    purchases: Int32 = 0
    refunds: Int32 = 0
    engagements: Int32 = 0
    recent_events: bytes = b""
    orders: bytes = b""
    active_day_bits: int = 0
    engaged_day_bits: int = 0

    def pack_activity_into(self, buffer: bytearray, offset: int) -> None:
        """Write the `ACTIVITY_DTYPE` record of this row at `offset`."""
        ACTIVITY.pack_into(buffer, offset, *astuple(self)[: len(_NUMBERS)])

    @property
    def history(self) -> CustomerHistory:
        """The last four fields."""
        return CustomerHistory(self.recent_events, self.orders, self.active_day_bits, self.engaged_day_bits)


_NUMBERS: Final = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Row, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
ACTIVITY_DTYPE: Final = np.dtype([(name, f"<{code}") for name, code in _NUMBERS.items()])
"""The numbers of a row as a record of numpy. Many records at once are read by `take` and written by `put`, as indexing
copies them field by field and takes 18 times as long."""
ACTIVITY: Final = struct.Struct("<" + "".join(_NUMBERS.values()))
"""The same record for `struct`, which packs one faster than numpy does."""
NO_ACTIVITY: Final = np.array(astuple(Row())[: len(_NUMBERS)], ACTIVITY_DTYPE)
"""The record of a customer of whom nothing is known, as in `Row()`."""

MEMBERSHIP_DTYPE: Final = np.dtype(
    [
        ("since_ms", "<i8"),
        ("assessed_at_ms", "<i8"),
        ("sequence", "<i4"),
        ("model_version", "<i4"),
        ("segment", "<i2"),
        ("previous", "<i2"),
        ("change", "<i2"),
        ("kept", "<i2"),
    ]
)
"""Which segment of one segmentation the customer is in, and the last instant at which an event of its own or a move
assessed it. That instant is kept for each segmentation, because not all are assessed at the same events: what one of
them says must not depend on which others there are. `change` indexes `stream_app.core.moves.CHANGES`; `kept` is the
last segment that was not a lapsed one, the present one included, 0 for none."""
NO_MEMBERSHIP: Final = np.array((NO_TIME, NO_TIME, 0, 0, 0, 0, 0, 0), MEMBERSHIP_DTYPE)
"""The record of a customer who was never in a segment of a segmentation."""

digest: Final = xxh3_64_digest
"""From an id or a name as UTF-8 to 8 bytes that stand for it, the same on every machine and in every process."""
DIGEST_BYTES: Final = 8

ROW_VERSION: Final = 5
_HEADER: Final = struct.Struct("<BBHHHH")
"""Version, number of memberships, and bytes of ids, orders, active days and engaged days."""
_MORE: Final = struct.Struct("<qII")
"""Since version 4: `closed_at_ms`; number of dated places and bytes of the ledger; of undated ones, and of traits."""
_PLACE: Final = struct.Struct("<ihh")
_SINCE: Final = struct.Struct("<q")
_MEMBERSHIP_BYTES: Final = MEMBERSHIP_DTYPE.itemsize
_ENTRY_BYTES: Final = DIGEST_BYTES + _MEMBERSHIP_BYTES
FIRST_SEGMENTATION: Final = "value"
"""Rows of version 1, and the positions and trainers of their time, knew one segmentation, of this name."""


class CustomerHistory(msgspec.Struct, frozen=True, gc=False):
    """What a customer's totals need beside them, so that every event counts once and refunds find their order.

    Parameters
    ----------
    recent_events
        Ids of events, as `tests.reference.ids.Ids` packs them.
    orders
        Entries of `tests.reference.orders`, packed, ordered by instant and digest.
    active_day_bits, engaged_day_bits
        Bit j is set if the customer was active (engaged) j days before its last active (engaged) day.
    """

    recent_events: bytes = b""
    orders: bytes = b""
    active_day_bits: int = 0
    engaged_day_bits: int = 0


NO_HISTORY: Final = CustomerHistory()


def join_history(activity: tuple[Any, ...], history: CustomerHistory) -> Row:
    """Return the row that an unpacked `ACTIVITY` record and this history are."""
    return Row(*activity, *astuple(history))


class Place(NamedTuple):
    """A customer's place in a segmentation by rules, and when the segment was entered, `NO_TIME` if not known."""

    sequence: int
    segment: int
    change: int = 0
    since_ms: int = NO_TIME


class Beside(NamedTuple):
    """What a row says beside memberships and history.

    Attributes
    ----------
    closed_at_ms
        Up to when the customer's moves have been told.
    places
        By the digest of their segmentation's name, in the row's order.
    ledger, traits
        As they are encoded.
    """

    closed_at_ms: int = NO_TIME
    places: Mapping[bytes, Place] = {}
    ledger: bytes = b""
    traits: bytes = b""


NOTHING_BESIDE: Final = Beside()


class EncodedParts(NamedTuple):
    """What an encoded row consists of, undecoded.

    Attributes
    ----------
    activity
        An `ACTIVITY` record.
    memberships
        `MEMBERSHIP_DTYPE` records by the digest of their segmentation's name, in the row's order.
    history, beside
        The rest.
    """

    activity: bytes
    memberships: Mapping[bytes, bytes]
    history: CustomerHistory
    beside: Beside = NOTHING_BESIDE


def join_row(
    activity: bytes, memberships: Sequence[bytes], history: CustomerHistory, beside: Beside = NOTHING_BESIDE
) -> bytes:
    """Return a whole row as bytes, version first; each membership begins with the digest of its segmentation's name."""
    places = [
        [
            name + _PLACE.pack(*place[:3]) + (_SINCE.pack(place.since_ms) if dated else b"")
            for name, place in beside.places.items()
            if (place.since_ms != NO_TIME) == dated
        ]
        for dated in (True, False)
    ]
    counts = (len(places[0]) | len(beside.ledger) << 8, len(places[1]) | len(beside.traits) << 8)
    recent_events, orders = history.recent_events, history.orders
    active_day_bits, engaged_day_bits = history.active_day_bits, history.engaged_day_bits
    active = active_day_bits.to_bytes((active_day_bits.bit_length() + 7) // 8, "little")
    engaged = engaged_day_bits.to_bytes((engaged_day_bits.bit_length() + 7) // 8, "little")
    header = _HEADER.pack(ROW_VERSION, len(memberships), len(recent_events), len(orders), len(active), len(engaged))
    header += _MORE.pack(beside.closed_at_ms, *counts)
    told = (*memberships, *places[0], *places[1], beside.ledger, beside.traits)
    return b"".join((header, activity, *told, recent_events, orders, active, engaged))


def split_row(encoded: bytes) -> EncodedParts:
    """Return the parts of what `join_row` wrote, now or in an earlier version (see `tests.reference.earlier_rows`).

    Raises
    ------
    RowVersionUnknown
        If a later version wrote it.
    RowDamaged
        If it is shorter or longer than it says.
    """
    if len(encoded) < _HEADER.size:
        raise RowDamaged(f"row: {len(encoded)} bytes, expected at least {_HEADER.size}")
    version, count, recent, orders, active, engaged = _HEADER.unpack_from(encoded)
    if not 1 <= version <= ROW_VERSION:
        raise RowVersionUnknown(f"row version: {version}, expected at most {ROW_VERSION}")
    start = _HEADER.size + (0 if version < 4 else _MORE.size)
    if len(encoded) < start:
        raise RowDamaged(f"row: {len(encoded)} bytes, expected at least {start}")
    closed_at_ms, *counts = (NO_TIME, 0, 0) if version < 4 else _MORE.unpack_from(encoded, _HEADER.size)
    (dated, undated), (ledger, traits) = zip(*((number & 255, number >> 8) for number in counts), strict=True)
    activity_end = start + (ACTIVITY if version > 2 else EARLIER_ACTIVITY).size
    members_end = activity_end + (_MEMBERSHIP_BYTES if version == 1 else count * _ENTRY_BYTES)
    dated_end = members_end + dated * (DIGEST_BYTES + _PLACE.size + _SINCE.size)
    ledger_start = dated_end + undated * (DIGEST_BYTES + _PLACE.size)
    traits_start = ledger_start + ledger
    parts_start = traits_start + traits
    after_recent = parts_start + recent
    after_orders = after_recent + orders
    after_active = after_orders + active
    if len(encoded) != after_active + engaged:
        raise RowDamaged(f"row: {len(encoded)} bytes, expected {after_active + engaged}")
    if version == 1:
        memberships = {digest(FIRST_SEGMENTATION.encode()): encoded[activity_end:members_end]}
    else:
        memberships = {
            encoded[start : start + DIGEST_BYTES]: encoded[start + DIGEST_BYTES : start + _ENTRY_BYTES]
            for start in range(activity_end, members_end, _ENTRY_BYTES)
        }
    places = _places(encoded[members_end:dated_end], _SINCE.size) | _places(encoded[dated_end:ledger_start], 0)
    if version < 4:
        assessed = [
            int(np.frombuffer(record, MEMBERSHIP_DTYPE)["assessed_at_ms"][0]) for record in memberships.values()
        ]
        closed_at_ms = max([NO_TIME, *assessed])
    beside = Beside(closed_at_ms, places, encoded[ledger_start:traits_start], encoded[traits_start:parts_start])
    activity = encoded[start:activity_end]
    history = CustomerHistory(
        encoded[parts_start:after_recent],
        encoded[after_recent:after_orders],
        int.from_bytes(encoded[after_orders:after_active], "little"),
        int.from_bytes(encoded[after_active:], "little"),
    )
    if version < 3:
        row = Row(**carry_over(activity, history.orders, history.active_day_bits, history.engaged_day_bits))
        activity = _pack_activity(row)
    if version < 5:
        carried = carry_orders(join_history(ACTIVITY.unpack(activity), history))
        activity, history = _pack_activity(carried), carried.history
    return EncodedParts(activity, memberships, history, beside)


def carry_orders(row: Row) -> Row:
    """Return a row until version 4 with ids and orders as they are kept now."""
    row = msgspec.structs.replace(
        row, recent_events=earlier_ids(row.recent_events, row.refunds, row.engagements, row.engaged_at_ms)
    )
    row.orders = b"".join(order.state().pack() for order in unpack_earlier_orders(row.orders))
    return row


def _places(encoded: bytes, since_bytes: int) -> dict[bytes, Place]:
    places = {}
    step = DIGEST_BYTES + _PLACE.size + since_bytes
    for at in range(0, len(encoded), step):
        place = Place(*_PLACE.unpack_from(encoded, at + DIGEST_BYTES))
        if since_bytes:
            place = place._replace(since_ms=_SINCE.unpack_from(encoded, at + step - since_bytes)[0])
        places[encoded[at : at + DIGEST_BYTES]] = place
    return places


def encode_row(row: Row, memberships: Mapping[str, bytes], beside: Beside = NOTHING_BESIDE) -> bytes:
    """Return the whole row with its membership records, by the name of their segmentation, as bytes."""
    entries = [digest(name.encode()) + membership for name, membership in memberships.items()]
    return join_row(_pack_activity(row), entries, row.history, beside)


def decode_row(encoded: bytes) -> tuple[Row, Mapping[bytes, bytes]]:
    """Return a row and its membership records by the digest of their segmentation's name; raises as `split_row`."""
    activity, memberships, history, _ = split_row(encoded)
    return join_history(ACTIVITY.unpack(activity), history), memberships


def _pack_activity(row: Row) -> bytes:
    activity = bytearray(ACTIVITY.size)
    row.pack_activity_into(activity, 0)
    return bytes(activity)
