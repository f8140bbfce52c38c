"""What the core relies on, checked for every kind of segmentation."""

from __future__ import annotations

import dataclasses
import json
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import Event
from stream_app.core.moves import DEFINITION, ENTERED, LAPSE, LAPSED, MigrationContext, Moves
from stream_app.core.partition import Partition
from stream_app.core.segmentation import NEVER_MS, Decision, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.registry import (
    KINDS,
    decode_segmentation,
    encode_segmentation,
)
from tests.native.moves import describe
from tests.reference.quantities import last_event_ms
from tests.reference.rosters import lapsed_codes_of
from tests.segmentations.examples import COLD_START, EXAMPLES, NOT_RULED, WATCHERS
from tests.segmentations.third_kind import TIERS, TiersSegmentation
from tests.support.events import histories, instant, purchase
from tests.support.logs import logs, whole_instants
from tests.support.oracle import expected_migrations, told
from tests.support.playing import Step, play, play_sweep, state_of
from tests.support.published import Migration, read_migration
from tests.support.tables import activity_of, held_in

OF_A_THIRD_KIND = TiersSegmentation("tiers", [2, 4])
ENDED = EndedSegmentation("value", COLD_START)
EVERY_KIND = (*EXAMPLES, OF_A_THIRD_KIND, ENDED)
asked = pytest.mark.parametrize(
    "segmentation", [*NOT_RULED, OF_A_THIRD_KIND, ENDED], ids=lambda each: f"{each.kind}-{each.name}"
)
"""Those that are asked one by one; what is by rules is evaluated by steps alone."""
every_kind = pytest.mark.parametrize("segmentation", EVERY_KIND, ids=lambda each: f"{each.kind}-{each.name}")
registered = pytest.mark.parametrize(
    "segmentation", [*EXAMPLES, OF_A_THIRD_KIND], ids=lambda each: f"{each.kind}-{each.name}"
)


@pytest.fixture
def _third_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "tiers", TIERS)


def test_every_registered_kind_has_an_example() -> None:
    assert {segmentation.kind for segmentation in EXAMPLES} == set(KINDS)


@dataclasses.dataclass
class Crowd:
    """Customers at instants at which they were assessed, and where they then are."""

    customers: CustomerColumns
    held: Held

    def __len__(self) -> int:
        return len(self.customers)

    def row(self, number: int) -> Crowd:
        rows = np.array([number])
        return Crowd(self.customers.at(rows, self.customers.at_ms[rows]), self.held.at(rows))

    def frozen(self) -> tuple[bytes, ...]:
        return tuple(column.tobytes() for column in (self.customers.activity, self.customers.at_ms, *self.held))


def seen_off(segmentation: Segmentation, decision: Decision, held: Held, at_ms: np.ndarray) -> Held:
    """Return where customers are after a decision."""
    moves, roster = decision.moves, segmentation.roster
    entered = np.where(moves, roster.codes[decision.target], held.segment)
    kept = np.where(np.isin(entered, lapsed_codes_of(roster)), held.kept, entered)
    return Held(
        entered.astype(np.int16),
        np.where(moves, held.segment, held.previous).astype(np.int16),
        np.where(moves, at_ms, held.since_ms),
        kept.astype(np.int16),
    )


@st.composite
def crowds(draw: st.DrawFn, segmentation: Segmentation, settles: bool = True) -> Crowd:
    """Draw customers in any segments; if `settles`, they have then moved to where the segmentation wants them."""
    activity = activity_of(*draw(st.lists(histories(min_size=1, max_size=6, days=60), min_size=1, max_size=4)))
    count = len(activity)
    silence_ms = st.sampled_from([0, 1, MINUTE_MS, DAY_MS, 9 * DAY_MS, 30 * DAY_MS]) | st.integers(0, 90 * DAY_MS)
    at_ms = last_event_ms(activity) + draw(st.lists(silence_ms, min_size=count, max_size=count))
    customers = CustomerColumns(activity, at_ms)
    code = st.sampled_from([NO_SEGMENT, *segmentation.roster.by_code])
    segment, previous, kept = (
        np.array(draw(st.lists(code, min_size=count, max_size=count)), np.int16) for _ in range(3)
    )
    days = draw(st.lists(st.sampled_from([0, 1, 5, 9, 19, 40]), min_size=count, max_size=count))
    held = Held(segment, previous, at_ms - np.array(days) * DAY_MS, kept)
    if settles:
        held = seen_off(segmentation, segmentation.revise(customers, held), held, at_ms)
    return Crowd(customers, held)


