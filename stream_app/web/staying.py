"""How long members stay in a segment, of a fair sample of customers.

Theory. Stays that have not ended will last longer, and the longest are among them, so a mean of stays that have
ended is too short. The product-limit estimator (Kaplan and Meier, 1958, "Nonparametric estimation
from incomplete observations") takes both into account: of those who have stayed for d days, a share leaves on that day.
Customers who have been there for less, or whom a new version of the segmentation moved, say nothing about that day. The
share that stays for longer than d days is the product of the shares that did not leave up to then.

Customers are sampled whole. Those of a report are drawn by a hash of their id (`stream_app.report.timelines`), so the
sample is fair; who is in it because of the revenue counts only where the hash takes them too. Those of a console are
drawn as `stream_app.api.sampling` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, SECOND_MS

CURVE_POINTS: Final = 49
"""Points of the curve, at equal distances from 0 to the longest stay."""
OBSERVED_MIN: Final = 10
"""The curve ends where fewer stays than this have lasted as long: they say nothing about the others."""
QUARTILES_LEFT: Final = (0.75, 0.5, 0.25)
"""What share stays when a quarter, half and three quarters have left."""
_DAY_SECONDS: Final = DAY_MS // SECOND_MS


class Stay(NamedTuple):
    """A customer's time in a segment.

    Attributes
    ----------
    segment
        Id.
    days
        How long it has lasted, or lasted.
    has_left
        Whether it ended because of what the customer did or did not do.
    """

    segment: str
    days: float
    has_left: bool


def describe_stays(stays: Iterable[Stay], customers: int) -> dict[str, Any]:
    """Return for each segment how many stays there were, their quartiles in days, and the curve of who stays.

    A quartile is None where too few have left within the days that the curve covers; it ends where fewer than
    `OBSERVED_MIN` stays have lasted as long. `customers` is how many were looked at.
    """
    by_segment: dict[str, list[Stay]] = {}
    for stay in stays:
        by_segment.setdefault(stay.segment, []).append(stay)
    return {
        "customers": customers,
        "segments": {segment: _describe(by_segment[segment]) for segment in sorted(by_segment)},
    }


def _describe(stays: Sequence[Stay]) -> dict[str, Any]:
    days = np.array([stay.days for stay in stays])
    has_left = np.array([stay.has_left for stay in stays])
    ends, staying = product_limit(days, has_left)
    longest = float(np.sort(days)[-min(OBSERVED_MIN, len(days))])
    points = np.linspace(0, longest, CURVE_POINTS)
    behind = np.searchsorted(ends, points, "right")
    curve = np.concatenate(([1.0], staying))[behind]
    reached = [np.flatnonzero((staying <= share) & (ends <= longest)) for share in QUARTILES_LEFT]
    return {
        "stays": len(stays),
        "left": int(has_left.sum()),
        "quartiles": [round(float(ends[found[0]]), 1) if len(found) else None for found in reached],
        "days": [round(float(point), 1) for point in points],
        "staying": [round(float(share), 3) for share in curve],
    }


def product_limit(
    days: npt.NDArray[np.float64], has_left: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the days at which somebody left, ascending, and the share that stays for longer than each of them."""
    ends, left = np.unique(days[has_left], return_counts=True)
    present = len(days) - np.searchsorted(np.sort(days), ends)
    return ends, np.asarray(np.cumprod(1 - left / present), np.float64)


def stays_of(moves: Sequence[tuple[int, str | None, bool]], until_seconds: int) -> Iterable[Stay]:
    """Yield the stays of one customer in one segmentation.

    Parameters
    ----------
    moves
        In their order: instant in seconds, the id of the segment entered, None for none, and whether the customer moved
        by itself, not by a new version.
    until_seconds
        The end.
    """
    for number, (at, segment, _) in enumerate(moves):
        if segment is None:
            continue
        is_last = number + 1 == len(moves)
        end, _, is_own = (until_seconds, None, False) if is_last else moves[number + 1]
        yield Stay(segment, max(end - at, 0) / _DAY_SECONDS, is_own)
