from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, MINUTE_MS, NO_TIME, WEEK_MS, format_instant
from stream_app.core.events import Event
from stream_app.core.migration import Migration
from stream_app.core.partition import Clock, Effects, Partition
from stream_app.core.processor import apply_effects, process_events, sweep
from stream_app.core.quantities import quantities_at
from stream_app.core.row import encode_row, join_history
from stream_app.core.segmentation import Held
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.decision import decide
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.support.events import engagement, instant, positions, purchase, refund
from tests.support.logs import logs, shuffled_rules, snapshots
from tests.support.models import (
    model_of,
    no_return_ms,
    partition_under,
    plain_snapshot,
    rules_snapshot,
    score,
    successor,
)
from tests.support.playing import Step, play, play_effects, state_of

REGULAR = [event for day in range(0, 60, 6) for event in (purchase(day), engagement(day + 0.4))]
"""A customer who buys every six days for two months."""
VISITOR = [purchase(0), engagement(20)]
STEADY = [purchase(day) for day in range(0, 40, 8)]
MONTHLY = [purchase(day, 9_000) for day in range(0, 150, 30)]
LOSING_ORDER = [purchase(0), purchase(2, 8_000, order_id="o"), purchase(4), refund(9, 8_000, "o")]


def names(migrations: list[Migration]) -> list[str]:
    return [migration.to_segment.name for migration in migrations]


def causes(migrations: list[Migration]) -> list[str]:
    return [migration.cause.kind for migration in migrations]


def brute_force_departure(snapshot: Model, partition: Partition, customer: int, by_ms: int, target: str) -> str:
    """Return the first instant after the last event at which silence moves a customer to `target`.

    Every minute is tried, then every millisecond of the minute before the first that fits.
    """
    record = partition.table.activity[customer : customer + 1]
    entry = partition.table.memberships[0][customer : customer + 1]
    last_ms = max(record["ordered_at_ms"].item(), record["engaged_at_ms"].item())

    def first_of(instants: np.ndarray) -> int:
        tried = np.repeat(record, len(instants))
        members = np.repeat(entry, len(instants))
        nearest, moves = decide(
            snapshot,
            score(snapshot, quantities_at(tried, instants)),
            Held.of(members),
            instants,
        )
        wanted = [segment.segment_id for segment in snapshot.segments].index(target)
        return int(instants[np.flatnonzero(moves & (nearest == wanted))[0]])

    minute_ms = first_of(np.arange(last_ms, by_ms + MINUTE_MS, MINUTE_MS))
    return format_instant(first_of(np.arange(max(minute_ms - MINUTE_MS, last_ms) + 1, minute_ms + 1)))


# --- chunks ------------------------------------------------------------------------------------------------------


@given(logs(), snapshots, st.sets(st.integers(0, 28)))
@settings(max_examples=150)
def test_result_does_not_depend_on_how_events_are_cut_into_chunks(
    log: list[Step], snapshot: Model, cuts: set[int]
) -> None:
    whole, single, cut = (partition_under(snapshot) for _ in range(3))
    expected = play(whole, log)
    assert play(single, log, range(len(log))) == expected
    assert play(cut, log, cuts) == expected
    assert state_of(single) == state_of(cut) == state_of(whole)
    assert single.clock == cut.clock == whole.clock


@given(logs(), snapshots)
def test_result_does_not_depend_on_other_customers(log: list[Step], snapshot: Model) -> None:
    together = partition_under(snapshot)
    migrations = play(together, log)
    for customer_id, row in state_of(together).items():
        alone = partition_under(snapshot)
        own = [step for step in log if not isinstance(step, Event) or step.customer_id == customer_id]
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
        for m in play(partition_under(snapshot), log, range(len(log)))
    ]
    together = play(partition_under(snapshot), crowd)
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


@pytest.mark.parametrize(
    ("history", "snapshot"),
    [
        *((history, rules_snapshot()) for history in (STEADY, REGULAR, VISITOR, MONTHLY, LOSING_ORDER)),
        *((history, rules_snapshot(0.1, 5.0)) for history in (STEADY, REGULAR, VISITOR, MONTHLY, LOSING_ORDER)),
        *((history, plain_snapshot()) for history in (STEADY, REGULAR, MONTHLY)),
    ],
)
def test_silent_customer_leaves_at_the_very_instant_that_brute_force_finds(
    history: list[Event], snapshot: Model
) -> None:
    partition = partition_under(snapshot)
    play(partition, history)
    swept_ms = instant(400)
    expected = sweep(partition, swept_ms).migrations[0]
    assert (expected.change, expected.cause.kind, expected.cause.event_id) == ("lapsed", "lapse", None)
    assert expected.decided_at == format_instant(swept_ms)
    assert expected.effective_at == brute_force_departure(snapshot, partition, 0, swept_ms, expected.to_segment.id)


