"""A shop of customers whose latent types, and the moments at which they change, are known.

Each customer lives through phases, one latent type each. Within a phase three processes run, with the
customer's own multiples of the type's rates:

- **Orders** are a renewal process with gamma(1.5) gaps: more regular than the Poisson process of the NBD model
  (Ehrenberg 1959; Schmittlein, Morrison and Colombo 1987, "Counting your customers"; the gamma gaps of Platzer and
  Reutterer 2016, "Ticking away the moments"). A customer's rate is the type's times a gamma(8) variable of mean 1,
  which is the heterogeneity of the NBD. Orders are then thinned by `order_kept`: a week, and a peak in December.
  After a change of type the first gap is shortened, for it began before the change.
- **Order values** follow the gamma-gamma idea (Fader and Hardie 2013, "The gamma-gamma model of monetary value"):
  gamma(4) around the customer's mean, which itself varies log-normally around the type's.
- **Engagement** comes in sessions, a Poisson process with a gamma(5) multiple per customer: e-mails opened and clicked,
  visits, abandoned carts. An order is preceded by product views and by a cart.

Dropout is a change to `dormant`, drawn once a phase, not a coin tossed after each order as in BG/NBD (Fader, Hardie
and Lee 2005): a change point then lies at a moment that no event marks, which is what a segmenter has to find.

All figures below are assumptions of this simulator, chosen to resemble a web shop; no data was fitted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, MINUTE_MS, SECOND_MS
from stream_app.simulator.events import (
    CART,
    CHANGE_KINDS,
    CLICK,
    EMAIL_OPEN,
    FIRST_PHASE,
    LOGIN,
    REFUND,
    VIEW,
    Draw,
    Events,
    Floats,
    Integers,
    Phases,
    engagements,
    in_order_of_time,
    purchases,
)


class LatentType(NamedTuple):
    """What customers of one type do, and what becomes of them.

    Attributes
    ----------
    arrivals
        Share of new customers, in [0, 1].
    orders_per_day, sessions_per_day
        Mean rates, before seasonality.
    order_value_minor
        Mean value of an order in minor units.
    changes
        Probability that a phase ends in a change, in [0, 1].
    next_types
        Type after a change, its probability, and the kind of change.
    """

    name: str
    arrivals: float
    orders_per_day: float
    order_value_minor: int
    sessions_per_day: float
    changes: float
    next_types: tuple[tuple[str, float, str], ...]


LATENT_TYPES: Final = (
    LatentType(
        "champion", 0.08, 1 / 9, 9_500, 0.40, 0.50,
        (("dormant", 0.5, "lapse"), ("loyal", 0.2, "down"), ("potential", 0.3, "down")),
    ),
    LatentType(
        "loyal", 0.17, 1 / 22, 6_000, 0.20, 0.50,
        (("dormant", 0.5, "lapse"), ("champion", 0.35, "up"), ("potential", 0.15, "down")),
    ),
    LatentType("bigspender", 0.07, 1 / 60, 26_000, 0.075, 0.40, (("dormant", 0.8, "lapse"), ("champion", 0.2, "up"))),
    LatentType(
        "potential", 0.25, 1 / 45, 4_000, 0.125, 0.45,
        (("dormant", 0.45, "lapse"), ("loyal", 0.25, "up"), ("champion", 0.3, "up")),
    ),
    LatentType("browser", 0.13, 1 / 150, 3_500, 0.35, 0.35, (("dormant", 0.5, "lapse"), ("loyal", 0.5, "up"))),
    LatentType(
        "onetimer", 0.30, 1 / 900, 3_500, 0.015, 0.10,
        (("potential", 0.5, "winback"), ("loyal", 0.5, "winback")),
    ),
    LatentType("dormant", 0.0, 0.0, 4_000, 0.005, 0.15, (("loyal", 0.6, "winback"), ("champion", 0.4, "winback"))),
)  # fmt: skip

FIRST_CHANGE_DAYS: Final = 75
"""A phase lasts at least this long, so that a type has time to show."""
LAST_CHANGE_DAYS: Final = 30
"""Nothing changes in the last days, so that a change has time to be found."""
LAST_ARRIVAL_DAYS: Final = 60
"""Nobody arrives in the last days (of a short horizon: in its last third), for the same reason."""
REFUND_DELAY_DAYS: Final = 10.0
"""Mean days from an order to its refund, gamma(2)."""
FULL_REFUND_SHARE: Final = 0.7
"""Share of refunds that give back the whole order; the others give back 20 to 90 % of it."""


class Shop(NamedTuple):
    """How a shop differs from the one of the table above.

    Attributes
    ----------
    orders, sessions
        Multiples, at least 0, of every type's rates. Views and carts on the way to an order come with the order.
    """

    orders: float = 1.0
    sessions: float = 1.0


def draw_shop(shop: Shop, draw: Draw) -> tuple[Phases, Events]:
    """Draw the lives of a shop's customers and all their events."""
    life_rng, order_rng, session_rng, refund_rng = np.random.default_rng(draw.seed).spawn(4)
    phases = _draw_phases(life_rng, draw.customers, draw.horizon_ms)
    orders = _draw_orders(order_rng, phases, draw.customers, shop.orders)
    parts = [  # of events at one instant the earlier part comes first: an order follows its cart
        _draw_sessions(session_rng, phases, draw.customers, shop.sessions),
        _draw_shopping(order_rng, phases, orders),
        orders,
        _draw_refunds(refund_rng, orders, draw.refund_rate),
    ]
    return phases, in_order_of_time(parts, draw.horizon_ms)


