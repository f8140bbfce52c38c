"""Who changes segment, and when exactly.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/learned.c`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.quantities import Quantities
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.core.segments import NOWHERE
from stream_app.segmentations.learned.model import Frame, Model, Thresholds
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
from tests.reference.axes import value_axes
from tests.reference.columns import CustomerColumns
from tests.reference.quantities import last_act_ms
from tests.reference.rhythm import OwnRhythm, own_rhythm
from tests.reference.statements import fail_ms, hold

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
        Whether the role can be entered besides. Where a statement is true of none that is open, closed ones admit, too:
        what is true goes before what is usual.
    """

    distances: Floats
    holds: Flags
    admits: Flags


class Silences(NamedTuple):
    """How long a silence has to be to be telling, in days, shape `(n,)` each."""

    risk: Floats
    one_time: Floats
    lapsed: Floats
    lost: Floats


class Dates(NamedTuple):
    """When silence becomes telling, counted from the last act, milliseconds, shape `(n,)` each."""

    risk_ms: Instants
    one_time_ms: Instants
    lapsed_ms: Instants
    lost_ms: Instants


def stand(axes: Floats, frame: Frame, statements: Statements) -> Standing:
    """Return how customers stand to the roles; `axes` are those of `value_axes`."""
    holds = hold(statements, axes)
    holds[:, OCCASIONAL] |= ~holds.any(axis=1)
    admits = holds & frame.admits
    closed = ~admits.any(axis=1)
    admits[closed] = holds[closed]
    return Standing(squared_distances(frame, axes), holds, admits)


def squared_distances(frame: Frame, axes: Floats) -> Floats:
    """Return those of n customers to the roles' centres, axis by axis, shape `(n, ROLES)`."""
    total = np.zeros((len(axes), ROLES))
    for axis, weight in enumerate(frame.weights.tolist()):
        total += ((axes[:, axis, None] - frame.centres[:, axis]) * weight) ** 2
    return total


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
    target = np.where(_is_new(model, quantities, held_target), NEW, target)
    # A refund, or what is heard of late, is no sign of life: it does not end a silence. Nor is it one: whom it shows to
    # be overdue is moved by silence, a millisecond later.
    silent = np.flatnonzero(last_act_ms(customers.activity) < customers.at_ms)
    placed = _place(
        model,
        customers.at(silent, customers.at_ms[silent]),
        held.at(silent),
        role[silent],
        target[silent],
        standing.holds[silent, OCCASIONAL],
    )
    falls = (held_target[silent] != NOWHERE) & ~was_lapsed[silent] & (_STAGES[placed] > ACTIVE)
    target[silent] = np.where(falls, target[silent], placed)
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
    is_overdue = due_ms[asked] >= dates.risk_ms[asked]
    target[asked] = _next_role(model, customers.at(asked, due_ms[asked]), held_target[asked], is_overdue)
    return Due(due_ms, target)


def revise(model: Model, customers: CustomerColumns, held: Held) -> Decision:
    """Say where customers belong under a model that takes over at their instants."""
    held_target = model.roster.index_of_code[held.segment]
    standing = stand(value_axes(customers.quantities, model.frame.order_value_minor), model.frame, model.statements)
    is_role = (held_target >= 0) & (held_target < ROLES)
    role = np.where(is_role, held_target, np.where(held_target == AT_RISK, _kept_role(model, held), NOWHERE))
    everything = np.ones((len(customers), ROLES), np.bool_)
    nobody = np.full(len(customers), NOWHERE)
    target = _choose(model, standing, role, everything, nobody, must_admit=np.zeros(len(customers), np.bool_))
    stays = is_role & standing.holds[np.arange(len(customers)), role]
    target = np.where(stays, role, target)
    belongs = _place(model, customers, held, role, target, standing.holds[:, OCCASIONAL])
    return Decision(belongs, belongs != held_target)


