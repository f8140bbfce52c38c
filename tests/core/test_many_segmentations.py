"""Several segmentations over one table: none of them changes what another says, and each can come and go."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME, format_instant
from stream_app.core.events import Event
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Clock, Partition
from stream_app.core.segmentation import NEVER_MS, Segmentation
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.describing import Describer
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation, RulesSegmentation
from tests.core.test_row import VERSION_1
from tests.reference.row import decode_row
from tests.segmentations.examples import BY_RULES, COLD_START, EXAMPLES, LEARNED, WATCHERS, rules
from tests.segmentations.third_kind import TiersSegmentation
from tests.support.events import engagement, instant, purchase
from tests.support.logs import changed_model, logs
from tests.support.models import moved_frame, successor
from tests.support.oracle import runs_of
from tests.support.playing import Played, Step, play, play_chunks, play_events, play_sweep, state_of, timed_chunks
from tests.support.published import Migration
from tests.support.tables import held_in

TIERS = TiersSegmentation("tiers", [2, 4])
PICKS = st.sampled_from(
    [
        (COLD_START,),
        (LEARNED,),
        (BY_RULES,),
        (TIERS,),
        (COLD_START, LEARNED),
        (LEARNED, COLD_START),
        (COLD_START, BY_RULES),
        (TIERS, BY_RULES),
        (WATCHERS, BY_RULES),
        (COLD_START, LEARNED, BY_RULES),
        (BY_RULES, TIERS, WATCHERS, COLD_START),
    ]
)
"""One to four of them, by rules and not, with sessions weighed and not, first and last."""


def of_those(names: Collection[str], log: Sequence[Step]) -> list[Step]:
    """Return the log without new versions of other segmentations."""
    return [step for step in log if isinstance(step, Event | int) or step.name in names]


def changed_rules() -> RulesSegmentation:
    segments = [segment.model_dump(by_alias=True) for segment in rules().segments[:2]]
    return RulesSegmentation(rules(segments=segments), 2, tuple(BY_RULES.roster.by_code.values()))


@st.composite
def changing_logs(draw: st.DrawFn) -> list[Step]:
    """Draw a log with changes of models and definitions besides."""
    log = draw(logs())
    for change in draw(st.sets(st.sampled_from(["value", "habits", "service"]))):
        if change == "value":
            version: Step = changed_model(draw(st.integers(0, 9)))
        elif change == "habits":
            version = successor(LEARNED.model, moved_frame(LEARNED.model.frame, 3))
        else:
            version = changed_rules()
        log.insert(draw(st.integers(0, len(log))), version)
    return log


def advancing(log: Sequence[Step]) -> list[Step]:
    """Return the log without what comes behind a version's take-over and is not later than that.

    What a version does is told of a customer 1 ms after what it was told last, and what is late after that again, be it
    of another segmentation. Time passes right up to each take-over, as all rules are evaluated anew then.
    """
    kept: list[Step] = []
    clock_ms = taken_over_ms = NO_TIME
    for step in log:
        if isinstance(step, Event | int):
            at_ms = step.at_ms if isinstance(step, Event) else step
            if at_ms <= taken_over_ms:
                continue
            clock_ms = max(clock_ms, at_ms)
        else:
            if clock_ms > taken_over_ms:
                kept.append(clock_ms)
            taken_over_ms = clock_ms
        kept.append(step)
    return kept


# --- time within a chunk --------------------------------------------------------------------------------------------


def play_with_time(partition: Partition, steps: Sequence[Step], cuts: Collection[int] = ()) -> list[Played]:
    """Do as `play_chunks`, with sweeps inside the chunks of events that surround them."""
    done: list[Played] = []
    first = 0
    for chunk in timed_chunks(steps, cuts):
        if chunk.events or len(chunk.sweeps.at_ms):
            done.append(play_events(partition, chunk.events, chunk.sweeps, first=first))
        first += len(chunk.events)
        if chunk.then is not None:
            partition.follow(chunk.then)
    return done


def without_position(migration: Migration) -> Migration:
    """Return a migration without its event's position, which depends on whether sweeps are counted as steps."""
    return msgspec.structs.replace(migration, cause=msgspec.structs.replace(migration.cause, position=None))


def told(played: Sequence[Played]) -> list[Migration]:
    return [without_position(migration) for each in played for migration in each.migrations]


def undated(played: Sequence[Played]) -> list[Migration]:
    """Return what is told, customer by customer: only when it is found that a version has moved them varies."""
    return sorted(
        (msgspec.structs.replace(migration, decided_at="") for migration in told(played)),
        key=lambda migration: (migration.segmentation, migration.customer_id, migration.sequence),
    )


