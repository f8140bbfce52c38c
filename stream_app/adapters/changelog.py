"""What a changelog partition holds beside customer rows: its position, the fences of its owners, and marks.

A row's key is the customer's id as UTF-8. The other keys begin with a byte that UTF-8 does not have, so no customer can
have them. Marks say which customers are not to be known (`stream_app.core.marks`); their key has the hash, 8 bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream_app.core.local_days import UTC
from stream_app.core.marks import Mark
from stream_app.core.partition import Clock
from stream_app.core.row import FIRST_SEGMENTATION
from stream_app.core.trust import Trust

POSITION_KEY: Final = b"\xffposition"
FENCE_KEY: Final = b"\xfffence"
SALT_KEY: Final = b"\xffsalt"
"""Of the secret that marks are hashed with; written before the first of them."""
MARK_PREFIX: Final = b"\xffmark"
RESERVED: Final = 0xFF
"""The first byte of all these keys."""


def mark_key(mark_hash: int) -> bytes:
    """Return the key of a mark."""
    return MARK_PREFIX + mark_hash.to_bytes(8, "big")


def mark_hash_of(key: bytes) -> int:
    """Return the hash in a mark's key."""
    return int.from_bytes(key[len(MARK_PREFIX) :], "big")


class PartitionPosition(msgspec.Struct, frozen=True):
    """How far a partition's state has come. Written in the same transaction as the rows it speaks of.

    Parameters
    ----------
    offsets
        By input topic, the offset of the first record that is not folded in yet.
    clock
        The partition's clock.
    versions
        By segmentation, the last version under which every customer was assessed; −1 before the first.
    adopted
        By segmentation, the version in force. Rows do not say under which rules they were written: no owner may
        continue under earlier ones, see `stream_app.worker.opening`.
    counted_since
        By the key of a condition on events, the instant from which on they have been counted for it; 0 for always.
    timezone
        Name of the zone whose days the rows count; UTC's of those who did not say.
    trust
        What verdicts on the times of its records depend on; that of an earlier release is as if nothing were in doubt.
    statements
        Offset of the first statement on ids that may still need a dead letter, which partition 0 writes for all.
    """

    offsets: dict[str, int] = {}
    clock: Clock = Clock()
    versions: dict[str, int] = {}
    adopted: dict[str, int] = {}
    counted_since: dict[str, int] = {}
    timezone: str = UTC
    trust: Trust = Trust()
    statements: int = 0

    def encode(self) -> bytes:
        """Return the position row's value, JSON."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> PartitionPosition:
        """Return what `encode` wrote, or what was written when there was one segmentation."""
        written = _decoder.decode(value)
        versions = written.versions if written.model_version is None else {FIRST_SEGMENTATION: written.model_version}
        return cls(
            written.offsets,
            written.clock,
            versions,
            written.adopted,
            written.counted_since,
            written.timezone,
            written.trust,
            written.statements,
        )


class _WrittenPosition(PartitionPosition, frozen=True):
    """A position row's value in either form."""

    model_version: int | None = None


encode_mark: Final = msgspec.json.Encoder().encode
"""Return a mark's value, JSON."""
decode_mark: Final = msgspec.json.Decoder(Mark).decode
"""Return what `encode_mark` wrote."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_WrittenPosition)
