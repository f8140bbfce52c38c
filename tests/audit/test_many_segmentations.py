"""The audit with two segmentations: each is followed by itself, and what is said of one is no proof for the other."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from stream_app.audit.checks import Log, check_migrations, check_models, check_standings
from stream_app.audit.records import Cause, LogRecord, Membership, Migration, Standing
from stream_app.audit.recount import Totals
from stream_app.audit.report import lines
from stream_app.audit.rows import name_digest, read_row
from stream_app.audit.segmentations import Segmentations
from stream_app.errors import RowDamaged, RowVersionUnknown
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.definition import RulesConfiguration
from stream_app.segmentations.rules.kind import RULES
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.audit.stories import VALUE, Append, Story, audited, drawn_inputs, told

HEADER = struct.Struct("<BBHHHH")
ACTIVITY = struct.Struct("<6q6d4i")
TOLD = struct.Struct("<qII")
EARLIER_ACTIVITY = struct.Struct("<5q5d4i")
MEMBERSHIP = struct.Struct("<qqiihhhh")
PLACE = struct.Struct("<8sihh")

TIER = RulesSegmentation(
    RulesConfiguration.model_validate(
        {
            "kind": "rules",
            "name": "tier",
            "segments": [
                {"id": "gold", "name": "Gold", "when": {"figure": "revenue", "at_least": 150}},
                {
                    "id": "silver",
                    "name": "Silver",
                    "when": {
                        "all": [
                            {"figure": "purchases", "more_than": 2},
                            {"not": {"figure": "recency_days", "more_than": 230}},
                            {
                                "any": [
                                    {"figure": "orders_decayed", "more_than": 0.2},
                                    {"figure": "engaged_days_decayed", "at_least": 1},
                                ]
                            },
                        ]
                    },
                },
            ],
            "otherwise": {"id": "bronze", "name": "Bronze"},
        }
    )
)

# --- a story told of two segmentations --------------------------------------------------------------------------


def entries_of(row: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return what comes before the memberships of a row, the memberships with their digests, and what comes after."""
    start, size = HEADER.size + TOLD.size + ACTIVITY.size, 8 + MEMBERSHIP.size
    ends = [start + size * number for number in range(row[1] + 1)]
    return row[:start], [row[a:b] for a, b in pairwise(ends)], row[ends[-1] :]


def row_of(head: bytes, entries: list[bytes], tail: bytes) -> bytes:
    return head[:1] + bytes([len(entries)]) + head[2:] + b"".join(entries) + tail


@pytest.fixture
def story() -> Story:
    return told(drawn_inputs(customers=30, events=400), segmentations=(VALUE, TIER))


def breaches(story: Story) -> set[str]:
    return set(asyncio.run(audited(story)).tally.breaches)


def tiers(story: Story, topic: str) -> list[Append]:
    """Return what was written to a topic about the second segmentation and customer c0."""
    written = [append for append in story.written(topic) if append.value]
    return [a for a in written if a.json["segmentation"] == "tier" and a.json["customer_id"] == "c0"]


def last_row(story: Story) -> Append:
    return [a for a in story.written(story.names.changelog) if a.key == b"c0"][-1]


def change_entries(story: Story, change: Callable[[list[bytes]], list[bytes]]) -> None:
    row = last_row(story)
    head, entries, tail = entries_of(row.value or b"")
    story.change(row, replace(row, value=row_of(head, change(entries), tail)))


def test_two_segmentations_are_clean(story: Story) -> None:
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))
    moves = [append.json for append in story.written(story.names.migrations)]
    assert {move["to_segment"]["id"] for move in moves if move["segmentation"] == "tier"} == {
        "gold",
        "silver",
        "bronze",
    }
    assert {move["cause"]["kind"] for move in moves if move["segmentation"] == "tier"} >= {"purchase", "lapse"}
    assert found.figures["newest published version of tier"] == 1


def test_two_learned_segmentations_and_one_by_rules_are_clean() -> None:
    mood = LearnedSegmentation(Model("mood"))
    story = told(drawn_inputs(30, 400), segmentations=(VALUE, mood, TIER))
    assert breaches(story) == set()
    assert {append.json["segmentation"] for append in story.written(story.names.memberships)} == {
        "value",
        "mood",
        "tier",
    }


