"""The customers whom a report lists and looks up: where they are now and what they have brought, packed as columns.

Everybody where that fits, else of each segment those with the greatest revenue, as many of each. Columns are in the
order of ids: like ids stand next to each other, which compresses well, and pages sort by revenue themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_app.core.clock import SECOND_MS
from stream_app.core.local_days import local_days

_MARGIN: Final = 0.95


def encode_listing(
    listing: Mapping[str, Any],
    places: Mapping[str, Mapping[str, int]],
    customers: int,
    timezone: str,
    fits: Callable[[dict[str, Any]], float],
) -> dict[str, Any]:
    """Return the columns of as many customers as fit.

    Parameters
    ----------
    listing
        Of `history.json`.
    places
        Of each segmentation, the places of its segments by their ids.
    customers
        How many there are in all.
    timezone
        Whose days.
    fits
        Says how many times as large as it may be what was encoded is.
    """
    order = sorted(range(len(listing["id"])), key=listing["id"].__getitem__)
    while True:
        columns = _columns(listing, places, order, timezone)
        excess = fits(columns)
        if excess <= 1 or not order:
            return {"isComplete": len(order) >= customers} | columns
        ranks = sorted(listing["rank"][row] for row in order)
        limit = ranks[int(len(ranks) / excess * _MARGIN)]
        order = [row for row in order if listing["rank"][row] < limit]


def _columns(
    listing: Mapping[str, Any], places: Mapping[str, Mapping[str, int]], order: Sequence[int], timezone: str
) -> dict[str, Any]:
    last_at_s = [listing["last_at_s"][row] for row in order]
    last_days = local_days(np.array([at or 0 for at in last_at_s], np.int64) * SECOND_MS, timezone).tolist()
    return {
        "id": [listing["id"][row] for row in order],
        "orders": [listing["orders"][row] for row in order],
        "revenue": [listing["revenue_minor"][row] for row in order],
        "cell": [listing["cell"][row] for row in order],
        "lastDay": [None if at is None else day for at, day in zip(last_at_s, last_days, strict=True)],
        "segments": [[own.get(listing["segments"][name][row], -1) for row in order] for name, own in places.items()],
    }
