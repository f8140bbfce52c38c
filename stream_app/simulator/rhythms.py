"""Populations that buy by one plain rule, so that the right answer needs no judge.

- **Subscribers** all pay one price, each every month on its own day, and nobody ever cancels: nothing changes, and no
  silence within the month means anything.
- **Plans** are what real subscriptions look like: three prices, charges that are up to five days late, some extra
  orders, and subscribers who cancel, which no event marks.
- **One-off** customers each buy once and never come back.
- **Identical** customers buy at the points of Poisson processes of one rate: they differ by chance alone, and whatever
  a segmentation finds among them is noise.

All figures are assumptions of this simulator.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.simulator.events import (
    CHANGE_KINDS,
    FIRST_PHASE,
    Draw,
    Events,
    Floats,
    Integers,
    Phases,
    in_order_of_time,
    purchases,
)

ARRIVAL_DAYS: Final = 60
"""Subscribers and identical customers come within this time (of a short horizon: within its first third)."""
LAST_ARRIVAL_DAYS: Final = 120
"""One-off customers come up to this long before the end (of a short horizon: not in its last third)."""

SUBSCRIPTION_MINOR: Final = 2_990
PLANS: Final = (("small", 990), ("middle", 1_990), ("large", 4_990))
"""Names and prices, in minor units; all are chosen alike."""
CANCELLED: Final = len(PLANS)
"""Type of those who left, after those of the plans."""
EARLY_SHARE: Final = 0.5
"""Share of the plans' subscribers who come in the first `ARRIVAL_DAYS`; the others come until the last 30 days."""
CANCEL_SHARE: Final = 0.25
"""Share of them who cancel at some time, at the earliest after `KEPT_DAYS`."""
KEPT_DAYS: Final = 30
LATE_SHARE: Final = 0.3
"""Share of charges that are late, by up to `LATE_DAYS`."""
LATE_DAYS: Final = 5
EXTRA_SHARE: Final = 0.05
"""Share of charges that an extra order follows, of 5.00 to 40.00, 2 to 20 days later."""

ORDER_MINOR: Final = 4_000
"""Mean value of a one-off or an identical customer's order, gamma(4)."""
GAP_DAYS: Final = 20
"""Mean days between two orders of an identical customer."""