def moves_of(segmentation: Segmentation, crowd: Crowd, days: int) -> Moves:
    """Return moves of all customers to where they belong after so many days of silence."""
    count = len(crowd)
    later_ms = crowd.customers.at_ms + days * DAY_MS
    later = crowd.customers.at(np.arange(count), later_ms)
    decision = segmentation.revise(later, crowd.held)
    held = seen_off(segmentation, decision._replace(moves=np.ones(count, np.bool_)), crowd.held, later_ms)
    entered = crowd.held.segment == NO_SEGMENT
    return Moves(
        customer_ids=[f"c{number}" for number in range(count)],
        cause_kind=np.where(entered, DEFINITION, LAPSE),
        change=np.where(entered, ENTERED, LAPSED),
        from_code=crowd.held.segment,
        target=decision.target,
        sequence=np.arange(1, count + 1),
        effective_at_ms=later_ms,
        decided_at_ms=later_ms,
        before=crowd.customers.activity,
        before_ms=crowd.customers.at_ms,
        after=crowd.customers.activity,
        following=segmentation.silence(later, held, later_ms, np.full(count, NEVER_MS)),
        causes=[None] * count,
    )


# --- one is many, and nothing is changed ---------------------------------------------------------------------------


@every_kind
@given(logs())
@settings(max_examples=30)
def test_many_customers_in_a_step_do_what_each_does_alone(segmentation: Segmentation, log: list[Step]) -> None:
    steps = whole_instants([*(step for step in log if isinstance(step, Event | int)), instant(3_000)])
    together = Partition([segmentation])
    migrations = play(together, steps)
    for customer_id, row in state_of(together).items():
        alone = Partition([segmentation])
        own = [step for step in steps if isinstance(step, int) or step.customer_id == customer_id]
        found = play(alone, own)
        expected = [migration for migration in migrations if migration.customer_id == customer_id]
        assert without_places(found) == without_places(expected)
        assert state_of(alone) == {customer_id: row}


@every_kind
@given(logs(), st.integers(0, 28))
@settings(max_examples=30)
def test_customers_restored_from_their_rows_go_on_as_they_would_have(
    segmentation: Segmentation, log: list[Step], cut: int
) -> None:
    steps = [*(step for step in log if isinstance(step, Event | int)), instant(3_000)]
    partition = Partition([segmentation])
    play(partition, steps[:cut])
    copy = Partition([segmentation], clock=partition.clock)
    for customer_id, row in state_of(partition).items():
        copy.table.restore(customer_id, row)
    assert play(copy, steps[cut:]) == play(partition, steps[cut:])
    assert state_of(copy) == state_of(partition)


