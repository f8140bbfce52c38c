"""Moves of learned segmentations lead where they may, and to names that are true; seeded breaches are found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from stream_app.audit.checks import Log
from stream_app.audit.names import LEVELS, Models, check_direction, check_names
from stream_app.audit.records import Cause, Migration, Standing
from stream_app.audit.recount import Entry
from stream_app.audit.verification import Verification
from stream_app.core.clock import DAY_MS, NO_TIME, format_instant
from stream_app.core.events import Event
from stream_app.segmentations.learned.model import Frame, Model
from tests.audit.stories import Append, Story, audited, drawn_inputs, told
from tests.support.events import START_MS, engagement, purchase

NEW, OCCASIONAL, BROWSERS, REGULAR, VIP, AT_RISK, LOST = "s3", "s102", "s4", "s101", "s104", "s5", "s6"
LOG = Log("migrations", 0)
STREAMS = {"purchases": 0, "engagements": 1}
ENGAGED = Model("value", version=2, as_of_ms=0, frame=Frame(engagement_weight=1.0))
MODELS: Models = {("value", 2): ENGAGED}


@pytest.fixture
def story() -> Story:
    return told(drawn_inputs(customers=30, events=400))


def found_in(story: Story) -> Verification:
    return asyncio.run(audited(story))


def moves_of(story: Story, kinds: Iterable[str], is_wanted: Callable[[dict[str, Any]], bool]) -> list[Append]:
    return [
        append
        for append in story.written(story.names.migrations)
        if append.json["cause"]["kind"] in kinds and append.json["from_segment"] and is_wanted(append.json)
    ]


def lead_to(story: Story, move: Append, segment_id: str, direction: str) -> set[str]:
    changed = move.with_json(to_segment={"id": segment_id, "name": "x"}, direction=direction)
    story.change(move, replace(changed, headers=move.headers))
    return set(found_in(story).tally.breaches)


def test_every_name_of_a_faultless_deployment_is_true(story: Story) -> None:
    found = found_in(story)
    assert found.tally.is_clean
    assert found.figures["names checked"] == len(story.written(story.names.migrations)) > 60
    assert found.figures["names that depend on the order"] == 0


def test_name_that_was_not_true_is_found(story: Story) -> None:
    (move, *_) = moves_of(story, {"lapse"}, lambda seen: seen["to_segment"]["id"] == AT_RISK)
    assert lead_to(story, move, LOST, "down") >= {"names"}


def test_role_that_was_not_true_is_found(story: Story) -> None:
    (move, *_) = moves_of(story, {"purchase", "engagement"}, lambda seen: seen["direction"] == "up")
    assert lead_to(story, move, VIP, "up") >= {"names"}


def test_silence_that_leads_up_is_found(story: Story) -> None:
    (move, *_) = moves_of(story, {"lapse"}, lambda seen: seen["direction"] == "down")
    assert lead_to(story, move, VIP, "up") >= {"direction", "names"}


def test_own_act_among_the_lapsed_is_found(story: Story) -> None:
    (move, *_) = moves_of(story, {"purchase", "engagement"}, lambda seen: seen["direction"] == "up")
    assert lead_to(story, move, LOST, "down") >= {"direction", "names"}


# --- directions ---------------------------------------------------------------------------------------------------


def move_of(
    kind: str, origin: str | None, target: str | None, direction: str | None, version: int = 2, **at: Any
) -> Migration:
    """Return a migration after two days; `at` may name topic and offset of the event, and the customer's instant."""
    cause = Cause(kind, None, at.get("topic"), 0, at.get("offset", -1))
    standing = Standing(target, 2, format_instant(at.get("at_ms", START_MS + 2 * DAY_MS)), version)
    change = "moved" if origin else "entered"
    return Migration(0, b"c", None, "", "c", "value", 2, change, origin, standing, cause, direction)


