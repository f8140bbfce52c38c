"""Readable names for learned segments.

A segment is described by four traits, means of z-scores over its customers: recency, value (the mean of decayed
orders and revenue), engagement, tenure. Each name has a prototype in that space, and the names are given by the
assignment of least total cost, so that no two segments share one. A name that jumps from group to group is worse
than one that fits a little less well, so names stick until a better naming is better by far.

Z-scores only compare segments with each other; some names claim more. Nobody is "New" after a year, and who was here
last week is not "Lost", whatever the others do: such limits hold in days. A name that breaks one is given up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities
from stream_app.learning.matching import assign

PROTOTYPES: Final[dict[str, tuple[float, float, float, float]]] = {
    "Champions": (-1.3, 1.5, 0.6, 0.3),
    "Loyal": (-0.9, 0.8, 0.3, 0.5),
    "Potential": (-0.6, 0.1, 0.3, -0.2),
    "New": (-0.5, -0.2, 0.0, -1.8),
    "Browsers": (0.0, -0.4, 1.2, 0.0),
    "Occasional": (0.3, -0.8, -0.6, -0.5),
    "At risk": (0.5, 0.0, -0.5, 0.5),
    "Hibernating": (0.9, -0.8, -0.8, 0.3),
    "Lost": (1.5, -1.3, -1.1, 0.6),
}
"""Traits (recency, value, engagement, tenure) of the typical segment of each name, in z-scores."""


class Limits(NamedTuple):
    """Mean figures of a segment between which a name is true, inclusive."""

    recency_days_min: float = 0.0
    recency_days_max: float = math.inf
    tenure_days_max: float = math.inf
    engaged_days_min: float = 0.0


LIMITS: Final[dict[str, Limits]] = {
    "Champions": Limits(recency_days_max=90),
    "Loyal": Limits(recency_days_max=120),
    "Potential": Limits(recency_days_max=180),
    "New": Limits(tenure_days_max=30),
    "Browsers": Limits(recency_days_max=120, engaged_days_min=0.1),
    "Occasional": Limits(recency_days_max=120),
    "At risk": Limits(recency_days_min=7, recency_days_max=365),
    "Hibernating": Limits(recency_days_min=30),
    "Lost": Limits(recency_days_min=60),
}
"""In the calendar of retail: a season is 90 days, "New" is the first month, a year of silence is no mere risk."""
UNTRUE: Final = 100.0
"""Cost of a name outside its limits: more than any true one, finite so that there is always a naming."""
TRAIT_WEIGHTS: Final = (1.0, 1.0, 0.6, 0.4)
"""Weight of each trait's squared difference in the cost of a name."""
RENAMING_GAIN: Final = 0.25
"""Names change only if the total cost falls by more than this share of the cost of keeping them."""
TRAIT_SCALE_FLOOR: Final = 1e-6
"""Below this standard deviation a trait is constant and tells no segment from another."""

_NAMES: Final = tuple(PROTOTYPES)
_NUMBERED: Final = re.compile(r"(?P<name>.+?)(?: (?P<number>[2-9]|[1-9][0-9]+))?")

Slot = tuple[int, int]
"""A name that can be given once: index into `PROTOTYPES` and number, 0 for the plain name, 1 for "… 2"."""


def segment_traits(quantities: Quantities, order_value_minor: float, membership: Floats) -> Floats:
    """Describe each segment by the mean z-scores of its customers.

    Parameters
    ----------
    quantities
        Of n sampled customers.
    order_value_minor
        The population's usual order value, in which revenue is counted, so that the currency does not matter.
    membership
        Weight of each customer in each segment, rows sum to 1, shape `(k, n)`.

    Returns
    -------
    Traits in the order recency, value, engagement, tenure, shape `(k, 4)`.
    """
    recency, orders, revenue, engagement, tenure = (
        _z_scores(np.log1p(np.maximum(column, 0.0)))
        for column in (
            quantities.recency_days,
            quantities.orders,
            quantities.revenue_minor / order_value_minor,
            quantities.engaged_days,
            quantities.tenure_days,
        )
    )
    return np.asarray(membership @ np.column_stack((recency, (orders + revenue) / 2, engagement, tenure)))


