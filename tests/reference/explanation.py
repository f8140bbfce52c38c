"""Why a customer moved under a learned model.

This is the reference that the compiled library is compared with, byte by byte: whole arrays of numpy, with the
library's own elementary functions. Theory: `native/outputs_case.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices
from stream_app.core.moves import (
    DEFINITION,
    ENTERED,
    LAPSE,
    MODEL,
    MigrationContext,
    Moves,
    describe_event,
    describe_path,
)
from stream_app.core.quantities import Quantities
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.axes import AXES, ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.model_changes import changes_of, describe_change
from stream_app.segmentations.learned.roles import BROWSERS, KINDS, NEW, ROLES
from stream_app.segmentations.learned.words import statement_of
from tests.reference.axes import value_axes
from tests.reference.columns import CustomerColumns
from tests.reference.figures import CustomerFigures, figures_of
from tests.reference.sentences import (
    Case,
    act_counted,
    came_back,
    silence_grew,
    standing,
    standing_by_axis,
)
from tests.reference.statements import hold

SILENCE: Final = "silence"
TENURE: Final = "tenure"
MODEL_CHANGED: Final = "model"


class LearnedReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """Why a customer moved.

    Parameters
    ----------
    before, after
        Its figures; `before` is None before a first entry. Where a model moved it, both are of the same instant,
        `before` as the model before had them.
    decisive
        `silence`, `tenure`, `order_rate`, `engagement_rate`, `order_value` or `model`; None for a first entry.
    margin
        How far past the middle between the centres of two roles, in log units. None where no distance decided: at
        entries, between stages, and where the statement of the role that was left had become false. Moves of small
        margin are most likely noise.
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
    origin, target, kinds = model.roster.index_of_code[moves.from_code], moves.target, moves.cause_kind
    earlier = CustomerColumns(moves.before, moves.before_ms)
    later = CustomerColumns(moves.after, moves.effective_at_ms)
    axes = [value_axes(each.quantities, model.frame.order_value_minor) for each in (earlier, later)]
    failed = _failed(model, axes[1], origin)
    cases = [
        Case(*row)
        for row in zip(
            kinds.tolist(),
            origin.tolist(),
            target.tolist(),
            earlier.quantities.gaps.tolist(),
            _axes(model, axes[0], axes[1], origin, target, failed).tolist(),
            failed.tolist(),
            figures_of(earlier, model.frame, context),
            figures_of(later, model.frame, context),
            strict=True,
        )
    ]
    by_model = np.flatnonzero(kinds == MODEL)
    by_version = dict(zip(by_model.tolist(), _told_by_model(model, cases, later, by_model, context), strict=True))
    past = dict(zip(by_model.tolist(), _under_previous(model, earlier, by_model, context), strict=True))
    margins = _margins(model.frame, axes[1], origin, target, failed)
    statements = [statement_of(model, each) for each in range(len(KINDS))]
    references = model.roster.references
    reasons = []
    for place, (case, code, change, event_at) in enumerate(
        zip(cases, moves.from_code.tolist(), moves.change.tolist(), moves.causes, strict=True)
    ):
        if event_at is not None:
            facts = _facts_of_act(model, case, code, context)
            told = describe_event(event_at[0], change, context) + (f": {facts}" if facts else "")
        elif case.kind == MODEL:
            told = by_version[place]
        elif case.kind == DEFINITION:
            told = f"Segmentation {model.name} is new: {standing(model, case)}"
        else:
            told = silence_grew(model, case)
        path = describe_path(references.get(code), model.roster.segments[case.target].reference)
        reasons.append(
            LearnedReason(
                None if change == ENTERED else past.get(place, case.before),
                case.after,
                None if change == ENTERED else _decisive(case),
                margins[place],
                statements[case.target],
                f"{told}; {path}.",
            )
        )
    return reasons


def _facts_of_act(model: Model, case: Case, from_code: int, context: MigrationContext) -> str:
    if from_code == NO_SEGMENT:
        return ""
    if case.origin > NEW:
        return came_back(case)
    return act_counted(model, case, context)