@pytest.mark.parametrize("segmentation", [each for each in EXAMPLES if each.is_ruled], ids=lambda each: each.kind)
@given(logs(late=False, refunds=False), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_where_rules_see_customers_does_not_depend_on_the_order_in_which_their_events_arrive(
    segmentation: Segmentation, log: list[Step], random: Random
) -> None:
    events = [step for step in log if isinstance(step, Event)]
    shuffled = random.sample(events, len(events))
    ends_ms = max((event.at_ms for event in events), default=0) + 1
    found = []
    for arrived in (events, shuffled):
        partition = Partition([segmentation])
        play(partition, [*arrived, *range(ends_ms, ends_ms + 90 * DAY_MS, DAY_MS)])
        segments = held_in(partition, segmentation.name)["segment"].tolist()
        found.append(dict(zip(partition.table.customer_ids, segments, strict=True)))
    assert found[0] == found[1]


def without_places(migrations: list[Migration]) -> list[Migration]:
    """Return migrations without where their events stood in the log and when a sweep among them found them."""
    return [
        msgspec.structs.replace(migration, cause=msgspec.structs.replace(migration.cause, position=None), decided_at="")
        for migration in migrations
    ]


def answers(segmentation: Segmentation, crowd: Crowd, span_ms: int) -> list[list[object]]:
    """Return all that is answered about customers, column by column."""
    at_ms = crowd.customers.at_ms
    due = segmentation.silence(crowd.customers, crowd.held, at_ms, at_ms + span_ms)
    columns = [*segmentation.acts(crowd.customers, crowd.held), *segmentation.revise(crowd.customers, crowd.held)]
    return [column.tolist() for column in (*columns, due.at_ms, np.where(due.at_ms <= at_ms + span_ms, due.target, 0))]


@asked
@given(st.data())
def test_many_customers_are_judged_as_each_alone(segmentation: Segmentation, data: st.DataObject) -> None:
    crowd = data.draw(crowds(segmentation, settles=False))
    together = answers(segmentation, crowd, 40 * DAY_MS)
    for number in range(len(crowd)):
        alone = answers(segmentation, crowd.row(number), 40 * DAY_MS)
        assert alone == [[column[number]] for column in together]


@asked
@given(st.data())
def test_nothing_that_is_asked_changes_what_it_is_asked_of(segmentation: Segmentation, data: st.DataObject) -> None:
    crowd = data.draw(crowds(segmentation, settles=False))
    before = crowd.frozen()
    at_ms = crowd.customers.at_ms
    after_ms, by_ms = at_ms - DAY_MS, at_ms + DAY_MS
    segmentation.acts(crowd.customers, crowd.held)
    segmentation.silence(crowd.customers, crowd.held, after_ms, by_ms)
    segmentation.revise(crowd.customers, crowd.held)
    describe(moves_of(segmentation, crowd, 3), segmentation, MigrationContext())
    assert crowd.frozen() == before
    assert (by_ms - after_ms == 2 * DAY_MS).all()


@every_kind
@given(logs(), st.sets(st.integers(0, 28)))
@settings(max_examples=40)
def test_what_is_decided_does_not_depend_on_how_events_are_cut_into_chunks(
    segmentation: Segmentation, log: list[Step], cuts: set[int]
) -> None:
    steps = [step for step in log if isinstance(step, Event | int)]
    whole, cut = Partition([segmentation]), Partition([segmentation])
    assert play(cut, steps, cuts) == play(whole, steps)
    assert state_of(cut) == state_of(whole)


@pytest.mark.parametrize(
    "segmentation", [each for each in EVERY_KIND if each is not WATCHERS], ids=lambda each: f"{each.kind}-{each.name}"
)
@given(logs(), st.sets(st.integers(0, 28)))
@settings(max_examples=30)
def test_customers_do_what_asking_event_by_event_says(
    segmentation: Segmentation, log: list[Step], cuts: set[int]
) -> None:
    steps = [*(step for step in log if isinstance(step, Event | int)), instant(3_000)]
    assert told(play(Partition([segmentation]), steps, cuts)) == expected_migrations(segmentation, steps)


@asked
@given(st.data())
def test_whoever_is_in_no_segment_of_the_version_moves_unless_it_has_ended(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation, settles=False))
    foreign = segmentation.roster.index_of_code[crowd.held.segment] == NOWHERE
    for decision in (
        segmentation.acts(crowd.customers, crowd.held),
        segmentation.revise(crowd.customers, crowd.held),
    ):
        if segmentation is ENDED:
            assert decision.moves.tolist() == (crowd.held.segment != NO_SEGMENT).tolist()
            assert (decision.target == NOWHERE).all()
        else:
            assert decision.moves[foreign].all()
            assert ((decision.target >= 0) & (decision.target < len(segmentation.roster.segments))).all()


# --- time ----------------------------------------------------------------------------------------------------------


