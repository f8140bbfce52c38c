"""The populations that can be simulated, by name, each with what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from stream_app.simulator.events import Draw, Events, Phases
from stream_app.simulator.rhythms import PLANS, draw_identical, draw_one_off, draw_plans, draw_subscribers
from stream_app.simulator.shop import LATENT_TYPES, Shop, draw_shop

REFUND_RATE: Final = 0.03
LITTLE_ENGAGEMENT: Final = 0.2
"""Multiple of the sessions of a shop that hears little of its customers between their orders."""
SLOW, FAST = 0.5, 2.0
"""Multiples of the orders of a shop that sells what is rarely, or often, needed."""


@dataclass(frozen=True)
class Population:
    """A kind of population.

    Parameters
    ----------
    truth
        What a segmentation should find, in a sentence.
    draw
        Draws it.
    types
        Names of what a customer can be at a time, by `Phases.type`.
    customers, days
        Its size and length where none are asked for.
    refund_rate
        Share of the orders that are refunded where none is asked for; None where nothing is ever given back.
    """

    truth: str
    draw: Callable[[Draw], tuple[Phases, Events]]
    types: tuple[str, ...]
    customers: int
    days: int
    refund_rate: float | None = None


def _shop(truth: str, shop: Shop) -> Population:
    types = tuple(latent.name for latent in LATENT_TYPES)
    return Population(truth, partial(draw_shop, shop), types, 6_000, 540, REFUND_RATE)


POPULATIONS: Final[Mapping[str, Population]] = MappingProxyType(
    {
        "shop": _shop("Seven latent types; every change of type is known.", Shop()),
        "little-engagement": _shop(
            "The shop with a fifth of its visits and e-mails.", Shop(sessions=LITTLE_ENGAGEMENT)
        ),
        "no-engagement": _shop("The shop without them: views and carts come with orders alone.", Shop(sessions=0.0)),
        "slow": _shop("The shop with half the orders.", Shop(orders=SLOW)),
        "fast": _shop("The shop with twice the orders.", Shop(orders=FAST)),
        "subscribers": Population(
            "Nobody changes or is ever at risk; all are alike.", draw_subscribers, ("subscriber",), 500, 365
        ),
        "plans": Population(
            "Nobody is at risk but those who cancelled.",
            draw_plans,
            (*(name for name, _ in PLANS), "cancelled"),
            700,
            365,
        ),
        "one-off": Population("Nobody ever comes back.", draw_one_off, ("one-off",), 600, 365),
        "identical": Population(
            "Nobody changes, and what differs is chance alone.", draw_identical, ("identical",), 2_000, 365
        ),
    }
)
