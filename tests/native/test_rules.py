"""The kind by rules and ended segmentations in the compiled library, compared with the reference bit by bit."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.segmentation import NEVER_MS
from stream_app.core.segments import NOWHERE, Roster, Segment
from stream_app.native.segmentations import ENDED, RULES, NativeForm, NativeSegmentation
from stream_app.native.structures import HELD_DTYPE
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.rules.native_form import rules_form
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.native.asking import compare
from tests.native.customers import lived, wild
from tests.native.versions import random_rules
from tests.segmentations.examples import BY_RULES, rules

SEEDS = range(4)
CUSTOMERS = 3_000


@pytest.fixture(scope="module")
def lives() -> np.ndarray:
    return lived(np.random.default_rng(9), 1_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_customers_of_rules_move_as_in_the_reference(lives: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    compare(BY_RULES, rng.choice(lives, CUSTOMERS), rng)
    for _ in range(10):
        compare(random_rules(rng), rng.choice(lives, CUSTOMERS), rng)


@pytest.mark.parametrize("seed", SEEDS)
def test_customers_of_nonsense_move_by_rules_as_in_the_reference(lives: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    for _ in range(8):
        compare(random_rules(rng), wild(rng, lives, CUSTOMERS), rng)


def test_conditions_nested_deeply_hold_as_they_are_written(lives: np.ndarray) -> None:
    when: dict[str, Any] = {"figure": "recency_days", "operator": ">", "value": 10}
    for depth in range(40):
        when = {
            "not": {"all" if depth % 2 else "any": [when, {"figure": "purchases", "operator": ">", "value": depth}]}
        }
    rng = np.random.default_rng(3)
    compare(RulesSegmentation(rules(segments=[{"id": "a", "name": "A", "when": when}])), rng.choice(lives, 500), rng)


def test_everybody_leaves_an_ended_segmentation(lives: np.ndarray) -> None:
    library = NativeSegmentation(EndedSegmentation("service", BY_RULES))
    held = np.zeros(3, HELD_DTYPE)
    held["segment"] = [0, BY_RULES.roster.segments[0].code, 31_000]
    at_ms = np.full(3, 700 * DAY_MS)
    for question in (library.acts, library.revise):
        target, moves = question(lives[:3], at_ms, held)
        assert (target.tolist(), moves.tolist()) == ([NOWHERE] * 3, [False, True, True])
    due_ms, target = library.silence(lives[:3], held, at_ms, np.full(3, NEVER_MS))
    assert (due_ms.tolist(), target.tolist()) == ([NEVER_MS] * 3, [NOWHERE] * 3)


def test_names_of_rules_say_nothing_that_could_be_untrue(lives: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a learned one"):
        NativeSegmentation(BY_RULES).untrue(lives[:1], np.zeros(1, np.int64), np.zeros(1, HELD_DTYPE))


# --- what is refused -------------------------------------------------------------------------------------------------


class OfForm:
    """A version by rules of a form that nobody writes."""

    version, revised_by, weighs_sessions = 1, 5, True

    def __init__(self, own: bytes, kind: int = RULES, codes: tuple[int, ...] = (11, 12, 13)) -> None:
        self.roster = Roster(tuple(Segment(code, f"S{number}") for number, code in enumerate(codes)))
        self._form = NativeForm(kind, own)

    def native_form(self) -> NativeForm:
        return self._form


def form(
    comparisons: list[tuple[int, int, float]], steps: list[tuple[int, int, int]], header: tuple[int, ...] | None = None
) -> bytes:
    return b"".join(
        [
            struct.pack("<4i", *(header or (1, len(comparisons), len(steps), 0))),
            *(struct.pack("<iid", *each) for each in comparisons),
            *(struct.pack("<iii", *each) for each in steps),
        ]
    )


RECENT = (0, 0, 30.0)


@pytest.mark.parametrize(
    "own",
    [
        form([RECENT], [(0, -1, -2)]),
        form([RECENT], [(0, 1, -2), (0, -3, -1)]),
        form([RECENT, (8, 3, 0.0)], [(0, 1, 1), (1, -3, -1)]),
    ],
)
def test_ways_that_lead_onwards_to_known_segments_are_taken(own: bytes) -> None:
    assert NativeSegmentation(OfForm(own)).handle


@pytest.mark.parametrize(
    "own",
    [
        b"",
        form([RECENT], [(0, -1, -2)])[:-1],
        form([RECENT], [(0, -1, -2)]) + b"\0",
        form([RECENT], [(0, -1, -2)], (2, 1, 1, 0)),
        form([RECENT], [(0, -1, -2)], (1, 1, 1, 7)),
        form([RECENT], [(0, -1, -2)], (1, -1, 1, 0)),
        form([RECENT], [(0, -1, -2)], (1, 1, 2**31 - 1, 0)),
        form([], [(0, -1, -2)]),
        form([RECENT], []),
        form([(9, 0, 1.0)], [(0, -1, -2)]),
        form([(-1, 0, 1.0)], [(0, -1, -2)]),
        form([(0, 4, 1.0)], [(0, -1, -2)]),
        form([(0, -1, 1.0)], [(0, -1, -2)]),
        form([(0, 0, float("nan"))], [(0, -1, -2)]),
        form([(0, 0, float("inf"))], [(0, -1, -2)]),
        form([RECENT], [(1, -1, -2)]),
        form([RECENT], [(-1, -1, -2)]),
        form([RECENT], [(0, -1, -4)]),
        form([RECENT], [(0, -(2**31), -1)]),
        form([RECENT], [(0, 0, -1)]),
        form([RECENT], [(0, 1, -1)]),
        form([RECENT], [(0, 1, -1), (0, 0, -1)]),
        form([(0, 0, float(value)) for value in range(2_049)], [(0, -1, -2)]),
    ],
)
def test_damaged_form_is_refused(own: bytes) -> None:
    with pytest.raises(ValueError, match=f"3 segments and a form of {len(own)} bytes of kind 1"):
        NativeSegmentation(OfForm(own))


@pytest.mark.parametrize("codes", [(11, 11), (0, 11), (-3, 11), tuple(range(1, 130))])
def test_codes_that_cannot_be_are_refused(codes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{len(codes)} segments"):
        NativeSegmentation(OfForm(form([RECENT], [(0, -1, -2)]), codes=codes))


def test_ended_segmentation_that_has_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="of kind 2"):
        NativeSegmentation(OfForm(b"", kind=ENDED))


def test_comparisons_that_stand_twice_are_kept_once() -> None:
    twice = [{"figure": "refunds", "operator": ">", "value": 0}] * 3
    segments = [{"id": "a", "name": "A", "when": {"any": twice}}, {"id": "b", "name": "B", "when": {"all": twice}}]
    _, comparisons, steps, _ = struct.unpack_from("<4i", rules_form(rules(segments=segments)).own)
    assert (comparisons, steps) == (1, 6)
