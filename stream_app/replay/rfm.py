"""The grid of recency and frequency at the end of a run, with the money in its cells.

Theory. Customers who have ordered are scored from 1 to 5 by how lately they ordered last, and by how often they have
ordered in all: by quintiles of the whole population, exactly, see `stream_app.core.rfm`. Each cell has its revenue; a
third axis would make 125 cells, most of them nearly empty.

The names of cells are those in common use; the shop's own segmentations may draw other lines, so each cell also lists
the segments that its customers are in.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.partition import Partition
from stream_app.core.rfm import Scores, cell_rows, cells_of
from stream_app.core.segments import NO_SEGMENT
from stream_app.replay.spreads import codes_of

Rows: TypeAlias = npt.NDArray[np.intp]


def rfm_document(partition: Partition) -> dict[str, Any]:
    """Return the grid as of now.

    `cells` has a row for each cell that has customers: recency and frequency score, what it is called, customers,
    orders and net revenue. `recency_days` and `orders` are the four limits of the scores: with up to that many days
    since the last order a customer scores at least 5, 4, 3, 2; with more than that many orders, more than 1, 2, 3, 4.
    `segments` says of each segmentation how many customers of each of these cells are in which segment.
    """
    activity, known = partition.table.activity, partition.table.count_known()
    rows, cell, age_limits, order_limits = grid_cells(partition)
    if not len(rows):
        return {"without_order": known, "recency_days": [], "orders": [], "cells": [], "segments": {}}
    found, places = np.unique(cell, return_inverse=True)
    columns = (np.ones(len(rows), np.int64), *(activity[name][rows] for name in ("purchases", "revenue_minor")))
    sums = (np.bincount(places, weights=column).astype(np.int64).tolist() for column in columns)
    return {
        "without_order": known - len(rows),
        "recency_days": [round(limit / DAY_MS, 1) for limit in age_limits],
        "orders": order_limits,
        "cells": cell_rows(found.tolist(), *sums),
        "segments": _segments(partition, rows, places),
    }


def grid_cells(partition: Partition) -> tuple[Rows, Scores, list[int], list[int]]:
    """Return who has ordered, in which cell each is, and the limits of the scores, in milliseconds and in orders.

    A cell's number is five times its recency score and once its frequency score, both counted from 0.
    """
    activity, at_ms = partition.table.activity, max(partition.clock)
    rows = np.flatnonzero((activity["purchases"] > 0) & (activity["purchased_at_ms"] != NO_TIME))
    if not len(rows):
        return rows, np.empty(0, np.int64), [], []
    ages = np.maximum(at_ms - activity["purchased_at_ms"][rows], 0)
    return rows, *cells_of(ages, activity["purchases"][rows].astype(np.int64))


def _segments(partition: Partition, rows: Rows, places: Rows) -> dict[str, Any]:
    """Return, of each segmentation, columns of cells (by their place in the list), segments and customers."""
    found: dict[str, Any] = {}
    for segmentation in partition.segmentations:
        codes = codes_of(partition, segmentation)[rows].astype(np.int64)
        pairs, counts = np.unique(np.stack((places, codes)), axis=1, return_counts=True)
        listed = [
            (cell, segmentation.roster.ids[code], customers)
            for cell, code, customers in zip(*pairs.tolist(), counts.tolist(), strict=True)
            if code != NO_SEGMENT
        ]
        found[segmentation.name] = {
            name: [row[place] for row in listed] for place, name in enumerate(("cell", "segment", "customers"))
        }
    return found
