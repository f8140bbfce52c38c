"""The library's answers beside those of the reference, for tests and for longer runs.

`python -m tests.native.asking 100` compares a hundred rounds; each asks about some 150,000 customers.
"""

from __future__ import annotations

import sys
from typing import Final

import numpy as np

from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.native.segmentations import NativeSegmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.native.customers import anywhere, around, as_held, lived, wild
from tests.native.versions import random_model
from tests.reference import learned_decision
from tests.reference.columns import CustomerColumns

LIVES: Final = 2_000
"""Customers whose lives are folded, some ten states each."""
CUSTOMERS: Final = 10_000
"""How many of them, or of wild ones, each version is asked about."""


class Reference:
    """A version as the reference answers for it."""

    def __init__(self, segmentation: LearnedSegmentation) -> None:
        self._model = segmentation.model

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """Answer as `Segmentation.acts`."""
        decision: Decision = learned_decision.acts(self._model, customers, held)
        return decision

    def revise(self, customers: CustomerColumns, held: Held) -> Decision:
        """Answer as `Segmentation.revise`."""
        decision: Decision = learned_decision.revise(self._model, customers, held)
        return decision

    def silence(self, customers: CustomerColumns, held: Held, after_ms: np.ndarray, by_ms: np.ndarray) -> Due:
        """Answer as `Segmentation.silence`."""
        due: Due = learned_decision.silence(self._model, customers, held, after_ms, by_ms)
        return due


def compare(segmentation: LearnedSegmentation, activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ask all questions about customers, around their due dates, and compare the answers.

    Returns how often each target was answered, the last one for nowhere.
    """
    library, reference = NativeSegmentation(segmentation), Reference(segmentation)
    held = anywhere(rng, segmentation.roster, activity)
    places = as_held(held)
    count, targets = len(activity), len(segmentation.roster.codes)
    answered = np.zeros(targets, np.int64)
    with np.errstate(all="ignore"):
        forever = np.full(count, NEVER_MS)
        long_ago = np.full(count, -(2**62))
        due_ms = reference.silence(CustomerColumns(activity, long_ago), places, long_ago, forever).at_ms
        at_ms = around(rng, activity, due_ms)
        for name in ("acts", "revise"):
            expected = getattr(reference, name)(CustomerColumns(activity, at_ms), places)
            target, moves = getattr(library, name)(activity, at_ms, held)
            np.testing.assert_array_equal(target, expected.target, err_msg=name)
            np.testing.assert_array_equal(moves, expected.moves, err_msg=name)
            answered += np.bincount(target % targets, minlength=targets)
        for after_ms in (long_ago, at_ms, due_ms - 1):
            for by_ms in (after_ms, due_ms - 1, due_ms, around(rng, activity, due_ms), forever):
                due = reference.silence(CustomerColumns(activity, at_ms), places, after_ms, by_ms)
                due_at_ms, target = library.silence(activity, held, after_ms, by_ms)
                np.testing.assert_array_equal(due_at_ms, due.at_ms, err_msg="silence")
                np.testing.assert_array_equal(target, due.target, err_msg="silence")
        untrue = learned_decision.untrue(segmentation.model, CustomerColumns(activity, at_ms), places)
        np.testing.assert_array_equal(library.untrue(activity, at_ms, held), untrue)
    return answered


def compare_round(seed: int, versions: int = 16) -> int:
    """Compare a number of versions over lives and wild customers; return how many were asked about."""
    rng = np.random.default_rng(seed)
    lives = lived(rng, LIVES)
    asked = 0
    for number in range(versions):
        customers = wild(rng, lives, CUSTOMERS) if number % 4 == 3 else rng.choice(lives, CUSTOMERS)
        compare(LearnedSegmentation(random_model(rng, extreme=number % 4 == 2)), customers, rng)
        asked += len(customers)
    return asked


if __name__ == "__main__":
    total = 0
    for each in range(int(sys.argv[1])):
        total += compare_round(each)
        print(f"{each + 1} rounds, {total} customers: all answers equal", flush=True)
