"""Who changes segment, and when exactly.

Three rules keep what is said about a person true:

1. An own act makes a customer active, and moves it to a role of the same or a higher level.
2. Silence moves it down, at dates that are known at its last act: out of a role when the role's statement becomes
   false, to at risk and lapsed when the silence has become telling.
3. Within what these two allow, customers belong to the role whose centre is nearest, and change over only if another
   one is nearer by more than the hysteresis δ: (D_i − D_j) / (2 ‖c_i − c_j‖) > δ, the signed distance past the middle
   between two centres (D: squared distances). A statement that has become false overrules that.

A new version may move anybody, but moves only those whom it judges otherwise than the version before did.

Everything here works on n customers at once; one customer is n = 1, so there is no second rule to keep in step.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.core.segments import NOWHERE
from stream_app.segmentations.learned.axes import value_axes
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import own_rhythm
from stream_app.segmentations.learned.roles import (
    AT_RISK,
    HIBERNATING,
    LEVELS,
    LOST,
    NEW,
    OCCASIONAL,
    ONE_TIME,
    ROLES,
)
from stream_app.segmentations.learned.statements import Statements

ACTIVE, RISK, LAPSED = range(3)
_ROLE_LEVELS: Final = LEVELS[:ROLES]
_STAGES: Final = np.array([ACTIVE] * (ROLES + 1) + [RISK] + [LAPSED] * 3 + [ACTIVE])
"""By target; the last is for customers who are in no segment of the model."""


class Standing(NamedTuple):
    """How n customers stand to the roles at their instants.

    Attributes
    ----------
    distances
        Squared, to each centre, shape `(n, ROLES)`.
    holds
        Whether each role's statement is true, shape `(n, ROLES)`; Occasional's is where no other's is.
    admits
        Whether the role can be entered besides.
    """

    distances: Floats
    holds: Flags
    admits: Flags


class Dates(NamedTuple):
    """When silence becomes telling, counted from the last act, milliseconds, shape `(n,)` each."""

    risk_ms: Instants
    one_time_ms: Instants
    lapsed_ms: Instants
    lost_ms: Instants


def last_act_ms(activity: np.ndarray) -> Instants:
    """Return the instant of each customer's last purchase or engagement, shape `(n,)`."""
    own = np.maximum(activity["purchased_at_ms"], activity["engaged_at_ms"])
    return np.asarray(np.maximum(own, activity["first_at_ms"]))


def stand(axes: Floats, frame: Frame, statements: Statements) -> Standing:
    """Return how customers stand to the roles; `axes` are those of `value_axes`."""
    holds = statements.hold(axes)
    admits = holds & frame.admits
    holds[:, OCCASIONAL] |= ~holds.any(axis=1)
    admits[:, OCCASIONAL] |= ~admits.any(axis=1)
    return Standing(frame.squared_distances(axes), holds, admits)


def acts(model: Model, customers: CustomerColumns, held: Held) -> Decision:
    """Say where an own act leads each customer."""
    quantities = customers.quantities
    held_target = model.roster.index_of_code[held.segment]
    standing = stand(value_axes(quantities, model.frame.order_value_minor), model.frame, model.statements)
    is_role = (held_target >= 0) & (held_target < ROLES)
    was_lapsed = _STAGES[held_target] > ACTIVE
    role = np.where(is_role, held_target, np.where(was_lapsed, _kept_role(model, held), NOWHERE))
    floor = np.where(is_role | (held_target == NEW), LEVELS[held_target], LEVELS[OCCASIONAL])
    allowed = floor[:, None] <= _ROLE_LEVELS
    barred = is_role & (customers.at_ms - held.since_ms < model.thresholds.no_return_days * DAY_MS)
    left = np.where(barred, model.roster.index_of_code[held.previous], NOWHERE)
    target = _choose(model, standing, role, allowed, left, must_admit=was_lapsed)
    is_young = (quantities.tenure_days < model.frame.new_days) & (quantities.purchases <= 1)
    target = np.where(is_young & ((held_target == NEW) | (held_target == NOWHERE)), NEW, target)
    return Decision(target, target != held_target)


