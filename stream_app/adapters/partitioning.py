"""Which partition a key belongs to, by the hash that Kafka's producers use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2

KEYS_REMEMBERED: Final = 65_536
"""A producer that uses another hash sends the same keys to the wrong partition again and again."""
_SIGN_BIT: Final = 0x7FFFFFFF


def create_partitioner(partitions: int) -> Callable[[bytes], int]:
    """Return what tells a key's partition, one of `partitions`.

    Hashing a key in Python costs as much as folding its event, so recent answers are remembered.
    """

    @lru_cache(KEYS_REMEMBERED)
    def partition_of(key: bytes) -> int:
        return int(murmur2(key) & _SIGN_BIT) % partitions

    return partition_of