@pytest.mark.parametrize(
    ("kind", "origin", "target", "direction"),
    [
        ("purchase", OCCASIONAL, VIP, "up"),
        ("engagement", NEW, REGULAR, "sideways"),
        ("purchase", LOST, OCCASIONAL, "up"),
        ("purchase", None, NEW, None),
        ("purchase", "s77", REGULAR, None),
        ("refund", VIP, OCCASIONAL, "down"),
        ("lapse", VIP, AT_RISK, "down"),
        ("lapse", NEW, BROWSERS, "sideways"),
        ("model", LOST, VIP, "up"),
        ("model", VIP, OCCASIONAL, "down"),
        ("definition", VIP, None, None),
    ],
)
def test_move_in_its_direction_is_right(kind: str, origin: str | None, target: str, direction: str | None) -> None:
    assert not list(check_direction([move_of(kind, origin, target, direction)], {}, STREAMS, MODELS, LOG))


@pytest.mark.parametrize(
    ("kind", "origin", "target", "direction"),
    [
        ("purchase", VIP, OCCASIONAL, "down"),
        ("engagement", NEW, AT_RISK, "down"),
        ("engagement", LOST, AT_RISK, "up"),
        ("purchase", None, LOST, None),
        ("lapse", OCCASIONAL, REGULAR, "up"),
        ("model", OCCASIONAL, VIP, "down"),
        ("model", OCCASIONAL, VIP, None),
    ],
)
def test_move_against_its_direction_is_a_breach(
    kind: str, origin: str | None, target: str, direction: str | None
) -> None:
    (breach,) = check_direction([move_of(kind, origin, target, direction)], {}, STREAMS, MODELS, LOG)
    assert (breach.check, breach.customer_id, breach.position) == ("direction", "c", "migrations[0]@0")
    assert f"2 by '{kind}' from {origin} to {target}" in breach.message


def test_what_is_not_learned_or_was_made_by_an_earlier_release_has_no_direction() -> None:
    earlier = move_of("purchase", VIP, LOST, None, version=1)
    assert not list(check_direction([earlier], {}, STREAMS, MODELS, LOG))
    by_rules = move_of("purchase", VIP, LOST, "down")._replace(segmentation="tier")
    assert not list(check_direction([by_rules], {}, STREAMS, MODELS, LOG))


@pytest.mark.parametrize(("days_late", "breaches"), [(0, 1), (1, 0)])
def test_act_that_is_heard_of_late_may_lead_down(days_late: int, breaches: int) -> None:
    move = move_of("purchase", VIP, OCCASIONAL, "down", topic="purchases", offset=0)
    entries = {"c": entries_of(("purchases", purchase(2 - days_late)))}
    assert len(list(check_direction([move], entries, STREAMS, MODELS, LOG))) == breaches


def test_act_at_the_very_instant_at_which_silence_leads_down_may_be_named_for_it() -> None:
    entries = entries_of(("purchases", purchase(0)), ("engagements", engagement(35)), ("engagements", engagement(36)))
    for offset, breaches in ((0, 0), (1, 1)):
        at_ms = entries[offset + 1].event.at_ms
        at = {"topic": "engagements", "offset": offset, "at_ms": at_ms}
        told = move_of("engagement", NEW, OCCASIONAL, "down", **at)
        since = entries if not offset else entries_of(("purchases", purchase(2)), *VISITS_OF_NEW)
        assert len(list(check_direction([told], {"c": since}, STREAMS, MODELS, LOG))) == breaches


def test_levels_are_those_of_the_segments() -> None:
    assert LEVELS[VIP] > LEVELS[REGULAR] > LEVELS[OCCASIONAL] > LEVELS[AT_RISK] > LEVELS[LOST]


# --- names --------------------------------------------------------------------------------------------------------


def entries_of(*events: tuple[str, Event]) -> list[Entry]:
    """Return a customer's inputs, each read as soon as it happened."""
    offsets = dict.fromkeys(STREAMS, -1)
    watermarks = dict.fromkeys(STREAMS, NO_TIME)
    entries = []
    for topic, event in events:
        offsets[topic] += 1
        watermarks[topic] = max(watermarks[topic], event.at_ms)
        entries.append(Entry(STREAMS[topic], offsets[topic], watermarks[topic], event.at_ms, event))
    return entries


