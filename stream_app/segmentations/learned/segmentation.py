"""A learned model as a segmentation: everybody belongs to the nearest centroid.

Calm
----
While a customer is silent each of its features moves one way: recency and inactivity up, all others down. The lead of
another centroid over the customer's own is linear in the features, so over a span of time it is at most what comes of
taking, feature by feature, the worse of the span's two ends. A customer whose bound stays under the hysteresis for
every centroid is *calm* over that span: nothing moves it, and nobody needs to look. A segment that a customer may not
go back to yet does not count until then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MODEL, MigrationContext, Moves
from stream_app.core.segmentation import NEVER_MS, Decision, Held
from stream_app.core.segments import Roster
from stream_app.segmentations.learned.decision import decide, first_instant
from stream_app.segmentations.learned.explanation import LearnedReason, explain_moves
from stream_app.segmentations.learned.features import extract_features
from stream_app.segmentations.learned.model import Model

CALM_SPANS_DAYS: Final = (8, 2)
"""Spans of silence that are tried one after the other, in days. Longer ones would seldom be used up: a new model, as a
rule once a week, has everybody looked at anyway."""
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
        roster, at_ms = self.roster, customers.at_ms
        current, previous = roster.index_of_code[held.segment], roster.index_of_code[held.previous]
        # While a customer may not go back, the segment before counts for nothing, and the end of that is looked at.
        waits = (at_ms - held.since_ms < self.model.no_return_days * DAY_MS) & (previous >= 0)
        state = _Calm(
            customers,
            self._features(customers),
            current,
            np.where(waits, previous, current),
            np.where(waits, held.since_ms + self._no_return_ms, NEVER_MS),
            due_at_ms,
        )
        rows = np.flatnonzero(current >= 0)
        for span_days in CALM_SPANS_DAYS:
            rows = rows[~self._mark_calm(state, rows, span_days)]
        return due_at_ms

    def ends_wait(self, held: Held, effective_at_ms: Instants) -> Flags:
        """Say who had only been kept from going back to the segment before."""
        return np.asarray(effective_at_ms == held.since_ms + self._no_return_ms)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
        """Return why each customer moved."""
        return explain_moves(self.model, moves, context)

    def _features(self, customers: CustomerColumns) -> Floats:
        parameters = self.model.parameters
        return customers.derived(parameters, lambda quantities: extract_features(quantities, parameters))

    def _mark_calm(self, state: _Calm, rows: Indices, span_days: int) -> Flags:
        """Note who of some rows is calm for so many days, and say who is; shape `(len(rows),)`."""
        until_ms = np.minimum(state.customers.at_ms[rows] + span_days * DAY_MS, state.waits_until_ms[rows])
        then = self._features(state.customers.at(rows, until_ms))
        now = state.now[rows]
        low, high = np.minimum(now, then), np.maximum(now, then)
        calm = np.ones(len(rows), np.bool_)
        by_segment = np.argsort(state.current[rows], kind="stable")
        ends = np.searchsorted(state.current[rows[by_segment]], np.arange(len(self._leads) + 1))
        low, high, ignored = low[by_segment], high[by_segment], state.ignored[rows[by_segment]]
        for (gains, losses, offset, limit), start, end in zip(self._leads, ends, ends[1:], strict=False):
            if start < end:
                bound = high[start:end] @ gains + low[start:end] @ losses + offset
                bound[np.arange(end - start), ignored[start:end]] = -np.inf
                calm[by_segment[start:end]] = (bound < limit).all(axis=1)
        state.due_at_ms[rows[calm]] = until_ms[calm]
        return calm

    @cached_property
    def _leads(self) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """For each segment: what features add to and take from the others' leads over it, and the leads' limits."""
        limits = 2 * self.model.hysteresis * self.model.separation - CALM_SLACK
        np.fill_diagonal(limits, np.inf)
        leads = [self.model.lead_over(segment) for segment in range(len(limits))]
        return [
            (np.maximum(matrix, 0), np.minimum(matrix, 0), offset, limit)
            for (matrix, offset), limit in zip(leads, limits, strict=True)
        ]


class _Calm(NamedTuple):
    """What is known of n customers who may be calm.

    Attributes
    ----------
    customers
        As they are now.
    now
        Their features, shape `(n, 4)`.
    current, ignored
        Targets: where each customer is, and one that it does not go to meanwhile.
    waits_until_ms
        When that ends.
    due_at_ms
        What is being found out.
    """

    customers: CustomerColumns
    now: Floats
    current: Indices
    ignored: Indices
    waits_until_ms: Instants
    due_at_ms: Instants