def test_definition_that_was_changed_is_the_one_that_counts() -> None:
    changed = TIER.definition.model_dump(mode="json", by_alias=True, exclude_none=True)
    changed["segments"][0]["when"]["at_least"] = 90
    changed["segments"][1] |= {"id": "iron", "name": "Iron"}
    second = RULES.build(RulesConfiguration.model_validate(changed), {}, TIER)
    story = told(drawn_inputs(30, 400), segmentations=(VALUE, TIER), later=[second])
    assert breaches(story) == set()
    moves = [append.json for append in story.written(story.names.migrations)]
    assert {move["to_segment"]["id"] for move in moves if move["cause"]["kind"] == "definition"} >= {"gold"}
    (old,) = [
        append for append in story.written(story.names.models) if append.key == b"tier" and append.json["version"] == 1
    ]
    story.transactions.append([old.with_json(version=3)])
    assert breaches(story) == set(), "not everybody has been assessed under it"


def test_segmentation_that_is_added_later_is_clean() -> None:
    story = told(drawn_inputs(30, 400), later=[TIER])
    assert breaches(story) == set()
    moves = [append.json for append in story.written(story.names.migrations)]
    assert {m["cause"]["kind"] for m in moves if m["segmentation"] == "tier"} == {"definition"}


def test_segmentation_that_has_ended_is_clean() -> None:
    story = told(drawn_inputs(30, 400), segmentations=(VALUE, TIER), later=[EndedSegmentation("tier", TIER)])
    assert breaches(story) == set()
    last = tiers(story, story.names.migrations)[-1].json
    assert (last["change"], last["to_segment"]) == ("left", None)
    assert [a.value for a in story.written(story.names.memberships) if a.key == b"tier/c0"][-1] is None


def lose_migration(story: Story) -> None:
    story.change(tiers(story, story.names.migrations)[1])


def lose_last_migration(story: Story) -> None:
    story.change(tiers(story, story.names.migrations)[-1])


def duplicate_migration(story: Story) -> None:
    migration = tiers(story, story.names.migrations)[0]
    story.change(migration, migration, migration)


def misname_segmentation(story: Story) -> None:
    migration = tiers(story, story.names.migrations)[1]
    story.change(migration, migration.with_json(segmentation="value"))


def from_segment_of_the_other(story: Story) -> None:
    migration = tiers(story, story.names.migrations)[1]
    origin = migration.json["from_segment"]
    story.change(migration, migration.with_json(from_segment=origin | {"id": "s1"}))


def name_another_cause(story: Story) -> None:
    migration = next(m for m in tiers(story, story.names.migrations) if m.json["cause"]["event_id"])
    story.change(migration, migration.with_json(cause=migration.json["cause"] | {"event_id": "another"}))


def file_membership_under_the_other(story: Story) -> None:
    membership = tiers(story, story.names.memberships)[-1]
    story.change(membership, replace(membership, key=b"value/c0"))


def file_membership_under_the_customer_alone(story: Story) -> None:
    membership = tiers(story, story.names.memberships)[-1]
    story.change(membership, replace(membership, key=b"c0"))


def lose_memberships(story: Story) -> None:
    for membership in tiers(story, story.names.memberships):
        story.change(membership)


def end_membership(story: Story) -> None:
    membership = tiers(story, story.names.memberships)[-1]
    story.change(membership, membership, replace(membership, value=None))


def end_membership_of_a_stranger(story: Story) -> None:
    membership = tiers(story, story.names.memberships)[-1]
    story.change(membership, membership, replace(membership, key=b"c0", value=None))


def membership_in_a_segment_of_the_other(story: Story) -> None:
    membership = tiers(story, story.names.memberships)[-1]
    story.change(membership, membership.with_json(segment={"id": "s1", "name": "x"}))


