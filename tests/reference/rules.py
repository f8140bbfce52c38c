"""Rules as a segmentation: the first condition that holds decides, and every instant of change is known beforehand.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/rules.c`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import ENGAGEMENT_HALF_LIFE_DAYS, ORDER_HALF_LIFE_DAYS
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.core.segments import NOWHERE
from stream_app.native.mathematics import log2
from stream_app.segmentations.rules.definition import (
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Figure,
)
from stream_app.segmentations.rules.figures import figure_of
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.reference.columns import CustomerColumns
from tests.reference.quantities import last_act_ms

ROUNDING_MS: Final = 2
"""A crossing in closed form may lie this far from the first millisecond at which the comparison itself turns."""


class _Decay(NamedTuple):
    """A column that halves every so many days from the instant in another."""

    column: str
    since: str
    half_life_days: float


_DECAYING: Final[dict[Figure, _Decay]] = {
    "orders_decayed": _Decay("orders_decayed", "ordered_at_ms", ORDER_HALF_LIFE_DAYS),
    "revenue_decayed_minor": _Decay("revenue_decayed", "ordered_at_ms", ORDER_HALF_LIFE_DAYS),
    "engaged_days_decayed": _Decay("engaged_days", "engaged_at_ms", ENGAGEMENT_HALF_LIFE_DAYS),
}


def crossing_ms(customers: CustomerColumns, comparison: Comparison) -> Floats:
    """Return the instant at which silence carries the figure across the value, in milliseconds since the epoch.

    Exact but for rounding (by less than a millisecond in 10,000 years); infinite where that never happens; in the past
    where it has happened.
    """
    if comparison.figure in ("recency_days", "tenure_days"):
        return np.asarray(_silent_since(customers, comparison.figure) + comparison.value * DAY_MS, np.float64)
    decay = _DECAYING.get(comparison.figure)
    if decay is None or not comparison.value:
        return np.full(len(customers), np.inf)
    ratio = customers.activity[decay.column] / comparison.value
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = np.where(ratio > 1, log2(ratio), np.inf)
    return np.asarray(customers.activity[decay.since] + halvings * (decay.half_life_days * DAY_MS))


def _silent_since(customers: CustomerColumns, figure: Figure) -> Instants:
    activity = customers.activity
    if figure == "tenure_days":
        return np.asarray(activity["first_at_ms"])
    return last_act_ms(activity)


def acts(rules: RulesSegmentation, customers: CustomerColumns, held: Held) -> Decision:
    """Say where customers belong; whoever is elsewhere moves."""
    target = _targets(rules, customers)
    return Decision(target, rules.roster.codes[target] != held.segment)


def silence(
    rules: RulesSegmentation, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants
) -> Due:
    """Return the first of the crossings at which silence moves each customer.

    Where none comes by `by_ms` the next crossing is the answer, less what rounding may take: whether it moves
    anybody is found out then.
    """
    crossings = np.stack([crossing_ms(customers, comparison) for comparison in rules.comparisons], axis=1)
    crossings = np.where(crossings > (after_ms - ROUNDING_MS)[:, None], crossings, np.inf)
    due_ms = np.full(len(customers), NEVER_MS)
    target = np.full(len(customers), NOWHERE)
    open_rows = np.arange(len(customers))
    while len(open_rows):
        first = crossings[open_rows].min(axis=1) if crossings.shape[1] else np.full(len(open_rows), np.inf)
        beyond = first - ROUNDING_MS > by_ms[open_rows]
        ended = open_rows[beyond]
        due_ms[ended] = np.minimum(first[beyond] - ROUNDING_MS, NEVER_MS).astype(np.int64)
        open_rows, first = open_rows[~beyond], first[~beyond]
        moved = _try_crossing(rules, customers, held, after_ms, by_ms, (open_rows, first), due_ms, target)
        open_rows, first = open_rows[~moved], first[~moved]
        # A crossing just behind `by_ms` may turn the comparison there or right after.
        near = first + ROUNDING_MS > by_ms[open_rows]
        due_ms[open_rows[near]] = by_ms[open_rows[near]] + 1
        open_rows, first = open_rows[~near], first[~near]
        passed = crossings[open_rows]
        crossings[open_rows] = np.where(passed <= first[:, None], np.inf, passed)
    return Due(due_ms, target)


def _try_crossing(
    rules: RulesSegmentation,
    customers: CustomerColumns,
    held: Held,
    after_ms: Instants,
    by_ms: Instants,
    crossing: tuple[Indices, Floats],
    due_ms: Instants,
    target: Indices,
) -> Flags:
    """Note which customers move within rounding of a crossing each, and when; say who does."""
    rows, first = crossing
    moved = np.zeros(len(rows), np.bool_)
    for offset in range(-ROUNDING_MS, ROUNDING_MS + 1):
        at_ms = np.minimum(np.floor(first), NEVER_MS).astype(np.int64) + offset
        asked = np.flatnonzero(~moved & (at_ms > after_ms[rows]) & (at_ms <= by_ms[rows]))
        there = _targets(rules, customers.at(rows[asked], at_ms[asked]))
        leaves = rules.roster.codes[there] != held.segment[rows[asked]]
        chosen = asked[leaves]
        due_ms[rows[chosen]], target[rows[chosen]] = at_ms[chosen], there[leaves]
        moved[chosen] = True
    return moved


def _targets(rules: RulesSegmentation, customers: CustomerColumns) -> Indices:
    """Return the target of each customer at its instant, shape `(n,)`."""
    target = np.full(len(customers), len(rules.definition.segments))
    for index in range(len(rules.definition.segments) - 1, -1, -1):
        target[_holds(rules.definition.segments[index].when, customers)] = index
    return target


def compare(customers: CustomerColumns, comparison: Comparison) -> Flags:
    """Say for which customers a comparison holds at their instants."""
    return np.asarray(OPERATORS[comparison.operator](figure_of(customers, comparison.figure), comparison.value))


def _holds(condition: Condition, customers: CustomerColumns) -> Flags:
    match condition:
        case Comparison():
            return compare(customers, condition)
        case AllOf(all=parts):
            return np.asarray(np.logical_and.reduce([_holds(part, customers) for part in parts]))
        case AnyOf(any=parts):
            return np.asarray(np.logical_or.reduce([_holds(part, customers) for part in parts]))
        case _:
            return ~_holds(condition.negated, customers)