@pytest.mark.parametrize("history", [STEADY, REGULAR, VISITOR])
def test_instant_of_leaving_does_not_depend_on_when_sweeps_happen(history: list[Event]) -> None:
    departures = []
    for interval_ms, offset_ms in ((3 * HOUR_MS, 0), (DAY_MS, 7 * HOUR_MS), (WEEK_MS, DAY_MS)):
        partition = partition_under(rules_snapshot())
        play(partition, history)
        sweeps: list[Step] = list(range(instant(60) + offset_ms, instant(250), interval_ms))
        departures.append(
            [(m.from_segment, m.to_segment, m.effective_at, m.explanation.margin) for m in play(partition, sweeps)]
        )
    assert departures[0]
    assert departures[0] == departures[1] == departures[2]


def test_nothing_happens_to_a_silent_customer_before_its_time() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, STEADY)
    (departure,) = sweep(partition, instant(400)).migrations
    before_ms = brute_force_departure(model_of(partition), partition, 0, instant(400), departure.to_segment.id)
    for at_ms in range(instant(41), instant(400), DAY_MS):
        found = sweep(partition, at_ms).migrations
        assert not found or format_instant(at_ms) >= found[0].effective_at
        assert not found or found[0].to_segment.id != departure.to_segment.id or found[0].effective_at == before_ms


def test_event_finds_that_its_customer_had_left_meanwhile_and_brings_it_back() -> None:
    snapshot = rules_snapshot(no_return_days=0.0)
    partition = partition_under(snapshot)
    play(partition, REGULAR)
    silent = partition_under(snapshot)
    play(silent, REGULAR)
    back = purchase(200)
    left, returned = play(partition, [back])
    assert (left.cause.kind, left.change, left.cause.position) == ("lapse", "lapsed", None)
    assert left.effective_at == brute_force_departure(snapshot, silent, 0, back.at_ms, left.to_segment.id)
    assert left.decided_at == format_instant(back.at_ms)
    assert (returned.cause.kind, returned.change, returned.cause.event_id) == ("purchase", "returned", back.event_id)
    assert returned.effective_at == format_instant(back.at_ms)
    assert returned.from_segment == left.to_segment
    assert (left.sequence + 1, returned.cause.position) == (returned.sequence, positions(1)[0])


def test_return_after_a_lapse_found_by_a_sweep_is_told_as_such() -> None:
    partition = partition_under(rules_snapshot(no_return_days=0.0))
    migrations = play(partition, [*REGULAR, instant(400), purchase(401)])
    assert [m.change for m in migrations[-2:]] == ["lapsed", "returned"]


def test_customer_moves_twice_within_one_chunk() -> None:
    partition = partition_under(rules_snapshot(0.1))
    migrations = play(partition, REGULAR)
    assert names(migrations)[0] == "New"
    assert len(migrations) >= 3
    assert {m.cause.kind for m in migrations} <= {"purchase", "engagement"}
    by_event = {event.event_id: event for event in REGULAR}
    for migration in migrations:
        assert migration.cause.event_id is not None
        assert migration.effective_at == format_instant(by_event[migration.cause.event_id].at_ms)


def test_lapse_and_return_are_both_dated_when_a_chunk_spans_the_no_return_time() -> None:
    snapshot = rules_snapshot(0.1, 30.0)
    log = [*REGULAR, purchase(200), engagement(215), purchase(231), purchase(260)]
    assert play(partition_under(snapshot), log) == play(partition_under(snapshot), log, range(len(log)))


@pytest.mark.parametrize("no_return_days", [10.0, 1.1, 0.123456789])
def test_customer_kept_out_by_the_no_return_rule_moves_the_instant_it_ends(no_return_days: float) -> None:
    snapshot = plain_snapshot(0.0, no_return_days)
    waiting = [engagement(day) for day in (0, 0.5)]
    back_at_once = [purchase(1, 90_000, order_id="o"), refund(1.01, 90_000, "o")]
    partition = partition_under(snapshot)
    migrations = play(partition, [*waiting, *back_at_once])
    assert names(migrations)[-2:] == ["Visitors", "Regulars"]
    left_ms = instant(1)
    (waited,) = sweep(partition, instant(1) + no_return_ms(snapshot) + 1_000).migrations
    assert names([waited]) == ["Visitors"]
    assert (waited.cause.kind, waited.change) == ("lapse", "moved")
    assert waited.effective_at == format_instant(left_ms + no_return_ms(snapshot))
    assert "may return" in waited.explanation.sentence