def order_kept(at_ms: Floats) -> Floats:
    """Return the probability that an order survives thinning: weekly swing, December peak, shape as given."""
    day = at_ms / DAY_MS % 365
    season = 1 + 0.10 * np.sin(2 * np.pi * day / 7) + 0.6 * np.exp(-(((day - 340) / 14) ** 2))
    return np.asarray(np.minimum(season * (1.25 / 1.6), 1.0))


def _draw_phases(rng: np.random.Generator, customers: int, horizon_ms: int) -> Phases:
    next_type, next_change = _transition_tables()
    early = rng.random(customers) < 0.5  # half the customers come in the first quarter: a shop that opened before
    last_arrival_ms = horizon_ms - min(LAST_ARRIVAL_DAYS * DAY_MS, horizon_ms // 3)
    arrival = rng.random(customers) * np.where(early, 0.25 * horizon_ms, last_arrival_ms)
    customer = np.arange(customers, dtype=np.int32)
    start = np.sort(arrival).astype(np.int64)
    latent = rng.choice(len(LATENT_TYPES), customers, p=[latent.arrivals for latent in LATENT_TYPES]).astype(np.int8)
    change = np.full(customers, FIRST_PHASE, np.int8)
    p_change = np.array([latent.changes for latent in LATENT_TYPES])
    rounds: list[Phases] = []
    while customer.size:
        earliest = start + FIRST_CHANGE_DAYS * DAY_MS
        latest = horizon_ms - LAST_CHANGE_DAYS * DAY_MS
        changes = (rng.random(customer.size) < p_change[latent]) & (earliest < latest)
        change_at = (earliest + rng.random(customer.size) * (latest - earliest)).astype(np.int64)
        end = np.where(changes, change_at, horizon_ms)
        rounds.append(Phases(customer, start, end, latent, change))
        draw = rng.random(customer.size)
        customer, start, before, draw = customer[changes], end[changes], latent[changes], draw[changes]
        latent = (draw[:, None] >= next_type[before]).sum(axis=1).astype(np.int8)
        change = next_change[before, latent]
    phases = Phases(*(np.concatenate(columns) for columns in zip(*rounds, strict=True)))
    order = np.lexsort((phases.from_ms, phases.customer))
    return Phases(*(column[order] for column in phases))


def _transition_tables() -> tuple[Floats, npt.NDArray[np.int8]]:
    """Return cumulative probabilities of the next type and kinds of change, both `(n_types, n_types)`."""
    index = {latent.name: number for number, latent in enumerate(LATENT_TYPES)}
    probability = np.zeros((len(index), len(index)))
    change = np.full(probability.shape, FIRST_PHASE, np.int8)
    for before, latent in enumerate(LATENT_TYPES):
        for name, share, kind in latent.next_types:
            probability[before, index[name]] = share
            change[before, index[name]] = CHANGE_KINDS.index(kind)
    cumulative = probability.cumsum(axis=1)
    return np.where(cumulative > 1 - 1e-9, np.inf, cumulative), change


def _draw_orders(rng: np.random.Generator, phases: Phases, customers: int, multiple: float) -> Events:
    """Draw an order at each arrival, and all further ones from the renewal process, one round of gaps at a time."""
    rate_of_customer = rng.gamma(8.0, 1 / 8, customers)
    value_of_customer = np.exp(rng.normal(-0.03, 0.25, customers))
    rate = multiple * np.array([latent.orders_per_day for latent in LATENT_TYPES])[phases.type]
    gap_scale_ms = DAY_MS / (1.5 * np.maximum(rate * rate_of_customer[phases.customer], 1e-12))
    arrivals = np.flatnonzero(phases.change == FIRST_PHASE)
    phase_parts, at_parts = [arrivals], [phases.from_ms[arrivals]]
    running = np.flatnonzero(rate > 0)
    at = phases.from_ms[running].astype(np.float64)
    elapsed_share = np.where(phases.change[running] == FIRST_PHASE, 1.0, rng.random(running.size) * 0.7)
    while running.size:
        at += rng.gamma(1.5, gap_scale_ms[running]) * elapsed_share
        within = at < phases.to_ms[running]
        running, at, elapsed_share = running[within], at[within], np.ones(np.count_nonzero(within))
        kept = rng.random(running.size) < order_kept(at)
        phase_parts.append(running[kept])
        at_parts.append(at[kept].astype(np.int64))
    phase = np.concatenate(phase_parts)
    customer = phases.customer[phase]
    mean_value = np.array([latent.order_value_minor for latent in LATENT_TYPES])[phases.type[phase]]
    value = np.rint(mean_value * value_of_customer[customer] * rng.gamma(4.0, 0.25, phase.size))
    items = 1 + rng.poisson(1.2, phase.size)
    return purchases(np.concatenate(at_parts), customer, np.maximum(value, 100), items)


def _draw_shopping(rng: np.random.Generator, phases: Phases, orders: Events) -> Events:
    """Draw views in the half hour, a cart in the ten minutes before each order; none before the customer's arrival."""
    arrival_ms = phases.from_ms[phases.change == FIRST_PHASE]
    viewed = np.repeat(np.arange(orders.at_ms.size), 1 + rng.poisson(2.0, orders.at_ms.size))
    order = np.concatenate([viewed, np.arange(orders.at_ms.size)])
    kind = np.where(np.arange(order.size) < viewed.size, VIEW, CART)
    lead_ms = rng.random(order.size) * np.where(kind == VIEW, 30 * MINUTE_MS, 10 * MINUTE_MS)
    customer = orders.customer[order]
    at_ms = np.maximum(orders.at_ms[order] - lead_ms.astype(np.int64), arrival_ms[customer])
    return engagements(at_ms, customer, kind)


def _draw_sessions(rng: np.random.Generator, phases: Phases, customers: int, multiple: float) -> Events:
    """Draw e-mails opened and clicked (35 %) or only opened (15 %), visits with a cart (10 %) or with views (40 %)."""
    rate_of_customer = rng.gamma(5.0, 1 / 5, customers)
    rate = multiple * np.array([latent.sessions_per_day for latent in LATENT_TYPES])[phases.type]
    length_ms = phases.to_ms - phases.from_ms
    sessions = rng.poisson(rate * rate_of_customer[phases.customer] * (length_ms / DAY_MS))
    phase = np.repeat(np.arange(sessions.size), sessions)
    at_ms = phases.from_ms[phase] + (rng.random(phase.size) * length_ms[phase]).astype(np.int64)
    customer = phases.customer[phase]
    pattern = np.searchsorted([0.35, 0.50, 0.60], rng.random(phase.size), side="right")
    parts = []
    for number, steps in enumerate(((EMAIL_OPEN, CLICK), (EMAIL_OPEN,), (LOGIN, VIEW, VIEW, CART), (LOGIN, VIEW))):
        chosen = np.flatnonzero(pattern == number)
        for step, kind in enumerate(steps):
            parts.append(_step(at_ms, customer, chosen, step, kind))
    more_views = np.repeat(chosen, rng.poisson(1.0, chosen.size))
    nth_view = 2 + np.arange(more_views.size) - np.searchsorted(more_views, more_views)
    parts.append(_step(at_ms, customer, more_views, nth_view, VIEW))
    return Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _step(at_ms: Integers, customer: Integers, chosen: Integers, step: int | Integers, kind: int) -> Events:
    """Return one action of the chosen sessions, half a minute after the one before."""
    return engagements(at_ms[chosen] + step * 30 * SECOND_MS, customer[chosen], np.full(chosen.size, kind))


def _draw_refunds(rng: np.random.Generator, orders: Events, refund_rate: float) -> Events:
    refunded = np.flatnonzero(rng.random(orders.at_ms.size) < refund_rate)
    delay_ms = rng.gamma(2.0, REFUND_DELAY_DAYS / 2 * DAY_MS, refunded.size)
    in_full = rng.random(refunded.size) < FULL_REFUND_SHARE
    share = np.where(in_full, 1.0, rng.uniform(0.2, 0.9, refunded.size))
    return Events(
        at_ms=orders.at_ms[refunded] + delay_ms.astype(np.int64),
        customer=orders.customer[refunded],
        kind=np.full(refunded.size, REFUND, np.int8),
        order=orders.order[refunded],
        amount_minor=np.rint(orders.amount_minor[refunded] * share).astype(np.int32),
        items=np.zeros(refunded.size, np.int16),
    )