def change_places(story: Story, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the customer's places, none of which is dated."""
    row = last_row(story)
    head, entries, tail = entries_of(row.value or b"")
    closed_at_ms, dated, undated = TOLD.unpack_from(head, HEADER.size)
    assert not dated & 0xFF
    count = undated & 0xFF
    places = change([tail[n * PLACE.size : (n + 1) * PLACE.size] for n in range(count)])
    told = TOLD.pack(closed_at_ms, dated, undated - count + len(places))
    head = head[: HEADER.size] + told + head[HEADER.size + TOLD.size :]
    tail = b"".join(places) + tail[count * PLACE.size :]
    story.change(row, replace(row, value=row_of(head, entries, tail)))


def lose_place(story: Story) -> None:
    change_places(story, lambda _: [])


def misplace(story: Story) -> None:
    bronze = 1 + xxh3_64_intdigest(b"bronze") % 32_767

    def change(places: list[bytes]) -> list[bytes]:
        digest, sequence, _, kind = PLACE.unpack(places[0])
        return [PLACE.pack(digest, sequence, bronze, kind)]

    change_places(story, change)


def place_twice(story: Story) -> None:
    change_places(story, lambda places: [*places, *places])


def entry_of_nothing_known(story: Story) -> None:
    change_entries(story, lambda entries: [*entries, b"nothing." + entries[0][8:]])


def entry_twice(story: Story) -> None:
    change_entries(story, lambda entries: [*entries, entries[0]])


def publish(story: Story, name: str, **changes: Any) -> None:
    (model,) = [append for append in story.written(story.names.models) if append.key == name.encode()]
    story.transactions.append([model.with_json(**changes)])


def version_of_the_other(story: Story) -> None:
    publish(story, "value", version=9)
    for topic in (story.names.migrations, story.names.memberships):
        last = tiers(story, topic)[-1]
        story.change(last, last.with_json(model_version=5))


def model_under_another_key(story: Story) -> None:
    (model,) = [append for append in story.written(story.names.models) if append.key == b"tier"]
    story.change(model, model, replace(model, key=b"value"))


def definition_that_says_otherwise(story: Story) -> None:
    definition = TIER.definition.model_dump(mode="json", by_alias=True, exclude_none=True)
    definition["segments"][0]["when"]["at_least"] = 1
    publish(story, "tier", definition=definition)


def definition_of_an_unknown_figure(story: Story) -> None:
    definition = TIER.definition.model_dump(mode="json", by_alias=True, exclude_none=True)
    definition["segments"][0]["when"]["figure"] = "shoe_size"
    publish(story, "tier", definition=definition)


SEEDED: dict[str, tuple[Callable[[Story], None], set[str]]] = {
    "migration lost": (lose_migration, {"sequences"}),
    "last migration lost": (lose_last_migration, {"membership"}),
    "migration twice": (duplicate_migration, {"sequences"}),
    "migration of the other segmentation": (misname_segmentation, {"sequences", "identity", "models"}),
    "from a segment of the other": (from_segment_of_the_other, {"chain", "rules"}),
    "cause of another event": (name_another_cause, {"causes"}),
    "membership under the other's key": (file_membership_under_the_other, {"placement"}),
    "membership under the customer's key": (file_membership_under_the_customer_alone, {"placement"}),
    "memberships lost": (lose_memberships, {"membership"}),
    "membership ended": (end_membership, {"membership"}),
    "membership ended under no segmentation": (end_membership_of_a_stranger, {"contracts"}),
    "membership in a segment of the other": (membership_in_a_segment_of_the_other, {"membership"}),
    "row without a place": (lose_place, {"membership", "rules", "figures"}),
    "row in another place": (misplace, {"membership", "rules", "figures"}),
    "row in a place twice": (place_twice, {"contracts", "membership", "totals", "figures"}),
    "row in a segmentation that nothing names": (entry_of_nothing_known, {"membership"}),
    "row in a segmentation twice": (entry_twice, {"contracts", "membership", "totals", "figures"}),
    "version of the other": (version_of_the_other, {"models"}),
    "model under another key": (model_under_another_key, {"contracts"}),
    "definition that says otherwise": (definition_that_says_otherwise, {"rules"}),
    "definition of an unknown figure": (definition_of_an_unknown_figure, {"contracts"}),
}


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_breach_in_one_of_two_segmentations_is_found(story: Story, name: str) -> None:
    seed, expected = SEEDED[name]
    seed(story)
    assert breaches(story) == expected


# --- leaving and coming back ------------------------------------------------------------------------------------

LOG = Log("migrations", 0)
ROWS = Log("changelog", 0)
NO_CAUSE = Cause("definition", None, None, -1, -1)


def move(sequence: int, change: str, origin: str | None, target: str | None, segmentation: str = "tier") -> Migration:
    to = Standing(target, sequence, f"day {sequence}", 1)
    return Migration(sequence, b"c1", b"", "", "c1", segmentation, sequence, change, origin, to, NO_CAUSE)


ENTERED = move(1, "entered", None, "gold")
LEFT = move(2, "left", "gold", None)
BACK = move(3, "entered", None, "iron")


def faults(*moves: Migration) -> list[tuple[str, str]]:
    return [(finding.check, finding.message) for finding in check_migrations(moves, LOG)]


def test_leaving_ends_a_standing_and_not_the_numbers() -> None:
    assert faults(ENTERED, LEFT, BACK, move(4, "moved", "iron", "gold")) == []
    other = [move(1, "entered", None, "s1", "value"), move(2, "moved", "s1", "s2", "value")]
    assert faults(ENTERED, other[0], LEFT, other[1], BACK) == []


@pytest.mark.parametrize(
    ("moves", "check"),
    [
        ([ENTERED, move(2, "moved", "gold", None)], "chain"),
        ([ENTERED, move(2, "left", "gold", "iron")], "chain"),
        ([ENTERED, LEFT, move(1, "entered", None, "iron")], "sequences"),
        ([ENTERED, LEFT, move(3, "moved", "gold", "iron")], "chain"),
        ([ENTERED, LEFT, move(3, "moved", None, "iron")], "chain"),
        ([ENTERED, move(2, "entered", None, "iron")], "chain"),
    ],
)
def test_wrong_end_or_beginning_is_found(moves: list[Migration], check: str) -> None:
    ((found, message),) = faults(*moves)
    assert found == check
    assert message.startswith("tier: ")


def standings_found(row: Standing | None, migrations: list[Migration], member: Standing | None) -> list[str]:
    rows = {"c1": {"value": Standing("s1", 1, "day 1", 1)} | ({} if row is None else {"tier": row})}
    told_of = [*migrations, move(1, "entered", None, "s1", "value")]
    memberships = [Membership(0, b"", "value", "c1", rows["c1"]["value"]), Membership(1, b"", "tier", "c1", member)]
    return [finding.message for finding in check_standings(rows, told_of, memberships, ROWS)]


@pytest.mark.parametrize("row", [None, Standing(None, 2, "whenever", 1)])
def test_whoever_left_has_no_membership_and_no_place_in_its_row(row: Standing | None) -> None:
    assert standings_found(row, [ENTERED, LEFT], None) == []


@pytest.mark.parametrize(
    ("row", "migrations", "member"),
    [
        (Standing("gold", 1, "day 1", 1), [ENTERED, LEFT], None),
        (None, [ENTERED, LEFT], ENTERED.to),
        (None, [ENTERED], None),
        (Standing(None, 3, "whenever", 1), [ENTERED, LEFT], None),
        (Standing(None, 1, "whenever", 1), [ENTERED], None),
        (BACK.to, [ENTERED, LEFT, BACK], None),
    ],
)
def test_end_that_only_some_have_seen_is_found(
    row: Standing | None, migrations: list[Migration], member: Standing | None
) -> None:
    found = standings_found(row, migrations, member)
    assert found
    assert all(message.startswith("tier: ") for message in found)


def test_customer_whose_row_is_gone_may_only_have_left() -> None:
    gone = Membership(0, b"", "tier", "c1", None)
    assert list(check_standings({}, [ENTERED, LEFT], [gone], ROWS)) == []
    (found,) = check_standings({}, [ENTERED], [gone], ROWS)
    assert found.message == "tier: in a segment, but without a row"


def test_row_that_never_entered_anything_is_found() -> None:
    (found,) = check_standings({"c1": {"tier": Standing(None, 0, "", 0)}}, [], [], ROWS)
    assert found.message == "the row's customer never entered a segment"


def test_versions_are_held_against_those_of_their_segmentation() -> None:
    newest = {"tier": 1, "value": 0}
    told_of = [ENTERED, move(1, "entered", None, "s1", "value"), move(1, "entered", None, "x", "gone")]
    rows = {"c1": {seen.segmentation: seen.to for seen in told_of}}
    found = list(check_models(rows, told_of, newest.get, LOG))
    assert [finding.message for finding in found] == [
        "value version 1, the newest published is 0",
        "the row's version of value is 1, the newest published is 0",
    ]


# --- rows and names ---------------------------------------------------------------------------------------------


def plain_row(version: int = 4, entries: tuple[bytes, ...] = ()) -> bytes:
    numbers = bytes((EARLIER_ACTIVITY if version < 3 else ACTIVITY).size)
    more = TOLD.pack(7, 0, 0) if version > 3 else b""
    return HEADER.pack(version, len(entries), 0, 0, 0, 0) + more + numbers + b"".join(entries)


def entry(name: str, segment: int, sequence: int = 1) -> bytes:
    return name_digest(name) + MEMBERSHIP.pack(0, 0, sequence, 1, segment, 0, 0, 0)


def test_row_of_an_earlier_version_is_read_with_its_half_lives_and_without_what_it_lacks() -> None:
    row = read_row(plain_row(2, (entry("tier", 3),)))
    assert row.totals == Totals(0, 0, 0, 0, 0, 0, 0, 0, None, None, 0.0, 0.0, None, None, None, order_half_life_days=90)
    assert row.engagement_half_life_days == 21
    assert row.memberships.keys() == read_row(plain_row(3, (entry("tier", 3),))).memberships.keys()


def row_with(numbers: tuple[int, int, int], rest: bytes) -> bytes:
    return HEADER.pack(4, 0, 0, 0, 0, 0) + TOLD.pack(*numbers) + bytes(ACTIVITY.size) + rest


def test_row_says_places_ledger_and_traits() -> None:
    dated = name_digest("tier") + struct.pack("<ihhq", 3, 12, 1, 99)
    undated = name_digest("vip") + struct.pack("<ihh", 1, 700, 4)
    trait = struct.pack("<BBHq", 4, 4, 2, 55) + b"cityRo"
    row = read_row(row_with((8, 1 | 5 << 8, 1 | len(trait) << 8), dated + undated + b"12345" + trait))
    assert row.places == {name_digest("tier"): (3, 12, 99), name_digest("vip"): (1, 700, None)}
    assert (row.closed_at_ms, row.ledger, row.traits) == (8, b"12345", {"city": (4, b"Ro", 55)})
    assert read_row(plain_row(3)).closed_at_ms is None


@pytest.mark.parametrize(
    ("numbers", "rest", "message"),
    [
        ((0, 0, 2), (name_digest("a") + bytes(8)) * 2, "two places in the segmentation with digest"),
        ((0, 0, 3 << 8), b"\1\0\0", "a trait of 3 bytes, expected at least 12"),
        ((0, 0, 13 << 8), b"\1\4\2" + bytes(10), "2 bytes of a trait are missing"),
        ((0, 1, 0), bytes(23), "161 bytes, expected 162"),
    ],
)
def test_row_whose_places_or_traits_are_none_is_damaged(
    numbers: tuple[int, int, int], rest: bytes, message: str
) -> None:
    with pytest.raises(RowDamaged, match=message):
        read_row(row_with(numbers, rest))


def test_row_of_the_first_version_is_of_the_first_segmentation() -> None:
    old = plain_row(1) + MEMBERSHIP.pack(5, 6, 7, 8, 9, 0, 0, 0)
    assert read_row(old).memberships == {name_digest("value"): (5, 6, 7, 8, 9)}


@pytest.mark.parametrize("value", [b"", plain_row()[:-1], plain_row()[:25], plain_row() + b"x", plain_row(1)])
def test_row_of_another_length_is_damaged(value: bytes) -> None:
    with pytest.raises(RowDamaged, match="expected"):
        read_row(value)


@pytest.mark.parametrize("version", [0, 6])
def test_row_of_another_version_is_refused(version: int) -> None:
    with pytest.raises(RowVersionUnknown, match=f"row version: {version}, expected 1 to 5"):
        read_row(plain_row(version))


def test_learned_segments_are_named_by_their_codes_and_others_by_the_codes_of_their_names() -> None:
    known = Segmentations()
    slug_code = 1 + xxh3_64_intdigest(b"gold") % 32_767
    row = read_row(plain_row(entries=(entry("value", 3), entry("tier", slug_code), entry("new", 0, 0))))
    (problem,) = known.standings(row)[1]
    assert name_digest("tier").hex() in problem
    known.note("tier", "gold")
    standings, problems = known.standings(row)
    assert problems == []
    assert {name: standing.segment_id for name, standing in standings.items()} == {"value": "s3", "tier": "gold"}


def test_segmentation_whose_model_was_removed_has_no_newest_version() -> None:
    known = Segmentations()
    assert known.newest_of("tier") == 0
    assert known.note_model(LogRecord(2, 0, b"tier/held", None), "segment-models") == []
    assert known.newest_of("tier") == 0
    assert known.note_model(LogRecord(3, 0, b"tier", None), "segment-models") == []
    assert known.newest_of("tier") is None


@pytest.mark.parametrize(("versions", "checks"), [({"value": 3}, []), ({"value": -1}, ["contracts"])])
def test_what_is_said_of_ticks_is_no_model_and_keeps_its_contract(versions: dict[str, int], checks: list[str]) -> None:
    tick = {
        "kind": "tick",
        "tick": 9,
        "as_of": "2024-06-13T00:00:00.000Z",
        "status": "decided",
        "versions": versions,
        "sample_share": 1.0,
    }
    known = Segmentations()
    found = known.note_model(LogRecord(0, 0, b"~tick", json.dumps(tick).encode(), ()), "segment-models")
    assert [finding.check for finding in found] == checks
    assert known.newest == {}
