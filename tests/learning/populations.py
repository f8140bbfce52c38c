"""Populations whose groups are known, to learn from in tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import Quantities
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.sample import PopulationSample

FIRST_TICK_MS = 1_700_000_000_000
WEEK_TICK_MS = 7 * DAY_MS

GROUPS = np.array(
    [
        # recency, orders, order value, engagement, engaged days, active days, exposure, tenure
        (2.0, 9.0, 6000.0, 12.0, 8.0, 20.0, 70.0, 400.0),
        (6.0, 4.0, 4500.0, 6.0, 4.0, 10.0, 65.0, 350.0),
        (9.0, 1.5, 3000.0, 3.0, 2.0, 3.0, 40.0, 120.0),
        (3.0, 1.0, 2500.0, 1.0, 1.0, 0.1, 1.0, 5.0),
        (4.0, 0.2, 2000.0, 15.0, 9.0, 15.0, 60.0, 200.0),
        (60.0, 1.5, 4000.0, 0.4, 0.3, 3.0, 60.0, 380.0),
        (200.0, 0.2, 3000.0, 0.0, 0.0, 0.5, 30.0, 420.0),
    ]
)


def draw_sample(
    tick: int = 0,
    n_customers: int = 700,
    seed: int = 0,
    spread: float = 0.25,
    groups: np.ndarray = GROUPS,
    segment_codes: np.ndarray | None = None,
) -> PopulationSample:
    """Draw customers of known groups, each quantity scattered log-normally about its group's."""
    rng = np.random.default_rng([seed, tick])
    chosen = groups[rng.integers(len(groups), size=n_customers)]
    recency, orders, order_value, engagement, engaged, active, exposure, tenure = (
        chosen * np.exp(rng.normal(0.0, spread, chosen.shape))
    ).T
    codes = np.full(n_customers, NO_SEGMENT, np.int16) if segment_codes is None else segment_codes
    return PopulationSample(
        tick=tick,
        as_of_ms=FIRST_TICK_MS + tick * WEEK_TICK_MS,
        customer_ids=np.array([f"c{index}" for index in range(n_customers)], object),
        memberships={
            "value": Held(
                codes,
                np.zeros(n_customers, np.int16),
                np.full(n_customers, FIRST_TICK_MS - 100 * DAY_MS, np.int64),
            )
        },
        quantities=Quantities(recency, orders, orders * order_value, engagement, engaged, active, exposure, tenure),
        population_size=10 * n_customers,
    )


def with_memberships(sample: PopulationSample, **changes: np.ndarray) -> PopulationSample:
    """Return the sample with other columns of `Held` in the one segmentation."""
    return replace(sample, memberships={"value": sample.memberships["value"]._replace(**changes)})


def blobs(seed: int = 0, n: int = 600, k: int = 5, dimensions: int = 3) -> np.ndarray:
    """Draw points around k random centers, shape `(n, dimensions)`."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 4, (k, dimensions))[rng.integers(k, size=n)] + rng.normal(size=(n, dimensions))
