"""What is told ahead of moves that time alone will make: each such move, and nothing that is not averted or made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS
from stream_app.core.events import Event
from stream_app.core.moves import LAPSE, MigrationContext
from stream_app.core.partition import Partition
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from tests.segmentations.examples import COLD_START
from tests.support.events import instant, purchase
from tests.support.logs import logs
from tests.support.playing import Step, play_chunks, state_of

LEAD_MS = 5 * DAY_MS
UPCOMING, AVERTED = range(2)
BUYERS = AudienceSegmentation(
    AudienceConfiguration.model_validate(
        {
            "kind": "audience",
            "name": "buyers",
            "when": {"any": [{"event": "order*", "last": "30d"}, {"event": "search", "last": "9d", "at_least": 2}]},
            "warn_before": "5d",
        }
    )
)


def partition() -> Partition:
    return Partition([COLD_START, BUYERS], MigrationContext(leads_ms={COLD_START.name: LEAD_MS}))


Told = dict[tuple[int, int], list[tuple[int, ...]]]
"""By row and segmentation, in order: of notices status, instant, segment, target and cause; of moves what fits."""


def play(into: Partition, steps: Sequence[Step], cuts: set[int]) -> tuple[Told, Told]:
    """Return notices and moves."""
    notices, moves = defaultdict(list), defaultdict(list)
    for played in play_chunks(into, steps, cuts):
        for notice in played.outcome.notices:
            key = int(notice["row"]), int(notice["segmentation"])
            assert notice["sequence"] == len(notices[key]) + 1
            assert notice["lead_ms"] == LEAD_MS
            names = ("status", "leaves_at_ms", "code", "target", "cause")
            notices[key].append(tuple(int(notice[name]) for name in names))
        for move in played.outcome.moves:
            names = ("effective_at_ms", "from_code", "target", "cause")
            moves[int(move["row"]), int(move["segmentation"])].append(tuple(int(move[name]) for name in names))
    return notices, moves


def last_sweep_ms(steps: Sequence[Step]) -> int:
    return max((step for step in steps if isinstance(step, int)), default=0)


@given(logs(), st.sets(st.integers(0, 31)))
@settings(max_examples=60)
def test_each_move_that_silence_makes_was_told_and_stood(log: list[Step], cuts: set[int]) -> None:
    steps = [*log, instant(4_000)]
    notices, moves = play(partition(), steps, cuts)
    for key, made in moves.items():
        for at_ms, from_code, target, cause in made:
            if cause == LAPSE:
                standing = [n for n in notices[key] if n[1] == at_ms and n[2] == from_code]
                assert standing, (key, at_ms)
                assert standing[-1][0] == UPCOMING
                assert standing[-1][3] == target


@given(logs(), st.sets(st.integers(0, 31)))
@settings(max_examples=60)
def test_whatever_was_told_is_made_or_averted_or_told_anew(log: list[Step], cuts: set[int]) -> None:
    steps = [*log, instant(4_000)]
    notices, moves = play(partition(), steps, cuts)
    for key, told in notices.items():
        silent = {(at_ms, from_code) for at_ms, from_code, _, cause in moves[key] if cause == LAPSE}
        for notice, following in zip(told, [*told[1:], None], strict=True):
            status, leaves_at_ms, code = notice[:3]
            if status == AVERTED or (leaves_at_ms, code) in silent:
                continue
            assert following is not None, notice
            is_averted = following[0] == AVERTED and following[1:3] == (leaves_at_ms, code)
            assert is_averted or (following[0] == UPCOMING and following[2] == code), (notice, following)


@given(logs(late=False), st.sets(st.integers(0, 31)), st.sets(st.integers(1, 300), max_size=12))
@settings(max_examples=40)
def test_notices_depend_neither_on_chunks_nor_on_sweeps(log: list[Step], cuts: set[int], days: set[int]) -> None:
    events = sorted((step for step in log if isinstance(step, Event)), key=lambda event: event.at_ms)
    swept: list[Step] = sorted(
        [*events, *map(instant, days)], key=lambda step: (step.at_ms, 1) if isinstance(step, Event) else (step, 0)
    )
    end = instant(2_000)
    one, other = partition(), partition()
    assert play(one, [*events, end], set()) == play(other, [*swept, end], cuts)


def test_a_customer_that_acts_in_time_averts_it_and_a_restart_does_not_tell_it_again() -> None:
    first = partition()
    key = 0, first.names.index("buyers")
    notices, _ = play(first, [purchase(0), instant(26.5)], set())
    assert [told[:2] for told in notices[key]] == [(UPCOMING, instant(30))]
    again = partition()
    again.table.restore_many([(customer.encode(), encoded) for customer, encoded in state_of(first).items()])
    again.clock = first.clock
    outcomes = [played.outcome for played in play_chunks(again, [instant(27), purchase(28), instant(52.5)])]
    found = [notice for outcome in outcomes for notice in outcome.notices if notice["segmentation"] == key[1]]
    assert [(n["status"], n["leaves_at_ms"], n["sequence"]) for n in found] == [(AVERTED, instant(30), 2)]


def test_who_is_about_to_leave_is_kept_behind_the_rules_and_no_member_of_them() -> None:
    state = partition()
    play(state, [purchase(0), instant(26.5)], set())
    assert len(state.table.places) == 1 + len(state.warnings)
    assert state.table.ruled_names == ["buyers"]
    assert np.array_equal(state.warnings["lead_ms"], [LEAD_MS, LEAD_MS])
