"""Customers with their present segments and what they have brought: those whom pages list and look up.

Everybody while they are no more than `LISTED_MAX`; else, of each segment, those with the greatest revenue, as many of
each. So the list stays bounded, and each segment's part of it begins with the customers who matter most.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import NO_TIME, SECOND_MS
from stream_app.core.partition import Partition
from stream_app.core.segments import NO_SEGMENT
from stream_app.replay.rfm import grid_cells
from stream_app.replay.spreads import codes_of

LISTED_MAX: Final = 50_000


def listing_document(partition: Partition, listed_max: int = LISTED_MAX) -> dict[str, Any]:
    """Return columns of the listed customers, in the order of their revenue, the greatest first.

    `segments` has the segment's id of each customer for each segmentation, null for none; `rank` says how many members
    of one of the customer's segments, whichever is least, have brought more; `last_at_s` is the instant of the last
    purchase or engagement, null where there is none; `cell` is the place in the grid (`grid_cells`), null of those who
    have not ordered.
    """
    table = partition.table
    codes = {each.name: codes_of(partition, each) for each in partition.segmentations}
    order = np.argsort(-table.activity["revenue_minor"], kind="stable")
    ranks = _ranks(list(codes.values()), order)
    rows = order if len(order) <= listed_max else _best(order, ranks, listed_max)
    activity = table.activity[rows]
    cells = np.full(len(table), -1)
    buyers, own_cells, *_ = grid_cells(partition)
    cells[buyers] = own_cells
    last_ms = np.maximum(activity["purchased_at_ms"], activity["engaged_at_ms"])
    ids = {each.name: each.roster.ids for each in partition.segmentations}
    return {
        "id": table.customer_ids.of(rows),
        "orders": activity["purchases"].tolist(),
        "revenue_minor": activity["revenue_minor"].tolist(),
        "last_at_s": [None if at_ms == NO_TIME else at_ms // SECOND_MS for at_ms in last_ms.tolist()],
        "cell": [None if cell < 0 else cell for cell in cells[rows].tolist()],
        "rank": ranks[rows].tolist(),
        "segments": {name: [ids[name].get(code) for code in own[rows].tolist()] for name, own in codes.items()},
    }


def _ranks(all_codes: list[npt.NDArray[np.int16]], order: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return for each customer how many members of one of its segments come before it, whichever is least."""
    ranks = np.arange(len(order), dtype=np.int64)
    least = np.empty_like(ranks)
    least[order] = ranks  # customers in no segment keep their place in the order of all
    for codes in all_codes:
        own = codes[order]
        by_segment = np.argsort(own, kind="stable")
        sorted_codes = own[by_segment]
        starts = np.searchsorted(sorted_codes, sorted_codes)
        within = np.empty_like(ranks)
        within[by_segment] = ranks - starts
        members = own != NO_SEGMENT
        least[order[members]] = np.minimum(least[order[members]], within[members])
    return least


def _best(order: npt.NDArray[np.intp], ranks: npt.NDArray[np.int64], listed_max: int) -> npt.NDArray[np.intp]:
    """Return those of the lowest ranks, whole ranks at a time, in their order."""
    limit = np.partition(ranks, listed_max)[listed_max]
    return np.asarray(order[ranks[order] < limit])
