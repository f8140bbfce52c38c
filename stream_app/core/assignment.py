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
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS
from stream_app.core.features import Floats
from stream_app.core.snapshot import Snapshot

PROBES: Final = 15
"""Instants tried at once when a crossing is dated."""

Instants: TypeAlias = npt.NDArray[np.int64]
Indices: TypeAlias = npt.NDArray[np.intp]
Codes: TypeAlias = npt.NDArray[np.int16]
Flags: TypeAlias = npt.NDArray[np.bool_]


def decide(
    snapshot: Snapshot,
    scores: Floats,
    current_code: Codes,
    previous_code: Codes,
    since_ms: Instants,
    at_ms: int | Instants,
) -> tuple[Indices, Flags]:
    """Say which segment each customer is nearest to and whether it moves there.

    Parameters
    ----------
    scores
        From `Snapshot.score`, shape `(n, k)`.
    current_code, previous_code
        Segment codes, shape `(n,)`; `NO_SEGMENT` for none.
    since_ms
        When the current segment was entered, shape `(n,)`.
    at_ms
        The instant of the decision, one for all or shape `(n,)`.

    Returns
    -------
    target
        Index of the nearest centroid, shape `(n,)`.
    moves
        True where the customer changes to `target`; always where it has no segment of this snapshot.
    """
    target = scores.argmin(axis=1)
    current = snapshot.index_of_code[current_code]
    rows = np.arange(len(scores))
    lead = scores[rows, current] - scores[rows, target]
    moves = (lead > 2 * snapshot.hysteresis * snapshot.separation[current, target]) | (current < 0)
    wanting = np.flatnonzero(moves)  # few: the rest is asked of them alone
    instants = at_ms if isinstance(at_ms, int) else at_ms[wanting]
    barred = (snapshot.codes[target[wanting]] == previous_code[wanting]) & (
        instants - since_ms[wanting] < snapshot.no_return_days * DAY_MS
    )
    moves[wanting] = ~barred | (current[wanting] < 0)
    return target, moves


def margin(snapshot: Snapshot, scores: Floats, current: Indices, target: Indices) -> Floats:
    """Return the signed distance past the bisector of two different centroids, in standard deviations, shape `(n,)`.

    Where `current` and `target` are the same, 0.
    """
    rows = np.arange(len(scores))
    lead = scores[rows, current] - scores[rows, target]
    apart = 2 * snapshot.separation[current, target]
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
