from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT, Segment
from stream_app.segmentations.learned.decision import PROBES, decide, first_instant, margin
from stream_app.segmentations.learned.model import Model
from tests.support.events import START_MS
from tests.support.models import snapshot_of

BORDER = np.array([[0.0, 0, 0, 0], [4.0, 0, 0, 0]])
"""Two centroids, segments 1 and 2, with the border at x = 2."""


def at(*positions: float) -> np.ndarray:
    """Return features of customers on the line through both centroids."""
    return np.array([[x, 0.0, 0.0, 0.0] for x in positions])


def decide_one(snapshot: Model, x: float, current: int, previous: int = NO_SEGMENT, for_days: float = 365) -> int:
    """Return the code of the segment that a customer is in afterwards."""
    target, moves = decide(
        snapshot,
        snapshot.score(at(x)),
        Held(
            np.array([current], np.int16),
            np.array([previous], np.int16),
            np.array([START_MS - round(for_days * DAY_MS)]),
        ),
        np.array([START_MS]),
    )
    return int(snapshot.roster.codes[:-1][target.item()]) if moves.item() else current


def decide_by_loop(
    snapshot: Model, features: np.ndarray, current: int, previous: int, since_ms: int, at_ms: int
) -> tuple[int, bool]:
    """Return target and move of one customer by the module's rule, written out with distances."""
    z = snapshot.standardise(features)
    centroids = snapshot.standardise(snapshot.centroids)
    squared = [float(((z - centroid) ** 2).sum()) for centroid in centroids]
    target = squared.index(min(squared))
    codes = [segment.code for segment in snapshot.segments]
    if current not in codes:
        return target, True
    index = codes.index(current)
    if index == target:
        return target, False
    if codes[target] == previous and at_ms - since_ms < snapshot.no_return_days * DAY_MS:
        return target, False
    apart = float(((centroids[index] - centroids[target]) ** 2).sum()) ** 0.5
    return target, (squared[index] - squared[target]) / (2 * apart) > snapshot.hysteresis


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=150)
def test_deciding_many_at_once_agrees_with_one_at_a_time(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    snapshot = snapshot_of(
        rng.normal(size=(k, 4)) * 2,
        mean=rng.normal(size=4),
        scale=rng.uniform(0.5, 2, 4),
        segments=tuple(Segment(code, f"n{code}") for code in rng.permutation(np.arange(1, 9))[:k].tolist()),
        hysteresis=float(rng.choice([0.0, 0.2, 0.5, 1.0])),
    )
    n = 20
    features = rng.normal(size=(n, 4)) * 2
    current, previous = (rng.integers(0, 10, n).astype(np.int16) for _ in range(2))
    since_ms = START_MS - rng.integers(0, 60, n) * DAY_MS
    instants = START_MS + rng.integers(0, 60, n) * DAY_MS
    target, moves = decide(snapshot, snapshot.score(features), Held(current, previous, since_ms), instants)
    assert list(zip(target.tolist(), moves.tolist(), strict=True)) == [
        decide_by_loop(
            snapshot,
            features[i],
            int(current[i]),
            int(previous[i]),
            int(since_ms[i]),
            int(instants[i]),
        )
        for i in range(n)
    ]


@given(st.floats(0, 1.9))
def test_hysteresis_is_the_distance_past_the_border_at_which_one_moves(hysteresis: float) -> None:
    snapshot = snapshot_of(BORDER, hysteresis=hysteresis)
    assert decide_one(snapshot, 2 + hysteresis - 1e-6, 1) == 1
    assert decide_one(snapshot, 2 + hysteresis + 1e-6, 1) == 2
    assert decide_one(snapshot, 2 - hysteresis + 1e-6, 2) == 2
    assert decide_one(snapshot, 2 - hysteresis - 1e-6, 2) == 1


def test_hysteresis_means_the_same_distance_between_close_and_far_segments() -> None:
    for apart in (1.5, 40.0):
        snapshot = snapshot_of(np.array([[0.0, 0, 0, 0], [apart, 0, 0, 0]]))
        assert decide_one(snapshot, apart / 2 + 0.49, 1) == 1
        assert decide_one(snapshot, apart / 2 + 0.51, 1) == 2


def test_drifting_away_from_everything_does_not_keep_a_customer() -> None:
    assert decide_one(snapshot_of(BORDER), 1_000.0, 1) == 2


def test_nobody_returns_before_the_time_is_up() -> None:
    snapshot = snapshot_of(BORDER, no_return_days=30.0)
    millisecond = 1 / DAY_MS
    assert decide_one(snapshot, 4.0, 1, previous=2, for_days=30 - millisecond) == 1
    assert decide_one(snapshot, 4.0, 1, previous=2, for_days=30) == 2
    assert decide_one(snapshot, 4.0, 1, previous=3, for_days=0) == 2


@pytest.mark.parametrize("unknown", [NO_SEGMENT, 9])
def test_customer_without_a_segment_of_this_model_always_moves(unknown: int) -> None:
    snapshot = snapshot_of(BORDER, hysteresis=50.0)
    assert decide_one(snapshot, 1.9, unknown) == 1
    assert decide_one(snapshot, 2.1, unknown, previous=2, for_days=0) == 2


def test_margin_is_the_signed_distance_past_the_border() -> None:
    snapshot = snapshot_of(BORDER)
    scores = snapshot.score(at(3.25, 1.5, 2.0, 3.0))
    found = margin(snapshot, scores, np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]))
    assert found.tolist() == pytest.approx([1.25, -0.5, 0, 0])


# --- dating ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(-(10**4), 10**4), st.integers(0, 3_000), st.floats(0, 1)), min_size=1, max_size=6)
)
@settings(max_examples=150)
def test_first_instant_agrees_with_trying_every_millisecond(conditions: list[tuple[int, int, float]]) -> None:
    after_ms = np.array([start for start, _, _ in conditions])
    by_ms = after_ms + [length for _, length, _ in conditions]
    begins_ms = after_ms + [round(length * part) for _, length, part in conditions]

    def holds(chosen: Indices, at_ms: Instants) -> Flags:
        return np.asarray(at_ms >= begins_ms[chosen])

    found = first_instant(holds, after_ms, by_ms)
    for i, (start, length, _) in enumerate(conditions):
        tried = (at_ms for at_ms in range(start + 1, start + length + 1) if at_ms >= begins_ms[i])
        assert found[i] == next(tried, start + length)


def test_years_are_narrowed_down_to_a_millisecond_in_few_rounds() -> None:
    rounds = 0
    begins_ms = np.array([START_MS + 7 * DAY_MS + 12_345])

    def holds(chosen: Indices, at_ms: Instants) -> Flags:
        nonlocal rounds
        rounds += 1
        return np.asarray(at_ms >= begins_ms[chosen])

    three_years_ms = 3 * 365 * DAY_MS
    found = first_instant(holds, np.array([START_MS]), np.array([START_MS + three_years_ms]))
    assert found.tolist() == begins_ms.tolist()
    assert (PROBES + 1) ** rounds < three_years_ms * (PROBES + 1) ** 2


def test_first_instants_of_nobody_are_none() -> None:
    nobody = np.array([], np.int64)
    assert first_instant(lambda chosen, _: chosen >= 0, nobody, nobody).tolist() == []
