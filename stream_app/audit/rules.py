"""Where rules put a customer, worked out again from the published definition and the customer's totals.

This shares nothing with the segmentation but the definition. It is plain: one customer, one instant, one comparison
after the other. A figure that lies on the very border may fall to either side, as the worker sums and rounds in another
order; then every segment that is possible is right.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from stream_app.audit.rows import CustomerRow
from stream_app.core.clock import DAY_MS

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
BORDER: Final = 1e-9
"""How near to its border a figure may fall to either side, as a share of the border; two milliseconds for days."""
BORDER_DAYS: Final = 2 / DAY_MS


def possible_segments(definition: Mapping[str, Any], row: CustomerRow, at_ms: int) -> list[str]:
    """Return the ids of the segments that a definition may put a customer in at an instant; mostly one.

    Raises
    ------
    KeyError
        If the definition uses a figure, an operator or a form of condition that is not known here.
    """
    figures = figures_of(row, at_ms)
    possible = []
    for segment in definition["segments"]:
        outcomes = _outcomes(segment["when"], figures)
        if True in outcomes:
            possible.append(segment["id"])
        if False not in outcomes:
            return possible
    return [*possible, definition["otherwise"]["id"]]


def figures_of(row: CustomerRow, at_ms: int) -> dict[str, float]:
    """Return what rules can compare, in natural units, as it is at an instant after the customer's last event."""
    totals = row.totals
    active_at_ms = max(totals.purchased_at_ms, totals.engaged_at_ms, totals.first_at_ms)
    order_share = _halved(at_ms - totals.ordered_at_ms, totals.order_half_life_days)
    engagement_share = _halved(at_ms - totals.engaged_at_ms, row.engagement_half_life_days)
    return {
        "recency_days": max(at_ms - active_at_ms, 0) / DAY_MS,
        "tenure_days": max(at_ms - totals.first_at_ms, 0) / DAY_MS,
        "orders_decayed": max(totals.orders_decayed, 0.0) * order_share,
        "revenue_decayed_minor": max(totals.revenue_decayed, 0.0) * order_share,
        "engaged_days_decayed": row.engaged_days * engagement_share,
        "purchases": totals.purchases,
        "refunds": totals.refunds,
        "engagements": totals.engagements,
        "revenue_minor": totals.revenue_minor,
    }


def _halved(since_ms: int, half_life_days: float) -> float:
    return math.exp2(-max(since_ms, 0) / (half_life_days * DAY_MS))


def _outcomes(condition: Mapping[str, Any], figures: Mapping[str, float]) -> set[bool]:
    """Return whether a condition holds; both where a figure lies on the border and that decides."""
    if "all" in condition:
        parts = [_outcomes(part, figures) for part in condition["all"]]
        return _either(all(True in part for part in parts), any(False in part for part in parts))
    if "any" in condition:
        parts = [_outcomes(part, figures) for part in condition["any"]]
        return _either(any(True in part for part in parts), all(False in part for part in parts))
    if "not" in condition:
        return {not outcome for outcome in _outcomes(condition["not"], figures)}
    name, border = condition["figure"], condition["value"]
    figure = figures[name]
    margin = BORDER_DAYS if name in ("recency_days", "tenure_days") else BORDER * abs(border)
    holds = OPERATORS[condition["operator"]](figure, border)
    is_whole = isinstance(figure, int)  # counted, not summed: there is nothing to round
    may_be_either = abs(figure - border) <= margin and not is_whole
    return _either(holds or may_be_either, not holds or may_be_either)


def _either(can_hold: bool, can_fail: bool) -> set[bool]:
    return {outcome for outcome, is_possible in ((True, can_hold), (False, can_fail)) if is_possible}
