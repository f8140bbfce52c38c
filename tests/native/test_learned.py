"""The learned kind in the compiled library, compared with the reference bit by bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import Quantities
from stream_app.native import formulas
from stream_app.native.formulas import quantities_of
from stream_app.native.segmentations import LEARNED, NativeForm, NativeSegmentation
from stream_app.native.structures import ACTIVITY_DTYPE, HELD_DTYPE
from stream_app.segmentations.learned.axes import value_axes
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.native_form import learned_form
from stream_app.segmentations.learned.rhythm import rhythm_of
from stream_app.segmentations.learned.roles import ROLES
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.native.asking import compare
from tests.native.customers import around, lived, simulated, wild
from tests.native.versions import random_model
from tests.reference import axes, learned_decision, quantities, rhythm, statements
from tests.support.models import learned_model, prior_model

SEEDS = range(4)
CUSTOMERS = 6_000


@pytest.fixture(scope="module")
def lives() -> np.ndarray:
    return lived(np.random.default_rng(7), 1_500)


@pytest.fixture(scope="module")
def customers(lives: np.ndarray) -> np.ndarray:
    """As histories make them, and wild ones."""
    return np.concatenate((lives, wild(np.random.default_rng(8), lives, len(lives))))


def in_no_segment(count: int) -> np.ndarray:
    return np.zeros(count, HELD_DTYPE)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare all bits, but for those that tell one NaN from another, or −0 from 0."""
    np.testing.assert_array_equal(found, expected, strict=True)


