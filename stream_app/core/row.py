"""One customer's state: its layout in memory, its encoding, and the bounded memories beside the totals.

The numbers of all customers lie in two numpy arrays of records (see `stream_app.core.table`), so that a sweep
reads them without touching a Python object. What has no fixed size lies beside them in `Memories`. `Row` is both
taken together, for whoever looks at one customer.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple
from xxhash import xxh3_64_digest

from stream_app.core.clock import NO_TIME
from stream_app.errors import RowDamaged, RowVersionUnknown

ACTIVITY_DTYPE: Final = np.dtype(
    [
        ("first_at_ms", "<i8"),
        ("purchased_at_ms", "<i8"),
        ("ordered_at_ms", "<i8"),
        ("engaged_at_ms", "<i8"),
        ("revenue_minor", "<i8"),
        ("orders_decayed", "<f8"),
        ("revenue_decayed", "<f8"),
        ("engagement_decayed", "<f8"),
        ("active_days", "<f8"),
        ("engaged_days", "<f8"),
        ("first_active_day", "<i4"),
        ("purchases", "<i4"),
        ("refunds", "<i4"),
        ("engagements", "<i4"),
    ]
)
"""What events add up to. Many records at once are read by `take` and written by `put`, as indexing copies them field
by field and takes 18 times as long. The last purchase was at `purchased_at_ms`, the last purchase or refund at
`ordered_at_ms`, and decayed orders and revenue are as of then; the last engagement was at `engaged_at_ms`, decayed
engagement and engaged days are as of then. Decayed active days are as of the day of the last
purchase or engagement. Days are whole days since the epoch, UTC."""

ACTIVITY: Final = struct.Struct("<5q5d4i")
"""The same record for `struct`, which packs one faster than numpy does."""

MEMBERSHIP_DTYPE: Final = np.dtype(
    [
        ("since_ms", "<i8"),
        ("assessed_at_ms", "<i8"),
        ("sequence", "<i4"),
        ("model_version", "<i4"),
        ("segment", "<i2"),
        ("previous", "<i2"),
        ("change", "<i2"),
        ("reserved", "<i2"),
    ]
)
"""Which segment the customer is in. `change` indexes `stream_app.core.migration.CHANGES`."""

RECENT_EVENT_LIMIT: Final = 32
"""How many event ids a customer remembers, latest arrival last. Producers repeat within seconds, so 32 is ample."""
digest: Final = xxh3_64_digest
"""From an event or order id as UTF-8 to 8 bytes that stand for it, the same on every machine and in every process."""
DIGEST_BYTES: Final = 8
"""64 bits of XXH3 an id: two of 32 ids clash once in 10^17 events."""

ORDER: Final = struct.Struct("<8sqqqH")
"""An order in the ledger: digest, instant, completed minor units, refunded minor units, completions."""
ORDER_LIMIT: Final = 16
"""How many orders a customer remembers, latest last: about five months of a customer who buys every nine days."""

NO_DAY: Final = 2**31 - 1
"""Stands for "no active day yet" where the first one is kept; later than every day."""

_NOTHING: Final = (-NO_TIME, NO_TIME, NO_TIME, NO_TIME, 0, 0.0, 0.0, 0.0, 0.0, 0.0, NO_DAY, 0, 0, 0)
NO_ACTIVITY: Final = np.array(_NOTHING, ACTIVITY_DTYPE)
"""The record of a customer of whom nothing is known, as in `Row()`."""

ROW_VERSION: Final = 1
_HEADER: Final = struct.Struct("<BxHHHH")
_ACTIVITY_END: Final = _HEADER.size + ACTIVITY.size
_PARTS_START: Final = _ACTIVITY_END + MEMBERSHIP_DTYPE.itemsize


class Memories(msgspec.Struct, frozen=True, gc=False):
    """What a customer's totals need beside them, so that every event counts once and refunds find their order.

    Parameters
    ----------
    recent_events
        Digests of the last events, concatenated.
    orders
        `ORDER` records, concatenated, ordered by instant and digest.
    active_day_bits, engaged_day_bits
        Bit j is set if the customer was active (engaged) j days before its last active (engaged) day.
    """

    recent_events: bytes = b""
    orders: bytes = b""
    active_day_bits: int = 0
    engaged_day_bits: int = 0


NO_MEMORIES: Final = Memories()


class Row(msgspec.Struct, gc=False):
    """One customer's activity: the fields of `ACTIVITY_DTYPE`, then those of `Memories`."""

    first_at_ms: int = -NO_TIME
    purchased_at_ms: int = NO_TIME
    ordered_at_ms: int = NO_TIME
    engaged_at_ms: int = NO_TIME
    revenue_minor: int = 0
    orders_decayed: float = 0.0
    revenue_decayed: float = 0.0
    engagement_decayed: float = 0.0
    active_days: float = 0.0
    engaged_days: float = 0.0
    first_active_day: int = NO_DAY
    purchases: int = 0
    refunds: int = 0
    engagements: int = 0
    recent_events: bytes = b""
    orders: bytes = b""
    active_day_bits: int = 0
    engaged_day_bits: int = 0

    def pack_activity_into(self, buffer: bytearray, offset: int) -> None:
        """Write the `ACTIVITY_DTYPE` record of this row at `offset`."""
        ACTIVITY.pack_into(
            buffer,
            offset,
            self.first_at_ms,
            self.purchased_at_ms,
            self.ordered_at_ms,
            self.engaged_at_ms,
            self.revenue_minor,
            self.orders_decayed,
            self.revenue_decayed,
            self.engagement_decayed,
            self.active_days,
            self.engaged_days,
            self.first_active_day,
            self.purchases,
            self.refunds,
            self.engagements,
        )

    @property
    def memories(self) -> Memories:
        """The last four fields."""
        return Memories(self.recent_events, self.orders, self.active_day_bits, self.engaged_day_bits)