@given(changing_logs(), PICKS, st.sets(st.integers(0, 31)))
@settings(max_examples=40)
def test_time_passing_within_a_chunk_is_as_sweeping_and_folding_one_after_the_other(
    log: list[Step], segmentations: tuple[Segmentation, ...], cuts: set[int]
) -> None:
    apart, within = Partition(segmentations), Partition(segmentations)
    steps = of_those(apart.names, log)
    expected, found = play_chunks(apart, steps, range(len(steps))), play_with_time(within, steps, cuts)
    assert undated(found) == undated(expected)
    if steps == [step for step in log if isinstance(step, Event | int)]:
        assert told(found) == told(expected)
    assert state_of(within) == state_of(apart)
    assert list(within.table.customer_ids) == list(apart.table.customer_ids)
    assert within.clock == apart.clock
    for count in ("applied", "late", "duplicates"):
        in_parts, at_once = (sum(getattr(each.outcome, count) for each in played) for played in (expected, found))
        assert at_once == in_parts, count
    for column in ("swept_at_ms", "customers"):
        assert np.concatenate([[0], *(getattr(each.outcome, column) for each in found)]).tolist() == (
            np.concatenate([[0], *(getattr(each.outcome, column) for each in expected)]).tolist()
        ), column


@given(changing_logs(), PICKS, st.sets(st.integers(0, 31)))
@settings(max_examples=50)
def test_looking_only_at_those_who_may_be_due_finds_what_looking_at_everybody_does(
    log: list[Step], segmentations: tuple[Segmentation, ...], cuts: set[int]
) -> None:
    some, everybody = Partition(segmentations), Partition(segmentations)
    steps = of_those(some.names, log)
    found = play_with_time(some, steps, cuts)
    expected: list[Played] = []
    for step in runs_of(steps):
        everybody.table.forget_due()
        everybody.table.rules_due_at_ms[:] = NO_TIME
        expected += play_chunks(everybody, step if isinstance(step, list) else [step])
    assert undated(found) == undated(expected)
    assert state_of(some) == state_of(everybody)


# --- each for itself ------------------------------------------------------------------------------------------------


def without_assessment(partition: Partition, name: str) -> list[tuple[int, ...]]:
    """Return the memberships of a segmentation without when customers were assessed: that need not be kept."""
    held = held_in(partition, name)
    return held[[field for field in held.dtype.names or () if field != "assessed_at_ms"]].tolist()


@given(changing_logs(), st.permutations(EXAMPLES), st.sets(st.integers(0, 31)))
@settings(max_examples=50)
def test_what_a_segmentation_says_does_not_depend_on_which_others_there_are(
    log: list[Step], together: list[Segmentation], cuts: set[int]
) -> None:
    partition, log = Partition(together), advancing(log)
    found = undated(play_with_time(partition, log, cuts))
    for segmentation in together:
        alone = Partition([segmentation])
        own = of_those([segmentation.name], log)
        assert undated(play_with_time(alone, own)) == [m for m in found if m.segmentation == segmentation.name]
        assert without_assessment(partition, segmentation.name) == without_assessment(alone, segmentation.name)
        assert partition.table.activity.tobytes() == alone.table.activity.tobytes()


@given(logs())
@settings(max_examples=50)
def test_moves_of_one_event_are_told_in_the_order_of_the_segmentations(log: list[Step]) -> None:
    partition = Partition(EXAMPLES)
    migrations = play(partition, log)
    order = {name: number for number, name in enumerate(partition.names)}
    by_event: dict[str, list[int]] = {}
    for migration in migrations:
        if migration.cause.event_id is not None:
            by_event.setdefault(migration.cause.event_id, []).append(order[migration.segmentation])
    assert all(numbers == sorted(numbers) for numbers in by_event.values())


# --- coming and going -----------------------------------------------------------------------------------------------

HISTORY: list[Step] = [
    *(purchase(day, customer_id=f"c{day % 4}") for day in range(16)),
    *(engagement(15.5 + minute / 1_440, customer_id="c1") for minute in range(0, 50, 10)),
]


@pytest.mark.parametrize("added", [LEARNED, BY_RULES, dataclasses.replace(COLD_START.model, name="later"), TIERS])
@pytest.mark.parametrize("swept_before", [False, True])
def test_segmentation_that_is_added_takes_everybody_in_once(added: Segmentation | Model, swept_before: bool) -> None:
    if isinstance(added, Model):
        added = LearnedSegmentation(added)
    partition = Partition([COLD_START])
    play(partition, [*HISTORY, *([instant(16)] if swept_before else [])])
    migrations = play(partition, [added, instant(17)])
    assert {m.segmentation for m in migrations if m.change == "entered"} == {added.name}
    entered = [m for m in migrations if m.segmentation == added.name]
    assert [(m.customer_id, m.sequence, m.change, m.cause.kind) for m in entered] == [
        (customer_id, 1, "entered", "definition") for customer_id in partition.table.customer_ids
    ]
    assert {(m.from_segment, m.cause.event_id, m.model_version) for m in entered} == {(None, None, added.version)}
    assert all(m.effective_at <= m.decided_at == format_instant(instant(17)) for m in entered)
    assert [m for m in play(partition, [instant(17)]) if m.segmentation == added.name] == []


