from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME, WEEK_MS, format_instant, to_milliseconds
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import Event
from stream_app.core.partition import Clock, Partition, Sweeps
from stream_app.core.segmentation import Held
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.segmentations.examples import BY_RULES, rules
from tests.support.events import engagement, instant, positions, profile, purchase, refund
from tests.support.logs import changed_model, logs, snapshots, whole_instants
from tests.support.models import (
    EARLIER_SEGMENTS,
    learned_model,
    model_of,
    partition_under,
    prior_model,
    successor,
)
from tests.support.oracle import expected_migrations, told
from tests.support.playing import Played, Step, play, play_chunks, play_events, play_sweep, state_of, undated
from tests.support.published import Migration

REGULAR = [event for day in range(0, 60, 6) for event in (purchase(day), engagement(day + 0.4))]
"""A customer who buys every six days for two months."""
VISITOR = [purchase(0), engagement(20)]
STEADY = [purchase(day) for day in range(0, 40, 8)]
MONTHLY = [purchase(day, 9_000) for day in range(0, 150, 30)]
OTHER_HABITS = changed_model(11)
"""A version under which what their segments say is false of a tenth of the `crowd`."""
LOSING_ORDER = [purchase(0), purchase(2, 8_000, order_id="o"), purchase(4), refund(9, 8_000, "o")]


def names(migrations: list[Migration]) -> list[str]:
    return [migration.to_segment.name for migration in migrations]


def causes(migrations: list[Migration]) -> list[str]:
    return [migration.cause.kind for migration in migrations]


# --- one at a time -----------------------------------------------------------------------------------------------


@given(logs(), snapshots, st.sets(st.integers(0, 28)))
@settings(max_examples=100)
def test_customers_do_what_asking_event_by_event_says(log: list[Step], snapshot: Model, cuts: set[int]) -> None:
    steps = [*log, instant(4_000)]
    expected = expected_migrations(LearnedSegmentation(snapshot), steps)
    assert told(play(partition_under(snapshot), steps, cuts)) == expected


@given(logs(), st.sets(st.integers(0, 28)))
@settings(max_examples=50)
def test_customers_do_what_asking_event_by_event_says_by_rules(log: list[Step], cuts: set[int]) -> None:
    steps = [*(step for step in log if isinstance(step, Event | int)), instant(4_000)]
    assert told(play(Partition([BY_RULES]), steps, cuts)) == expected_migrations(BY_RULES, steps)


# --- chunks ------------------------------------------------------------------------------------------------------


@given(logs(), snapshots, st.sets(st.integers(0, 28)))
@settings(max_examples=80)
def test_result_does_not_depend_on_how_events_are_cut_into_chunks(
    log: list[Step], snapshot: Model, cuts: set[int]
) -> None:
    whole, single, cut = (partition_under(snapshot) for _ in range(3))
    expected = play(whole, log)
    found = play(single, log, range(len(log))), play(cut, log, cuts)
    # Who is moved by a version is found when somebody looks: only that depends on the chunks.
    assert undated(found[0]) == undated(found[1]) == undated(expected)
    if not any(isinstance(step, Model) for step in log):
        assert found == (expected, expected)
    assert state_of(single) == state_of(cut) == state_of(whole)
    assert single.clock == cut.clock == whole.clock


def dated(log: Sequence[Step]) -> list[Step]:
    """Return steps in which time passes up to where a version takes over, so that this is when it does for anybody."""
    steps: list[Step] = []
    clock_ms = NO_TIME
    for step in log:
        if isinstance(step, Event | int):
            clock_ms = max(clock_ms, step.at_ms if isinstance(step, Event) else step)
        elif clock_ms > NO_TIME:
            steps.append(clock_ms)
        steps.append(step)
    return steps


@given(logs(), snapshots)
def test_result_does_not_depend_on_other_customers(log: list[Step], snapshot: Model) -> None:
    together = partition_under(snapshot)
    steps = dated(whole_instants(log))
    migrations = play(together, steps)
    for customer_id, row in state_of(together).items():
        alone = partition_under(snapshot)
        own = [step for step in steps if not isinstance(step, Event) or step.customer_id == customer_id]
        found = [(m.migration_id, m.effective_at, m.explanation) for m in play(alone, own)]
        assert found == [
            (m.migration_id, m.effective_at, m.explanation) for m in migrations if m.customer_id == customer_id
        ]
        assert state_of(alone)[customer_id] == row


