"""Drawing the sample that the trainer learns from: the customers with the smallest hashes.

Every customer has a hash at every tick. The sample is the customers with the smallest ones, in that order (a *bottom-k
sketch*, Cohen and Kaplan, PODC 2007). The k smallest of a population are among the k smallest of each of its parts, so
the sample and its order are the same however customers are spread over partitions, and those who are in it are drawn
uniformly and without replacement.

A partition cannot know which of its customers are among the k smallest of all. It learns how many customers there were
at the tick before (`share_of`): of those, 2 k are below a *share* of all hashes, and those who are not below it are
drawn nowhere. So a partition sends twice its part of k, if as many as before are there, and never more than k; and what
is drawn depends on the share, but not on how customers are spread. That fewer than k are below it, of a population that
had more, is beyond chance (44 standard deviations for k = 2,000); the sample is smaller then, however they are spread.

The hash is that of the customer's id, xxh3, computed once, and mixed with the tick by the finaliser of splitmix64
(Steele, Lea and Flood, OOPSLA 2014): a million customers take 0.07 s at a tick. By the hash of the id alone the same
customers would be drawn at every tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Indices
from stream_app.core.clock import NO_TIME
from stream_app.core.partition import Partition
from stream_app.core.segmentation import NEVER_MS, Held
from stream_app.core.trust import ANEW_MS, GAP_MS
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

Hashes = npt.NDArray[np.uint64]

_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


SHARE_SLACK: Final = 2
"""Of how many times as many customers as are wanted a sample is drawn."""


def hash_customers(customer_ids: Sequence[str]) -> Hashes:
    """Return the hash of each id, as tables have it."""
    return np.array([xxh3_64_intdigest(customer_id.encode()) for customer_id in customer_ids], np.uint64)


def share_of(size: int, population_size: int) -> float:
    """Return the share of all hashes that customers are drawn from at the next tick, in (0, 1].

    Parameters
    ----------
    size
        How many are wanted.
    population_size
        How many customers there are by now; hardly ever fewer at the next tick.
    """
    return min(1.0, SHARE_SLACK * size / population_size) if population_size else 1.0


def choose(
    hashes: Hashes,
    customer_ids: Sequence[str],
    size: int,
    tick: int,
    seed: int,
    share: float = 1.0,
    among: Indices | None = None,
) -> Indices:
    """Return the indices of those who are in a tick's sample, in its order: by hash, and by id where hashes are equal.

    Parameters
    ----------
    hashes, customer_ids
        Of n customers, see `hash_customers`.
    size
        How many to choose; all customers if there are fewer.
    tick, seed
        With the ids and the share they decide who is chosen, and nothing else does.
    share
        Only customers whose hash is below this part of all hashes.
    among
        Indices of those who may be chosen; all if None.
    """
    mixed = _mix(hashes ^ np.uint64(xxh3_64_intdigest(f"{seed}:{tick}".encode())))
    candidates = np.arange(len(mixed)) if among is None else among
    if share < 1:
        candidates = candidates[mixed[candidates] < np.uint64(int(share * 2.0**64))]
    if size < len(candidates):
        considered = mixed[candidates]
        candidates = candidates[considered <= np.partition(considered, size)[size]]
    ordered = candidates[np.argsort(mixed[candidates])]
    if np.any(mixed[ordered[1:]] == mixed[ordered[:-1]]):
        ordered = np.array(sorted(ordered.tolist(), key=lambda index: (mixed[index], customer_ids[index])), np.intp)
    return ordered[:size]


def _mix(hashes: Hashes) -> Hashes:
    """Return one value for each, a bijection in which every bit depends on every bit."""
    mixed = hashes
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return mixed ^ (mixed >> _SHIFTS[-1])


class SampleDrawer:
    """Draws samples of one partition, again and again: of customers who have done something.

    Parameters
    ----------
    partition
        Whose customers; its table may grow, and no row may be removed from now on.
    size
        How many to draw; all customers if there are fewer.
    seed
        ≥ 0.
    """

    def __init__(self, partition: Partition, size: int, seed: int) -> None:
        self._partition = partition
        self._size = size
        self._seed = seed
        self._hashes = np.empty(0, np.uint64)

    def draw(self, tick: int, as_of_ms: int, share: float = 1.0) -> PopulationSample:
        """Draw customers uniformly, as they are at an instant.

        Parameters
        ----------
        tick
            Number of the draw: it decides who is drawn, so that a repeated draw is the same.
        as_of_ms
            The instant.
        share
            See `choose`.
        """
        partition, table = self._partition, self._partition.table
        learned = [
            (table.names.index(segmentation.name), segmentation.name)
            for segmentation in partition.segmentations
            if isinstance(segmentation, LearnedSegmentation)
        ]
        self._hashes = np.concatenate((self._hashes, table.customer_ids.hashes(len(self._hashes))))
        acting = self._acting(as_of_ms)
        numbers = choose(self._hashes, table.customer_ids, self._size, tick, self._seed, share, acting)
        return PopulationSample(
            tick=tick,
            as_of_ms=as_of_ms,
            customer_ids=np.array(table.customer_ids.of(numbers), object),
            memberships={name: Held.of(table.memberships[index].take(numbers)) for index, name in learned},
            activity=table.activity.take(numbers),
            population_size=len(acting),
            members={name: table.members(index) for index, name in learned},
            share=share,
        )

    def _acting(self, as_of_ms: int) -> Indices:
        """Return the rows of those who have done something, at a time that can be believed.

        Of others, only profiles are known. A wrong date is its own customer's matter: a customer who has acted long
        after the instant, or last a year before time began, says nothing about the population as it stands.
        """
        activity, trust = self._partition.table.activity, self._partition.trust
        acted_at_ms = np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"])
        is_there = (activity["first_at_ms"] < NEVER_MS) & (acted_at_ms <= as_of_ms + GAP_MS)
        if trust.begun_ms != NO_TIME:
            is_there &= acted_at_ms >= trust.begun_ms - ANEW_MS
        return np.flatnonzero(is_there)
