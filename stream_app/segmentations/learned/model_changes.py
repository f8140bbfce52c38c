"""What in a model has changed that moved customers, with the numbers of now and before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats, Indices
from stream_app.core.moves import MigrationContext
from stream_app.core.quantities import Quantities
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE, value_axes
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import own_rhythm
from stream_app.segmentations.learned.roles import HIBERNATING, LOST, NEW, ONE_TIME, ROLES
from stream_app.segmentations.learned.words import about, changed, days, every, statement_of, statement_under

WEIGHT_STEP: Final = 0.05
"""A smaller change of the weight of engagement is not told."""


class Change(NamedTuple):
    """One customer's move by a model.

    Attributes
    ----------
    origin, target
        Indices of the roster; the origin is below 0 for none of this model.
    failed
        Whether the statement of the role that was left is false under it.
    silence_days, silence_days_before
        Silence at which this customer is at risk, or has lapsed, under this model and the one before.
    axis
        On which axis the model has come to favour the target.
    """

    origin: int
    target: int
    failed: bool
    silence_days: float
    silence_days_before: float
    axis: int


def changes_of(
    model: Model, quantities: Quantities, origin: Indices, target: Indices, failed: Sequence[bool]
) -> list[Change]:
    """Return what became of each of n customers who were moved by a model."""
    before = model.previous or model.frame
    columns = (
        origin.tolist(),
        target.tolist(),
        failed,
        _silence_days(model, model.frame, quantities, target).tolist(),
        _silence_days(model, before, quantities, target).tolist(),
        (_leads(model.frame, quantities, origin, target) - _leads(before, quantities, origin, target))
        .argmax(axis=1)
        .tolist(),
    )
    return [Change(*row) for row in zip(*columns, strict=True)]


def describe_change(model: Model, change: Change, context: MigrationContext) -> str:
    """Return what in the model led to a move, as the opening of a sentence."""
    lead, before = f"Model {model.version}", model.previous
    origin, target = change.origin, change.target
    if origin < 0:
        return f"{lead} has other segments"
    if origin == NEW or target == NEW:
        return f"{lead} counts customers as new for {_days(model.frame.new_days, before.new_days if before else None)}"
    if target == LOST:
        return f"{lead}: {_name(model, LOST)} means {statement_of(model, LOST)}"
    if target > NEW:
        limit = _days(change.silence_days, change.silence_days_before if before else None)
        if target in (HIBERNATING, ONE_TIME):
            return f"{lead} gives customers of this rhythm up after {limit}"
        return f"{lead} expects customers of this rhythm back within {limit}"
    if before is None or origin >= ROLES:
        return f"{lead}: {_name(model, target)} means {statement_of(model, target)}"
    told = _role_change(model, before, change, context)
    return (
        f"{lead}: {told}" if told else f"{lead}: {_name(model, origin)} and {_name(model, target)} are told apart anew"
    )


def _role_change(model: Model, before: Frame, change: Change, context: MigrationContext) -> str:
    """Return what has changed of two roles; empty if people would not tell the difference."""
    origin, target = change.origin, change.target
    if change.failed and (told := _statement_change(model, before, origin)):
        return told
    if before.admits[origin] and not model.frame.admits[origin]:
        return f"{_name(model, origin)} takes no customers in any more"
    if model.frame.admits[target] and not before.admits[target]:
        return f"{_name(model, target)} now takes customers in"
    if change.failed or (told := _axis_change(model, before, change, context)) == "":
        return _statement_change(model, before, target)
    return told


def _statement_change(model: Model, before: Frame, role: int) -> str:
    now = statement_of(model, role)
    past = statement_under(before, before.statements(model.thresholds), model.thresholds, role)
    if now == past:
        return ""
    is_one_bound = "," not in now and " or " not in now
    return f"{_name(model, role)} now means {now}, before {past.removeprefix('orders ') if is_one_bound else past}"


def _axis_change(model: Model, before: Frame, change: Change, context: MigrationContext) -> str:
    frame, axis = model.frame, change.axis
    shifts = np.abs(frame.centres[:, axis] - before.centres[:, axis])
    role = max(change.origin, change.target, key=lambda each: float(shifts[each]))
    now, past = float(frame.centres[role, axis]), float(before.centres[role, axis])
    typical = f"typical customers of {_name(model, role)} now"
    if axis == ENGAGEMENT and abs(frame.engagement_weight - before.engagement_weight) >= WEIGHT_STEP:
        return f"visits now count {'more' if frame.engagement_weight > before.engagement_weight else 'less'}"
    if axis == VALUE:
        if frame.order_value_minor is not None and before.order_value_minor is not None:
            minor = frame.order_value_minor, before.order_value_minor
            values = [about(value / context.minor_per_major, context) for value in minor]
            if values[0] != values[1]:
                return f"the usual order is now {values[0]}, before {values[1]}"
        told = [f"{math.exp(centre):.1f} times the usual order value" for centre in (now, past)]
        return "" if told[0] == told[1] else f"{typical} spend {changed(told[0], told[1])}"
    told = [every(math.exp(-centre)) for centre in (now, past)]
    verb = "order" if axis == ORDERS else "come"
    return "" if told[0] == told[1] else f"{typical} {verb} about {changed(told[0], told[1])}"


def _days(now: float, before: float | None) -> str:
    if before is None or round(before) == round(now):
        return days(now)
    return f"{days(now)}, before {round(before):d}"


def _silence_days(model: Model, frame: Frame, quantities: Quantities, target: Indices) -> Floats:
    thresholds = model.thresholds
    own = own_rhythm(quantities.gaps, quantities.log_gaps, quantities.log_gaps_squared, frame.rhythm)
    risk = np.maximum(own.silence_days(thresholds.risk_probability), thresholds.risk_days_min)
    lapsed = np.maximum(own.silence_days(thresholds.lapsed_probability), thresholds.lapsed_days_min)
    one_time = np.maximum(own.silence_days(thresholds.one_time_probability), thresholds.risk_days_min)
    return np.select([target == HIBERNATING, target == ONE_TIME], [np.maximum(lapsed, risk), one_time], risk)


def _leads(frame: Frame, quantities: Quantities, origin: Indices, target: Indices) -> Floats:
    """Return by how much the target's centre is nearer than the origin's, squared, on each axis, shape `(n, 3)`."""
    axes = value_axes(quantities, frame.order_value_minor)
    old, new = (frame.centres[np.clip(role, 0, ROLES - 1)] for role in (origin, target))
    return np.asarray(((axes - old) ** 2 - (axes - new) ** 2) * frame.weights**2)


def _name(model: Model, target: int) -> str:
    return model.roster.segments[target].name