@given(logs(), snapshots)
def test_many_customers_at_once_are_assessed_like_each_alone(log: list[Step], snapshot: Model) -> None:
    copies = 4
    crowd: list[Step] = []
    for step in log:
        if isinstance(step, Event):
            fields = (step.event_id, step.at_ms, step.type, step.amount_minor, step.order_id)
            crowd += [Event(step.kind, f"{step.customer_id} {copy}", *fields) for copy in range(copies)]
        else:
            crowd.append(step)
    alone = [
        (m.customer_id, m.sequence, m.effective_at, m.explanation)
        for m in undated(play(partition_under(snapshot), log, range(len(log))))
    ]
    together = undated(play(partition_under(snapshot), crowd))
    for copy in range(copies):
        mine = [m for m in together if m.customer_id.endswith(f" {copy}")]
        assert [(m.customer_id[:-2], m.sequence, m.effective_at, m.explanation) for m in mine] == alone


@given(logs(), snapshots, st.sets(st.integers(0, 28)))
def test_sequences_have_no_gaps_and_each_move_starts_where_the_last_one_ended(
    log: list[Step], snapshot: Model, cuts: set[int]
) -> None:
    partition = partition_under(snapshot)
    migrations = play(partition, log, cuts)
    assert len({migration.migration_id for migration in migrations}) == len(migrations)
    for customer in range(len(partition.table)):
        own = [m for m in migrations if m.customer_id == partition.table.customer_ids[customer]]
        assert [m.sequence for m in own] == list(range(1, len(own) + 1))
        if partition.table.activity["first_at_ms"][customer] == -NO_TIME:
            assert not own
            continue
        assert own[0].from_segment is None
        assert own[0].change == "entered"
        for earlier, later in itertools.pairwise(own):
            assert later.from_segment is not None
            assert later.from_segment.id == earlier.to_segment.id != later.to_segment.id
            assert later.effective_at >= earlier.effective_at
            assert later.change != "entered"
        entry = partition.table.memberships[0][customer]
        assert entry["sequence"] == len(own)
        assert f"s{entry['segment']}" == own[-1].to_segment.id
        assert format_instant(int(entry["since_ms"])) == own[-1].effective_at
        assert entry["model_version"] == own[-1].model_version
        assert own[-1].decided_at >= own[-1].effective_at


@given(logs(), snapshots)
def test_only_a_new_model_is_blamed_on_the_model(log: list[Step], snapshot: Model) -> None:
    same_model = [step for step in log if not isinstance(step, Model)]
    assert "model" not in causes(play(partition_under(snapshot), same_model))


# --- time --------------------------------------------------------------------------------------------------------


def swept(events: Sequence[Event], sweeps: Sequence[int]) -> list[Step]:
    """Return events in order with sweeps put in where they belong."""
    steps: list[Step] = []
    left = sorted(sweeps)
    for event in events:
        while left and left[0] <= event.at_ms:
            steps.append(left.pop(0))
        steps.append(event)
    return [*steps, *left]


@given(logs(late=False), snapshots | st.just(BY_RULES), st.data())
@settings(max_examples=80)
def test_migrations_do_not_depend_on_when_anybody_looks(
    log: list[Step], version: Model | RulesSegmentation, data: st.DataObject
) -> None:
    segmentation = LearnedSegmentation(version) if isinstance(version, Model) else version
    events = [step for step in log if isinstance(step, Event)]
    last_day = 100 + max((event.at_ms - instant(0) for event in events), default=0) // DAY_MS
    ends_ms = instant(last_day + 500)
    drawn_ms = [instant(day) for day in data.draw(st.lists(st.floats(0, last_day), max_size=12))]
    weekly_ms = list(range(instant(0.3), instant(last_day), WEEK_MS))
    cuts = data.draw(st.sets(st.integers(0, 50)))
    never, at_times, every_week = (
        undated(play(Partition([segmentation]), swept(events, [*sweeps, ends_ms]), cuts))
        for sweeps in ([], drawn_ms, weekly_ms)
    )
    assert at_times == never
    assert every_week == never