@given(logs(), st.sampled_from([*EXAMPLES[1:], TIERS]), st.integers(0, 28))
@settings(max_examples=50)
def test_adding_a_segmentation_changes_nothing_for_those_there_are(
    log: list[Step], added: Segmentation, place: int
) -> None:
    without, together = Partition([COLD_START]), Partition([COLD_START])
    steps = advancing([*log[:place], added, *log[place:]])
    expected = told(play_with_time(without, of_those(["value"], steps)))
    found = told(play_with_time(together, steps))
    assert [m for m in found if m.segmentation == "value"] == expected
    causes = {m.cause.kind for m in found if m.segmentation == added.name and m.change == "entered"}
    assert causes <= {"definition", "purchase", "refund", "engagement", *(["lapse"] if added is WATCHERS else [])}
    assert without_assessment(together, "value") == without_assessment(without, "value")


NO_LOOKERS = AudienceSegmentation(
    AudienceConfiguration(kind="audience", name="no_lookers", when={"not": {"event": "product_viewed"}})
)
"""All customers of the history but one, who was in it for a while."""


@pytest.mark.parametrize("last", [COLD_START, LEARNED, BY_RULES, NO_LOOKERS, TIERS], ids=lambda each: each.name)
def test_everybody_leaves_a_segmentation_that_has_ended_once_and_comes_back_with_the_next_number(
    last: Segmentation,
) -> None:
    other = TiersSegmentation("other", [3])
    partition = Partition([other, last])
    before = play(partition, [*HISTORY, instant(16)])
    numbers = {m.customer_id: m.sequence for m in before if m.segmentation == last.name}
    latest = {m.customer_id: m.to_segment for m in before if m.segmentation == last.name}
    held = {customer_id: segment for customer_id, segment in latest.items() if segment is not None}
    numbers = {customer_id: numbers[customer_id] for customer_id in held}

    partition.follow(EndedSegmentation(last.name, last))
    outcome, left = play_sweep(partition, instant(20))
    assert [(m.customer_id, m.segmentation, m.change, m.cause.kind) for m in left] == [
        (customer_id, last.name, "left", "definition")
        for customer_id in partition.table.customer_ids
        if customer_id in held
    ]
    assert [m.to_segment for m in left] == [None] * len(left)
    assert left
    assert {m.customer_id: m.from_segment for m in left} == held
    assert {m.customer_id: m.sequence for m in left} == {of: number + 1 for of, number in numbers.items()}
    assert left[0].explanation.sentence == (
        f"Segmentation {last.name} has ended; leaves {left[0].from_segment and left[0].from_segment.name}."
    )
    assert not Describer(MigrationContext()).describe_step(partition, outcome.moves).is_specific.any()
    assert (held_in(partition, last.name)["segment"] == NO_SEGMENT).all()
    assert play(partition, [instant(21), purchase(22, customer_id="c0"), instant(500)]) == []

    entered = [m for m in play(partition, [last, instant(501)]) if m.segmentation == last.name]
    assert {m.customer_id: (m.sequence, m.change, m.cause.kind) for m in entered} == {
        customer_id: (number + 2, "entered", "definition") for customer_id, number in numbers.items()
    }


def test_end_within_a_session_is_an_end_and_no_lapse() -> None:
    partition = Partition([COLD_START])
    play(partition, [*HISTORY])
    left = play(partition, [EndedSegmentation("value", COLD_START), instant(16)])
    assert {(m.change, m.cause.kind) for m in left} == {("left", "definition")}
    assert len(left) == len(partition.table)


def test_customers_new_since_the_end_never_enter() -> None:
    partition = Partition([COLD_START, EndedSegmentation("service", BY_RULES)])
    migrations = play(partition, [*HISTORY, instant(30)])
    assert {m.segmentation for m in migrations} == {"value"}
    assert (held_in(partition, "service")["sequence"] == 0).all()


def test_segmentation_nobody_remembers_is_left_without_a_name() -> None:
    partition = Partition([COLD_START])
    play(partition, [purchase(0)])
    (left,) = play(partition, [EndedSegmentation("value", None), instant(1)])
    assert (left.from_segment, left.to_segment, left.change, left.model_version) == (None, None, "left", 0)
    assert left.explanation.sentence == "Segmentation value has ended; leaves."


