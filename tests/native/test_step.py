"""The compiled step is the reference's, byte by byte: moves, rows, due dates, clocks, counts and sums over members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.core.partition import Sweeps
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.native.step_equality import ASKED_RULES, Pair, Player, log_of
from tests.segmentations.examples import COLD_START, LEARNED
from tests.support.events import engagement, instant, purchase
from tests.support.logs import logs
from tests.support.playing import Step, timed_chunks

ENDED = EndedSegmentation("habits", LEARNED)


def play(pair: Pair, steps: Sequence[Step], cuts: set[int]) -> None:
    """Play steps, those in a row as one chunk, sweeps within it, but for cuts before the steps named."""
    for chunk in timed_chunks(steps, cuts):
        pair.process(chunk.events, chunk.sweeps)
        if chunk.then is not None:
            pair.follow(chunk.then)
    pair.check_rows()


@pytest.mark.parametrize("seed", range(6))
def test_step_is_the_references_over_random_logs(seed: int) -> None:
    """Logs of simulated and wild customers, with all that may happen between and within chunks."""
    Player(seed, extreme=seed % 2 == 1).play(log_of(seed, seed, 2_000))


def test_random_logs_reach_all_causes_changes_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, compare = Counter[str](), Pair._check

    def count(pair: Pair, outcome: object, effects: object) -> None:
        compare(pair, outcome, effects)  # type: ignore[arg-type]
        moves = outcome.moves  # type: ignore[attr-defined]
        seen.update(CAUSE_KINDS[cause] for cause in moves["cause"].tolist())
        seen.update(CHANGES[change] for change in moves["change"].tolist())
        seen.update({name: getattr(outcome, name) for name in ("applied", "late", "duplicates")})
        seen.update({"sweeps": len(outcome.swept_at_ms)})  # type: ignore[attr-defined]
        seen.update(str(number) for number in moves["segmentation"].tolist())

    monkeypatch.setattr(Pair, "_check", count)
    for seed in range(3):
        Player(seed).play(log_of(seed, seed, 3_000))
    causes = {*CAUSE_KINDS} - {"profile", "merge", "consent", "erasure"}  # which these logs hold none of
    expected = {*causes, *CHANGES, "applied", "late", "duplicates", "sweeps", *"0123"}
    assert {name for name in expected if seen[name] >= 5} == expected


@given(
    logs(),
    st.permutations([COLD_START, LEARNED, ASKED_RULES]),
    st.sampled_from([ENDED, ASKED_RULES, None]),
    st.integers(0, 28),
    st.sets(st.integers(0, 31)),
)
def test_step_is_the_references_over_drawn_logs(
    log: list[Step], segmentations: list[Segmentation], change: Segmentation | None, place: int, cuts: set[int]
) -> None:
    steps = [*log[:place], *([change] if change else []), *log[place:], instant(4_000)]
    play(Pair(segmentations), steps, cuts)


def test_rows_that_are_not_given_as_changed_do_not_change() -> None:
    pair = Pair([COLD_START])
    pair.process([purchase(0), purchase(5, customer_id="c2")])
    before = pair.library.table.memberships.tobytes()
    pair.follow(LearnedSegmentation(COLD_START.model))
    assert pair.sweep(instant(1)).changed.tolist() == []
    assert pair.library.table.memberships.tobytes() == before


def test_customers_whose_event_was_a_repetition_are_given_as_changed() -> None:
    pair = Pair([COLD_START, ASKED_RULES])
    events = [purchase(0), engagement(1, "c2"), engagement(1.01, "c2")]
    pair.process(events)
    outcome = pair.process(events[:2])
    assert (outcome.changed.tolist(), outcome.duplicates, len(outcome.moves)) == ([0, 1], 2, 0)


def test_sweeps_count_the_customers_there_are() -> None:
    chunk = [engagement(day / 3_000, f"c{day}", f"e{day}") for day in range(2_500)]
    outcome = Pair([ASKED_RULES]).process(
        chunk, Sweeps(np.array([instant(0.5), instant(0.9)]), np.array([1_000, 2_500]))
    )
    assert (outcome.customers.tolist(), outcome.applied) == ([1_000, 2_500], 2_500)