@pytest.mark.parametrize("history", [STEADY, REGULAR, VISITOR, MONTHLY, LOSING_ORDER])
@pytest.mark.parametrize("snapshot", [prior_model(), learned_model(hysteresis=0.1)])
def test_next_move_of_each_migration_is_what_then_happens_if_nothing_else_does(
    history: list[Event], snapshot: Model
) -> None:
    for count in range(1, len(history) + 1):
        partition = partition_under(snapshot)
        migrations = play(partition, history[:count])
        if not migrations or migrations[-1].cause.event_id != history[count - 1].event_id:
            continue
        last = migrations[-1]
        while last.next_move is not None:
            due_ms = to_milliseconds(datetime.fromisoformat(last.next_move.at))
            assert play(partition, [*range(max(partition.clock) + 1, due_ms, 9 * DAY_MS), due_ms]) == []
            (following,) = play(partition, [due_ms + 1])
            assert (following.effective_at, following.to_segment) == (last.next_move.at, last.next_move.to_segment)
            assert following.decided_at == format_instant(due_ms + 1)
            assert (following.cause.kind, following.cause.event_id) == ("lapse", None)
            last = following
        assert play(partition, [instant(9_000)]) == []
        assert last.to_segment.name in ("Lost", "One-time")


def test_event_finds_that_its_customer_had_left_meanwhile_and_brings_it_back() -> None:
    partition = partition_under(prior_model())
    play(partition, REGULAR)
    back = purchase(200)
    *left, returned = play(partition, [back])
    assert [(m.cause.kind, m.change, m.cause.position) for m in left] == [("lapse", "lapsed", None)] * len(left)
    assert names(left) == ["At risk", "Hibernating"]
    assert {m.decided_at for m in left} == {format_instant(back.at_ms)}
    assert (returned.cause.kind, returned.change, returned.cause.event_id) == ("purchase", "returned", back.event_id)
    assert returned.effective_at == format_instant(back.at_ms)
    assert returned.from_segment == left[-1].to_segment
    assert (left[-1].sequence + 1, returned.cause.position) == (returned.sequence, positions(1)[0])


def test_return_after_a_lapse_found_by_a_sweep_is_told_as_such() -> None:
    migrations = play(partition_under(prior_model()), [*REGULAR, instant(400), purchase(401)])
    assert [m.change for m in migrations[-3:]] == ["lapsed", "lapsed", "returned"]


def test_customer_moves_more_than_once_within_one_chunk() -> None:
    migrations = play(partition_under(prior_model(hysteresis=0.1)), [*REGULAR, *(purchase(60 + n) for n in range(9))])
    assert names(migrations)[0] == "New"
    assert len(migrations) >= 3
    assert {m.cause.kind for m in migrations} <= {"purchase", "engagement"}
    assert {m.effective_at for m in migrations} == {m.decided_at for m in migrations}


def test_move_that_silence_makes_is_told_by_the_first_sweep_after_it() -> None:
    gone = {"id": "gone", "name": "Gone", "when": {"figure": "recency_days", "at_least": 10}}
    partition = Partition([RulesSegmentation(rules(segments=[gone]))])
    play(partition, [purchase(0), purchase(0.5, customer_id="c2")])
    sweeps = Sweeps(np.array([instant(9), instant(11), instant(13)]), np.array([0, 0, 1]))
    played = play_events(partition, [purchase(12.5)], sweeps)
    assert [(m.customer_id, m.effective_at, m.decided_at) for m in played.migrations] == [
        ("c1", format_instant(instant(10)), format_instant(instant(11))),
        ("c2", format_instant(instant(10.5)), format_instant(instant(11))),
        ("c1", format_instant(instant(12.5)), format_instant(instant(12.5))),
    ]


