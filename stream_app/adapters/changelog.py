"""What stands in a changelog partition beside customer rows: its position and the fences of its owners.

A row's key is the customer's id as UTF-8. The two other keys are no UTF-8, so no customer can have them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream_app.core.partition import Clock

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
    model_version
        Version of the last model under which every customer was assessed.
    """

    offsets: dict[str, int] = {}
    clock: Clock = Clock()
    model_version: int = 0

    def encode(self) -> bytes:
        """Return the position row's value, JSON."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> PartitionPosition:
        """Return what `encode` wrote."""
        return _decoder.decode(value)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PartitionPosition)