def test_customer_clock_never_runs_backwards() -> None:
    partition = partition_under(rules_snapshot(0.1))
    play(partition, [purchase(0), purchase(10), instant(90)])
    late = [purchase(30), purchase(40), engagement(20), purchase(50)]
    (effects,) = play_effects(partition, late)
    assert (effects.applied, effects.late) == (3, 1)
    swept = format_instant(instant(90))
    assert [(migration.effective_at, migration.decided_at) for migration in effects.migrations] == [(swept, swept)]
    assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [instant(90)]
    assert partition.clock == Clock(instant(50), instant(90))


def test_customer_first_seen_after_a_sweep_is_assessed_from_there_on() -> None:
    for cuts in ((), (2,)):
        partition = partition_under(rules_snapshot())
        (entered, *_) = play(partition, [instant(50), purchase(10), purchase(12)], cuts)
        assert entered.effective_at == format_instant(instant(50))
        assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [instant(50)]


def test_sweep_at_an_earlier_instant_is_one_at_the_last() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, [*REGULAR, instant(400)])
    before = state_of(partition)
    assert play(partition, [instant(100)]) == []
    assert (state_of(partition), partition.clock.swept_at_ms) == (before, instant(400))


# --- sessions ----------------------------------------------------------------------------------------------------


def test_features_that_weigh_single_engagements_are_assessed_at_each() -> None:
    session = [engagement(100 + minute / 1_440) for minute in range(0, 30, 5)]
    partition = partition_under(plain_snapshot(0.0))
    play(partition, [purchase(day) for day in range(90, 100, 4)])
    (moved,) = play(partition, session)
    assert moved.cause.kind == "engagement"
    assert moved.effective_at in [format_instant(event.at_ms) for event in session[1:]]


def test_customers_are_not_assessed_within_a_session() -> None:
    session = [engagement(100 + minute / 1_440) for minute in range(0, 30, 5)]
    partition = partition_under(rules_snapshot())
    play(partition, session)
    assert partition.table.memberships[0]["assessed_at_ms"].tolist() == [session[0].at_ms]
    assert partition.table.activity["engagements"].tolist() == [len(session)]


# --- counting ----------------------------------------------------------------------------------------------------


@given(logs(), st.sets(st.integers(0, 28)))
def test_every_event_is_counted_once(log: list[Step], cuts: set[int]) -> None:
    effects = play_effects(partition_under(rules_snapshot()), log, cuts)
    seen: set[str] = set()
    watermark_ms = NO_TIME
    applied = late = duplicates = 0
    for event in (step for step in log if isinstance(step, Event)):
        if event.event_id in seen:
            duplicates += 1
            continue
        seen.add(event.event_id)
        applied, late = (applied, late + 1) if event.at_ms < watermark_ms else (applied + 1, late)
        watermark_ms = max(watermark_ms, event.at_ms)
    assert sum(e.applied for e in effects) == applied
    assert sum(e.late for e in effects) == late
    assert sum(e.duplicates for e in effects) == duplicates


def test_duplicates_change_nothing() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, REGULAR)
    before, clock = state_of(partition), partition.clock
    (effects,) = play_effects(partition, REGULAR)
    assert (effects.applied, effects.late, effects.duplicates) == (0, 0, len(REGULAR))
    assert effects.migrations == []
    assert (state_of(partition), partition.clock) == (before, clock)


def test_duplicates_in_a_restored_partition_are_not_late() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, REGULAR)
    restored = partition_under(rules_snapshot())
    for customer_id, row in state_of(partition).items():
        restored.table.restore(customer_id, row)
    (effects,) = play_effects(restored, REGULAR[-1:])
    assert (effects.applied, effects.late, effects.duplicates) == (0, 0, 1)


def test_no_events_have_no_effects() -> None:
    partition = partition_under(rules_snapshot())
    effects = process_events(partition, [], [])
    apply_effects(partition, effects)
    assert (effects.applied, effects.late, effects.duplicates, effects.migrations) == (0, 0, 0, [])
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


def test_new_model_moves_exactly_those_whom_it_wants_elsewhere() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, [*crowd(), instant(120)])
    assert sweep(partition, instant(120)).migrations == []
    partition.follow(LearnedSegmentation(shuffled_rules(7)))
    table = partition.table
    members = table.memberships[0]
    nearest, moves = decide(
        model_of(partition),
        score(model_of(partition), quantities_at(table.activity, instant(120))),
        Held.of(members),
        np.full(len(table), instant(120)),
    )
    expected = {
        table.customer_ids[number]: model_of(partition).segments[nearest[number]].segment_id
        for number in np.flatnonzero(moves)
    }
    migrations = sweep(partition, instant(120)).migrations
    assert {migration.customer_id: migration.to_segment.id for migration in migrations} == expected
    assert 5 < len(migrations) < len(table)
    assert {migration.cause.kind for migration in migrations} == {"model"}
    assert {migration.change for migration in migrations} == {"moved"}
    assert {migration.effective_at for migration in migrations} == {format_instant(instant(120))}
    assert {migration.model_version for migration in migrations} == {model_of(partition).version}


