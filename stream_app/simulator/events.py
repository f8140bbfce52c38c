"""What every simulated population is made of: phases of lives, and events, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]

CHANGE_KINDS: Final = ("lapse", "up", "down", "winback")

VIEW, CLICK, EMAIL_OPEN, CART, LOGIN, PURCHASE, REFUND = range(7)
"""Kinds of event, `Events.kind`."""

FIRST_PHASE: Final = -1
"""`Phases.change` of a customer's first phase, which no change began."""
NO_ORDER: Final = -1
"""`Events.order` of an engagement."""


class Phases(NamedTuple):
    """Time spent as one latent type, each column of shape `(n_phases,)`, ordered by customer and time.

    Attributes
    ----------
    customer
        Number of the customer, from 0 in order of arrival.
    from_ms, to_ms
        Milliseconds since the start of the simulation, half open. A customer's phases leave no gap.
    type
        Index into the population's types.
    change
        Index into `CHANGE_KINDS` of the change the phase began with, or `FIRST_PHASE`.
    """

    customer: Integers
    from_ms: Integers
    to_ms: Integers
    type: Integers
    change: Integers


class Events(NamedTuple):
    """What happened, each column of shape `(n_events,)`, in order of time.

    Attributes
    ----------
    at_ms
        Milliseconds since the start of the simulation.
    customer
        Number of the customer.
    kind
        One of `VIEW` … `REFUND`.
    order
        Number of the order that was placed or refunded, or `NO_ORDER`.
    amount_minor
        Paid or given back, in minor units; 0 for engagements.
    items
        Pieces ordered; 0 otherwise.
    """

    at_ms: Integers
    customer: Integers
    kind: Integers
    order: Integers
    amount_minor: Integers
    items: Integers


class Draw(NamedTuple):
    """What is to be drawn: the same population and events for the same values.

    Attributes
    ----------
    customers, days
        Size of the population and length of the simulation, each at least 1.
    seed
        At least 0.
    start
        First day, for what happens by the calendar.
    refund_rate
        Probability, in [0, 1], that an order is refunded; does not alter the other events.
    """

    customers: int
    days: int
    seed: int
    start: date
    refund_rate: float

    @property
    def horizon_ms(self) -> int:
        """The end, in milliseconds since the start."""
        return self.days * DAY_MS


def in_order_of_time(parts: Sequence[Events], horizon_ms: int) -> Events:
    """Return all events before the end, in order of time; of those at one instant the earlier part comes first."""
    events = Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    in_time = np.argsort(events.at_ms, kind="stable")
    in_time = in_time[: np.count_nonzero(events.at_ms < horizon_ms)]
    return Events(*(column[in_time] for column in events))


def purchases(at_ms: Integers, customer: Integers, amount_minor: Floats | Integers, items: Integers) -> Events:
    """Return orders, numbered from 0 as they come."""
    return Events(
        at_ms=at_ms,
        customer=customer,
        kind=np.full(at_ms.size, PURCHASE, np.int8),
        order=np.arange(at_ms.size, dtype=np.int32),
        amount_minor=amount_minor.astype(np.int32),
        items=items.astype(np.int16),
    )


def engagements(at_ms: Integers, customer: Integers, kind: Integers) -> Events:
    """Return engagements."""
    return Events(
        at_ms=at_ms,
        customer=customer,
        kind=kind.astype(np.int8),
        order=np.full(at_ms.size, NO_ORDER, np.int32),
        amount_minor=np.zeros(at_ms.size, np.int32),
        items=np.zeros(at_ms.size, np.int16),
    )