def test_customer_clock_never_runs_backwards() -> None:
    partition = partition_under(prior_model())
    play(partition, [purchase(0), purchase(10), instant(90)])
    late = [purchase(30), purchase(40), engagement(20), purchase(50)]
    (played,) = play_chunks(partition, late)
    assert (played.outcome.applied, played.outcome.late) == (3, 1)
    assert all(m.effective_at >= format_instant(instant(90)) for m in played.migrations)
    # The first one counts at the instant of the sweep, which does not include it, and each of the others 1 ms later.
    assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [instant(90) + 3]
    assert partition.clock == Clock(instant(50), instant(90))


def test_customer_first_seen_after_a_sweep_is_assessed_from_there_on() -> None:
    for cuts in ((), (2,)):
        partition = partition_under(prior_model())
        (entered, *_) = play(partition, [instant(50), purchase(10), purchase(12)], cuts)
        assert entered.effective_at == format_instant(instant(50))
        assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [instant(50) + 1]


def test_sweep_at_an_earlier_instant_is_one_at_the_last() -> None:
    partition = partition_under(prior_model())
    play(partition, [*REGULAR, instant(400)])
    before = state_of(partition)
    assert play(partition, [instant(100)]) == []
    assert (state_of(partition), partition.clock.swept_at_ms) == (before, instant(400))


# --- sessions ----------------------------------------------------------------------------------------------------

SESSION = [engagement(100 + minute / 1_440) for minute in range(0, 30, 5)]


def test_segmentation_that_weighs_sessions_assesses_customers_at_each_event() -> None:
    entered, keen = play(Partition([BY_RULES]), SESSION)
    assert (entered.effective_at, keen.to_segment.name) == (format_instant(SESSION[0].at_ms), "Keen")
    assert keen.effective_at == format_instant(SESSION[3].at_ms)


def test_customers_are_not_assessed_within_a_session_otherwise() -> None:
    partition = partition_under(prior_model())
    play(partition, SESSION)
    assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [SESSION[0].at_ms]
    assert partition.table.activity["engagements"].tolist() == [len(SESSION)]


# --- counting ----------------------------------------------------------------------------------------------------


def counts_of(played: Played) -> tuple[int, int, int]:
    return played.outcome.applied, played.outcome.late, played.outcome.duplicates


@given(logs(), st.sets(st.integers(0, 28)))
def test_every_event_is_counted_once(log: list[Step], cuts: set[int]) -> None:
    outcomes = [played.outcome for played in play_chunks(partition_under(prior_model()), log, cuts)]
    events = [step for step in log if isinstance(step, Event)]
    counted = sum(outcome.applied + outcome.late + outcome.duplicates for outcome in outcomes)
    assert counted == len(events)
    repeated = len(events) - len({event.event_id for event in events})
    assert sum(outcome.duplicates for outcome in outcomes) >= repeated


def test_duplicates_change_nothing() -> None:
    partition = partition_under(prior_model())
    play(partition, REGULAR)
    before, clock = state_of(partition), partition.clock
    (played,) = play_chunks(partition, REGULAR)
    assert counts_of(played) == (0, 0, len(REGULAR))
    assert played.migrations == []
    assert (state_of(partition), partition.clock) == (before, clock)


def test_duplicates_in_a_restored_partition_are_not_late() -> None:
    partition = partition_under(prior_model())
    play(partition, REGULAR)
    restored = partition_under(prior_model())
    for customer_id, row in state_of(partition).items():
        restored.table.restore(customer_id, row)
    (played,) = play_chunks(restored, REGULAR[-1:])
    assert counts_of(played) == (0, 0, 1)


def test_of_no_events_nothing_comes() -> None:
    partition = partition_under(prior_model())
    played = play_events(partition, [])
    assert (counts_of(played), played.migrations) == ((0, 0, 0), [])
    assert (len(played.outcome.moves), played.outcome.changed.tolist()) == (0, [])
    assert (len(partition.table), partition.clock) == (0, Clock())


# --- models ------------------------------------------------------------------------------------------------------