@asked
@given(st.data())
@settings(max_examples=40)
def test_first_move_in_silence_is_the_same_however_far_one_looks_ahead(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation))
    after_ms = crowd.customers.at_ms
    far = segmentation.silence(crowd.customers, crowd.held, after_ms, np.full(len(crowd), NEVER_MS))
    assert (far.at_ms > after_ms).all()
    span_ms = data.draw(st.sampled_from([0, 1, MINUTE_MS]) | st.integers(0, 100 * DAY_MS))
    exactly_ms = np.where(far.at_ms < NEVER_MS, far.at_ms, after_ms) + data.draw(st.sampled_from([-1, 0, 1]))
    for by_ms in (after_ms + span_ms, np.maximum(exactly_ms, after_ms)):
        near = segmentation.silence(crowd.customers, crowd.held, after_ms, by_ms)
        found = near.at_ms <= by_ms
        assert found.tolist() == (far.at_ms <= by_ms).tolist()
        assert near.at_ms[found].tolist() == far.at_ms[found].tolist()
        assert near.target[found].tolist() == far.target[found].tolist()
        # Beyond what was asked about, nobody moves before the answer.
        assert (near.at_ms[~found] <= far.at_ms[~found]).all()


@asked
@given(st.data())
@settings(max_examples=40)
def test_where_one_begins_to_look_within_a_silence_does_not_matter(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation))
    after_ms, never_ms = crowd.customers.at_ms, np.full(len(crowd), NEVER_MS)
    first = segmentation.silence(crowd.customers, crowd.held, after_ms, never_ms)
    later_ms = np.minimum(after_ms + data.draw(st.integers(0, 60 * DAY_MS)), first.at_ms - 1)
    again = segmentation.silence(crowd.customers, crowd.held, later_ms, never_ms)
    assert [column.tolist() for column in again] == [column.tolist() for column in first]


@every_kind
def test_only_whom_silence_may_move_is_looked_at_again_by_sweeps(segmentation: Segmentation) -> None:
    partition = Partition([segmentation])
    play(partition, [purchase(day, customer_id=f"c{day % 3}") for day in range(12)])
    play_sweep(partition, instant(12))
    assert (partition.table.due_at_ms > instant(12)).all()
    play(partition, [instant(5_000)])
    assert (partition.table.due_at_ms == NEVER_MS).all()
    outcome, migrations = play_sweep(partition, instant(9_000))
    assert (len(outcome.changed), migrations) == (0, [])


# --- documents, reasons --------------------------------------------------------------------------------------------


@registered
@pytest.mark.usefixtures("_third_kind")
@given(st.data())
@settings(max_examples=20)
def test_document_gives_the_same_segmentation_back(segmentation: Segmentation, data: st.DataObject) -> None:
    document = json.loads(json.dumps(encode_segmentation(segmentation), allow_nan=False))
    decoded = decode_segmentation(document)
    assert json.loads(json.dumps(encode_segmentation(decoded))) == document
    assert (document["kind"], document["segmentation"]) == (segmentation.kind, segmentation.name)
    for name in ("name", "kind", "version", "roster", "weighs_sessions", "revised_by"):
        assert getattr(decoded, name) == getattr(segmentation, name), name
    if segmentation.is_ruled:
        log = [step for step in data.draw(logs()) if isinstance(step, Event | int)]
        own, other = (play(Partition([each]), [*log, instant(3_000)]) for each in (segmentation, decoded))
        assert own == other
        return
    crowd = data.draw(crowds(segmentation, settles=False))
    assert answers(decoded, crowd, 40 * DAY_MS) == answers(segmentation, crowd, 40 * DAY_MS)


@asked
@given(st.data())
@settings(max_examples=20)
def test_every_move_is_explained_by_a_sentence(segmentation: Segmentation, data: st.DataObject) -> None:
    crowd = data.draw(crowds(segmentation))
    described = describe(moves_of(segmentation, crowd, 30), segmentation, MigrationContext())
    assert len(described) == len(crowd)
    for number in range(len(crowd)):
        migration = read_migration(described.migration(number))
        assert migration.explanation.kind in (segmentation.kind, "definition")
        assert migration.explanation.sentence.endswith(".")


def test_examples_weigh_sessions_and_do_not() -> None:
    assert [each.weighs_sessions for each in EXAMPLES] == [False, False, True, True]
