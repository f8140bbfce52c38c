"""What decided about a customer, in its own terms.

This is the reference that the compiled library is compared with, byte by byte: whole arrays of numpy, with the
library's own elementary functions. Theory: `native/outputs_sentences.c`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_app.core.events import PURCHASE
from stream_app.core.moves import MigrationContext
from stream_app.segmentations.learned.axes import ENGAGEMENT, VALUE
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import BIG_SPENDERS, LEVELS, NEW, REGULAR, ROLES
from stream_app.segmentations.learned.words import statement_of
from tests.reference.figures import CustomerFigures
from tests.reference.words import about, days, every, orders

EITHER: Final = (REGULAR, BIG_SPENDERS)
"""Roles that ordering or coming keeps up."""


class Case(NamedTuple):
    """One move.

    Attributes
    ----------
    kind
        Index of `CAUSE_KINDS`.
    origin, target
        Indices of the roster; the origin is below 0 for none of this model.
    gaps
        How many gaps between active days were known before.
    axis
        Which axis decided, where one did.
    failed
        Whether the statement of the role that was left had become false.
    before, after
        Figures.
    """

    kind: int
    origin: int
    target: int
    gaps: float
    axis: int
    failed: bool
    before: CustomerFigures
    after: CustomerFigures


def standing(model: Model, case: Case) -> str:
    """Return what there is to say of a customer as it is, whoever looks at it."""
    after = case.after
    if case.target > NEW:
        return f"silent for {days(after.recency_days)}{_usually(case, after)}"
    if case.target == NEW or not after.orders:
        return f"first seen {days(after.tenure_days)} ago, {orders(after.orders)}{_comes(model, after)}"
    return ordered(after) + _comes(model, after)


def standing_by_axis(model: Model, case: Case, context: MigrationContext) -> str:
    """Return what there is to say of a customer whom a model has moved from role to role, by what it is judged by."""
    if case.axis == VALUE and (told := _spends(model, case.after, context)):
        return told
    return _visits(case.after) if case.axis == ENGAGEMENT else standing(model, case)


def came_back(case: Case) -> str:
    """Return what is said of a customer who was not active and whom an event moves."""
    if case.after.recency_days > 0:  # a refund, or an event that comes late, ends no silence
        return ordered(case.after)
    return f"back after {days(case.before.recency_days)}{_usually(case, case.before)}"


def silence_grew(model: Model, case: Case) -> str:
    """Return why silence moved a customer, as a whole sentence but for the path."""
    after, origin = case.after, case.origin
    if case.target > NEW:
        told = f"Silent for {days(after.recency_days)}"
        if case.gaps:
            return told + _usually(case, after)
        return f"{told} since the only active day, customers usually return after {days(after.usual_gap_days)}"
    if origin == NEW:
        return f"No longer new after {days(model.frame.new_days)}: {ordered(after)}{_comes(model, after)}"
    if case.axis == ENGAGEMENT or not after.orders:
        opening, facts = "Visits have become rarer", _last_visit(after)
    elif origin in EITHER and _comes(model, after):
        opening, facts = "Orders and visits have become rarer", f"{ordered(after)}, {_last_visit(after)}"
    else:
        opening, facts = "Orders have become rarer" if after.orders > 1 else "No further order", ordered(after)
    return f"{opening}: {facts}; {_meaning(model, origin)}"


def act_counted(model: Model, case: Case, context: MigrationContext) -> str:
    """Return the fact by which an own act moved an active customer."""
    after = case.after
    if case.axis == VALUE and (told := _spends(model, after, context)):
        facts = told
    elif case.axis == ENGAGEMENT:
        facts = f"comes about {every(after.engagement_interval_days)}"
    else:
        facts = _ordered_again(case)
    if case.target == BIG_SPENDERS and case.axis != VALUE and (told := _spends(model, after, context)):
        facts = f"{facts}, {told}"
    if case.failed and 0 <= case.origin < ROLES and LEVELS[case.target] <= LEVELS[case.origin]:
        return f"{facts}; {_meaning(model, case.origin)}"
    return facts


def ordered(figures: CustomerFigures) -> str:
    """Return what is counted of orders: how many, since the first, and how long ago the last one was."""
    told = orders(figures.orders)
    if figures.order_recency_days is None or figures.order_tenure_days is None or not figures.orders:
        return told
    last = days(figures.order_recency_days)
    if figures.orders == 1:
        return told if figures.order_recency_days < 1 else f"{told}, {last} ago"
    span = "within a day" if round(figures.order_tenure_days) < 1 else f"in {days(figures.order_tenure_days)}"
    return f"{told} {span}" if figures.order_recency_days < 1 else f"{told} {span}, the last {last} ago"


def _usually(case: Case, figures: CustomerFigures) -> str:
    return f", usually active {every(figures.usual_gap_days)}" if case.gaps else ""


def _comes(model: Model, figures: CustomerFigures) -> str:
    if figures.engagement_recency_days is None or not model.frame.counts_engagement:
        return ""
    return f", comes about {every(figures.engagement_interval_days)}"


def _visits(figures: CustomerFigures) -> str:
    last = figures.engagement_recency_days
    if last is None:
        return "no visit so far"
    comes = f"comes about {every(figures.engagement_interval_days)}"
    return comes if last < 1 else f"{comes}, {_last_visit(figures)}"


def _last_visit(figures: CustomerFigures) -> str:
    return f"the last visit {days(figures.engagement_recency_days or 0.0)} ago"


def _spends(model: Model, figures: CustomerFigures, context: MigrationContext) -> str:
    usual_minor = model.frame.order_value_minor
    if figures.order_value is None or usual_minor is None:
        return ""
    usual = about(usual_minor / context.minor_per_major, context)
    return f"spends {about(figures.order_value, context)} an order, others {usual}"


def _ordered_again(case: Case) -> str:
    """Return what is counted of orders after an act, for one that came in time how long after the one before."""
    told, gap = ordered(case.after), case.before.order_recency_days
    if case.kind != PURCHASE or case.after.order_recency_days:
        return told
    if case.after.orders == 1:
        return "the first order" if gap is None else told
    return f"{days(gap)} after the last one, {told}" if gap else told


def _meaning(model: Model, role: int) -> str:
    return f"{model.roster.segments[role].name} means {statement_of(model, role)}"