def draw_subscribers(draw: Draw) -> tuple[Phases, Events]:
    """Draw subscribers at one price, charged monthly."""
    rng = np.random.default_rng(draw.seed)
    arrival_ms = _arrivals(rng, draw, min(ARRIVAL_DAYS * DAY_MS, draw.horizon_ms // 3))
    at_ms = _monthly(draw, arrival_ms)
    customer, month = np.nonzero(at_ms < draw.horizon_ms)
    orders = _orders(at_ms[customer, month], customer, np.full(customer.size, SUBSCRIPTION_MINOR))
    return _one_phase_each(arrival_ms, draw.horizon_ms), in_order_of_time([orders], draw.horizon_ms)


def draw_plans(draw: Draw) -> tuple[Phases, Events]:
    """Draw subscribers of three plans, some of whom cancel."""
    rng = np.random.default_rng(draw.seed)
    horizon_ms = draw.horizon_ms
    early = rng.random(draw.customers) < EARLY_SHARE
    early_ms = min(ARRIVAL_DAYS * DAY_MS, horizon_ms // 3)
    late_ms = horizon_ms - min(KEPT_DAYS * DAY_MS, horizon_ms // 3)
    arrival_ms = np.sort(rng.random(draw.customers) * np.where(early, early_ms, late_ms)).astype(np.int64)
    plan = rng.integers(0, len(PLANS), draw.customers)
    earliest_ms = arrival_ms + KEPT_DAYS * DAY_MS
    cancels = (rng.random(draw.customers) < CANCEL_SHARE) & (earliest_ms < horizon_ms)
    drawn_ms = earliest_ms + (rng.random(draw.customers) * (horizon_ms - earliest_ms)).astype(np.int64)
    cancelled_ms = np.where(cancels, drawn_ms, horizon_ms)

    due_ms = _monthly(draw, arrival_ms)
    customer, month = np.nonzero(due_ms < cancelled_ms[:, None])
    late = (rng.random(customer.size) < LATE_SHARE) & (month > 0)
    charged_ms = due_ms[customer, month] + np.where(late, rng.random(customer.size) * LATE_DAYS * DAY_MS, 0).astype(
        np.int64
    )
    followed = np.flatnonzero(rng.random(customer.size) < EXTRA_SHARE)
    extra_ms = charged_ms[followed] + (rng.uniform(2, 20, followed.size) * DAY_MS).astype(np.int64)
    extra_minor = rng.integers(500, 4_001, followed.size)
    kept = extra_ms < cancelled_ms[customer[followed]]
    price_minor = np.array([price for _, price in PLANS])[plan[customer]]
    orders = _orders(
        np.concatenate((charged_ms, extra_ms[kept])),
        np.concatenate((customer, customer[followed][kept])),
        np.concatenate((price_minor, extra_minor[kept])),
    )
    return _with_cancellations(arrival_ms, plan, cancelled_ms, horizon_ms), in_order_of_time([orders], horizon_ms)


def draw_one_off(draw: Draw) -> tuple[Phases, Events]:
    """Draw customers who buy once."""
    rng = np.random.default_rng(draw.seed)
    arrival_ms = _arrivals(rng, draw, draw.horizon_ms - min(LAST_ARRIVAL_DAYS * DAY_MS, draw.horizon_ms // 3))
    orders = _orders(arrival_ms, np.arange(draw.customers), _values(rng, draw.customers))
    return _one_phase_each(arrival_ms, draw.horizon_ms), in_order_of_time([orders], draw.horizon_ms)


def draw_identical(draw: Draw) -> tuple[Phases, Events]:
    """Draw customers who buy at one constant rate, from a first order on."""
    rng = np.random.default_rng(draw.seed)
    arrival_ms = _arrivals(rng, draw, min(ARRIVAL_DAYS * DAY_MS, draw.horizon_ms // 3))
    running, at_ms = np.arange(draw.customers), arrival_ms
    customers, instants = [running], [at_ms]
    while running.size:
        at_ms = at_ms + (rng.exponential(GAP_DAYS, running.size) * DAY_MS).astype(np.int64)
        running, at_ms = running[at_ms < draw.horizon_ms], at_ms[at_ms < draw.horizon_ms]
        customers.append(running)
        instants.append(at_ms)
    customer = np.concatenate(customers)
    orders = _orders(np.concatenate(instants), customer, _values(rng, customer.size))
    return _one_phase_each(arrival_ms, draw.horizon_ms), in_order_of_time([orders], draw.horizon_ms)


def _arrivals(rng: np.random.Generator, draw: Draw, until_ms: int) -> Integers:
    return np.sort(rng.random(draw.customers) * until_ms).astype(np.int64)


def _values(rng: np.random.Generator, orders: int) -> Floats:
    return np.maximum(np.rint(ORDER_MINOR * rng.gamma(4.0, 0.25, orders)), 100)


def _monthly(draw: Draw, first_ms: Integers) -> Integers:
    """Return when each customer is charged, from the first charge on, `(n_customers, n_months)`, to past the end.

    Always on the same day of the month and at the same time; those of the 29th to the 31st on the 28th from then on.
    """
    start = np.datetime64(draw.start, "ms")
    first = start + first_ms.astype("m8[ms]")
    day, month = first.astype("M8[D]"), first.astype("M8[M]")
    day_of_month = np.minimum(day - month.astype("M8[D]"), np.timedelta64(27, "D"))
    later = month[:, None] + np.arange(draw.days // 28 + 2)
    charged = (later.astype("M8[D]") + day_of_month[:, None]) + (first - day)[:, None]
    charged[:, 0] = first
    return np.asarray((charged - start).astype(np.int64))


def _orders(at_ms: Integers, customer: Integers, amount_minor: Floats | Integers) -> Events:
    """Return orders of one piece, of the second they are placed in."""
    placed_ms = at_ms // SECOND_MS * SECOND_MS
    by_time = np.argsort(placed_ms, kind="stable")
    return purchases(
        placed_ms[by_time], customer[by_time].astype(np.int32), amount_minor[by_time], np.ones(at_ms.size, np.int16)
    )


def _one_phase_each(arrival_ms: Integers, horizon_ms: int) -> Phases:
    customers = arrival_ms.size
    return Phases(
        customer=np.arange(customers, dtype=np.int32),
        from_ms=arrival_ms,
        to_ms=np.full(customers, horizon_ms),
        type=np.zeros(customers, np.int8),
        change=np.full(customers, FIRST_PHASE, np.int8),
    )


def _with_cancellations(arrival_ms: Integers, plan: Integers, cancelled_ms: Integers, horizon_ms: int) -> Phases:
    cancelled = np.flatnonzero(cancelled_ms < horizon_ms)
    kept = Phases(np.arange(plan.size), arrival_ms, cancelled_ms, plan, np.full(plan.size, FIRST_PHASE))
    gone = Phases(
        customer=cancelled,
        from_ms=cancelled_ms[cancelled],
        to_ms=np.full(cancelled.size, horizon_ms),
        type=np.full(cancelled.size, CANCELLED),
        change=np.full(cancelled.size, CHANGE_KINDS.index("lapse")),
    )
    phases = Phases(*(np.concatenate(columns) for columns in zip(kept, gone, strict=True)))
    order = np.lexsort((phases.from_ms, phases.customer))
    return Phases(*(column[order] for column in phases))