def crowd(n_customers: int = 60) -> list[Event]:
    """Return histories of customers of many kinds."""
    rng = np.random.default_rng(5)
    events = []
    for number in range(n_customers):
        gap = rng.choice([2.0, 6.0, 15.0, 40.0])
        last = rng.choice([20.0, 60.0, 100.0])
        make = purchase if rng.random() < 0.6 else engagement
        events += [make(round(day, 2), customer_id=f"c{number}") for day in np.arange(rng.random() * 9, last, gap)]
    return sorted(events, key=lambda event: event.at_ms)


def test_new_model_moves_exactly_those_of_whom_their_segment_is_not_true() -> None:
    partition = partition_under(learned_model())
    play(partition, [*crowd(), instant(101)])
    assert play_sweep(partition, instant(101)).migrations == []
    heir = LearnedSegmentation(OTHER_HABITS)
    partition.follow(heir)
    table = partition.table
    customers, held = CustomerColumns(table.activity, np.full(len(table), instant(101))), Held.of(table.memberships[0])
    decision = heir.revise(customers, held)
    assert decision.moves.tolist() == heir.untrue(customers, held).tolist()
    expected = {
        table.customer_ids[number]: heir.roster.segments[decision.target[number]].segment_id
        for number in np.flatnonzero(decision.moves)
    }
    migrations = play_sweep(partition, instant(101)).migrations
    assert {migration.customer_id: migration.to_segment.id for migration in migrations} == expected
    assert 0 < len(migrations) < len(table)
    assert {migration.cause.kind for migration in migrations} == {"model"}
    assert {migration.change for migration in migrations} == {"moved"}
    assert {migration.effective_at for migration in migrations} == {format_instant(instant(101))}
    assert {migration.model_version for migration in migrations} == {heir.version}


def test_version_takes_over_at_the_instant_it_is_followed_whenever_customers_are_looked_at() -> None:
    found = []
    for looks in ([], [instant(101)], [instant(101), instant(102)]):
        partition = partition_under(learned_model())
        play(partition, [*crowd(), instant(101)])
        found.append(undated(play(partition, [OTHER_HABITS, *looks, *crowd(20), instant(300)])))
    assert found[0] == found[1] == found[2]
    assert {m.effective_at for m in found[0] if m.cause.kind == "model"} == {format_instant(instant(101))}


def test_model_nobody_needed_moves_nobody() -> None:
    partition = partition_under(prior_model())
    play(partition, [*crowd(), instant(120)])
    assert play(partition, [successor(model_of(partition)), instant(120)]) == []


def test_customers_of_segments_of_an_earlier_release_move_by_the_model() -> None:
    partition = partition_under(learned_model())
    play(partition, [*STEADY, instant(41)])
    former = EARLIER_SEGMENTS[1]
    partition.table.memberships[0]["segment"] = former.code
    partition.follow(LearnedSegmentation(successor(learned_model())))
    (migration,) = play_sweep(partition, instant(41)).migrations
    assert migration.cause.kind == "model"
    assert migration.from_segment == former.reference
    assert migration.to_segment is not None
    assert migration.to_segment.id in {segment.segment_id for segment in learned_model().roster.segments}


def test_move_is_never_decided_before_it_is_effective() -> None:
    partition = partition_under(learned_model())
    play(partition, [*crowd(), OTHER_HABITS])
    migrations = play_sweep(partition, instant(10)).migrations
    assert any(m.effective_at > format_instant(instant(10)) for m in migrations)
    assert all(m.decided_at >= m.effective_at for m in migrations)


def test_event_after_a_change_of_model_tells_the_models_move_apart_from_its_own() -> None:
    partition = partition_under(learned_model())
    play(partition, [*STEADY, instant(41)])
    held = model_of(partition).roster.index_of_code[partition.table.memberships[0]["segment"].item()]
    frame = model_of(partition).frame
    centres = frame.centres.copy()
    centres[held] += 5
    steps: list[Step] = [successor(model_of(partition), dataclasses.replace(frame, centres=centres)), purchase(42)]
    migrations = play(partition, [*steps, purchase(300)])
    assert causes(migrations)[0] == "model"
    assert set(causes(migrations)[1:]) >= {"lapse", "purchase"}
    assert migrations[0].effective_at == format_instant(instant(41))


