"""Why a customer moved under a learned model: figures before and after, and one sentence in the customer's own terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.moves import DEFINITION, MODEL, MigrationContext, Moves, describe_event, describe_path
from stream_app.core.quantities import Quantities
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE, value_axes
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import own_rhythm
from stream_app.segmentations.learned.roles import AT_RISK, BIG_SPENDERS, BROWSERS, NEW, OCCASIONAL, REGULAR, ROLES
from stream_app.segmentations.learned.words import days, every, once_in

SILENCE: Final = "silence"
TENURE: Final = "tenure"
MODEL_CHANGED: Final = "model"
_AXES: Final = ("order_rate", "engagement_rate", "order_value")


class CustomerFigures(msgspec.Struct, frozen=True, gc=False):
    """A customer in natural units.

    Parameters
    ----------
    recency_days, tenure_days
        Days since the last act of its own, and since the first event.
    usual_gap_days
        Median number of days between two active days, as its own rhythm and the population's have it.
    probability_active
        That it still is a customer.
    orders
        Orders so far, without those that refunds have undone.
    order_interval_days, visit_interval_days
        Days from order to order, and from one engaged day to the next, as of late.
    order_value
        Usual order value in major units of the base currency; None before the population's is known.
    """

    recency_days: float
    tenure_days: float
    usual_gap_days: float
    probability_active: float
    orders: float
    order_interval_days: float
    visit_interval_days: float
    order_value: float | None


class LearnedReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """Why a customer moved.

    Parameters
    ----------
    before, after
        Its figures; None before a first entry.
    decisive
        `silence`, `tenure`, `order_rate`, `engagement_rate`, `order_value` or `model`; None for a first entry.
    margin
        How far past the middle between the centres of the two roles, in log units; None unless it went from role to
        role. Moves of small margin are most likely noise.
    statement
        What the segment entered says of each of its members.
    sentence
        The reason in words.
    """

    before: CustomerFigures | None
    after: CustomerFigures
    decisive: str | None
    margin: float | None
    statement: str
    sentence: str

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        return self.decisive is not None


def explain_moves(model: Model, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
    """Return why each customer moved, in the same order."""
    count = len(moves.customer_ids)
    both = moves.columns.quantities
    axes = value_axes(both, model.frame.order_value_minor)
    figures = [CustomerFigures(*row) for row in zip(*figures_of(both, axes, model.frame, context), strict=True)]
    origin = model.roster.index_of_code[moves.from_code]
    margins = _margins(model.frame, axes[count:], origin, moves.target)
    statements = [statement_of(model, target) for target in range(len(model.roster.segments))]
    references = model.roster.references
    reasons = []
    columns = zip(
        moves.cause_kind.tolist(),
        moves.change.tolist(),
        moves.from_code.tolist(),
        origin.tolist(),
        moves.target.tolist(),
        moves.causes,
        figures[:count],
        figures[count:],
        margins.tolist(),
        (axes[count:] - axes[:count]).tolist(),
        strict=True,
    )
    for kind, change, from_code, old, new, event_at, before, after, margin, shift in columns:
        decisive = None if from_code == NO_SEGMENT else _decisive(model, kind, old, new, shift)
        if event_at is not None:
            lead = describe_event(event_at[0], change, context)
        elif kind == DEFINITION:
            lead = f"Segmentation {model.name} is new"
        else:
            lead = ""
        facts = "" if decisive is None else _facts(model, decisive, old, new, before, after, context)
        told = f"{lead}: {facts}" if lead and facts else lead or facts[:1].upper() + facts[1:]
        path = describe_path(references.get(from_code), model.roster.segments[new].reference)
        reasons.append(
            LearnedReason(
                None if from_code == NO_SEGMENT else before,
                after,
                decisive,
                None if math.isnan(margin) else margin,
                statements[new],
                f"{told}; {path}.",
            )
        )
    return reasons


def figures_of(
    quantities: Quantities, axes: Floats, frame: Frame, context: MigrationContext
) -> list[list[float | None]]:
    """Return the columns of `CustomerFigures`, rounded."""
    own = own_rhythm(quantities.gaps, quantities.log_gaps, quantities.log_gaps_squared, frame.rhythm)
    value: list[float | None] = [None] * len(axes)
    if frame.order_value_minor is not None:
        value = np.round(frame.order_value_minor * np.exp(axes[:, VALUE]) / context.minor_per_major, 2).tolist()
    columns = (
        quantities.recency_days,
        quantities.tenure_days,
        own.usual_gap_days,
        own.probability_active(quantities.recency_days),
        quantities.purchases,
        np.exp(-axes[:, ORDERS]),
        np.exp(-axes[:, ENGAGEMENT]),
    )
    return [*(np.round(column, 4).tolist() for column in columns), value]


def statement_of(model: Model, target: int) -> str:
    """Return what a segment says of each of its members, in words."""
    bounds, thresholds, frame = model.statements, model.thresholds, model.frame
    orders = f"orders at least {once_in(bounds.orders_min[target])}" if target < ROLES else ""
    comes = (
        f"comes at least {once_in(bounds.engagement_min[target])}" if target < ROLES and frame.counts_engagement else ""
    )
    rarely = f"orders at most {once_in(bounds.orders_max[target])}" if target in (OCCASIONAL, BROWSERS) else ""
    if target == OCCASIONAL:
        return rarely
    if target == BROWSERS:
        return f"{comes or 'comes often'}, {rarely}"
    if target in (REGULAR, BIG_SPENDERS):
        either = f"{orders} or {comes}" if comes else orders
        if target == REGULAR:
            return either
        return f"spends at least {math.exp(bounds.value_min[target]):.1f} times the usual order value; {either}"
    if target < ROLES:
        return orders
    return {
        NEW: f"ordered at most once, came first within {days(frame.new_days)}",
        AT_RISK: f"silent for at least {days(thresholds.risk_days_min)}, longer than its own rhythm explains",
    }.get(target, _LAPSED[target].format(lapsed=days(thresholds.lapsed_days_min), lost=days(thresholds.lost_days)))


_LAPSED: Final = {
    NEW: "",
    AT_RISK: "",
    9: "silent for at least {lapsed}, most likely gone",
    10: "ordered at most once, silent for longer than its own rhythm explains",
    11: "silent for at least {lost}",
}


def _margins(frame: Frame, axes: Floats, origin: np.ndarray, target: np.ndarray) -> Floats:
    """Return the signed distance past the middle between two roles' centres; NaN where there are no two roles."""
    margins = np.full(len(axes), np.nan)
    between = np.flatnonzero((origin >= 0) & (origin < ROLES) & (target < ROLES) & (target >= 0) & (origin != target))
    distances = frame.squared_distances(axes[between])
    old, new = origin[between], target[between]
    rows = np.arange(len(between))
    apart = np.maximum(2 * frame.separation[old, new], 1e-9)
    margins[between] = np.round((distances[rows, old] - distances[rows, new]) / apart, 4)
    return margins


