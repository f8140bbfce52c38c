"""Rules on figures as a segmentation: the first condition that holds decides, and every crossing is known beforehand.

This is the reference that the compiled library is compared with: whole arrays of numpy, with the library's own
elementary functions. It knows the figures that rows hold; theory: `native/figures.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.quantities import ENGAGEMENT_HALF_LIFE_DAYS, ORDER_HALF_LIFE_DAYS
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.core.segments import NOWHERE, Roster
from stream_app.native.mathematics import exp2, log2
from stream_app.segmentations.rules.definition import (
    COMPARATORS,
    AllOf,
    AnyOf,
    Condition,
    FigureLeaf,
    NotThat,
    RulesConfiguration,
    leaves_of,
)
from tests.reference.columns import CustomerColumns
from tests.reference.quantities import last_act_ms

ROUNDING_MS: Final = 2
"""A crossing in closed form may lie this far from the first millisecond at which the comparison itself turns."""
MINOR_PER_MAJOR: Final = 100
_ORDER_MS: Final = ORDER_HALF_LIFE_DAYS * DAY_MS
_ENGAGEMENT_MS: Final = ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS
_SINCE: Final = {
    "tenure_days": "first_at_ms",
    "order_recency_days": "purchased_at_ms",
    "order_tenure_days": "first_purchased_at_ms",
    "engagement_recency_days": "engaged_at_ms",
}
_HALVING: Final = {
    "orders_decayed": ("orders_decayed", "ordered_at_ms", _ORDER_MS, 1),
    "revenue_decayed": ("revenue_decayed", "ordered_at_ms", _ORDER_MS, MINOR_PER_MAJOR),
    "engaged_days_decayed": ("engaged_days", "engaged_at_ms", _ENGAGEMENT_MS, 1),
}


class Asked(Protocol):
    """Rules, as far as they are asked here."""

    @property
    def definition(self) -> RulesConfiguration:
        """The conditions."""
        ...

    @property
    def roster(self) -> Roster:
        """The segments."""
        ...


def figure_of(customers: CustomerColumns, figure: str) -> Floats:
    """Return a figure of each customer at its instant, shape `(n,)`; NaN where there is none."""
    activity, at_ms = customers.activity, customers.at_ms
    if figure == "recency_days" or figure in _SINCE:
        since_ms = last_act_ms(activity) if figure == "recency_days" else activity[_SINCE[figure]]
        known = np.abs(since_ms) != -NO_TIME
        if figure == "order_tenure_days":
            known &= activity["purchased_at_ms"] != NO_TIME
        return np.where(known, np.maximum(at_ms - since_ms, 0) / DAY_MS, np.nan)
    if figure in _HALVING:
        column, since, half_life_ms, scale = _HALVING[figure]
        passed_ms = np.maximum(at_ms - activity[since], 0)
        return np.asarray(np.maximum(activity[column], 0.0) * exp2(passed_ms * (-1 / half_life_ms)) / scale)
    if figure == "revenue":
        return np.asarray(activity["revenue_minor"] / MINOR_PER_MAJOR)
    if figure == "average_order_value":
        purchases = np.where(activity["purchases"] > 0, activity["purchases"], np.nan)
        return np.asarray(activity["revenue_minor"] / MINOR_PER_MAJOR / purchases)
    return np.asarray(activity[figure].astype(np.float64))


def acts(rules: Asked, customers: CustomerColumns, held: Held) -> Decision:
    """Say where customers belong; whoever is elsewhere moves."""
    target = targets(rules, customers)
    return Decision(target, rules.roster.codes[target] != held.segment)


def silence(rules: Asked, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
    """Return the first instant after a crossing at which silence moves each customer, `NEVER_MS` for none by then."""
    crossings = np.stack([_crossing_ms(customers, *each) for each in _comparisons(rules)], axis=1)
    due_ms = np.full(len(customers), NEVER_MS)
    target = np.full(len(customers), NOWHERE)
    for row in range(len(customers)):
        near = {
            int(np.floor(crossing)) + offset
            for crossing in crossings[row]
            if abs(crossing) < NEVER_MS / 2
            for offset in range(-ROUNDING_MS, ROUNDING_MS + 1)
        }
        instants = np.array(sorted(at for at in near if after_ms[row] < at <= by_ms[row]), np.int64)
        there = targets(rules, customers.at(np.full(len(instants), row), instants))
        moves = np.flatnonzero(rules.roster.codes[there] != held.segment[row])
        if len(moves):
            due_ms[row], target[row] = instants[moves[0]], there[moves[0]]
    return Due(due_ms, target)


def targets(rules: Asked, customers: CustomerColumns) -> Indices:
    """Return the target of each customer at its instant, shape `(n,)`."""
    target = np.full(len(customers), len(rules.definition.segments))
    for index in range(len(rules.definition.segments) - 1, -1, -1):
        target[_holds(rules.definition.segments[index].when, customers)] = index
    return target


def _comparisons(rules: Asked) -> Iterator[tuple[str, float]]:
    for leaf in leaves_of(rules.definition):
        assert isinstance(leaf, FigureLeaf)
        yield from ((leaf.figure, value) for _, value in leaf.comparisons)


def _crossing_ms(customers: CustomerColumns, figure: str, value: float) -> Floats:
    """Return the instant at which silence carries the figure across the value; infinite where that never happens."""
    activity = customers.activity
    if figure == "recency_days":
        return np.asarray(last_act_ms(activity) + value * DAY_MS, np.float64)
    if figure in _SINCE:
        return np.asarray(activity[_SINCE[figure]] + value * DAY_MS, np.float64)
    if figure not in _HALVING or not value:
        return np.full(len(customers), np.inf)
    column, since, half_life_ms, scale = _HALVING[figure]
    ratio = activity[column] / (value * scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = np.where(ratio >= 1, log2(ratio), np.inf)
    return np.asarray(activity[since] + halvings * half_life_ms)


def _holds(condition: Condition, customers: CustomerColumns) -> Flags:
    match condition:
        case FigureLeaf():
            return _compare(figure_of(customers, condition.figure), condition.comparisons)
        case AllOf(all=parts):
            return np.asarray(np.logical_and.reduce([_holds(part, customers) for part in parts]))
        case AnyOf(any=parts):
            return np.asarray(np.logical_or.reduce([_holds(part, customers) for part in parts]))
        case NotThat(negated=part):
            return ~_holds(part, customers)
        case _:
            raise AssertionError(f"condition: {condition!r}, expected figures joined by all, any and not")


def _compare(figures: Floats, comparisons: Any) -> Flags:
    holds = ~np.isnan(figures)
    for comparator, value in comparisons:
        holds &= COMPARATORS[comparator](figures, value)
    return np.asarray(holds)
