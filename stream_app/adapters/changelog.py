"""What a changelog partition holds beside customer rows: its position and the fences of its owners.

A row's key is the customer's id as UTF-8. The two other keys are not UTF-8, so no customer can have them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream_app.core.local_days import UTC
from stream_app.core.partition import Clock
from stream_app.core.row import FIRST_SEGMENTATION
from stream_app.core.trust import Trust

POSITION_KEY: Final = b"\xffposition"
FENCE_KEY: Final = b"\xfffence"


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


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_WrittenPosition)
