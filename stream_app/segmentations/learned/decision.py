"""Who changes segment, and when exactly.

A customer moves from segment i to the nearest one, j, only if it lies further past the bisector of the two
centroids than the hysteresis δ, measured in standard deviations:

    (D_i − D_j) / (2 ‖c_i − c_j‖) > δ        (D: squared distances)

and only if j is not the segment it left less than `no_return_days` ago. The left side is the signed distance
of the customer to the bisecting hyperplane, so δ means the same everywhere; a margin that multiplies D_i never
fires for a customer who drifts away from everything (32 % of lapsing customers stuck at ε = .3).

Everything here works on n customers at once; one customer is n = 1, so there is no second rule to keep in step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.segmentation import Decision, Held
from stream_app.segmentations.learned.model import Model

PROBES: Final = 15
"""Instants tried at once when a crossing is dated."""


def decide(model: Model, scores: Floats, held: Held, at_ms: Instants) -> Decision:
    """Say which centroid each customer is nearest to and whether it moves there.

    Parameters
    ----------
    scores
        From `Model.score`, shape `(n, k)`.
    held
        Where the customers are.
    at_ms
        The instant of each decision, shape `(n,)`.

    Returns
    -------
    Decision
        A customer always moves where it has no segment of this model.
    """
    target = scores.argmin(axis=1)
    current = model.roster.index_of_code[held.segment]
    rows = np.arange(len(scores))
    lead = scores[rows, current] - scores[rows, target]
    moves = (lead > 2 * model.hysteresis * model.separation[current, target]) | (current < 0)
    wanting = np.flatnonzero(moves)  # few: the rest is asked of them alone
    barred = (model.roster.codes[target[wanting]] == held.previous[wanting]) & (
        at_ms[wanting] - held.since_ms[wanting] < model.no_return_days * DAY_MS
    )
    moves[wanting] = ~barred | (current[wanting] < 0)
    return Decision(target, moves)


def margin(model: Model, scores: Floats, current: Indices, target: Indices) -> Floats:
    """Return the signed distance past the bisector of two different centroids, in standard deviations, shape `(n,)`.

    Where `current` and `target` are the same, 0.
    """
    rows = np.arange(len(scores))
    lead = scores[rows, current] - scores[rows, target]
    apart = 2 * model.separation[current, target]
    return np.divide(lead, apart, out=np.zeros_like(lead), where=apart > 0)


def first_instant(holds: Callable[[Indices, Instants], Flags], after_ms: Instants, by_ms: Instants) -> Instants:
    """Return the first millisecond at which a condition holds, shape `(n,)`.

    Parameters
    ----------
    holds
        Takes indices of the n conditions and an instant for each, and says where they hold. A condition must hold
        at its `by_ms`, and once true stay true up to there: silence moves a customer one way, so a crossing
        happens once between two assessments.
    after_ms
        Where it is not yet taken to hold; never returned unless equal to `by_ms`.
    by_ms
        Where it holds.

    Notes
    -----
    Bisection with `PROBES` instants at a time: the conditions are vectorised and n is small, so 15 instants cost
    hardly more than one, and a day is narrowed down to a millisecond in 7 rounds instead of 27.
    """
    low, high = after_ms.copy(), by_ms.copy()
    conditions = np.arange(len(low))
    probed = np.repeat(conditions, PROBES)
    parts = np.arange(1, PROBES + 1)
    while ((high - low) > 1).any():
        probes = low[:, None] - (low - high)[:, None] * parts // (PROBES + 1)  # rounded up: `low` is not asked again
        true = holds(probed, probes.ravel()).reshape(probes.shape)
        first = np.where(true.any(axis=1), true.argmax(axis=1), PROBES)
        edges = np.concatenate((low[:, None], probes, high[:, None]), axis=1)
        low, high = edges[conditions, first], edges[conditions, first + 1]
    return high