def join_memories(activity: tuple[Any, ...], memories: Memories) -> Row:
    """Return the row that an unpacked `ACTIVITY` record and these memories are."""
    return Row(*activity, *astuple(memories))


class EncodedParts(NamedTuple):
    """What an encoded row consists of, undecoded."""

    activity: bytes
    membership: bytes
    memories: Memories


def join_row(parts: tuple[bytes, bytes, Memories]) -> bytes:
    """Return a whole row as bytes, version first; `parts` as in `EncodedParts`."""
    activity, membership, memories = parts
    recent_events, orders = memories.recent_events, memories.orders
    active_day_bits, engaged_day_bits = memories.active_day_bits, memories.engaged_day_bits
    active = active_day_bits.to_bytes((active_day_bits.bit_length() + 7) // 8, "little")
    engaged = engaged_day_bits.to_bytes((engaged_day_bits.bit_length() + 7) // 8, "little")
    header = _HEADER.pack(ROW_VERSION, len(recent_events), len(orders), len(active), len(engaged))
    return b"".join((header, activity, membership, recent_events, orders, active, engaged))


def split_row(encoded: bytes) -> EncodedParts:
    """Return the parts of what `join_row` wrote, now or in an earlier version.

    Raises
    ------
    RowVersionUnknown
        If a later version wrote it.
    RowDamaged
        If it is shorter or longer than it says.
    """
    if len(encoded) < _HEADER.size:
        raise RowDamaged(f"row: {len(encoded)} bytes, expected at least {_HEADER.size}")
    version, recent, orders, active, engaged = _HEADER.unpack_from(encoded)
    if version != ROW_VERSION:
        raise RowVersionUnknown(f"row version: {version}, expected at most {ROW_VERSION}")
    after_recent = _PARTS_START + recent
    after_orders = after_recent + orders
    after_active = after_orders + active
    if len(encoded) != after_active + engaged:
        raise RowDamaged(f"row: {len(encoded)} bytes, expected {after_active + engaged}")
    return EncodedParts(
        encoded[_HEADER.size : _ACTIVITY_END],
        encoded[_ACTIVITY_END:_PARTS_START],
        Memories(
            encoded[_PARTS_START:after_recent],
            encoded[after_recent:after_orders],
            int.from_bytes(encoded[after_orders:after_active], "little"),
            int.from_bytes(encoded[after_active:], "little"),
        ),
    )


def encode_row(row: Row, membership: bytes) -> bytes:
    """Return the whole row with its membership record as bytes."""
    activity = bytearray(ACTIVITY.size)
    row.pack_activity_into(activity, 0)
    return join_row((bytes(activity), membership, row.memories))


def decode_row(encoded: bytes) -> tuple[Row, bytes]:
    """Return a row and its membership record; raises as `split_row` does."""
    activity, membership, memories = split_row(encoded)
    return join_memories(ACTIVITY.unpack(activity), memories), membership
