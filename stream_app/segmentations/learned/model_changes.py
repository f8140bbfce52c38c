"""What in a model has changed that moved customers, with the numbers of now and before.

A new version leaves a role to whom the role's statement is true of. So what moved a customer between two roles is that
the statement of the one it left says something else now, or counts in another usual order value; or else that the
statement of the one it entered does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream_app.core.arrays import Floats, Indices
from stream_app.core.moves import MigrationContext
from stream_app.core.quantities import Quantities
from stream_app.segmentations.learned.axes import VALUE
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import rhythm_of
from stream_app.segmentations.learned.roles import BROWSERS, HIBERNATING, LOST, NEW, ONE_TIME, ROLES
from stream_app.segmentations.learned.words import about, days, statement_of, statement_under


class Change(NamedTuple):
    """One customer's move by a model.

    Attributes
    ----------
    origin, target
        Indices of the roster; the origin is below 0 for none of this model.
    silence_days, silence_days_before
        Silence at which this customer is at risk, or has lapsed, under this model and the one before.
    axis
        On which axis the statement of the role that was left is false.
    """

    origin: int
    target: int
    silence_days: float
    silence_days_before: float
    axis: int


def changes_of(model: Model, quantities: Quantities, origin: Indices, target: Indices, axis: Indices) -> list[Change]:
    """Return what became of each of n customers who were moved by a model."""
    columns = (
        origin.tolist(),
        target.tolist(),
        _silence_days(model, model.frame, quantities, target).tolist(),
        _silence_days(model, model.previous or model.frame, quantities, target).tolist(),
        axis.tolist(),
    )
    return [Change(*row) for row in zip(*columns, strict=True)]


def describe_change(model: Model, change: Change, context: MigrationContext) -> str:
    """Return what in the model led to a move, as the opening of a sentence."""
    lead, before = f"Model {model.version}", model.previous
    origin, target = change.origin, change.target
    if origin < 0:
        return f"{lead} has other segments"
    if origin == NEW:
        return f"{lead} counts customers as new for {_days(model.frame.new_days, before.new_days if before else None)}"
    if target == LOST:
        return f"{lead}: {_name(model, LOST)} means {statement_of(model, LOST)}"
    if target > NEW:
        limit = _days(change.silence_days, change.silence_days_before if before else None)
        if target in (HIBERNATING, ONE_TIME):
            return f"{lead} gives customers of this rhythm up after {limit}"
        return f"{lead} expects customers of this rhythm back within {limit}"
    if before is None or origin >= ROLES:
        decisive = origin if origin < ROLES else target
        return f"{lead}: {_name(model, decisive)} means {statement_of(model, decisive)}"
    reason = _role_change(model, before, change, context)
    return f"{lead}: {reason or f'{_name(model, origin)} and {_name(model, target)} are divided differently'}"


def _role_change(model: Model, before: Frame, change: Change, context: MigrationContext) -> str:
    """Return what has changed of two roles; empty if people would not tell the difference."""
    if change.axis == VALUE and (told := _usual_order_change(model.frame, before, context)):
        return told
    if change.origin == BROWSERS and not model.frame.counts_engagement:
        return "visits no longer count"
    return _statement_change(model, before, change.origin) or _statement_change(model, before, change.target)


def _statement_change(model: Model, before: Frame, role: int) -> str:
    now = statement_of(model, role)
    past = statement_under(before, before.statements(model.thresholds), model.thresholds, role)
    if now == past:
        return ""
    is_one_bound = "," not in now and " or " not in now
    return f"{_name(model, role)} now means {now}, before {past.removeprefix('orders ') if is_one_bound else past}"


def _usual_order_change(frame: Frame, before: Frame, context: MigrationContext) -> str:
    if frame.order_value_minor is None or before.order_value_minor is None:
        return ""
    values_minor = frame.order_value_minor, before.order_value_minor
    now, past = (about(value / context.minor_per_major, context) for value in values_minor)
    return "" if now == past else f"the usual order is now {now}, before {past}"


def _days(now: float, before: float | None) -> str:
    if before is None or round(before) == round(now):
        return days(now)
    return f"{days(now)}, before {round(before):d}"


def _silence_days(model: Model, frame: Frame, quantities: Quantities, target: Indices) -> Floats:
    telling = model.thresholds.telling_silences(rhythm_of(quantities, frame.rhythm))
    return np.select([target == HIBERNATING, target == ONE_TIME], [telling.lapsed, telling.one_time], telling.risk)


def _name(model: Model, target: int) -> str:
    return model.roster.segments[target].name
