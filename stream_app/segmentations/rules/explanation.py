"""How the conditions of rules are phrased when a move is explained; see `native/outputs_rules.c`.

A condition is given with its value and what that counts: `4 orders, was 3: 4 or more order_completed in the last 30
days`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from stream_app.segmentations.rules.leaves import Leaf
from stream_app.segmentations.rules.phrases import counted_of, phrase_of

RULED_KINDS: Final = frozenset({"rules", "audience"})
"""Kinds of segmentations that move customers by conditions."""


class Conditioned(Protocol):
    """What is asked of a segmentation by rules."""

    @property
    def conditions(self) -> Sequence[Leaf]:
        """Its conditions, by the numbers that facts have of them."""
        ...


class Phrase(NamedTuple):
    """A condition in words.

    Attributes
    ----------
    counted
        What its value counts, in the plural: `orders`; empty where it has no unit.
    text
        What is true while it holds: `4 or more order_completed in the last 30 days`.
    """

    counted: str
    text: str


def phrases_of(segmentation: Conditioned, currency: str) -> tuple[Phrase, ...]:
    """Return the conditions of a segmentation in words; `currency` is the base currency."""
    return tuple(Phrase(counted_of(leaf, currency), phrase_of(leaf, currency)) for leaf in segmentation.conditions)