def _told_by_model(
    model: Model, cases: Sequence[Case], customers: CustomerColumns, rows: Indices, context: MigrationContext
) -> list[str]:
    """Return what in the model moved the customers of some rows, and what they are."""
    if not len(rows):
        return []
    quantities = Quantities(*(column[rows] for column in customers.quantities))
    moved = [cases[row] for row in rows.tolist()]
    changes = changes_of(
        model,
        quantities,
        np.array([case.origin for case in moved]),
        np.array([case.target for case in moved]),
        np.array([case.axis for case in moved]),
    )
    told = []
    for case, change in zip(moved, changes, strict=True):
        is_between = 0 <= case.origin < ROLES and case.target < ROLES
        facts = standing_by_axis(model, case, context) if is_between else standing(model, case)
        told.append(f"{describe_change(model, change, context)}: {facts}")
    return told


def _under_previous(
    model: Model, customers: CustomerColumns, rows: Indices, context: MigrationContext
) -> list[CustomerFigures]:
    """Return the figures of the customers of some rows as the version before has them."""
    return figures_of(customers.at(rows, customers.at_ms[rows]), model.previous or model.frame, context)


def _failed(model: Model, axes: Floats, origin: Indices) -> Flags:
    """Say whose role before the move is one whose statement is false."""
    holds = hold(model.statements, axes)[np.arange(len(axes)), np.clip(origin, 0, ROLES - 1)]
    return np.asarray((origin >= 0) & (origin < ROLES) & ~holds)


def _axes(model: Model, earlier: Floats, later: Floats, origin: Indices, target: Indices, failed: Flags) -> Indices:
    """Return the axis on which each move was decided; without meaning where no role was left or entered.

    It is the axis on which the statement of the role that was left is false; or else the one on which the customer has
    gone furthest towards the target; or, where it has not, the one on which the target is nearest.
    """
    frame, bounds = model.frame, model.statements
    old, new = (np.clip(role, 0, ROLES - 1) for role in (origin, target))
    weights = frame.weights**2 * (1.0, 1.0, frame.order_value_minor is not None)
    step = (later - earlier) * (frame.centres[new] - frame.centres[old]) * weights
    place = ((later - frame.centres[old]) ** 2 - (later - frame.centres[new]) ** 2) * weights
    chosen = np.where(np.any(step > 0, axis=1, keepdims=True), step, place)
    by_distance = np.where(weights > 0, chosen, -np.inf).argmax(axis=1)
    by_statement = np.select(
        [later[:, ORDERS] > bounds.orders_max[old], later[:, VALUE] < bounds.value_min[old], old == BROWSERS],
        [ORDERS, VALUE, ENGAGEMENT],
        ORDERS,
    )
    return np.where(failed, by_statement, np.where((origin == NEW) | (target >= ROLES), ORDERS, by_distance))


def _margins(frame: Frame, axes: Floats, origin: Indices, target: Indices, failed: Flags) -> list[float | None]:
    """Return the signed distance past the middle between two roles' centres, None where none decided."""
    between = np.flatnonzero((origin >= 0) & (origin < ROLES) & (target < ROLES) & ~failed)
    distances = frame.squared_distances(axes[between])
    old, new, rows = origin[between], target[between], np.arange(len(between))
    apart = np.maximum(2 * frame.separation[old, new], 1e-9)
    margins: list[float | None] = [None] * len(axes)
    signed = np.round((distances[rows, old] - distances[rows, new]) / apart, 4)
    for row, margin in zip(between.tolist(), signed.tolist(), strict=True):
        margins[row] = margin
    return margins


def _decisive(case: Case) -> str:
    """Return what a move is put down to."""
    if case.kind == MODEL:
        return MODEL_CHANGED
    if case.target > NEW or case.origin > NEW or case.origin < 0:
        return SILENCE
    if case.origin == NEW and case.kind == LAPSE:
        return TENURE
    return AXES[case.axis]