def _place(
    model: Model, customers: CustomerColumns, held: Held, role: Indices, chosen: Indices, is_rare: Flags
) -> Indices:
    """Return where customers belong whom no act of their own has just made active.

    Parameters
    ----------
    role
        The role that each has, or had when it became at risk; `NOWHERE` for none.
    chosen
        The role that it would have if it were active.
    is_rare
        Whether what Occasional says is true of it.
    """
    quantities, at_ms, thresholds = customers.quantities, customers.at_ms, model.thresholds
    held_target = model.roster.index_of_code[held.segment]
    dates = dates_of(model, customers.activity)
    by_dates = np.where(at_ms >= dates.lapsed_ms, LAPSED, np.where(at_ms >= dates.risk_ms, RISK, ACTIVE))
    ordered_once = quantities.purchases <= 1
    # A silence goes on under every version, unless it is shorter than what the segment says of its members.
    goes_on = last_act_ms(customers.activity) <= held.since_ms
    goes_on &= _is_silent_enough(thresholds, quantities, held_target) & (ordered_once | (held_target != ONE_TIME))
    stage = np.where(goes_on, np.maximum(by_dates, _STAGES[held_target]), by_dates)
    at_risk = np.where(stage == ACTIVE, chosen, np.where((role == OCCASIONAL) & is_rare, OCCASIONAL, AT_RISK))
    lapsed = np.where(
        ordered_once, ONE_TIME, np.where(quantities.recency_days >= thresholds.lost_days, LOST, HIBERNATING)
    )
    lapsed = np.where(goes_on & np.isin(held_target, (HIBERNATING, ONE_TIME, LOST)), held_target, lapsed)
    # Who is in no role yet has nothing to be at risk of.
    is_fresh = ordered_once & (role == NOWHERE) & (_STAGES[held_target] == ACTIVE)
    overdue = np.where(at_ms >= dates.one_time_ms, ONE_TIME, np.where(is_rare, OCCASIONAL, chosen))
    at_risk = np.where(is_fresh & (stage > ACTIVE), overdue, at_risk)
    belongs = np.where(stage == LAPSED, lapsed, at_risk)
    return np.where(_is_new(model, quantities, held_target), NEW, belongs)


def _is_new(model: Model, quantities: Quantities, held_target: Indices) -> Flags:
    """Say who has come, and whom nothing has led out of being new."""
    is_young = (quantities.tenure_days < model.frame.new_days) & (quantities.purchases <= 1)
    return np.asarray(is_young & ((held_target == NEW) | (held_target == NOWHERE)))


def dates_of(model: Model, activity: np.ndarray) -> Dates:
    """Return the dates of n customers."""
    own = own_rhythm(
        activity["gaps"].astype(np.float64), activity["log_gaps"], activity["log_gaps_squared"], model.frame.rhythm
    )
    telling = telling_silences(own, model.thresholds)
    last_ms = last_act_ms(activity)
    return Dates(*(_after(last_ms, days) for days in telling))


def telling_silences(own: OwnRhythm, thresholds: Thresholds) -> Silences:
    """Return for how long customers of a rhythm are silent before it tells something."""
    risk = np.maximum(own.silence_days(thresholds.risk_probability), thresholds.risk_days_min)
    lapsed = np.maximum(own.silence_days(thresholds.lapsed_probability), thresholds.lapsed_days_min)
    return Silences(
        risk=risk,
        one_time=np.maximum(own.silence_days(thresholds.one_time_probability), thresholds.risk_days_min),
        lapsed=np.maximum(lapsed, risk),
        lost=np.maximum(thresholds.lost_days, lapsed),
    )


def untrue(model: Model, customers: CustomerColumns, held: Held) -> Flags:
    """Say of whom the name of the segment they are in is not true at their instants, shape `(n,)`."""
    quantities, thresholds = customers.quantities, model.thresholds
    target = model.roster.index_of_code[held.segment]
    standing = stand(value_axes(quantities, model.frame.order_value_minor), model.frame, model.statements)
    role = np.clip(target, 0, ROLES - 1)
    is_false = ~_is_silent_enough(thresholds, quantities, target)
    roles, new, once = target < ROLES, target == NEW, target == ONE_TIME
    is_false[roles] = ~standing.holds[roles, role[roles]]
    is_false |= (new | once) & (quantities.purchases > 1) | new & (quantities.tenure_days >= model.frame.new_days)
    is_false[target < 0] = False
    return is_false