def test_new_definition_moves_by_the_definition() -> None:
    partition = Partition([COLD_START, BY_RULES])
    play(partition, [*HISTORY, instant(16)])
    moved = play(partition, [changed_rules(), instant(16)])
    assert moved
    assert {(m.segmentation, m.cause.kind, m.change, m.model_version) for m in moved} == {
        ("service", "definition", "moved", 2)
    }
    assert {m.effective_at for m in moved} == {format_instant(instant(16))}


def test_customers_are_looked_at_again_once_a_segmentation_is_another() -> None:
    partition = Partition([TIERS])
    play(partition, [*HISTORY, instant(16)])
    assert (partition.table.due_at_ms == NEVER_MS).all()
    partition.follow(TiersSegmentation("tiers", [1], 2))
    assert (partition.table.due_at_ms == NO_TIME).all()
    assert len(play_sweep(partition, instant(16)).migrations) == len(partition.table)
    assert partition.names == ("tiers",)


def test_sweep_in_blocks_is_as_one_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, blocks = Partition(EXAMPLES), Partition(EXAMPLES)
    history = [purchase(day / 8, customer_id=f"c{day}") for day in range(40)]
    sweeps: list[Step] = [instant(day) for day in (20, 60, 61)]
    expected = play(whole, [*history, *sweeps])
    monkeypatch.setattr("stream_app.core.processor.BLOCK_ROWS", 7)
    found = play(blocks, [*history, *sweeps])
    assert found == expected
    assert state_of(blocks) == state_of(whole)
    assert blocks.table.due_at_ms.tolist() == whole.table.due_at_ms.tolist()
    assert DAY_MS < blocks.clock.swept_at_ms == instant(61)


# --- rows -------------------------------------------------------------------------------------------------------------


def restored(segmentations: Sequence[Segmentation], rows: dict[str, bytes], clock: Clock) -> Partition:
    partition = Partition(segmentations, clock=clock)
    for customer_id, row in rows.items():
        partition.table.restore(customer_id, row)
    return partition


@given(logs(), PICKS, st.integers(0, 28))
@settings(max_examples=50)
def test_partition_restored_from_its_rows_goes_on_as_the_other_would_have(
    log: list[Step], segmentations: tuple[Segmentation, ...], cut: int
) -> None:
    log = [step for step in log if isinstance(step, Event | int)]
    partition = Partition(segmentations)
    play_with_time(partition, log[:cut])
    copy = restored(segmentations, state_of(partition), partition.clock)
    assert state_of(copy) == state_of(partition)
    rest = [*log[cut:], instant(4_000)]
    assert told(play_with_time(copy, rest)) == told(play_with_time(partition, rest))
    assert state_of(copy) == state_of(partition)


@given(logs(), st.permutations(EXAMPLES), st.integers(1, 2))
@settings(max_examples=50)
def test_rows_keep_the_memberships_of_segmentations_that_are_not_configured(
    log: list[Step], segmentations: list[Segmentation], kept: int
) -> None:
    partition = Partition(segmentations)
    play(partition, log)
    rows = state_of(partition)
    fewer = restored(segmentations[:kept], rows, partition.clock)
    for customer_id, row in state_of(fewer).items():
        assert decode_row(row) == decode_row(rows[customer_id])
    for segmentation in segmentations[kept:]:
        fewer.follow(segmentation)
    for name in partition.names:
        assert held_in(fewer, name).tobytes() == held_in(partition, name).tobytes()
    assert state_of(fewer) == rows


def test_customers_of_a_removed_segmentation_go_on_counting_when_it_is_configured_again() -> None:
    partition = Partition([COLD_START, BY_RULES])
    play(partition, [*HISTORY, instant(16)])
    sequences = held_in(partition, "service")["sequence"].tolist()
    without = restored([COLD_START], state_of(partition), partition.clock)
    play(without, [purchase(17, customer_id="c1"), purchase(18, customer_id="c9")])
    again = restored([COLD_START], state_of(without), without.clock)
    again.follow(BY_RULES)
    assert held_in(again, "service")["sequence"].tolist() == [*sequences, 0]


def test_row_of_version_1_enters_the_other_segmentations() -> None:
    partition = restored([BY_RULES, COLD_START], {"c1": bytes.fromhex(VERSION_1)}, Clock())
    (old,) = held_in(partition, "value")
    assert (old["segment"], old["sequence"]) == (5, 3)
    partition.revise("value")
    partition.revise_rules()
    migrations = play(partition, [instant(5)])
    told_of = {m.segmentation: (m.sequence, m.change, m.cause.kind) for m in migrations}
    assert told_of["service"] == (1, "entered", "definition")
    assert "value" not in told_of or told_of["value"][0] == 4
    assert decode_row(state_of(partition)["c1"])[0] == decode_row(bytes.fromhex(VERSION_1))[0]
