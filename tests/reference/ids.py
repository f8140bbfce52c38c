"""Ids by which a customer's events are known again.

The reference that `native/ids.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ID_BYTES: Final = 6
"""Of an id's digest; of an engagement's four, and a day."""
REFUND_LIMIT: Final = 255
OLD_ORDER_LIMIT: Final = 240
"""Orders that the ledger has forgotten; with those of the ledger 256."""
ENGAGEMENT_LIMIT: Final = 256
ENGAGEMENTS_LEAST: Final = 24
"""So many are kept however old they are."""
ENGAGEMENT_DAYS: Final = 7
_DIGEST_BYTES: Final = 4


class Ids(NamedTuple):
    """Ids of what was folded, of each kind the latest arrival last."""

    refunds: tuple[bytes, ...] = ()
    orders: tuple[bytes, ...] = ()
    engagements: tuple[bytes, ...] = ()

    def knows_engagement(self, digest: bytes) -> bool:
        """Return whether an engagement is known."""
        return any(each[:_DIGEST_BYTES] == digest[:_DIGEST_BYTES] for each in self.engagements)

    def with_refund(self, digest: bytes) -> Ids:
        """Return the ids with that of a refund."""
        return self._replace(refunds=(*self.refunds, digest[:ID_BYTES])[-REFUND_LIMIT:])

    def with_order(self, digest: bytes) -> Ids:
        """Return the ids with that of an order that the ledger has forgotten."""
        return self._replace(orders=(*self.orders, digest[:ID_BYTES])[-OLD_ORDER_LIMIT:])

    def with_engagement(self, digest: bytes, newest_day: int) -> Ids:
        """Return the ids with that of an engagement, as of the customer's newest day of engagement."""
        kept = list(self.engagements)
        while len(kept) >= ENGAGEMENTS_LEAST and (newest_day - _day_of(kept[0])) % 65_536 > ENGAGEMENT_DAYS:
            del kept[0]
        kept.append(digest[:_DIGEST_BYTES] + (newest_day % 65_536).to_bytes(2, "little"))
        return self._replace(engagements=tuple(kept[-ENGAGEMENT_LIMIT:]))

    def pack(self) -> bytes:
        """Return the ids as they stand in a row."""
        if not any(self):
            return b""
        return bytes([len(self.refunds), len(self.orders)]) + b"".join(each for kind in self for each in kind)


def _day_of(engagement: bytes) -> int:
    return int.from_bytes(engagement[_DIGEST_BYTES:], "little")


def unpack_ids(packed: bytes) -> Ids:
    """Return the ids that stand in a row."""
    if not packed:
        return Ids()
    ids = tuple(packed[at : at + ID_BYTES] for at in range(2, len(packed), ID_BYTES))
    refunds, both = packed[0], packed[0] + packed[1]
    return Ids(ids[:refunds], ids[refunds:both], ids[both:])


def add_ids(own: tuple[bytes, ...], others: tuple[bytes, ...], limit: int) -> tuple[tuple[bytes, ...], int]:
    """Return ids with others behind them, and how many were known."""
    ids, known = list(own), 0
    for each in others:
        if each in ids:
            known += 1
        else:
            ids = [*ids, each][-limit:]
    return tuple(ids), known


def _apart(later: bytes, earlier: bytes) -> int:
    days = (_day_of(later) - _day_of(earlier)) % 65_536
    return days if days < 32_768 else days - 65_536


def join_engagements(own: tuple[bytes, ...], others: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], int]:
    """Return ids of engagements by their days, and how many both have."""
    known = {each[:_DIGEST_BYTES] for each in own}
    kept: list[bytes] = []
    left, right, repeated = list(own), list(others), 0
    while left or right:
        if not right or (left and _apart(right[0], left[0]) >= 0):
            each = left.pop(0)
        else:
            each = right.pop(0)
            if each[:_DIGEST_BYTES] in known:
                repeated += 1
                continue
        if len(kept) == ENGAGEMENT_LIMIT:
            del kept[0]
        while len(kept) >= ENGAGEMENTS_LEAST and _apart(each, kept[0]) > ENGAGEMENT_DAYS:
            del kept[0]
        kept.append(each)
    return tuple(kept), repeated