def test_model_nobody_needed_moves_nobody() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, [*crowd(), instant(120)])
    assert play(partition, [successor(model_of(partition)), instant(120)]) == []


def test_customers_of_a_retired_segment_move_by_the_model() -> None:
    rules = rules_snapshot()
    partition = partition_under(rules)
    play(partition, [*STEADY, instant(41)])
    (was,) = (s for s in rules.segments if s.code == partition.table.memberships[0]["segment"].item())
    kept = [index for index, segment in enumerate(rules.segments) if segment is not was]
    heir = successor(
        rules,
        centroids=rules.centroids[kept],
        segments=tuple(rules.segments[index] for index in kept),
        retired_segments=(Segment(was.code, "Retired"),),
    )
    partition.follow(LearnedSegmentation(heir))
    (migration,) = sweep(partition, instant(41)).migrations
    assert migration.cause.kind == "model"
    assert migration.from_segment is not None
    assert (migration.from_segment.id, migration.from_segment.name) == (was.segment_id, "Retired")
    assert migration.explanation.margin is migration.explanation.distance_from is None


def test_move_is_never_decided_before_it_is_effective() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, [*crowd(), shuffled_rules(7)])
    migrations = sweep(partition, instant(10)).migrations
    assert any(m.effective_at > format_instant(instant(10)) for m in migrations)
    assert all(m.decided_at >= m.effective_at for m in migrations)


def test_event_after_a_change_of_model_tells_the_models_move_apart_from_its_own() -> None:
    partition = partition_under(rules_snapshot())
    play(partition, [*STEADY, instant(41)])
    rules = model_of(partition)
    moved_away = rules.centroids.copy()
    moved_away[rules.roster.index_of_code[partition.table.memberships[0]["segment"].item()]] += 5
    migrations = play(partition, [successor(rules, centroids=moved_away), purchase(42), purchase(300)])
    assert causes(migrations)[:2] == ["model", "lapse"]
    assert migrations[0].effective_at == format_instant(instant(41))


# --- effects -----------------------------------------------------------------------------------------------------


def frozen(partition: Partition) -> tuple[object, ...]:
    table = partition.table
    return (
        state_of(partition),
        table.activity.tobytes(),
        table.memberships.tobytes(),
        table.due_at_ms.tobytes(),
        list(table.customer_ids),
        partition.clock,
    )


@given(logs(), st.integers(0, 28))
def test_nothing_changes_until_effects_are_applied(log: list[Step], cut: int) -> None:
    partition = partition_under(rules_snapshot(0.1))
    play(partition, log[:cut])
    before = frozen(partition)
    events = [step for step in log[cut:] if isinstance(step, Event)]
    thrown_away = process_events(partition, events, positions(len(events)))
    swept = sweep(partition, instant(3_000))
    assert frozen(partition) == before
    again = process_events(partition, events, positions(len(events)))
    assert again.migrations == thrown_away.migrations
    assert sweep(partition, instant(3_000)).migrations == swept.migrations
    apply_effects(partition, again)
    table = partition.table
    for slot, customer_id in enumerate(again.customer_ids):
        row = join_history(again.activity[slot].item(), again.histories[slot])
        assert table.encode(table.find(customer_id)) == encode_row(row, {"value": again.memberships[0, slot].tobytes()})


def test_sweep_in_parts_equals_a_whole_one() -> None:
    whole, parts = partition_under(rules_snapshot()), partition_under(rules_snapshot())
    for partition in (whole, parts):
        play(partition, crowd())
    expected = sweep(whole, instant(200))
    apply_effects(whole, expected)
    swept: list[Effects] = []
    for first, last in ((0, 13), (13, 40), (40, 10_000)):
        assert parts.clock.swept_at_ms == NO_TIME
        swept.append(sweep(parts, instant(200), first, last))
        apply_effects(parts, swept[-1])
    assert [m for effects in swept for m in effects.migrations] == expected.migrations
    assert expected.migrations
    assert state_of(parts) == state_of(whole)
    assert parts.clock == whole.clock == Clock(whole.clock.watermark_ms, instant(200))


def test_event_between_two_parts_of_a_sweep_does_not_go_back_behind_it() -> None:
    partition = partition_under(rules_snapshot(no_return_days=0.0))
    play(partition, [*REGULAR, purchase(60, customer_id="c2")])
    apply_effects(partition, sweep(partition, instant(400), 0, 1))
    for migration in play(partition, [purchase(399)]):
        assert migration.effective_at == format_instant(instant(400))


def test_sweep_of_nobody_counts_as_swept() -> None:
    partition = partition_under(rules_snapshot())
    assert play(partition, [instant(3)]) == []
    assert partition.clock == Clock(NO_TIME, instant(3))