def silence(model: Model, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
    """Return when silence first moves each customer, and where to."""
    activity = customers.activity
    held_target = model.roster.index_of_code[held.segment]
    dates = dates_of(model, activity)
    due_ms = np.full(len(customers), NEVER_MS)
    target = np.full(len(customers), NOWHERE)
    lapsed = np.where(activity["purchases"] > 1, HIBERNATING, ONE_TIME)

    def let(chosen: Flags, at_ms: Instants, to: Indices | int) -> None:
        due_ms[chosen] = at_ms[chosen]
        target[chosen] = to[chosen] if isinstance(to, np.ndarray) else to

    let((held_target == OCCASIONAL) | (held_target == AT_RISK), dates.lapsed_ms, lapsed)
    let(held_target == HIBERNATING, dates.lost_ms, LOST)
    let((held_target > OCCASIONAL) & (held_target < ROLES), dates.risk_ms, AT_RISK)
    let(held_target == NEW, np.maximum(_new_until_ms(model, activity), dates.one_time_ms), ONE_TIME)
    changes = np.flatnonzero((held_target > OCCASIONAL) & (held_target <= NEW))
    ends_ms = _role_ends_ms(model, activity.take(changes), held_target[changes])
    sooner = ends_ms < due_ms[changes]
    changes, ends_ms = changes[sooner], ends_ms[sooner]
    due_ms[changes] = ends_ms
    np.maximum(due_ms, after_ms + 1, out=due_ms)
    asked = changes[due_ms[changes] <= by_ms[changes]]
    role = _next_role(model, customers.at(asked, due_ms[asked]), held_target[asked])
    # Of who is no longer new and overdue already, little is to be expected.
    target[asked] = np.where(due_ms[asked] >= dates.risk_ms[asked], OCCASIONAL, role)
    return Due(due_ms, target)


def revise(model: Model, customers: CustomerColumns, held: Held) -> Decision:
    """Say where customers belong under a model that takes over at their instants."""
    quantities, at_ms = customers.quantities, customers.at_ms
    held_target = model.roster.index_of_code[held.segment]
    standing = stand(value_axes(quantities, model.frame.order_value_minor), model.frame, model.statements)
    dates = dates_of(model, customers.activity)
    stage = np.where(at_ms >= dates.lapsed_ms, LAPSED, np.where(at_ms >= dates.risk_ms, RISK, ACTIVE))
    stage = np.maximum(stage, _STAGES[held_target])
    is_role = (held_target >= 0) & (held_target < ROLES)
    role = np.where(is_role, held_target, np.where(held_target == AT_RISK, _kept_role(model, held), NOWHERE))
    barred = is_role & (at_ms - held.since_ms < model.thresholds.no_return_days * DAY_MS)
    left = np.where(barred, model.roster.index_of_code[held.previous], NOWHERE)
    everything = np.ones((len(customers), ROLES), np.bool_)
    target = _choose(model, standing, role, everything, left, must_admit=np.zeros(len(customers), np.bool_))
    rows = np.flatnonzero(is_role & (target != role))
    if model.previous is not None and model.previous_statements is not None and len(rows):
        before = stand(
            value_axes(customers.at(rows, at_ms[rows]).quantities, model.previous.order_value_minor),
            model.previous,
            model.previous_statements,
        )
        wanted = _leads(model.previous, before, role[rows], target[rows], model.thresholds.hysteresis)
        keeps = wanted & standing.holds[rows, role[rows]]  # the version before would have had it move: not our doing
        target[rows[keeps]] = role[rows[keeps]]
    is_young = (quantities.tenure_days < model.frame.new_days) & (quantities.purchases <= 1)
    at_risk = np.where(stage == ACTIVE, target, np.where(role == OCCASIONAL, OCCASIONAL, AT_RISK))
    lapsed = np.where(
        quantities.purchases <= 1,
        ONE_TIME,
        np.where(quantities.recency_days >= model.thresholds.lost_days, LOST, HIBERNATING),
    )
    lapsed = np.where(np.isin(held_target, (HIBERNATING, ONE_TIME, LOST)), held_target, lapsed)
    # Who is in no role yet has nothing to be at risk of.
    is_fresh = (quantities.purchases <= 1) & (role == NOWHERE) & (_STAGES[held_target] == ACTIVE)
    overdue = np.where(at_ms >= dates.one_time_ms, ONE_TIME, OCCASIONAL)
    at_risk = np.where(is_fresh & (stage > ACTIVE), overdue, at_risk)
    belongs = np.where(stage == LAPSED, lapsed, at_risk)
    belongs = np.where(is_young & ((held_target == NEW) | (held_target == NOWHERE)), NEW, belongs)
    return Decision(belongs, belongs != held_target)


def dates_of(model: Model, activity: np.ndarray) -> Dates:
    """Return the dates of n customers."""
    thresholds = model.thresholds
    own = own_rhythm(
        activity["gaps"].astype(np.float64), activity["log_gaps"], activity["log_gaps_squared"], model.frame.rhythm
    )
    risk_days = np.maximum(own.silence_days(thresholds.risk_probability), thresholds.risk_days_min)
    lapsed_days = np.maximum(own.silence_days(thresholds.lapsed_probability), thresholds.lapsed_days_min)
    last_ms = last_act_ms(activity)
    return Dates(
        _after(last_ms, risk_days),
        _after(last_ms, np.maximum(own.silence_days(thresholds.one_time_probability), thresholds.risk_days_min)),
        _after(last_ms, np.maximum(lapsed_days, risk_days)),
        _after(last_ms, np.maximum(thresholds.lost_days, lapsed_days)),
    )


def untrue(model: Model, customers: CustomerColumns, held: Held) -> Flags:
    """Say of whom the name of the segment they are in is not true at their instants, shape `(n,)`."""
    quantities, thresholds = customers.quantities, model.thresholds
    target = model.roster.index_of_code[held.segment]
    standing = stand(value_axes(quantities, model.frame.order_value_minor), model.frame, model.statements)
    role = np.clip(target, 0, ROLES - 1)
    silence_days = quantities.recency_days
    return np.select(
        [target < 0, target < ROLES, target == NEW, target == AT_RISK, target == HIBERNATING, target == ONE_TIME],
        [
            np.zeros(len(customers), np.bool_),
            ~standing.holds[np.arange(len(customers)), role],
            (quantities.purchases > 1) | (quantities.tenure_days >= model.frame.new_days),
            silence_days < thresholds.risk_days_min,
            silence_days < thresholds.lapsed_days_min,
            (quantities.purchases > 1) | (silence_days < thresholds.risk_days_min),
        ],
        silence_days < thresholds.lost_days,
    )


def _choose(
    model: Model, standing: Standing, role: Indices, allowed: Flags, left: Indices, *, must_admit: Flags
) -> Indices:
    """Return the role of each customer among those allowed.

    Parameters
    ----------
    role
        What it is, `NOWHERE` for none.
    left
        A role that hysteresis alone does not lead back to, `NOWHERE` for none.
    must_admit
        Where `role` is kept only if it could be entered.
    """
    rows = np.arange(len(role))
    offered = np.where(standing.admits & allowed, standing.distances, np.inf)
    nearest = offered.argmin(axis=1)
    # Where nothing allowed is true of the customer, what is true goes before what is allowed: a refund may lead down.
    none = np.isinf(offered[rows, nearest])
    nearest = np.where(none, np.where(standing.admits, standing.distances, np.inf).argmin(axis=1), nearest)
    leads = _leads(model.frame, standing, role, nearest, model.thresholds.hysteresis)
    stays = np.where(must_admit, standing.admits[rows, role], standing.holds[rows, role]) & (role >= 0)
    moves = ~stays | (leads & (nearest != left) & ~none)
    return np.where(moves, nearest, role)


def _leads(frame: Frame, standing: Standing, role: Indices, other: Indices, hysteresis: float) -> Flags:
    """Say where another role's centre is nearer by more than the hysteresis, or the role's statement is false."""
    rows = np.arange(len(role))
    lead = standing.distances[rows, role] - standing.distances[rows, other]
    nearer = lead > 2 * hysteresis * frame.separation[role, other] + 1e-12
    return np.asarray(nearer & (role != other) | ~standing.holds[rows, role])


def _kept_role(model: Model, held: Held) -> Indices:
    """Return the role that customers had before they lapsed, `NOWHERE` for none."""
    kept = model.roster.index_of_code[held.kept]
    return np.where(kept < ROLES, kept, NOWHERE)


def _role_ends_ms(model: Model, activity: np.ndarray, held_target: Indices) -> Instants:
    """Return when silence ends a role, or being new."""
    ends_ms = np.full(len(activity), NEVER_MS)
    new, roles = np.flatnonzero(held_target == NEW), np.flatnonzero(held_target < ROLES)
    ends_ms[new] = _new_until_ms(model, activity.take(new))
    fails_ms = model.statements.fail_ms(activity.take(roles), held_target[roles])
    ends_ms[roles] = np.minimum(np.ceil(fails_ms), NEVER_MS).astype(np.int64)
    return ends_ms


def _next_role(model: Model, customers: CustomerColumns, held_target: Indices) -> Indices:
    """Return where customers go whose role has ended by silence: to the nearest one of the same or a lower level."""
    axes = value_axes(customers.quantities, model.frame.order_value_minor)
    standing = stand(axes, model.frame, model.statements)
    rows = np.arange(len(held_target))
    allowed = LEVELS[held_target][:, None] >= _ROLE_LEVELS
    is_role = held_target < ROLES
    allowed[rows[is_role], held_target[is_role]] = False
    offered = np.where(standing.admits & allowed, standing.distances, np.inf)
    nearest = offered.argmin(axis=1)
    return np.where(np.isinf(offered[rows, nearest]), OCCASIONAL, nearest)


def _new_until_ms(model: Model, activity: np.ndarray) -> Instants:
    return _after(activity["first_at_ms"], np.full(len(activity), model.frame.new_days))


def _after(since_ms: Instants, days: Floats) -> Instants:
    """Return the first millisecond so many days later, `NEVER_MS` at most."""
    due_ms = since_ms + np.ceil(np.minimum(days, 1e9) * DAY_MS).astype(np.int64)
    return np.where(since_ms > NO_TIME, np.minimum(due_ms, NEVER_MS), NEVER_MS)
