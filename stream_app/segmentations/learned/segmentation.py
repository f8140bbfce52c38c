"""A learned model as a segmentation: everybody belongs to the nearest centroid, and silence moves people in closed form.

Calm
----
While a customer is silent each of its features moves one way: recency and inactivity up, all others down. The lead of
another centroid over the customer's own is linear in the features, so over a span of time it is at most what comes of
taking, feature by feature, the worse of the span's two ends. A customer whose bound stays under the hysteresis for every
centroid is *calm* over that span: nothing moves it, and nobody needs to look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MODEL, MigrationContext, Moves
from stream_app.core.segmentation import Decision, Held
from stream_app.core.segments import Roster
from stream_app.segmentations.learned.decision import decide, first_instant
from stream_app.segmentations.learned.explanation import LearnedReason, explain_moves
from stream_app.segmentations.learned.features import extract_features
from stream_app.segmentations.learned.model import Model

CALM_SPANS_DAYS: Final = ((32, 8), (2, 256))
"""Spans of silence that are tried, in days: 32 for all; then 256 for those who are calm that long, and 8 for the others;
at last 2 for those who are not calm for 8 either."""
CALM_SLACK: Final = 1e-7
"""Rounding may move a lead by less than this, in squared standard deviations: leads are of the order of 1 to 1,000."""


class LearnedSegmentation:
    """A model, asked as the core asks.

    Parameters
    ----------
    model
        The version in force.
    """

    kind: Final = "learned"
    reads: Final = frozenset({"quantities"})
    moves_with_time: Final = True
    revised_by: Final = MODEL

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name: Final = model.name
        self.version: Final = model.version
        self.weighs_sessions: Final = model.parameters.feature_set == "plain"
        self._no_return_ms = math.ceil(model.no_return_days * DAY_MS)

    @property
    def roster(self) -> Roster:
        """The segments."""
        return self.model.roster

    def score(self, customers: CustomerColumns) -> Floats:
        """Return squared distance to each centroid, less what they have in common, shape `(n, k)`."""
        return self.model.score(self._features(customers))

    def decide(self, scores: Floats, held: Held, at_ms: Instants) -> Decision:
        """Say where customers belong and who moves there."""
        return decide(self.model, scores, held, at_ms)

    def first_due(
        self, customers: CustomerColumns, held: Held, target: Indices, after_ms: Instants, by_ms: Instants
    ) -> Instants:
        """Return when silence moves each customer to `target`: a crossing happens once, so it is narrowed down."""

        def due(chosen: Indices, at_ms: Instants) -> Flags:
            scores = self.score(customers.at(chosen, at_ms))
            nearest, moves = self.decide(scores, held.at(chosen), at_ms)
            return np.asarray(moves & (nearest == target[chosen]))

        return first_instant(due, after_ms, by_ms)

    def next_due(self, customers: CustomerColumns, held: Held) -> Instants:
        """Return until when each customer is calm, see the module."""
        due_at_ms = np.full(len(customers), NO_TIME)
        now = self._features(customers)
        current = self.roster.index_of_code[held.segment]
        everyone = np.flatnonzero(current >= 0)
        (first, shorter), (shortest, longer) = CALM_SPANS_DAYS
        calm = self._mark_calm(due_at_ms, customers, now, current, everyone, first)
        self._mark_calm(due_at_ms, customers, now, current, everyone[calm], longer)
        restless = everyone[~calm]
        calm = self._mark_calm(due_at_ms, customers, now, current, restless, shorter)
        self._mark_calm(due_at_ms, customers, now, current, restless[~calm], shortest)
        return due_at_ms

    def ends_wait(self, held: Held, effective_at_ms: Instants) -> Flags:
        """Say who had only been kept from going back to the segment before."""
        return np.asarray(effective_at_ms == held.since_ms + self._no_return_ms)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
        """Return why each customer moved."""
        return explain_moves(self.model, moves, context)

    def _features(self, customers: CustomerColumns) -> Floats:
        return extract_features(customers.quantities, self.model.parameters)

    def _mark_calm(
        self,
        due_at_ms: Instants,
        customers: CustomerColumns,
        now: Floats,
        current: Indices,
        rows: Indices,
        span_days: int,
    ) -> Flags:
        """Note who of some rows is calm for so many days, and say who is; shape `(len(rows),)`."""
        until_ms = customers.at_ms[rows] + span_days * DAY_MS
        then = self._features(customers.at(rows, until_ms))
        calm = np.zeros(len(rows), np.bool_)
        for segment in range(len(self.roster.segments)):
            mine = np.flatnonzero(current[rows] == segment)
            if len(mine):
                calm[mine] = self._is_calm(segment, now[rows[mine]], then[mine])
        due_at_ms[rows[calm]] = until_ms[calm]
        return calm

    def _is_calm(self, segment: int, now: Floats, then: Floats) -> Flags:
        """Say which customers of a segment no centroid wins anywhere between two states of their features."""
        low, high = np.minimum(now, then), np.maximum(now, then)
        matrix, offset = self.model.lead_over(segment)
        bound = high @ np.maximum(matrix, 0) + low @ np.minimum(matrix, 0) + offset
        limit = 2 * self.model.hysteresis * self.model.separation[segment] - CALM_SLACK
        limit[segment] = np.inf
        return np.asarray((bound < limit).all(axis=1))