# --- what has changed --------------------------------------------------------------------------------------------


@given(logs(), snapshots)
def test_rows_that_change_are_those_of_the_events_and_of_the_moves(log: list[Step], snapshot: Model) -> None:
    partition = partition_under(snapshot)
    table = partition.table
    steps = [*log, instant(3_000)]
    for step in range(len(steps)):
        before = state_of(partition)
        for played in play_chunks(partition, steps[step : step + 1]):
            changed = table.customer_ids.of(played.outcome.changed)
            actors = {event.customer_id for event in steps[step : step + 1] if isinstance(event, Event)}
            assert len(changed) == len({*changed})
            assert {*changed} == actors | {migration.customer_id for migration in played.migrations}
            after = state_of(partition)
            assert {customer_id for customer_id in after if before.get(customer_id) != after[customer_id]} <= {*changed}


@given(logs(), st.sets(st.integers(0, 28)))
def test_migrations_are_the_moves_that_are_given(log: list[Step], cuts: set[int]) -> None:
    partition = partition_under(prior_model(hysteresis=0.1))
    roster = model_of(partition).roster
    for played in play_chunks(partition, [*log, instant(3_000)], cuts):
        moves = played.outcome.moves
        assert [(m.customer_id, m.sequence, m.effective_at, m.decided_at) for m in played.migrations] == list(
            zip(
                partition.table.customer_ids.of(moves["row"]),
                moves["sequence"].tolist(),
                *(map(format_instant, moves[name].tolist()) for name in ("effective_at_ms", "decided_at_ms")),
                strict=True,
            )
        )
        if not any(isinstance(step, Model) for step in log):
            ids = [roster.segments[target].segment_id for target in moves["target"].tolist()]
            assert [m.to_segment and m.to_segment.id for m in played.migrations] == ids


def test_step_for_which_there_is_no_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.core.processor._take", lambda: lambda *_: -1)
    with pytest.raises(MemoryError):
        play_events(partition_under(prior_model()), [purchase(0)])


def test_step_that_the_library_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.core.processor._take", lambda: lambda *_: -5)
    with pytest.raises(RuntimeError, match="a step of 1 events: status -5 of the library, expected 0"):
        play_events(partition_under(prior_model()), [purchase(0)])


def test_partition_for_which_there_is_no_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.core.partition._function", lambda *_: lambda: None)
    with pytest.raises(MemoryError):
        Partition([])


def test_sweep_in_parts_equals_a_whole_one() -> None:
    whole, parts = partition_under(prior_model()), partition_under(prior_model())
    for partition in (whole, parts):
        play(partition, crowd())
    expected = play_sweep(whole, instant(200)).migrations
    swept: list[Migration] = []
    for first, last in ((0, 13), (13, 40), (40, 10_000)):
        assert parts.clock.swept_at_ms == NO_TIME
        swept += play_sweep(parts, instant(200), first, last).migrations
    assert swept == expected
    assert expected
    assert state_of(parts) == state_of(whole)
    assert parts.clock == whole.clock == Clock(whole.clock.watermark_ms, instant(200))


def test_event_between_two_parts_of_a_sweep_is_assessed_at_its_own_instant() -> None:
    partition = partition_under(prior_model())
    play(partition, [*REGULAR, purchase(60, customer_id="c2")])
    play_sweep(partition, instant(400), 0, 1)
    assert [migration.effective_at for migration in play(partition, [purchase(399)])] == [format_instant(instant(399))]


def test_sweep_of_nobody_counts_as_swept() -> None:
    partition = partition_under(prior_model())
    assert play(partition, [instant(3)]) == []
    assert partition.clock == Clock(NO_TIME, instant(3))


def test_act_at_the_instant_of_what_a_profile_says_is_the_cause_of_what_it_moves() -> None:
    partition = partition_under(prior_model())
    play(partition, REGULAR)
    *_, returned = play(partition, [purchase(200), profile(200, country="IT")])
    assert (returned.cause.kind, returned.change) == ("purchase", "returned")
