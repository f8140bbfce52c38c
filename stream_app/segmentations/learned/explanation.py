"""Why a customer moved under a learned model: figures before and after, and a sentence in the customer's own terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.moves import DEFINITION, LAPSE, MODEL, MigrationContext, Moves, describe_event, describe_path
from stream_app.core.quantities import Quantities
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.axes import AXES, ENGAGEMENT, ORDERS, VALUE, value_axes
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import own_rhythm
from stream_app.segmentations.learned.roles import (
    AT_RISK,
    BIG_SPENDERS,
    BROWSERS,
    HIBERNATING,
    KINDS,
    LOST,
    NEW,
    OCCASIONAL,
    ONE_TIME,
    REGULAR,
    ROLES,
)
from stream_app.segmentations.learned.words import days, every, once_in

SILENCE: Final = "silence"
TENURE: Final = "tenure"
MODEL_CHANGED: Final = "model"


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


class _Move(NamedTuple):
    """What is said about one move."""

    kind: int
    change: int
    origin: int
    target: int
    before: CustomerFigures
    after: CustomerFigures
    shift: Sequence[float]


def explain_moves(model: Model, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
    """Return why each customer moved, in the same order."""
    count = len(moves.customer_ids)
    both = moves.columns.quantities
    axes = value_axes(both, model.frame.order_value_minor)
    figures = [CustomerFigures(*row) for row in zip(*figures_of(both, axes, model.frame, context), strict=True)]
    origin = model.roster.index_of_code[moves.from_code]
    margins = _margins(model.frame, axes[count:], origin, moves.target).tolist()
    statements = [statement_of(model, target) for target in range(len(KINDS))]
    references = model.roster.references
    columns = (moves.cause_kind, moves.change, origin, moves.target)
    described = zip(
        *(column.tolist() for column in columns),
        figures[:count],
        figures[count:],
        (axes[count:] - axes[:count]).tolist(),
        strict=True,
    )
    reasons = []
    for place, (move, code, event_at) in enumerate(
        zip(map(_Move._make, described), moves.from_code.tolist(), moves.causes, strict=True)
    ):
        entered = code == NO_SEGMENT
        decisive = None if entered else _decisive(model, move)
        lead = describe_event(event_at[0], move.change, context) if event_at else ""
        if move.kind == DEFINITION:
            lead = f"Segmentation {model.name} is new"
        facts = "" if decisive is None else _facts(model, decisive, move, context)
        told = f"{lead}: {facts}" if lead and facts else lead or facts[:1].upper() + facts[1:]
        path = describe_path(references.get(code), model.roster.segments[move.target].reference)
        reasons.append(
            LearnedReason(
                None if entered else move.before,
                move.after,
                decisive,
                None if math.isnan(margins[place]) else margins[place],
                statements[move.target],
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
    if target < ROLES:
        return _role_statement(model, target)
    thresholds = model.thresholds
    return {
        NEW: f"ordered at most once, came first within {days(model.frame.new_days)}",
        AT_RISK: f"silent for at least {days(thresholds.risk_days_min)}, longer than its own rhythm explains",
        HIBERNATING: f"silent for at least {days(thresholds.lapsed_days_min)}, most likely gone",
        ONE_TIME: "ordered at most once, silent for longer than its own rhythm explains",
        LOST: f"silent for at least {days(thresholds.lost_days)}",
    }[target]


def _role_statement(model: Model, role: int) -> str:
    bounds = model.statements
    orders = f"orders at least {once_in(bounds.orders_min[role])}"
    comes = f"comes at least {once_in(bounds.engagement_min[role])}"
    rarely = f"orders at most {once_in(bounds.orders_max[role])}"
    rates = f"{orders} or {comes}" if np.isfinite(bounds.engagement_min[role]) else orders
    if role == OCCASIONAL:
        return rarely
    if role == BROWSERS:
        return f"{comes}, {rarely}"
    if role == BIG_SPENDERS:
        return f"spends at least {math.exp(bounds.value_min[role]):.1f} times the usual order value; {rates}"
    return rates if role == REGULAR else orders


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


def _decisive(model: Model, move: _Move) -> str:
    """Return what a move is put down to."""
    old, new = move.origin, move.target
    if move.kind == MODEL:
        return MODEL_CHANGED
    if new > NEW or old > NEW or old < 0:
        return SILENCE
    if old == NEW:
        return TENURE if move.kind == LAPSE else AXES[ORDERS]
    centres, weights = model.frame.centres, model.frame.weights
    if new >= ROLES:
        return AXES[ORDERS]
    pull = [
        step * (centres[new, axis] - centres[old, axis]) * weights[axis] ** 2 for axis, step in enumerate(move.shift)
    ]
    return AXES[int(np.argmax(pull))]


def _facts(model: Model, decisive: str, move: _Move, context: MigrationContext) -> str:
    """Return the reason in the customer's own terms."""
    before, after = move.before, move.after
    usual = every(after.usual_gap_days)
    if decisive == SILENCE:
        if move.target > NEW:
            return f"silent for {days(after.recency_days)}, usually active {usual}"
        return f"back after {days(before.recency_days)}, usually active {usual}"
    if decisive == TENURE:
        return f"first seen {days(after.tenure_days)} ago and no longer new, {_rates(after, model.frame)}"
    if decisive == MODEL_CHANGED:
        return _what_changed(model, move.target, after)
    if decisive == AXES[VALUE]:
        return f"now spends {after.order_value} {context.currency} an order"
    if decisive == AXES[ENGAGEMENT]:
        return f"now comes {every(after.visit_interval_days)} (before: {every(before.visit_interval_days)})"
    return f"now orders {every(after.order_interval_days)} (before: {every(before.order_interval_days)})"


def _rates(figures: CustomerFigures, frame: Frame) -> str:
    comes = f", comes {every(figures.visit_interval_days)}" if frame.counts_engagement else ""
    return f"orders {every(figures.order_interval_days)}{comes}"


def _what_changed(model: Model, new: int, after: CustomerFigures) -> str:
    """Return what in the model led to a move."""
    lead = f"model {model.version}"
    if new > NEW:
        usual = every(after.usual_gap_days)
        return f"{lead} expects the next act sooner: silent for {days(after.recency_days)}, usually active {usual}"
    if new < ROLES:
        line = f"{model.roster.segments[new].name} now {statement_of(model, new)}"
        return f"{lead} draws the line elsewhere, {line}; {_rates(after, model.frame)}"
    return f"{lead} counts as new who came within {days(model.frame.new_days)}"
