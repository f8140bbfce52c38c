"""Customers to ask about: as histories make them, wild ones as no history does, and where they may be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np

from stream_app.core.clock import DAY_MS, MINUTE_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.core.segmentation import NEVER_MS, Held
from stream_app.core.segments import NO_SEGMENT, Roster
from stream_app.native.structures import HELD_DTYPE
from stream_app.simulator import events as simulator
from stream_app.simulator.events import Draw
from stream_app.simulator.populations import POPULATIONS
from tests.reference.folding import fold_customers
from tests.reference.row import ACTIVITY, ACTIVITY_DTYPE, NO_HISTORY, Row
from tests.support.events import START_MS

_PAUSES: Final = np.array(
    [MINUTE_MS, DAY_MS // 2, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 20 * DAY_MS, 45 * DAY_MS, 130 * DAY_MS]
)
_AMOUNTS: Final = np.array([0, 1, 900, 5_000, 40_000, 1_000_000])
_WILD_FLOATS: Final = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, -0.4, 1e-320, 1e-9, 0.5, 1.0, 3.0, 90.0, 1e9, -1e9, 1e160, 1e300, -1e300]
)
_WILD_INSTANTS: Final = np.array(
    [NO_TIME, NO_TIME + 1, NO_TIME - 1, -(2**63), 2**63 - 1, NEVER_MS, NEVER_MS - 1, 0, -1, START_MS, START_MS - DAY_MS]
)
_WILD_COUNTS: Final = np.array([0, 1, 2, 3, -1, -7, 365, 366, 367, 1000, -(2**31), 2**31 - 1])


def lived(rng: np.random.Generator, customers: int) -> np.ndarray:
    """Return the states after each event of customers' lives: `ACTIVITY_DTYPE`, about ten a customer.

    Some come daily, some buy cheaply at times and dearly at others, and some return what they bought; some is heard of
    late.
    """
    return _states([_life(rng, number) for number in range(customers)])


def simulated(population: str, customers: int, days: int, seed: int = 1) -> np.ndarray:
    """Return the states after each event of a simulated population: `ACTIVITY_DTYPE`."""
    drawn = POPULATIONS[population]
    draw = Draw(customers, days, seed, date(2024, 1, 1), drawn.refund_rate or 0.0)
    lives: dict[int, list[Event]] = {}
    columns = drawn.draw(draw)[1]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for index, (at_ms, customer, kind, order, amount_minor, _) in enumerate(rows):
        life = lives.setdefault(customer, [])
        if kind not in (simulator.PURCHASE, simulator.REFUND):
            life.append(Event(ENGAGEMENT, f"c{customer}", f"{index}", START_MS + at_ms, "product_viewed"))
            continue
        own = PURCHASE if kind == simulator.PURCHASE else REFUND
        life.append(Event(own, f"c{customer}", f"{index}", START_MS + at_ms, "order", amount_minor, f"o{order}"))
    return _states(list(lives.values()))


def _states(lives: Sequence[Sequence[Event]]) -> np.ndarray:
    """Return the states after each event of some lives, one after the other."""
    count, customers = sum(len(life) for life in lives), len(lives)
    states = bytearray(count * ACTIVITY.size)
    new = bytearray(ACTIVITY.size)
    Row().pack_activity_into(new, 0)
    fold_customers(new * customers, [NO_HISTORY] * customers, lives, states, 0)
    return np.frombuffer(states, ACTIVITY_DTYPE)


def _life(rng: np.random.Generator, number: int) -> list[Event]:
    usual, weight = rng.choice(_PAUSES), rng.choice([0.0, 0.1, 0.5, 1.0])
    events: list[Event] = []
    at_ms = START_MS + int(rng.integers(60 * DAY_MS))
    for index in range(int(rng.integers(1, 20))):
        at_ms += int(usual if rng.random() < 0.7 else rng.choice(_PAUSES)) + int(rng.integers(MINUTE_MS))
        event_ms = max(START_MS, at_ms - 90 * DAY_MS) if rng.random() < 0.05 else at_ms
        if rng.random() >= weight:
            events.append(Event(ENGAGEMENT, f"c{number}", f"{index}", event_ms, "product_viewed"))
            continue
        kind = REFUND if rng.random() < 0.15 else PURCHASE
        order_id = f"o{rng.integers(5)}" if rng.random() < 0.3 else f"p{index}"
        amount_minor = int(rng.choice(_AMOUNTS))
        events.append(Event(kind, f"c{number}", f"{index}", event_ms, "order", amount_minor, order_id))
    return events


def wild(rng: np.random.Generator, lives: np.ndarray, count: int) -> np.ndarray:
    """Return customers of whom some numbers are nonsense, as no event makes them."""
    activity = rng.choice(lives, count)
    for name in activity.dtype.names or ():
        wild_numbers = {"i": _WILD_INSTANTS, "f": _WILD_FLOATS}[activity.dtype[name].kind]
        if activity.dtype[name].itemsize == 4:
            wild_numbers = _WILD_COUNTS
        chosen = rng.random(count) < rng.choice([0.02, 0.1, 0.5])
        activity[name][chosen] = rng.choice(wild_numbers, np.count_nonzero(chosen))
    return activity


def anywhere(rng: np.random.Generator, roster: Roster, activity: np.ndarray) -> np.ndarray:
    """Return a place for each customer: in every segment, in none, in retired ones, and in some that nobody knows."""
    count = len(activity)
    known = np.array([*roster.by_code], np.int16)
    held = np.zeros(count, HELD_DTYPE)
    for name in ("segment", "previous", "kept"):
        codes = rng.choice(known, count)
        codes[rng.random(count) < 0.1] = NO_SEGMENT
        strange = rng.random(count) < 0.02
        codes[strange] = rng.choice(np.array([7, 99, 32_767, -1, -32_768], np.int16), np.count_nonzero(strange))
        held[name] = codes
    named = np.array(["purchased_at_ms", "engaged_at_ms", "ordered_at_ms", "first_at_ms"])[rng.integers(4, size=count)]
    held["since_ms"] = np.choose(
        rng.integers(3, size=count),
        [
            np.array([record[name] for record, name in zip(activity, named.tolist(), strict=True)], np.int64),
            START_MS + rng.integers(700 * DAY_MS, size=count),
            rng.choice(_WILD_INSTANTS, count),
        ],
    )
    return held


def as_held(held: np.ndarray) -> Held:
    """Return places as the reference takes them."""
    return Held(held["segment"], held["previous"], held["since_ms"], held["kept"])


def around(rng: np.random.Generator, activity: np.ndarray, due_ms: np.ndarray) -> np.ndarray:
    """Return an instant for each customer: before its last event, at it, after it, around what is due, and never."""
    count = len(activity)
    last_ms = np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"])
    return np.choose(
        rng.integers(8, size=count),
        [
            last_ms,
            last_ms + rng.integers(-40 * DAY_MS, DAY_MS, size=count),
            last_ms + rng.integers(400 * DAY_MS, size=count),
            activity["first_at_ms"] + rng.integers(60 * DAY_MS, size=count),
            due_ms - 1,
            due_ms,
            due_ms + rng.integers(3 * DAY_MS, size=count),
            rng.choice(np.append(_WILD_INSTANTS, [NEVER_MS]), count),
        ],
    )
