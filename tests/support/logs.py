"""Logs drawn at random: events of a few customers, sweeps, and changes of model."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.model import Model
from tests.support.events import START_MS
from tests.support.models import plain_snapshot, rules_snapshot, successor
from tests.support.playing import Step

AGAIN, SWEEP = -1, -2
"""Beside the kinds of event: one that was there before, and time that passes."""


@st.composite
def logs(draw: st.DrawFn) -> list[Step]:
    """Draw a log of three customers with late events, sessions, repetitions, sweeps and a change of model."""
    steps: list[Step] = []
    clock_ms = START_MS
    size = draw(st.integers(1, 28))
    model_at = draw(st.integers(0, 60))
    for index in range(size):
        clock_ms += draw(st.sampled_from([0, MINUTE_MS, 10 * MINUTE_MS, DAY_MS, 5 * DAY_MS, 23 * DAY_MS, 70 * DAY_MS]))
        if index == model_at:
            steps.append(shuffled_rules(draw(st.integers(0, 50)), plain_snapshot().segments))
        kind = draw(st.sampled_from([PURCHASE, PURCHASE, REFUND, ENGAGEMENT, ENGAGEMENT, ENGAGEMENT, AGAIN, SWEEP]))
        events = [step for step in steps if isinstance(step, Event)]
        if kind == SWEEP:
            steps.append(clock_ms)
            continue
        if kind == AGAIN:
            steps.extend(events[-draw(st.integers(1, 8)) :][:1])
            continue
        at_ms = max(START_MS, clock_ms - draw(st.sampled_from([0, 0, 0, HOUR_MS, 3 * DAY_MS, 40 * DAY_MS])))
        customer_id = f"c{draw(st.integers(1, 3))}"
        order_id = f"o{draw(st.integers(1, 3))}"
        amount_minor = draw(st.sampled_from([0, 1_500, 20_000]))
        if kind == ENGAGEMENT:
            steps.append(Event(kind, customer_id, f"e{index}", at_ms, "search"))
        else:
            steps.append(Event(kind, customer_id, f"e{index}", at_ms, "order", amount_minor, order_id))
    return steps


def shuffled_rules(seed: int, retired_segments: tuple[Segment, ...] = ()) -> Model:
    """Return the rules with their centroids moved about, in which many customers are misplaced."""
    snapshot = rules_snapshot(0.1, 20.0)
    rng = np.random.default_rng(seed)
    centroids = snapshot.centroids + rng.normal(0, 0.2, snapshot.centroids.shape)
    return successor(snapshot, centroids=centroids, retired_segments=retired_segments)


cold_starts = st.builds(rules_snapshot, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 1.1, 20.0, 30.0]))
snapshots = cold_starts | st.builds(plain_snapshot, st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 20.0]))
