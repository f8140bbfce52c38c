"""What the core relies on, checked for every kind of segmentation; and what a further kind costs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.bootstrap.segmentation import create_partition
from stream_app.core.clock import DAY_MS, MINUTE_MS, NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import DEFINITION, ENTERED, LAPSE, LAPSED, MOVED, MigrationContext, Moves
from stream_app.core.partition import Partition
from stream_app.core.processor import apply_effects, sweep
from stream_app.core.quantities import last_event_ms
from stream_app.core.segmentation import NEVER_MS, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.registry import (
    KINDS,
    build_segmentation,
    decode_segmentation,
    encode_segmentation,
)
from stream_app.settings.loading import load_settings
from stream_app.sources.files import SourceFile
from tests.contracts.records import NOW_MS
from tests.segmentations.examples import BY_RULES, COLD_START, EXAMPLES, PLAIN, RULES
from tests.segmentations.third_kind import TIERS, TiersSegmentation
from tests.support.events import histories, instant, purchase
from tests.support.logs import logs
from tests.support.playing import Step, play, state_of
from tests.support.replays import Outputs, engagement_at, purchase_at, write_lines
from tests.support.tables import activity_of

OF_A_THIRD_KIND = TiersSegmentation("tiers", [2, 4])
ENDED = EndedSegmentation("value", COLD_START)
EVERY_KIND = (*EXAMPLES, OF_A_THIRD_KIND, ENDED)
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


@st.composite
def crowds(draw: st.DrawFn, segmentation: Segmentation, settles: bool = True) -> Crowd:
    """Draw customers in any segments; if `settles`, they have then moved to where the segmentation wants them."""
    activity = activity_of(*draw(st.lists(histories(min_size=1, max_size=6, days=60), min_size=1, max_size=4)))
    count = len(activity)
    silence_ms = st.sampled_from([0, 1, MINUTE_MS, DAY_MS, 9 * DAY_MS, 30 * DAY_MS]) | st.integers(0, 90 * DAY_MS)
    at_ms = last_event_ms(activity) + draw(st.lists(silence_ms, min_size=count, max_size=count))
    customers = CustomerColumns(activity, at_ms)
    code = st.sampled_from([NO_SEGMENT, *segmentation.roster.by_code])
    segment, previous = (np.array(draw(st.lists(code, min_size=count, max_size=count)), np.int16) for _ in range(2))
    days = draw(st.lists(st.sampled_from([0, 1, 5, 9, 19, 40]), min_size=count, max_size=count))
    held = Held(segment, previous, at_ms - np.array(days) * DAY_MS)
    if settles:
        target, moves = segmentation.decide(segmentation.score(customers), held, at_ms)
        held = Held(
            np.where(moves, segmentation.roster.codes[target], segment).astype(np.int16),
            np.where(moves, segment, previous).astype(np.int16),
            np.where(moves, at_ms, held.since_ms),
        )
    return Crowd(customers, held)


def moves_of(segmentation: Segmentation, crowd: Crowd, days: int) -> Moves:
    """Return moves of all customers to where they belong after so many days of silence."""
    count = len(crowd)
    later_ms = crowd.customers.at_ms + days * DAY_MS
    later = crowd.customers.at(np.arange(count), later_ms)
    target, _ = segmentation.decide(segmentation.score(later), crowd.held, later_ms)
    entered = crowd.held.segment == NO_SEGMENT
    return WatchedMoves(
        customer_ids=[f"c{number}" for number in range(count)],
        cause_kind=np.where(entered, DEFINITION, LAPSE),
        change=np.where(entered, ENTERED, LAPSED if segmentation.moves_with_time else MOVED),
        from_code=crowd.held.segment,
        target=target,
        sequence=np.arange(1, count + 1),
        effective_at_ms=later_ms,
        decided_at_ms=later_ms,
        before=crowd.customers.activity,
        before_ms=crowd.customers.at_ms,
        after=crowd.customers.activity,
        waited=np.zeros(count, np.bool_),
        causes=[None] * count,
    )


class WatchedColumns(CustomerColumns):
    """Customers that remember which of their columns others have looked at."""

    seen: set[str]

    @classmethod
    def over(cls, customers: CustomerColumns, seen: set[str]) -> WatchedColumns:
        watched = cls(customers.activity, customers.at_ms)
        watched.seen = seen
        return watched

    def __len__(self) -> int:
        return len(self.at_ms)

    def __getattribute__(self, name: str) -> object:
        seen = object.__getattribute__(self, "__dict__").get("seen")
        if seen is None:
            return object.__getattribute__(self, name)
        if name == "at":
            return lambda rows, at_ms: WatchedColumns.over(_unwatched(self).at(rows, at_ms), seen)
        if name in ("activity", "quantities"):
            seen.add(name)
            return getattr(_unwatched(self), name)
        return object.__getattribute__(self, name)


def _unwatched(watched: WatchedColumns) -> CustomerColumns:
    own = object.__getattribute__(watched, "__dict__")
    return CustomerColumns(own["activity"], own["at_ms"])


class WatchedMoves(Moves):
    """Moves whose columns remember what is looked at."""

    seen: frozenset[str] | set[str] = frozenset()

    @property
    def columns(self) -> CustomerColumns:
        columns = super().columns
        return WatchedColumns.over(columns, self.seen) if isinstance(self.seen, set) else columns


# --- one is many, and nothing is changed ---------------------------------------------------------------------------


@every_kind
@given(st.data())
def test_many_customers_are_judged_as_each_alone(segmentation: Segmentation, data: st.DataObject) -> None:
    crowd = data.draw(crowds(segmentation))
    by_ms = crowd.customers.at_ms + 40 * DAY_MS

    def judged(some: Crowd, by_ms: np.ndarray) -> tuple[np.ndarray, ...]:
        later = some.customers.at(np.arange(len(some)), by_ms)
        target, moves = segmentation.decide(segmentation.score(later), some.held, by_ms)
        moving = np.flatnonzero(moves)
        due_ms = np.full(len(some), NO_TIME)
        due_ms[moving] = segmentation.first_due(
            some.customers.at(moving, some.customers.at_ms[moving]),
            some.held.at(moving),
            target[moving],
            some.customers.at_ms[moving],
            by_ms[moving],
        )
        waits = segmentation.ends_wait(some.held, by_ms)
        return target, moves, due_ms, segmentation.next_due(some.customers, some.held), waits

    together = judged(crowd, by_ms)
    for number in range(len(crowd)):
        alone = judged(crowd.row(number), by_ms[number : number + 1])
        assert [column[0] for column in alone] == [column[number] for column in together]


@every_kind
@given(st.data())
def test_nothing_that_is_asked_changes_what_it_is_asked_of(segmentation: Segmentation, data: st.DataObject) -> None:
    crowd = data.draw(crowds(segmentation, settles=False))
    before = crowd.frozen()
    at_ms = crowd.customers.at_ms
    scores = segmentation.score(crowd.customers)
    given_scores = scores.tobytes()
    target, _ = segmentation.decide(scores, crowd.held, at_ms)
    given_target, by_ms = target.tobytes(), at_ms + DAY_MS
    segmentation.first_due(crowd.customers, crowd.held, target, at_ms, by_ms)
    segmentation.next_due(crowd.customers, crowd.held)
    segmentation.ends_wait(crowd.held, at_ms)
    segmentation.explain(moves_of(segmentation, crowd, 3), MigrationContext())
    assert crowd.frozen() == before
    assert (scores.tobytes(), target.tobytes()) == (given_scores, given_target)
    assert (by_ms - at_ms == DAY_MS).all()


@every_kind
@given(logs(), st.sets(st.integers(0, 28)))
def test_what_is_decided_does_not_depend_on_how_events_are_cut_into_chunks(
    segmentation: Segmentation, log: list[Step], cuts: set[int]
) -> None:
    steps = [step for step in log if not dataclasses.is_dataclass(step)]  # without the changes of model
    whole, cut = Partition([segmentation]), Partition([segmentation])
    assert play(cut, steps, cuts) == play(whole, steps)
    assert state_of(cut) == state_of(whole)


@every_kind
@given(st.data())
def test_whoever_is_in_no_segment_of_the_version_moves_unless_it_has_ended(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation, settles=False))
    target, moves = segmentation.decide(segmentation.score(crowd.customers), crowd.held, crowd.customers.at_ms)
    foreign = segmentation.roster.index_of_code[crowd.held.segment] == NOWHERE
    if segmentation is ENDED:
        assert moves.tolist() == (crowd.held.segment != NO_SEGMENT).tolist()
        assert (target == NOWHERE).all()
    else:
        assert moves[foreign].all()
        assert ((target >= 0) & (target < len(segmentation.roster.segments))).all()


# --- time ----------------------------------------------------------------------------------------------------------


def brute_force_due(segmentation: Segmentation, one: Crowd, target: int, by_ms: int) -> int:
    """Return the first millisecond at which silence moves a customer to `target`: by the minute, then exactly."""

    def first_of(instants: np.ndarray) -> int | None:
        rows = np.zeros(len(instants), np.intp)
        customers = one.customers.at(rows, instants)
        found, moves = segmentation.decide(segmentation.score(customers), one.held.at(rows), instants)
        there = np.flatnonzero(moves & (found == target))
        return int(instants[there[0]]) if len(there) else None

    after_ms = int(one.customers.at_ms[0])
    minute_ms = first_of(np.arange(after_ms + MINUTE_MS, by_ms, MINUTE_MS))
    last_ms = by_ms if minute_ms is None else minute_ms
    exact_ms = first_of(np.arange(max(last_ms - MINUTE_MS, after_ms) + 1, last_ms + 1))
    assert exact_ms is not None
    return exact_ms


@every_kind
@given(st.data())
@settings(max_examples=40)
def test_first_instant_of_a_silent_move_is_what_brute_force_finds(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation))
    span_ms = data.draw(st.sampled_from([1, 2, MINUTE_MS, DAY_MS]) | st.integers(1, 30 * DAY_MS))
    by_ms = crowd.customers.at_ms + span_ms
    later = crowd.customers.at(np.arange(len(crowd)), by_ms)
    target, moves = segmentation.decide(segmentation.score(later), crowd.held, by_ms)
    for number in np.flatnonzero(moves).tolist():
        one = crowd.row(number)
        mine = slice(number, number + 1)
        due_ms = segmentation.first_due(one.customers, one.held, target[mine], one.customers.at_ms, by_ms[mine])
        assert due_ms.tolist() == [brute_force_due(segmentation, one, int(target[number]), int(by_ms[number]))]


@every_kind
@pytest.mark.parametrize("settles", [True, False])
@given(st.data())
@settings(max_examples=60)
def test_silence_moves_nobody_before_the_next_instant_that_is_due(
    segmentation: Segmentation, settles: bool, data: st.DataObject
) -> None:
    # Only where sessions are not weighed can customers be in a state that nobody has looked at yet.
    crowd = data.draw(crowds(segmentation, settles=settles or segmentation.weighs_sessions))
    due_ms = segmentation.next_due(crowd.customers, crowd.held)
    for number in np.flatnonzero(due_ms != NO_TIME).tolist():
        at_ms, ends_ms = int(crowd.customers.at_ms[number]), int(due_ms[number])
        last_ms = min(ends_ms - 1, at_ms + 400 * DAY_MS)
        tried_ms = np.unique(np.concatenate((np.linspace(at_ms, last_ms, 3_000).astype(np.int64), [last_ms])))
        tried_ms = tried_ms[tried_ms >= at_ms]
        rows = np.full(len(tried_ms), number)
        scores = segmentation.score(crowd.customers.at(rows, tried_ms))
        decision = segmentation.decide(scores, crowd.held.at(rows), tried_ms)
        assert ends_ms > at_ms
        assert not decision.moves.any() or not segmentation.moves_with_time


@every_kind
def test_only_who_may_move_with_time_is_looked_at_again_by_sweeps(segmentation: Segmentation) -> None:
    partition = Partition([segmentation])
    play(partition, [purchase(day, customer_id=f"c{day % 3}") for day in range(12)])
    apply_effects(partition, sweep(partition, instant(12)))
    due_ms = partition.table.due_at_ms
    assert (due_ms > instant(12)).all() or segmentation.moves_with_time
    assert (due_ms == NEVER_MS).all() == (not segmentation.moves_with_time)
    if not segmentation.moves_with_time:
        effects = sweep(partition, instant(5_000))
        assert (len(effects.numbers), len(effects.examined), effects.migrations) == (0, 0, [])


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
    for name in ("name", "kind", "version", "roster", "reads", "moves_with_time", "weighs_sessions", "revised_by"):
        assert getattr(decoded, name) == getattr(segmentation, name), name
    crowd = data.draw(crowds(segmentation, settles=False))
    scores = segmentation.score(crowd.customers)
    assert decoded.score(crowd.customers).tolist() == scores.tolist()
    for own, other in zip(
        segmentation.decide(scores, crowd.held, crowd.customers.at_ms),
        decoded.decide(scores, crowd.held, crowd.customers.at_ms),
        strict=True,
    ):
        assert own.tolist() == other.tolist()


@every_kind
@given(st.data())
@settings(max_examples=20)
def test_decisions_and_reasons_look_at_nothing_but_the_columns_that_are_declared(
    segmentation: Segmentation, data: st.DataObject
) -> None:
    crowd = data.draw(crowds(segmentation))
    seen: set[str] = set()
    watched = WatchedColumns.over(crowd.customers, seen)
    at_ms = crowd.customers.at_ms
    target, _ = segmentation.decide(segmentation.score(watched), crowd.held, at_ms)
    segmentation.first_due(watched, crowd.held, target, at_ms, at_ms + DAY_MS)
    segmentation.next_due(watched, crowd.held)
    moves = moves_of(segmentation, crowd, 30)
    object.__setattr__(moves, "seen", seen)
    reasons = segmentation.explain(moves, MigrationContext())
    assert seen == segmentation.reads
    assert len(reasons) == len(crowd)
    for reason in reasons:
        assert reason.sentence.endswith(".")
        assert isinstance(reason.is_specific, bool)


# --- a third kind --------------------------------------------------------------------------------------------------


@pytest.fixture
def purchases(tmp_path: Path) -> dict[str, Path]:
    days = range(1, 9)
    records = [purchase_at(day, f"2024-04-0{day}T12:00:00Z", f"c{day % 3}") for day in days]
    visits = [engagement_at(day, f"2024-04-0{day}T18:00:00Z", f"c{day % 2}") for day in days]
    return {
        "purchases": write_lines(tmp_path / "p.jsonl", records),
        "engagements": write_lines(tmp_path / "e.jsonl", visits),
    }


@pytest.mark.usefixtures("_third_kind")
def test_a_third_kind_runs_from_the_settings_to_the_outputs(purchases: dict[str, Path], tmp_path: Path) -> None:
    tables = [
        {"kind": "learned", "name": "value"},
        {"kind": "tiers", "name": "loyalty", "purchases": [2, 3]},
        RULES,
    ]
    chosen = load_settings(None, {"segmentations": tables})
    assert create_partition(chosen).names == ("value", "loyalty", "service")
    sources = [SourceFile(path, topic, {}, {}, None) for topic, path in purchases.items()]
    replay = create_replay(chosen, tmp_path / "out")
    readers = create_readers(chosen, sources, NOW_MS)
    replay.run(readers)
    for reader in readers:
        reader.close()
    outputs = Outputs(tmp_path / "out")
    tiers = [m for m in outputs.migrations if m["segmentation"] == "loyalty"]
    told = [(m["customer_id"], m["sequence"], m["change"], m["to_segment"]["id"]) for m in tiers]
    assert [entry for entry in told if entry[0] == "c1"] == [
        ("c1", 1, "entered", "tier-0"),
        ("c1", 2, "moved", "tier-1"),
        ("c1", 3, "moved", "tier-2"),
    ]
    assert tiers[0]["explanation"] == {
        "kind": "tiers",
        "purchases": 1,
        "sentence": "1 purchases; enters Tier 0.",
    }
    assert {m["segmentation"] for m in outputs.memberships} == {"value", "loyalty", "service"}
    held = {m["customer_id"]: m["segment"]["name"] for m in outputs.memberships if m["segmentation"] == "loyalty"}
    assert held == {"c0": "Tier 1", "c1": "Tier 2", "c2": "Tier 2"}
    assert [model["segmentation"] for model in outputs.models[:3]] == ["value", "loyalty", "service"]
    assert [each["segmentation"] for each in outputs.summary["other_segmentations"]] == ["loyalty", "service"]


@pytest.mark.usefixtures("_third_kind")
def test_a_changed_definition_is_the_next_version_and_the_same_one_the_version_it_was() -> None:
    (first,) = load_settings(None, {"segmentations": [{"kind": "tiers", "name": "t", "purchases": [2]}]}).segmentations
    (other,) = load_settings(None, {"segmentations": [{"kind": "tiers", "name": "t", "purchases": [5]}]}).segmentations
    built = build_segmentation(first, {})
    assert build_segmentation(first, {}, built) is built
    assert build_segmentation(other, {}, built).version == built.version + 1


def test_examples_weigh_sessions_and_do_not() -> None:
    assert [each.weighs_sessions for each in (COLD_START, PLAIN, BY_RULES)] == [False, True, True]
