"""Populations whose customers are known, as they stand week after week, to learn from in tests."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stream_app.core.clock import DAY_MS, NO_TIME, SECOND_MS
from stream_app.core.columns import CustomerColumns
from stream_app.core.members import MemberSums
from stream_app.core.quantities import (
    ACTIVITY_WINDOW_DAYS,
    ENGAGEMENT_HALF_LIFE_DAYS,
    GAP_MEMORY,
    ORDER_HALF_LIFE_DAYS,
)
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.reference.quantities import last_act_ms
from tests.reference.rosters import lapsed_codes_of
from tests.reference.row import ACTIVITY_DTYPE, NO_ACTIVITY

EPOCH_MS = 1_700_006_400_000
"""Midnight; the first customer comes."""


class Group(NamedTuple):
    """Customers who behave alike.

    Attributes
    ----------
    order_days, visit_days
        Mean time between two orders, and between two visits without one.
    order_value
        Median order in minor units.
    stop_after
        Mean number of orders and visits after which a customer stops for good.
    """

    order_days: float
    visit_days: float
    order_value: float
    stop_after: float = 60.0


SHOP = (
    Group(3.0, 3.0, 4000.0, 400.0),
    Group(9.0, 6.0, 3500.0, 200.0),
    Group(25.0, 12.0, 3000.0, 60.0),
    Group(28.0, 15.0, 15000.0, 60.0),
    Group(70.0, 40.0, 3000.0, 20.0),
    Group(200.0, 3.0, 2500.0, 60.0),
    Group(1000.0, 1000.0, 3000.0, 1.0),
)
"""A shop that has all sorts of customers, most of them of the middle sort."""
EQUALS = (Group(20.0, 1e9, 3000.0, 1e9),)
"""Nobody differs from anybody, nobody ever leaves, and nobody visits without ordering."""


@lru_cache(maxsize=16)
def histories(
    groups: tuple[Group, ...], n_customers: int, days: float, arrival_days: float, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Return the days of each customer's acts, whether they are orders, and their values."""
    rng = np.random.default_rng(seed)
    customers = []
    for first in np.sort(rng.uniform(0, arrival_days, n_customers)).tolist():
        group = groups[rng.integers(len(groups))]
        orders = first + np.append(0.0, rng.exponential(group.order_days, 400).cumsum())
        visits = first + rng.exponential(group.visit_days, 400).cumsum()
        at = np.concatenate((orders, visits))
        is_order = np.arange(len(at)) < len(orders)
        order = np.argsort(at)[: 1 + rng.geometric(1 / group.stop_after)]
        order = order[at[order] < days]
        values = group.order_value * np.exp(rng.normal(0, 0.4, len(at)))
        customers.append((at[order], is_order[order], values[order]))
    return tuple(customers)


def activity_of(at_days: np.ndarray, is_order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the record of one customer after these acts, in order of time."""
    record = NO_ACTIVITY.copy()
    at_ms = EPOCH_MS + np.floor(at_days * DAY_MS).astype(np.int64)
    orders, visits = at_ms[is_order], at_ms[~is_order]
    record["first_at_ms"] = at_ms[0]
    if len(orders):
        weights = np.exp2(-(orders[-1] - orders) / (ORDER_HALF_LIFE_DAYS * DAY_MS))
        record["first_purchased_at_ms"] = orders[0]
        record["purchased_at_ms"] = record["ordered_at_ms"] = orders[-1]
        record["orders_decayed"] = weights.sum()
        record["revenue_decayed"] = (weights * values[is_order]).sum()
        record["revenue_minor"] = int(values[is_order].sum())
        record["log_order_values"] = np.log(values[is_order]).sum()
        record["purchases"] = len(orders)
    if len(visits):
        days = np.unique(visits // DAY_MS)
        record["engaged_at_ms"] = visits[-1]
        record["engaged_days"] = np.exp2(-(days[-1] - days) / ENGAGEMENT_HALF_LIFE_DAYS).sum()
        record["engagements"] = len(visits)
    active = np.unique(at_ms // DAY_MS)
    log_gaps = np.log(np.diff(active[active > active[-1] - ACTIVITY_WINDOW_DAYS]))
    weights = GAP_MEMORY ** np.arange(len(log_gaps))[::-1]
    record["gaps"] = len(log_gaps)
    record["log_gaps"] = (weights * log_gaps).sum()
    record["log_gaps_squared"] = (weights * log_gaps**2).sum()
    return record


@lru_cache(maxsize=512)
def draw_sample(
    tick: int = 20,
    n_customers: int = 400,
    groups: tuple[Group, ...] = SHOP,
    *,
    seed: int = 0,
    arrival_days: float = 100.0,
    names: tuple[str, ...] = ("value",),
) -> PopulationSample:
    """Return all customers of a population as they stand some weeks after its first day, in no segment."""
    days = 7.0 * tick
    known = [
        (at[at < days], is_order[at < days], values[at < days])
        for at, is_order, values in histories(groups, n_customers, 400.0, arrival_days, seed)
        if at[0] < days
    ]
    activity = np.empty(len(known), ACTIVITY_DTYPE)
    for index, acts in enumerate(known):
        activity[index] = activity_of(*acts)
    codes = np.full(len(known), NO_SEGMENT, np.int16)
    return PopulationSample(
        tick=tick,
        as_of_ms=EPOCH_MS + round(days) * DAY_MS,
        customer_ids=np.array([f"c{index}" for index in range(len(known))], object),
        memberships=dict.fromkeys(names, Held(codes, codes, np.full(len(known), NO_TIME), codes)),
        activity=activity,
        population_size=len(known),
        members={name: {} for name in names},
    )


def assigned(sample: PopulationSample, model: Model) -> PopulationSample:
    """Return the sample as it stands once every customer is where a model puts it."""
    held = sample.memberships[model.name]
    nowhere = np.full(len(sample), NO_SEGMENT, np.int16)
    unknown = Held(nowhere, nowhere, held.since_ms, nowhere)
    customers = CustomerColumns(sample.activity, np.full(len(sample), sample.as_of_ms))
    decision = LearnedSegmentation(model).revise(customers, unknown)
    codes = model.roster.codes[decision.target]
    # Who has lapsed has done nothing since; the others are free to go back to where they may have been.
    has_lapsed = np.isin(codes, lapsed_codes_of(model.roster))
    since_ms = np.where(has_lapsed, sample.as_of_ms, sample.as_of_ms - 100 * DAY_MS)
    placed = Held(codes, nowhere, since_ms, codes)
    members = dict.fromkeys(sample.members, members_of(sample.activity, codes))
    return replace(sample, memberships=dict.fromkeys(sample.memberships, placed), members=members)


def members_of(activity: np.ndarray, codes: np.ndarray) -> dict[int, MemberSums]:
    """Return the sums over customers by the segments that they are in."""
    values = np.stack(
        [
            np.ones(len(codes), np.int64),
            activity["purchases"].astype(np.int64),
            activity["revenue_minor"],
            activity["first_at_ms"] // SECOND_MS,
            last_act_ms(activity) // SECOND_MS,
        ]
    )
    return {code: MemberSums(*values[:, codes == code].sum(axis=1).tolist()) for code in np.unique(codes).tolist()}
