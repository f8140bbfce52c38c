"""Who does not agree to be known leaves, is forgotten, and begins anew: a step against plain bookkeeping."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.core.clock import NO_TIME
from stream_app.core.consent import ConsentRules
from stream_app.core.events import CONSENT, ERASURE, MERGE, Event, pack_events
from stream_app.core.kept import encode_kept
from stream_app.core.moves import CAUSE_KINDS, CHANGES, ENTERED, LEFT, MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events, sweep
from stream_app.segmentations.describing import Chunk, Describer
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from tests.reference.consents import Consents
from tests.segmentations.examples import COLD_START
from tests.support.events import engagement, instant, profile, purchase
from tests.support.playing import play_events

OPT_IN = ConsentRules(opting_in=frozenset({"segmentation"}))
EUROPE = ConsentRules(
    jurisdictions={"EU": {"segmentation": True}, "US": {"email": True}, "US-CA": {"segmentation": True}}
)


def audience(name: str, **when: Any) -> AudienceSegmentation:
    return AudienceSegmentation(AudienceConfiguration.model_validate({"kind": "audience", "name": name, "when": when}))


BUSY = audience("busy", event="*", last="9d", at_least=2)
MAILED = audience("mailed", trait="consent.email", equals=True)


def partition(rules: ConsentRules | None = None, **context: Any) -> Partition:
    return Partition([COLD_START, BUSY, MAILED], MigrationContext(consent=rules or ConsentRules(), **context))


def said(day: float, customer_id: str = "c1", **purposes: bool | str) -> Event:
    kept = encode_kept((f"consent.{name}".encode(), purposes[name]) for name in sorted(purposes))
    return Event(CONSENT, customer_id, "", instant(day), "consent", kept=kept)


def erased(day: float, customer_id: str = "c1") -> Event:
    return Event(ERASURE, customer_id, "request", instant(day), "erasure")


def take(into: Partition, *events: Event) -> Outcome:
    return process_events(into, pack_events(events, np.arange(len(events)), 0))


def told(into: Partition, outcome: Outcome) -> list[tuple[str, str, str, int]]:
    return [
        (
            into.segmentations[move["segmentation"]].name,
            CAUSE_KINDS[move["cause"]],
            CHANGES[move["change"]],
            int(move["sequence"]),
        )
        for move in outcome.moves
    ]


def test_withdrawal_ends_each_membership_by_one_move_and_deletes_what_was_folded() -> None:
    into = partition()
    take(into, purchase(0), engagement(1), profile(1, plan="pro"))
    moves = told(into, take(into, said(2, segmentation=False)))
    assert moves == [("value", "consent", "left", 2), ("busy", "consent", "left", 2)]
    assert into.table.traits_of("c1") == {"consent.segmentation": False}
    assert int(into.table.activity["purchases"][0]) == int(into.table.activity["revenue_minor"][0]) == 0
    assert into.table.count_known() == 0
    assert into.table.members() == {}


def test_barred_customer_is_counted_and_not_folded_until_it_agrees_and_begins_anew() -> None:
    into = partition()
    take(into, purchase(0), engagement(1), said(2, segmentation=False))
    row = into.table.encode(0)
    outcome = take(into, purchase(3), engagement(4), profile(5, plan="pro"))
    assert (outcome.not_profiled, outcome.applied, len(outcome.moves), len(outcome.changed)) == (3, 0, 0, 0)
    assert into.table.encode(0) == row
    assert not len(sweep(into, instant(400)).moves)
    again = take(into, said(401, segmentation=True), purchase(402))
    assert told(into, again) == [("value", "purchase", "entered", 3)]
    assert into.table.activity["purchases"].tolist() == [1]


def test_what_happened_before_the_present_consent_does_not_come_back() -> None:
    into = partition()
    take(into, purchase(0), engagement(1), said(2, segmentation=False), said(5, segmentation=True))
    outcome = take(into, purchase(0), engagement(1), purchase(3), engagement(6))
    assert (outcome.not_profiled, outcome.applied + outcome.late) == (3, 1)
    assert into.table.activity["purchases"].tolist() == [0]


def test_late_event_of_who_has_always_agreed_is_folded() -> None:
    into = partition()
    outcome = take(into, purchase(4), said(5, segmentation=True), purchase(3))
    assert (outcome.not_profiled, into.table.activity["purchases"].tolist()) == (0, [2])


def test_older_statement_changes_nothing_and_of_equal_instants_the_withdrawal_stays() -> None:
    into = partition()
    take(into, purchase(0), said(3, segmentation=True))
    assert not len(take(into, said(2, segmentation=False)).changed)
    assert told(into, take(into, said(3, segmentation=False)))[0][1:] == ("consent", "left", 2)
    assert not len(take(into, said(3, segmentation=True)).changed)


def test_withdrawal_and_consent_in_one_chunk_are_two_moves_of_ascending_instants() -> None:
    into = partition()
    take(into, purchase(9))
    outcome = take(into, said(2, segmentation=False), said(3, segmentation=True), purchase(10))
    assert told(into, outcome) == [("value", "consent", "left", 2), ("value", "purchase", "entered", 3)]
    assert np.all(np.diff(outcome.moves["effective_at_ms"]) > 0)


def test_where_purpose_opts_in_nobody_is_known_before_it_agrees() -> None:
    into = partition(OPT_IN)
    outcome = take(into, purchase(0), profile(1, plan="pro"))
    assert (outcome.not_profiled, len(into.table)) == (2, 0)
    take(into, said(2, segmentation=True), purchase(3), purchase(1))
    assert into.table.activity["purchases"].tolist() == [1]


@pytest.mark.parametrize(
    ("jurisdiction", "is_known"), [("EU", False), ("US", True), ("US-NY", True), ("US-CA", False), ("US-CA-LA", False)]
)
def test_jurisdiction_says_what_holds_of_whom_nothing_is_said(jurisdiction: str, is_known: bool) -> None:
    into = partition(EUROPE)
    take(into, purchase(0), said(1, jurisdiction=jurisdiction, email=True))
    assert into.table.count_known() == is_known
    assert into.context.consent.grants(into.table.traits_of("c1"), "segmentation") is is_known
    take(into, said(2, segmentation=True))
    assert into.table.count_known() == 1


def test_move_to_another_jurisdiction_lets_a_customer_begin_anew() -> None:
    into = partition(EUROPE)
    take(into, said(1, jurisdiction="EU"), purchase(2), said(3, jurisdiction="US"), purchase(2.5), purchase(4))
    assert into.table.activity["purchases"].tolist() == [1]


def test_conditions_look_at_statements() -> None:
    into = partition()
    assert told(into, take(into, said(0, email=True))) == [("mailed", "consent", "entered", 1)]
    assert told(into, take(into, said(1, email=False))) == [("mailed", "consent", "left", 2)]


def test_silence_up_to_a_statement_passes_in_the_state_before_it() -> None:
    into = Partition([MAILED, audience("fresh", event="*", last="12h")])
    take(into, purchase(0))
    outcome = take(into, said(1, email=True))
    found = [
        (*each[:2], int(move["effective_at_ms"])) for each, move in zip(told(into, outcome), outcome.moves, strict=True)
    ]
    assert found == [("fresh", "lapse", instant(0.5)), ("mailed", "consent", instant(1))]


def test_no_number_of_traits_displaces_statements() -> None:
    into = partition()
    take(into, said(0, email=False))
    take(into, *(profile(1 + number, "c1", **{f"a{number}": number}) for number in range(200)))
    traits = into.table.traits_of("c1")
    assert (traits["consent.email"], len(traits)) == (False, 129)


def test_who_is_merged_with_somebody_that_has_withdrawn_later_is_barred() -> None:
    into = partition()
    take(into, purchase(0, customer_id="a"), engagement(1, "a"), said(5, "a", segmentation=False))
    take(into, purchase(0, customer_id="b"))
    outcome = take(into, Event(MERGE, "b", "a", instant(6), "merge"))
    assert told(into, outcome) == [("value", "merge", "left", 2)]
    assert into.table.traits_of("b") == {"consent.segmentation": False}
    assert take(into, purchase(7, customer_id="b")).not_profiled == 1


def test_consent_of_a_merged_id_that_is_later_lets_the_other_begin_anew() -> None:
    into = partition()
    take(into, purchase(0, customer_id="b"), said(1, "b", segmentation=False))
    take(into, said(2, "a", segmentation=True), purchase(3, customer_id="a"))
    take(into, Event(MERGE, "b", "a", instant(6), "merge"))
    assert dict(zip(into.table.customer_ids, into.table.activity["purchases"].tolist(), strict=True)) == {
        "b": 1,
        "a": 0,
    }
    assert take(into, purchase(0.5, customer_id="b")).not_profiled == 1


def test_erasure_leaves_a_row_as_new_that_is_to_be_removed() -> None:
    into = partition()
    take(into, purchase(0), engagement(1), said(1, email=True), purchase(0, customer_id="c2"))
    outcome = take(into, erased(2))
    assert [each[1:] for each in told(into, outcome)] == [("erasure", "left", 2)] * 3
    assert (outcome.erased.tolist(), outcome.changed.tolist()) == ([0], [0])
    assert into.table.traits_of("c1") == {}
    into.forget(["c1"])
    assert list(into.table.customer_ids) == ["c2"]
    assert told(into, take(into, purchase(3))) == [("value", "purchase", "entered", 1)]


@pytest.mark.parametrize("at", [2, 3])
def test_who_acts_after_an_erasure_within_the_chunk_is_somebody_new(at: float) -> None:
    into = partition()
    take(into, purchase(0), engagement(1))
    outcome = take(into, erased(2), purchase(at))
    assert not len(outcome.erased)
    assert told(into, outcome)[-1] == ("value", "purchase", "entered", 1)
    assert into.table.activity["purchases"].tolist() == [1]


def test_erasure_of_who_is_not_there_is_counted_alone() -> None:
    into = partition()
    outcome = take(into, erased(1))
    assert (len(into.table), len(outcome.changed), outcome.applied) == (0, 0, 1)


def test_moves_out_say_why_and_nothing_of_what_was_deleted() -> None:
    into = partition()
    take(into, purchase(0), engagement(1))
    left = play_events(into, [said(2, segmentation=False)]).migrations[0]
    assert (left.cause.kind, left.change, left.to_segment) == ("consent", "left", None)
    assert left.explanation.sentence.startswith("No consent to segmentation; leaves ")
    take(into, said(3, segmentation=True), purchase(4))
    gone = play_events(into, [erased(5)]).migrations[0]
    assert gone.cause.kind == "consent"
    assert gone.explanation.sentence.startswith("Erased on request; leaves ")


KINDS = st.sampled_from(
    ["purchase", "engagement", "profile", "granted", "withdrawn", "email", "moves", "erased", "sweep"]
)
STEPS = st.lists(
    st.tuples(KINDS, st.sampled_from("ab"), st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 4]), st.booleans()),
    max_size=40,
)


def played(steps: Sequence[tuple[str, str, int, int, bool]]) -> list[tuple[Event | int, bool]]:
    """Return events and instants of sweeps, each with whether a chunk is cut before it."""
    day, made = 10, []
    for number, (kind, customer_id, ahead, behind, cuts) in enumerate(steps):
        day += ahead
        at = day - behind
        choices: dict[str, Event | int] = {
            "purchase": purchase(at, customer_id=customer_id, order_id=f"o{number}"),
            "engagement": engagement(at, customer_id, f"e{number}"),
            "profile": profile(at, customer_id, plan=f"p{number % 3}"),
            "granted": said(at, customer_id, segmentation=True),
            "withdrawn": said(at, customer_id, segmentation=False),
            "email": said(at, customer_id, email=number % 2 == 0),
            "moves": said(at, customer_id, jurisdiction=("EU", "US")[number % 2]),
            "erased": erased(at, customer_id),
            "sweep": instant(day),
        }
        made.append((choices[kind], cuts))
    return made


def restarted(into: Partition, rules: ConsentRules) -> Partition:
    fresh = Partition(into.segmentations, MigrationContext(consent=rules), clock=into.clock)
    ids = list(into.table.customer_ids)
    fresh.table.restore_many([(each.encode(), into.table.encode(into.table.find(each))) for each in ids])
    return fresh


@settings(max_examples=300)
@example([("purchase", "a", 0, 0, False), ("withdrawn", "a", 0, 0, False), ("granted", "a", 1, 0, True)], 0, True)
@given(STEPS, st.integers(0, 2), st.booleans())
def test_any_interleaving_leaves_what_a_recount_of_wanted_events_does(
    steps: list[tuple[str, str, int, int, bool]], which: int, restarts: bool
) -> None:
    rules = [ConsentRules(), OPT_IN, EUROPE][which]
    into, recount = partition(rules), Consents(rules)
    segments: dict[tuple[str, int], int] = {}
    sequences: dict[tuple[str, int], int] = defaultdict(int)
    last_ms: dict[tuple[str, int], int] = defaultdict(lambda: NO_TIME)
    chunk: list[Event] = []
    gone: set[str] = set()
    not_profiled = 0

    def follow(outcome: Outcome) -> None:
        for move in outcome.moves:
            customer_id = into.table.customer_ids[int(move["row"])]
            key = customer_id, int(move["segmentation"])
            is_new = customer_id in gone and move["sequence"] == 1
            assert move["sequence"] == sequences[key] + 1 or is_new
            assert move["effective_at_ms"] > last_ms[key] or is_new
            assert (move["change"] == ENTERED) == (segments.get(key, 0) == 0)
            sequences[key], last_ms[key] = move["sequence"], move["effective_at_ms"]
            segments[key] = 0 if move["change"] == LEFT else 1
        into.forget([into.table.customer_ids[row] for row in outcome.erased.tolist()])
        for customer_id, number in ((each, number) for each in gone for number in range(3)):
            row, ruled = into.table.find(customer_id), number > 0
            held = (into.table.places[number - 1] if ruled else into.table.memberships[0])[row] if row >= 0 else None
            sequences[customer_id, number] = 0 if held is None else int(held["sequence"])
            last_ms[customer_id, number] = NO_TIME

    for step, cuts in [*played(steps), (instant(500), True)]:
        if chunk and (isinstance(step, int) or (cuts and step.at_ms != chunk[-1].at_ms)):
            recount.take(chunk)
            gone = {event.customer_id for event in chunk if event.kind == ERASURE}
            outcome = take(into, *chunk)
            not_profiled += outcome.not_profiled
            follow(outcome)
            chunk = []
            for customer_id, known in recount.customers.items():
                if known.is_barred:
                    assert not any(segments.get((customer_id, number), 0) for number in range(3))
            into = restarted(into, rules) if restarts else into
        gone = set()
        if isinstance(step, int):
            follow(sweep(into, step))
        else:
            chunk.append(step)
    assert not_profiled == recount.not_profiled
    expected = Partition(into.segmentations)
    for customer_id, known in recount.customers.items():
        row = into.table.find(customer_id)
        assert (row >= 0) == known.is_there
        if row < 0:
            continue
        traits = into.table.traits_of(customer_id)
        assert {name: value for name, value in traits.items() if name.startswith("consent.")} == known.traits()
        if known.is_barred:
            assert traits == known.traits()
            assert into.table.activity["purchases"][row] == into.table.activity["engagements"][row] == 0
        for event in known.folded:
            take(expected, event)
        plain = expected.table.find(customer_id)
        if plain < 0:
            continue
        sweep(expected, instant(500))
        assert into.table.activity[row] == expected.table.activity[plain]
        assert traits == known.traits() | expected.table.traits_of(customer_id)
        assert into.table.places["segment"][0, row] == expected.table.places["segment"][0, plain]


def consents_told(into: Partition, *events: Event) -> list[tuple[str, dict[str, bool] | None]]:
    """Return what the migrations of events tell of consents, and check that memberships tell the same."""
    packed = pack_events(events, np.arange(len(events)), 0)
    outcome = process_events(into, packed)
    described = Describer(into.context).describe_step(into, outcome.moves, Chunk(packed, ["log"]), outcome.facts)
    migrations = [json.loads(described.migration(number)) for number in range(len(described))]
    members = [
        json.loads(described.memberships[place["membership_at"] : place["membership_at"] + place["membership_size"]])
        for place in described.places
        if place["membership_size"] >= 0
    ]
    expected = [each.get("consents") for each in migrations if each["to_segment"] is not None]
    assert [each.get("consents") for each in members] == expected
    return [(each["customer_id"], each.get("consents")) for each in migrations]


def test_moves_tell_of_purposes_that_somebody_spoke_of_or_that_need_consent() -> None:
    rules = ConsentRules(opting_in=frozenset({"advertising"}), jurisdictions={"EU": {"email": True}})
    into = partition(rules)
    assert consents_told(into, purchase(0)) == [("c1", {"advertising": False})]
    events = said(1, jurisdiction="EU"), said(2, personalization=True), purchase(3, customer_id="c2"), engagement(3)
    told_of = dict(consents_told(into, *events))
    assert told_of == {
        "c1": {"personalization": True, "advertising": False, "email": False},
        "c2": {"advertising": False},
    }
    assert told_of["c1"] == rules.stamp(into.table.traits_of("c1"))
    silent = partition()
    assert consents_told(silent, purchase(0), said(1, email=True)) == [("c1", None), ("c1", {"email": True})]
    assert [each for _, each in consents_told(silent, said(2, segmentation=False))] == [
        {"segmentation": False, "email": True}
    ] * 2
