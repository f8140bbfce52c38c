"""How many customers are in a segment of one segmentation and in one of another at the same time.

Each two segmentations are counted once, and pairs without customers are left out. Counting takes a pass over the
customers for each pair of segmentations; the result depends on segments alone.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np

from stream_app.core.partition import Partition
from stream_app.core.segments import NO_SEGMENT
from stream_app.replay.spreads import codes_of

PAIRS_MAX: Final = 2_000
"""Pairs of segments that are listed for two segmentations: those with the most customers."""
_CODES: Final = 1 << 16


def overlaps_document(partition: Partition) -> list[dict[str, Any]]:
    """Return, of every two segmentations, columns of pairs of segments with how many customers are in both."""
    codes = {each.name: codes_of(partition, each).astype(np.int64) for each in partition.segmentations}
    ids = {each.name: each.roster.ids for each in partition.segmentations}
    document = []
    for one, other in combinations(partition.names, 2):
        is_in_both = (codes[one] != NO_SEGMENT) & (codes[other] != NO_SEGMENT)
        keys, counts = np.unique(codes[one][is_in_both] * _CODES + codes[other][is_in_both], return_counts=True)
        largest = np.sort(np.argsort(-counts, kind="stable")[:PAIRS_MAX])
        told = keys[largest].tolist()
        document.append(
            {
                "of": one,
                "with": other,
                "segment": [ids[one][key // _CODES] for key in told],
                "other": [ids[other][key % _CODES] for key in told],
                "customers": counts[largest].tolist(),
            }
        )
    return document
