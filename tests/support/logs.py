"""Logs drawn at random: events of a few customers, sweeps, and changes of model."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.segmentations.learned.model import Model
from tests.support.events import START_MS
from tests.support.models import EARLIER_SEGMENTS, learned_model, models, moved_frame, prior_model, successor
from tests.support.playing import Step

ORDER_TYPES = {PURCHASE: "order_completed", REFUND: "order_refunded"}
AGAIN, SWEEP = -1, -2
"""Beside the kinds of event: one that was there before, and time that passes."""


@st.composite
def logs(draw: st.DrawFn, late: bool = True, refunds: bool = True) -> list[Step]:
    """Draw a log of three customers with late events, sessions, repetitions, sweeps and a change of model."""
    steps: list[Step] = []
    clock_ms = START_MS
    size = draw(st.integers(1, 28))
    model_at = draw(st.integers(0, 60))
    kinds = [PURCHASE, PURCHASE, REFUND if refunds else PURCHASE, ENGAGEMENT, ENGAGEMENT, ENGAGEMENT, AGAIN, SWEEP]
    for index in range(size):
        clock_ms += draw(st.sampled_from([0, MINUTE_MS, 10 * MINUTE_MS, DAY_MS, 5 * DAY_MS, 23 * DAY_MS, 70 * DAY_MS]))
        if index == model_at:
            steps.append(changed_model(draw(st.integers(0, 50))))
        kind = draw(st.sampled_from(kinds))
        events = [step for step in steps if isinstance(step, Event)]
        if kind == SWEEP:
            steps.append(clock_ms)
            continue
        if kind == AGAIN:
            steps.extend(events[-draw(st.integers(1, 8)) :][:1])
            continue
        lateness_ms = draw(st.sampled_from([0, 0, 0, HOUR_MS, 3 * DAY_MS, 40 * DAY_MS])) if late else 0
        at_ms = max(START_MS, clock_ms - lateness_ms)
        customer_id = f"c{draw(st.integers(1, 3))}"
        order_id = f"o{draw(st.integers(1, 6))}"
        amount_minor = draw(st.sampled_from([0, 1_500, 20_000]))
        if kind == ENGAGEMENT:
            steps.append(Event(kind, customer_id, f"e{index}", at_ms, "search"))
        else:
            steps.append(Event(kind, customer_id, f"e{index}", at_ms, ORDER_TYPES[kind], amount_minor, order_id))
    return steps


def whole_instants(log: Sequence[Step]) -> list[Step]:
    """Return a log without events of an instant that the customer had events of before, with something in between.

    Only events that stand next to each other are one instant, whoever's they are.
    """
    kept: list[Step] = []
    seen: set[tuple[str, int]] = set()
    run: set[tuple[str, int]] = set()
    for step in log:
        if not isinstance(step, Event) or (kept and isinstance(kept[-1], Event) and kept[-1].at_ms != step.at_ms):
            seen |= run
            run = set()
        if isinstance(step, Event):
            if (step.customer_id, step.at_ms) in seen:
                continue
            run.add((step.customer_id, step.at_ms))
        kept.append(step)
    return kept


def changed_model(seed: int) -> Model:
    """Return a later version, whose roles lie elsewhere."""
    model = learned_model()
    return successor(model, moved_frame(model.frame, seed), retired_segments=EARLIER_SEGMENTS)


priors = st.builds(
    prior_model, hysteresis=st.sampled_from([0.0, 0.1, 0.5]), no_return_days=st.sampled_from([0.0, 1.1, 20.0, 30.0])
)
snapshots = priors | st.builds(learned_model, no_return_days=st.sampled_from([0.0, 20.0])) | models()
