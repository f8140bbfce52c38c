"""What is left of customers who were erased or suppressed: marks, by which their events are known and refused.

A mark has no id. It is found by SipHash-2-4 (Aumasson and Bernstein 2012) of the id's hash under a secret salt of 16
bytes: those who have the state can find out whether an id that they know was erased, and nobody can read ids off it. 64
bits are enough: that one of a thousand marks meets one of a million customers by chance has a probability of 10⁻¹⁰.

A mark says from when on the customer may be known again. What is dated before that instant, or stood before the request
in an input, is not folded, however late it comes. Of a *suppressed* customer nothing is. Marks are kept for as long as
inputs are, as nothing can come twice after that; those of suppressed customers until they are let in again.

So that nothing said of a customer is said under a number that was used before, a mark keeps the sequences of the
customer's memberships, as the row that is left when everybody has left everything.

The whole chunk is looked up at once, at some 60 ns an event; where there is no mark, nothing is looked at.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.records import Batch, Skipped
from stream_app.native.structures import SKIPPED

Hashes = npt.NDArray[np.uint64]
SALT_BYTES: Final = 16
_INITIAL: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_SIZE_BLOCK: Final = np.uint64(8 << 56)
"""The last block of a message of eight bytes: nothing but its size."""
_LAST: Final = np.uint64(0xFF)


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a customer who is not to be known.

    Parameters
    ----------
    before_ms
        Nothing that happened before this instant counts.
    offsets
        By input topic, the offset of the first record that may count: what stood before it has been erased.
    is_suppressed
        Whether nothing at all counts.
    requested_ms, accepted_ms
        When it was asked for, and when a worker has done it, by the wall clock.
    due_ms
        When it has to be finished.
    sequences
        The row that is left, see the module; empty of one who had none.
    """

    before_ms: int
    offsets: dict[str, int] = {}
    is_suppressed: bool = False
    requested_ms: int = 0
    accepted_ms: int = 0
    due_ms: int = 0
    sequences: bytes = b""


class Refused(NamedTuple):
    """In place of a record's content: it is one of a customer who is not to be known."""


REFUSED: Final = Skipped(Refused())


def mark_hashes(customer_hashes: Hashes, salt: bytes) -> Hashes:
    """Return SipHash-2-4 of n hashes of ids under a salt of `SALT_BYTES`, shape `(n,)`."""
    first, second = np.frombuffer(salt, "<u8")
    v0, v1, v2, v3 = (np.uint64(each) ^ key for each, key in zip(_INITIAL, (first, second) * 2, strict=True))
    state = v0, v1, v2, v3 ^ customer_hashes
    state = _rounds(state, 2)
    state = state[0] ^ customer_hashes, state[1], state[2], state[3] ^ _SIZE_BLOCK
    state = _rounds(state, 2)
    state = state[0] ^ _SIZE_BLOCK, state[1], state[2] ^ _LAST, state[3]
    v0, v1, v2, v3 = _rounds(state, 4)
    hashes: Hashes = v0 ^ v1 ^ v2 ^ v3
    return hashes


def _rounds(state: tuple[Hashes, Hashes, Hashes, Hashes], count: int) -> tuple[Hashes, Hashes, Hashes, Hashes]:
    v0, v1, v2, v3 = state
    with np.errstate(over="ignore"):
        for _ in range(count):
            v0, v2 = v0 + v1, v2 + v3
            v1, v3 = _turned(v1, 13) ^ v0, _turned(v3, 16) ^ v2
            v0 = _turned(v0, 32)
            v2, v0 = v2 + v1, v0 + v3
            v1, v3 = _turned(v1, 17) ^ v2, _turned(v3, 21) ^ v0
            v2 = _turned(v2, 32)
    return v0, v1, v2, v3


def _turned(values: Hashes, bits: int) -> Hashes:
    turned: Hashes = (values << np.uint64(bits)) | (values >> np.uint64(64 - bits))
    return turned


class Sifted(NamedTuple):
    """Records without those of customers who are not to be known.

    Attributes
    ----------
    batch
        The same records; those that are refused are not to be folded.
    returning
        Indices of the first event of each customer who has a mark and may be known again.
    """

    batch: Batch
    returning: Indices


class Marks:
    """The marks of a partition.

    Parameters
    ----------
    salt
        Secret, `SALT_BYTES`; the same for as long as there are marks, empty before the first.

    Attributes
    ----------
    by_hash
        The marks; only `put` and `drop` change them.
    """

    def __init__(self, salt: bytes = b"") -> None:
        self.salt = salt
        self.by_hash: dict[int, Mark] = {}
        self._arranged: tuple[Hashes, Instants] | None = None

    def __len__(self) -> int:
        return len(self.by_hash)

    def hash_of(self, customer_hash: int) -> int:
        """Return the hash by which a customer's mark is found."""
        return int(mark_hashes(np.array([customer_hash], np.uint64), self.salt)[0])

    def put(self, mark_hash: int, mark: Mark) -> None:
        """Add a mark, or have it take the place of an earlier one."""
        self.by_hash[mark_hash] = mark
        self._arranged = None

    def drop(self, mark_hash: int) -> None:
        """Forget a mark, if there is one."""
        self.by_hash.pop(mark_hash, None)
        self._arranged = None

    def expired(self, before_ms: int) -> list[int]:
        """Return the hashes of marks that were made before an instant of the wall clock and are to be dropped."""
        return [each for each, mark in self.by_hash.items() if mark.accepted_ms < before_ms and not mark.is_suppressed]

    def sift(self, batch: Batch) -> Sifted:
        """Take out what is not to be folded."""
        places, is_marked, before_ms = self._find(batch.records["customer_hash"])
        is_marked &= batch.is_event
        is_refused = is_marked & (batch.records["at_ms"] < before_ms[places])
        returning = np.flatnonzero(is_marked & ~is_refused)
        _, first = np.unique(places[returning], return_index=True)
        if not is_refused.any():
            return Sifted(batch, returning[first])
        records = batch.records.copy()
        records["status"][is_refused] = SKIPPED
        records["at_ms"][is_refused] = NO_TIME
        records["text_at"][is_refused] = len(batch.others)
        sifted = Batch(batch.watermarks_ms, records, batch.texts, [*batch.others, REFUSED], batch.rows)
        return Sifted(sifted, returning[first])

    def _find(self, customer_hashes: Hashes) -> tuple[Indices, Flags, Instants]:
        """Return each customer's place among the marks, whether it has one, and by place when refusing ends."""
        if self._arranged is None:
            ascending = sorted(self.by_hash)
            ends = [_refused_before(self.by_hash[each]) for each in ascending]
            self._arranged = np.array(ascending, np.uint64), np.array(ends, np.int64)
        marked, before_ms = self._arranged
        hashes = mark_hashes(customer_hashes, self.salt)
        places = np.minimum(np.searchsorted(marked, hashes), len(marked) - 1)
        return places, marked[places] == hashes, before_ms


def _refused_before(mark: Mark) -> int:
    """Return the instant before which events are refused."""
    return -NO_TIME if mark.is_suppressed else mark.before_ms