# --- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_customers_of_usual_models_move_as_in_the_reference(lives: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    answered = np.zeros(13, np.int64)
    for _ in range(6):
        model = random_model(rng, extreme=False)
        answered += compare(LearnedSegmentation(model), rng.choice(lives, CUSTOMERS), rng)
    assert (answered[:-1] > 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_customers_of_extreme_models_move_as_in_the_reference(lives: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    with np.errstate(over="ignore"):
        for _ in range(4):
            model = random_model(rng, extreme=True)
            compare(LearnedSegmentation(model), rng.choice(lives, CUSTOMERS), rng)


@pytest.mark.parametrize("population", ["shop", "no-engagement", "subscribers"])
def test_customers_of_simulated_populations_move_as_in_the_reference(population: str) -> None:
    rng = np.random.default_rng(300)
    states = simulated(population, 60, 300)
    for _ in range(4):
        model = random_model(rng, extreme=False)
        compare(LearnedSegmentation(model), rng.choice(states, CUSTOMERS), rng)


@pytest.mark.parametrize("extreme", [False, True])
def test_customers_of_nonsense_move_as_in_the_reference(lives: np.ndarray, extreme: bool) -> None:
    rng = np.random.default_rng(200 + extreme)
    with np.errstate(over="ignore"):
        for _ in range(6):
            model = random_model(rng, extreme=extreme)
            compare(LearnedSegmentation(model), wild(rng, lives, CUSTOMERS), rng)


@pytest.mark.parametrize("model", [prior_model(), learned_model()], ids=["prior", "learned"])
def test_answer_about_one_customer_is_the_one_among_many(lives: np.ndarray, model: Model) -> None:
    library = NativeSegmentation(LearnedSegmentation(model))
    customers = lives[:200]
    at_ms = customers["first_at_ms"] + 20 * DAY_MS
    held = in_no_segment(len(customers))
    target, moves = library.acts(customers, at_ms, held)
    assert moves.all()
    for row in range(len(customers)):
        one = slice(row, row + 1)
        assert library.acts(customers[one], at_ms[one], held[one])[0] == target[one]


# --- the same formulas, of many customers ----------------------------------------------------------------------------


def test_quantities_are_those_of_the_reference(customers: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        at_ms = around(np.random.default_rng(1), customers, customers["first_at_ms"])
        expected = quantities.quantities_at(customers, at_ms)
    found = quantities_of(customers, at_ms)
    for name in Quantities._fields:
        assert_same(found[name], getattr(expected, name))
    zero = np.zeros(len(customers), np.int64)
    assert quantities_of(customers, 0).tobytes() == quantities_of(customers, zero).tobytes()


def test_quantities_ask_for_records_of_activity() -> None:
    with pytest.raises(ValueError, match="activity: float64, expected"):
        quantities_of(np.zeros(3), 0)


@pytest.mark.parametrize("order_value_minor", [None, 4_200.0])
def test_axes_statements_and_distances_are_those_of_the_reference(
    customers: np.ndarray, order_value_minor: float | None
) -> None:
    model = learned_model()
    frame = dataclasses.replace(model.frame, order_value_minor=order_value_minor)
    records = quantities_of(customers, customers["first_at_ms"] + 50 * DAY_MS)
    found = value_axes(_quantities(records), order_value_minor)
    with np.errstate(all="ignore"):
        assert_same(found, axes.value_axes(_quantities(records), order_value_minor))
        assert_same(model.statements.hold(found), statements.hold(model.statements, found))
        distances = frame.squared_distances(found)
        assert_same(distances, learned_decision.squared_distances(frame, found))


@pytest.mark.parametrize("seed", SEEDS)
def test_rhythms_are_those_of_the_reference(customers: np.ndarray, seed: int) -> None:
    model = random_model(np.random.default_rng(seed), extreme=seed % 2 == 1)
    records = quantities_of(customers, customers["first_at_ms"] + 50 * DAY_MS)
    own = rhythm_of(_quantities(records), model.frame.rhythm)
    silence = records["recency_days"]
    with np.errstate(all="ignore"):
        expected = rhythm.rhythm_of(_quantities(records), model.frame.rhythm)
        for name in rhythm.OwnRhythm._fields:
            assert_same(getattr(own, name), getattr(expected, name))
        assert_same(own.usual_gap_days, expected.usual_gap_days)
        assert_same(own.survival(silence), expected.survival(silence))
        assert_same(own.probability_active(silence), expected.probability_active(silence))
        assert_same(own.silence_days(0.3), expected.silence_days(0.3))
        silences = model.thresholds.telling_silences(own)
        for name, days in learned_decision.telling_silences(expected, model.thresholds)._asdict().items():
            assert_same(getattr(silences, name), days)


def _quantities(records: np.ndarray) -> Quantities:
    return Quantities(*(records[name] for name in Quantities._fields))


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda: formulas.hold(np.zeros((2, 3)), np.zeros((3, ROLES))), "array: float64"),
        (lambda: formulas.survival([np.zeros(2)] * 4, np.zeros(3)), "could not be broadcast|shape"),
        (lambda: formulas.distances(np.zeros((2, 3)), np.ones(2), np.zeros((ROLES, 3))), r"shape \(2,\)"),
    ],
)
def test_formulas_refuse_arrays_of_other_shapes(ask: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ask()


# --- what is refused -------------------------------------------------------------------------------------------------


class OfForm:
    """A learned version of another form, or with other segments."""

    def __init__(self, own: bytes, roster: Any = None, kind: int = LEARNED) -> None:
        usual = LearnedSegmentation(prior_model())
        self.version, self.revised_by, self.weighs_sessions = usual.version, usual.revised_by, usual.weighs_sessions
        self.roster = roster or usual.roster
        self._form = NativeForm(kind, own)

    def native_form(self) -> NativeForm:
        return self._form


def test_model_of_another_size_is_refused() -> None:
    own = learned_form(prior_model()).own
    assert NativeSegmentation(OfForm(own)).handle
    for damaged in (b"", own[:-1], own + b"\0"):
        with pytest.raises(ValueError, match=f"12 segments and a form of {len(damaged)} bytes"):
            NativeSegmentation(OfForm(damaged))


def test_model_that_admits_to_unknown_roles_is_refused() -> None:
    own = learned_form(prior_model()).own
    for admits in (1 << ROLES, -1):
        with pytest.raises(ValueError, match="expected what the compiled library can evaluate"):
            NativeSegmentation(OfForm(own[:-4] + admits.to_bytes(4, "little", signed=True)))


def test_version_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="of kind 3"):
        NativeSegmentation(OfForm(learned_form(prior_model()).own, kind=3))


@pytest.mark.parametrize(
    ("activity", "at_ms", "held"),
    [
        (np.zeros(2, ACTIVITY_DTYPE), np.zeros(3, np.int64), np.zeros(2, HELD_DTYPE)),
        (np.zeros(2, ACTIVITY_DTYPE), np.zeros(2, np.int64), np.zeros(1, HELD_DTYPE)),
        (np.zeros(2, ACTIVITY_DTYPE), np.zeros(2), np.zeros(2, HELD_DTYPE)),
        (np.zeros(2, HELD_DTYPE), np.zeros(2, np.int64), np.zeros(2, HELD_DTYPE)),
    ],
)
def test_questions_refuse_arrays_that_do_not_fit(activity: np.ndarray, at_ms: np.ndarray, held: np.ndarray) -> None:
    library = NativeSegmentation(LearnedSegmentation(prior_model()))
    for question in (library.acts, library.revise, library.untrue):
        with pytest.raises(ValueError, match="array: "):
            question(activity, at_ms, held)