def _z_scores(column: Floats) -> Floats:
    return np.asarray((column - column.mean()) / max(float(column.std()), TRAIT_SCALE_FLOOR))


def segment_means(quantities: Quantities, membership: Floats) -> Floats:
    """Return the mean recency, tenure and engaged days of each segment, in days, shape `(k, 3)`.

    Parameters are those of `segment_traits`.
    """
    columns = (quantities.recency_days, quantities.tenure_days, quantities.engaged_days)
    return np.asarray(membership @ np.column_stack(columns))


def name_segments(traits: Floats, means: Floats, previous: Sequence[str | None]) -> tuple[str, ...]:
    """Name segments by their traits; keep previous names unless they are untrue or others fit far better.

    Parameters
    ----------
    traits
        From `segment_traits`, shape `(k, 4)`.
    means
        From `segment_means`, shape `(k, 3)`.
    previous
        The name each segment had, None for a new one. A name that has no prototype cannot be judged and is not kept.

    Returns
    -------
    k distinct names. Beyond the nine prototypes they are numbered: "Loyal", "Loyal 2".
    """
    prototypes = np.array(list(PROTOTYPES.values()))
    untrue = _untrue(means)
    costs = ((traits[:, None, :] - prototypes[None, :, :]) ** 2 * TRAIT_WEIGHTS).sum(axis=2) + UNTRUE * untrue
    copies = -(-len(traits) // len(_NAMES))
    best = _assign_slots(costs, copies, [None] * len(traits))
    slots = [_slot_of(name, copies) for name in previous]
    true = [None if slot and untrue[row, slot[0]] else slot for row, slot in enumerate(slots)]
    kept = _assign_slots(costs, copies, true)
    keeps = _total(costs, best) >= (1 - RENAMING_GAIN) * _total(costs, kept)
    return tuple(_NAMES[index] + (f" {number + 1}" if number else "") for index, number in (kept if keeps else best))


def _untrue(means: Floats) -> npt.NDArray[np.bool_]:
    """Return which names are outside their limits for which segment, shape `(k, 9)`."""
    limits = np.array([LIMITS[name] for name in _NAMES])
    recency, tenure, engaged = (means[:, [column]] for column in range(3))
    return np.asarray(
        (recency < limits[:, 0]) | (recency > limits[:, 1]) | (tenure > limits[:, 2]) | (engaged < limits[:, 3])
    )


def _slot_of(name: str | None, copies: int) -> Slot | None:
    """Return the slot of a name, None if there is none among `copies` of each prototype."""
    parts = _NUMBERED.fullmatch(name or "")
    if parts is None or parts["name"] not in PROTOTYPES:
        return None
    number = int(parts["number"] or 1) - 1
    return (_NAMES.index(parts["name"]), number) if number < copies else None


def _assign_slots(costs: Floats, copies: int, fixed: Sequence[Slot | None]) -> list[Slot]:
    """Fill the slots that are not fixed at the least total cost, using as few numbered names as possible."""
    slots = [(index, number) for number in range(copies) for index in range(len(_NAMES))]
    free_slots = [slot for slot in slots if slot not in fixed]
    free_rows = [row for row, slot in enumerate(fixed) if slot is None]
    # A numbered name costs more than all plain ones together, so none is given while a plain one is free.
    dear = 1 + costs.sum()
    offered = np.array([[costs[row, index] + number * dear for index, number in free_slots] for row in free_rows])
    chosen: npt.NDArray[np.intp] = assign(offered)[1] if free_rows else np.empty(0, np.intp)
    given = dict(zip(free_rows, chosen, strict=True))
    return [slot if slot is not None else free_slots[given[row]] for row, slot in enumerate(fixed)]


def _total(costs: Floats, slots: Sequence[Slot]) -> float:
    return float(sum(costs[row, index] for row, (index, _) in enumerate(slots)))