def _decisive(model: Model, kind: int, old: int, new: int, shift: Sequence[float]) -> str:
    """Return what a move is put down to."""
    if kind == MODEL:
        return MODEL_CHANGED
    if new > NEW or old > NEW or old < 0:
        return SILENCE
    if old == NEW and new < ROLES and kind > MODEL - 2:
        return TENURE
    if new >= ROLES or old >= ROLES:
        return _AXES[ORDERS]
    centres, weights = model.frame.centres, model.frame.weights
    pull = [move * (centres[new, axis] - centres[old, axis]) * weights[axis] ** 2 for axis, move in enumerate(shift)]
    return _AXES[int(np.argmax(pull))]


def _facts(
    model: Model,
    decisive: str,
    old: int,
    new: int,
    before: CustomerFigures,
    after: CustomerFigures,
    context: MigrationContext,
) -> str:
    """Return the reason in the customer's own terms."""
    if decisive == SILENCE:
        if new > NEW:
            return f"silent for {days(after.recency_days)}, usually active {every(after.usual_gap_days)}"
        return f"back after {days(before.recency_days)}, usually active {every(after.usual_gap_days)}"
    if decisive == TENURE:
        return f"first seen {days(after.tenure_days)} ago and no longer new, {_rates(after, model.frame)}"
    if decisive == MODEL_CHANGED:
        return _what_changed(model, new, after)
    if decisive == "order_value":
        assert after.order_value is not None  # it moved
        return f"spends {after.order_value:.2f} {context.currency} an order"
    if decisive == "engagement_rate":
        return f"comes {every(after.visit_interval_days)} (before: {every(before.visit_interval_days)})"
    return f"orders {every(after.order_interval_days)} (before: {every(before.order_interval_days)})"


def _rates(figures: CustomerFigures, frame: Frame) -> str:
    comes = f", comes {every(figures.visit_interval_days)}" if frame.counts_engagement else ""
    return f"orders {every(figures.order_interval_days)}{comes}"


def _what_changed(model: Model, new: int, after: CustomerFigures) -> str:
    """Return what in the model led to a move."""
    lead = f"model {model.version}"
    if new > NEW:
        return f"{lead} expects the next act sooner: silent for {days(after.recency_days)}, usually active {every(after.usual_gap_days)}"
    if new < ROLES:
        name = model.roster.segments[new].name
        return f"{lead} draws the line elsewhere, {name} now {statement_of(model, new)}; {_rates(after, model.frame)}"
    return f"{lead} counts as new who came within {days(model.frame.new_days)}"