VISITS_OF_NEW = [("engagements", engagement(35)), ("engagements", engagement(36))]
VISITS = [("engagements", engagement(day, event_id=f"visit {day}")) for day in range(40, 60)]
FIRST = ("purchases", purchase(0, event_id="first"))
SECOND = ("purchases", purchase(59.5, event_id="second"))
"""Whoever came so often before it browses; whoever did not come does not."""
AT_MS = SECOND[1].at_ms
BROWSES: dict[str, Any] = {"topic": "purchases", "offset": 1, "at_ms": AT_MS}


def checked(move: Migration, *events: tuple[str, Event], models: Models = MODELS) -> tuple[int, int, int]:
    """Return how many names were checked, how many hang on the order, and how many are not true."""
    figures, findings = check_names([move], {"c": entries_of(*events)}, STREAMS, models, LOG)
    return *figures, len(findings)


def test_name_is_held_against_all_up_to_the_cause() -> None:
    move = move_of("purchase", OCCASIONAL, BROWSERS, "up", **BROWSES)
    assert checked(move, FIRST, *VISITS, SECOND) == (1, 0, 0)
    assert checked(move, FIRST, SECOND) == (1, 0, 1)


def test_name_is_held_against_what_was_known_when_nothing_happened() -> None:
    later = ("purchases", purchase(80, event_id="later"))
    move = move_of("lapse", BROWSERS, AT_RISK, "down", at_ms=START_MS + 75 * DAY_MS)
    assert checked(move, *VISITS, later) == (1, 0, 0)
    gone = move_of("lapse", AT_RISK, LOST, "down", at_ms=START_MS + 75 * DAY_MS)
    assert checked(gone, *VISITS, later) == (1, 0, 1)


def test_name_that_is_true_only_of_who_had_been_read_less_of_hangs_on_the_order() -> None:
    sooner = move_of("lapse", BROWSERS, AT_RISK, "down", at_ms=START_MS + 60 * DAY_MS)
    assert checked(sooner, *VISITS) == (1, 1, 0)


@pytest.mark.parametrize(("days_late", "outcome"), [(0.0, (1, 0)), (1.0, (1, 1))])
def test_name_that_is_true_had_more_of_another_topic_been_read_hangs_on_the_order(
    days_late: float, outcome: tuple[int, int]
) -> None:
    late_ms = AT_MS + round(days_late * DAY_MS)
    entries = [
        entry._replace(watermark_ms=late_ms, timestamp_ms=late_ms) if entry.stream and days_late else entry
        for entry in entries_of(FIRST, *VISITS, SECOND)
    ]
    move = move_of("purchase", OCCASIONAL, BROWSERS, "up", **BROWSES)
    figures, findings = check_names([move], {"c": entries}, STREAMS, MODELS, LOG)
    assert (figures, findings) == (outcome, [])


def test_cause_that_is_not_among_the_inputs_leaves_nothing_known_of_its_topic() -> None:
    move = move_of("purchase", NEW, VIP, "up", topic="purchases", offset=7, at_ms=AT_MS)
    assert checked(move, FIRST, SECOND) == (1, 0, 1)


@pytest.mark.parametrize(
    "move",
    [
        move_of("lapse", NEW, LOST, "down", version=1),
        move_of("lapse", NEW, "s77", None),
        move_of("definition", NEW, None, None),
    ],
)
def test_nothing_is_said_of_unknown_versions_and_segments(move: Migration) -> None:
    assert checked(move, FIRST) == (0, 0, 0)


def test_only_the_latest_moves_of_a_customer_are_checked() -> None:
    moves = [move_of("lapse", NEW, AT_RISK, "down", at_ms=START_MS + 30 * DAY_MS)] * 70
    figures, findings = check_names(moves, {"c": entries_of(FIRST)}, STREAMS, MODELS, LOG)
    assert (figures.names, findings) == (64, [])