def _is_silent_enough(thresholds: Thresholds, quantities: Quantities, target: Indices) -> Flags:
    """Say whether customers have been silent for as long as is said of every member of the segments `target`."""
    least_days = np.zeros(len(LEVELS) + 1)
    least_days[[AT_RISK, ONE_TIME]] = thresholds.risk_days_min
    least_days[HIBERNATING], least_days[LOST] = thresholds.lapsed_days_min, thresholds.lost_days
    return np.asarray(quantities.recency_days >= least_days[target])


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
    nearest, none = _nearest(standing, allowed)
    # Where nothing allowed is true of the customer, what is true goes before what is allowed: a refund may lead down.
    nearest = np.where(none, np.where(standing.admits, standing.distances, np.inf).argmin(axis=1), nearest)
    lead = standing.distances[rows, role] - standing.distances[rows, nearest]
    leads = lead > 2 * model.thresholds.hysteresis * model.frame.separation[role, nearest] + 1e-12
    stays = np.where(must_admit, standing.admits[rows, role], standing.holds[rows, role]) & (role >= 0)
    moves = ~stays | (leads & (nearest != left) & ~none)
    return np.where(moves, nearest, role)


def _kept_role(model: Model, held: Held) -> Indices:
    """Return the role that customers had before they lapsed, `NOWHERE` for none."""
    kept = model.roster.index_of_code[held.kept]
    return np.where(kept < ROLES, kept, NOWHERE)


def _role_ends_ms(model: Model, activity: np.ndarray, held_target: Indices) -> Instants:
    """Return when silence ends a role, or being new."""
    ends_ms = np.full(len(activity), NEVER_MS)
    new, roles = np.flatnonzero(held_target == NEW), np.flatnonzero(held_target < ROLES)
    ends_ms[new] = _new_until_ms(model, activity.take(new))
    fails_ms = fail_ms(model.statements, activity.take(roles), held_target[roles])
    ends_ms[roles] = _whole(np.minimum(np.ceil(fails_ms), NEVER_MS))
    return ends_ms


def _next_role(model: Model, customers: CustomerColumns, held_target: Indices, is_overdue: Flags) -> Indices:
    """Return where customers go whose role, or being new, has ended by silence.

    That is the nearest role of the same or a lower level, and Occasional for who is overdue: little is to be expected.
    """
    axes = value_axes(customers.quantities, model.frame.order_value_minor)
    standing = stand(axes, model.frame, model.statements)
    rows = np.arange(len(held_target))
    allowed = LEVELS[held_target][:, None] >= _ROLE_LEVELS
    is_role = held_target < ROLES
    allowed[rows[is_role], held_target[is_role]] = False
    nearest, is_none = _nearest(standing, allowed)
    return np.where(is_none | (is_overdue & standing.holds[:, OCCASIONAL]), OCCASIONAL, nearest)


def _nearest(standing: Standing, allowed: Flags) -> tuple[Indices, Flags]:
    """Return the nearest role of those allowed, an open one if possible, and where none of them is true."""
    rows = np.arange(len(allowed))
    is_open = np.asarray((standing.admits & allowed).any(axis=1))
    offered = np.where(is_open[:, None], standing.admits, standing.holds) & allowed
    nearest = np.where(offered, standing.distances, np.inf).argmin(axis=1)
    return nearest, ~offered[rows, nearest]


def _new_until_ms(model: Model, activity: np.ndarray) -> Instants:
    return _after(activity["first_at_ms"], np.full(len(activity), model.frame.new_days))


def _after(since_ms: Instants, days: Floats) -> Instants:
    """Return the first millisecond so many days later, `NEVER_MS` at most."""
    due_ms = since_ms + _whole(np.ceil(np.minimum(days, 1e9) * DAY_MS))
    return np.where(since_ms > NO_TIME, np.minimum(due_ms, NEVER_MS), NEVER_MS)


def _whole(at_ms: Floats) -> Instants:
    """Return instants as processors of x86 convert them: what is none becomes the earliest of all."""
    fits = (at_ms >= -(2.0**63)) & (at_ms < 2.0**63)
    return np.where(fits, np.where(fits, at_ms, 0.0).astype(np.int64), -(2**63))
