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
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from stream_app.adapters.changelog import POSITION_KEY
from stream_app.audit.checks import Log, check_migrations, check_models, check_standings, migration_id
from stream_app.audit.records import Cause, LogRecord, Membership, Migration, Standing
from stream_app.audit.report import lines
from stream_app.audit.rows import name_digest, read_row
from stream_app.audit.segmentations import Segmentations
from stream_app.errors import RowDamaged, RowVersionUnknown
from tests.audit.stories import Append, Story, audited, drawn_inputs, told
from tests.support.replays import ROOT

HEADER = struct.Struct("<BBHHHH")
ACTIVITY = struct.Struct("<5q5d4i")
MEMBERSHIP = struct.Struct("<qqiihhhh")
MOOD_CODES_FROM = 10
"""Segments of the second segmentation are those of the first, with codes that begin here."""

# --- a story told of two segmentations --------------------------------------------------------------------------


def entries_of(row: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return what stands before the memberships of a row, the memberships with their digests, and what stands after."""
    version, count = row[0], row[1]
    start = HEADER.size + ACTIVITY.size
    if version == 1:
        row = bytes([2, 1]) + row[2:start] + xxh3_64_digest(b"value") + row[start:]
        count = 1
    size = 8 + MEMBERSHIP.size
    ends = [start + size * number for number in range(count + 1)]
    return row[:start], [row[a:b] for a, b in pairwise(ends)], row[ends[-1] :]


def row_of(head: bytes, entries: list[bytes], tail: bytes) -> bytes:
    return bytes([2, len(entries)]) + head[2:] + b"".join(entries) + tail


def mooded(entry: bytes) -> bytes:
    fields = list(MEMBERSHIP.unpack(entry[8:]))
    fields[4] += MOOD_CODES_FROM
    return xxh3_64_digest(b"mood") + MEMBERSHIP.pack(*fields)


def in_mood(record: dict[str, Any]) -> dict[str, Any]:
    """Return a migration or membership of the second segmentation that says the same as one of the first."""
    changed = record | {"segmentation": "mood"}
    for field in ("segment", "from_segment", "to_segment"):
        if record.get(field):
            changed[field] = record[field] | {"id": f"s{int(record[field]['id'][1:]) + MOOD_CODES_FROM}"}
    if "migration_id" in record:
        changed["migration_id"] = migration_id("mood", record["customer_id"], record["sequence"])
    return changed


def divided_twice(story: Story) -> Story:
    """Have each customer move in a second segmentation as it does in the first."""
    names = story.names
    for transaction in story.transactions:
        for append in list(transaction):
            if append.topic == names.changelog and append.key != POSITION_KEY:
                head, entries, tail = entries_of(append.value or b"")
                story.change(append, replace(append, value=row_of(head, [*entries, mooded(entries[0])], tail)))
            elif append.topic == names.migrations:
                copy = replace(append, value=json.dumps(in_mood(append.json)).encode())
                headers = (("ce_id", copy.json["migration_id"].encode()),)
                story.change(append, append, replace(copy, headers=headers))
            elif append.topic == names.memberships:
                key = (append.key or b"").replace(b"value/", b"mood/", 1)
                story.change(append, append, replace(append, key=key, value=json.dumps(in_mood(append.json)).encode()))
    return story


@pytest.fixture
def story() -> Story:
    return divided_twice(told(drawn_inputs(customers=30, events=400)))


def breaches(story: Story) -> set[str]:
    return set(asyncio.run(audited(story)).tally.breaches)


def moods(story: Story, topic: str) -> list[Append]:
    """Return what was written to a topic about the second segmentation and customer c0."""
    return [a for a in story.written(topic) if a.json["segmentation"] == "mood" and a.json["customer_id"] == "c0"]


def last_row(story: Story) -> Append:
    return [a for a in story.written(story.names.changelog) if a.key == b"c0"][-1]


def change_entries(story: Story, change: Callable[[list[bytes]], list[bytes]]) -> None:
    row = last_row(story)
    head, entries, tail = entries_of(row.value or b"")
    story.change(row, replace(row, value=row_of(head, change(entries), tail)))


def test_two_segmentations_are_clean(story: Story) -> None:
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))
    assert found.records["t-segment-migrations"] == len(story.written(story.names.migrations)) > 60


def lose_migration(story: Story) -> None:
    story.change(moods(story, story.names.migrations)[1])


def lose_last_migration(story: Story) -> None:
    story.change(moods(story, story.names.migrations)[-1])


def duplicate_migration(story: Story) -> None:
    migration = moods(story, story.names.migrations)[0]
    story.change(migration, migration, migration)


def misname_segmentation(story: Story) -> None:
    migration = moods(story, story.names.migrations)[1]
    story.change(migration, migration.with_json(segmentation="value"))


def from_segment_of_the_other(story: Story) -> None:
    migration = moods(story, story.names.migrations)[1]
    origin = migration.json["from_segment"]
    story.change(migration, migration.with_json(from_segment=origin | {"id": "s1"}))


def name_another_cause(story: Story) -> None:
    migration = next(m for m in moods(story, story.names.migrations) if m.json["cause"]["event_id"])
    story.change(migration, migration.with_json(cause=migration.json["cause"] | {"event_id": "another"}))


def file_membership_under_the_other(story: Story) -> None:
    membership = moods(story, story.names.memberships)[-1]
    story.change(membership, replace(membership, key=b"value/c0"))


def file_membership_under_the_customer_alone(story: Story) -> None:
    membership = moods(story, story.names.memberships)[-1]
    story.change(membership, replace(membership, key=b"c0"))


def lose_memberships(story: Story) -> None:
    for membership in moods(story, story.names.memberships):
        story.change(membership)


def end_membership(story: Story) -> None:
    membership = moods(story, story.names.memberships)[-1]
    story.change(membership, membership, replace(membership, value=None))


def end_membership_of_a_stranger(story: Story) -> None:
    membership = moods(story, story.names.memberships)[-1]
    story.change(membership, membership, replace(membership, key=b"c0", value=None))


def membership_in_a_segment_of_the_other(story: Story) -> None:
    membership = moods(story, story.names.memberships)[-1]
    story.change(membership, membership.with_json(segment={"id": "s1", "name": "x"}))


def lose_entry(story: Story) -> None:
    change_entries(story, lambda entries: entries[:1])


def swap_entries(story: Story) -> None:
    change_entries(story, lambda entries: [a[:8] + b[8:] for a, b in zip(entries, reversed(entries), strict=True)])


def entry_of_nothing_known(story: Story) -> None:
    change_entries(story, lambda entries: [*entries, b"nothing." + entries[0][8:]])


def entry_twice(story: Story) -> None:
    change_entries(story, lambda entries: [*entries, entries[1]])


def publish(story: Story, **versions: int) -> None:
    example = json.loads((ROOT / "schemas/examples/segment-models/published.pass.json").read_bytes())
    for name, version in versions.items():
        value = json.dumps(example | {"segmentation": name, "version": version}).encode()
        story.transactions.append([Append(story.names.models, 0, name.encode(), value)])


def version_of_the_other(story: Story) -> None:
    publish(story, value=9, mood=3)
    for topic in (story.names.migrations, story.names.memberships):
        last = moods(story, topic)[-1]
        story.change(last, last.with_json(model_version=5))

    def change(entries: list[bytes]) -> list[bytes]:
        fields = list(MEMBERSHIP.unpack(entries[1][8:]))
        fields[3] = 5
        return [entries[0], entries[1][:8] + MEMBERSHIP.pack(*fields)]

    change_entries(story, change)


def model_under_another_key(story: Story) -> None:
    publish(story, value=9)
    story.change(story.transactions[-1][0], replace(story.transactions[-1][0], key=b"mood"))


SEEDED: dict[str, tuple[Callable[[Story], None], set[str]]] = {
    "migration lost": (lose_migration, {"sequences"}),
    "last migration lost": (lose_last_migration, {"membership"}),
    "migration twice": (duplicate_migration, {"sequences"}),
    "migration of the other segmentation": (misname_segmentation, {"sequences", "identity"}),
    "from a segment of the other": (from_segment_of_the_other, {"chain"}),
    "cause of another event": (name_another_cause, {"causes"}),
    "membership under the other's key": (file_membership_under_the_other, {"placement"}),
    "membership under the customer's key": (file_membership_under_the_customer_alone, {"placement"}),
    "memberships lost": (lose_memberships, {"membership"}),
    "membership ended": (end_membership, {"membership"}),
    "membership ended under no segmentation": (end_membership_of_a_stranger, {"contracts"}),
    "membership in a segment of the other": (membership_in_a_segment_of_the_other, {"membership"}),
    "row without the segmentation": (lose_entry, {"membership"}),
    "row's memberships swapped": (swap_entries, {"membership"}),
    "row in a segmentation that nothing names": (entry_of_nothing_known, {"membership"}),
    "row in a segmentation twice": (entry_twice, {"contracts", "membership", "totals"}),
    "version of the other": (version_of_the_other, {"models"}),
    "model under another key": (model_under_another_key, {"contracts"}),
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


def plain_row(version: int = 2, entries: tuple[bytes, ...] = ()) -> bytes:
    numbers = (0,) * 5 + (0.0,) * 5 + (0,) * 4
    return HEADER.pack(version, len(entries), 0, 0, 0, 0) + ACTIVITY.pack(*numbers) + b"".join(entries)


def entry(name: str, segment: int, sequence: int = 1) -> bytes:
    return name_digest(name) + MEMBERSHIP.pack(0, 0, sequence, 1, segment, 0, 0, 0)


def test_row_of_the_first_version_is_of_the_first_segmentation() -> None:
    old = plain_row(1) + MEMBERSHIP.pack(5, 6, 7, 8, 9, 0, 0, 0)
    assert read_row(old).memberships == {name_digest("value"): (5, 6, 7, 8, 9)}


@pytest.mark.parametrize("value", [b"", plain_row()[:-1], plain_row() + b"x", plain_row(1)])
def test_row_of_another_length_is_damaged(value: bytes) -> None:
    with pytest.raises(RowDamaged, match="expected"):
        read_row(value)


@pytest.mark.parametrize("version", [0, 3])
def test_row_of_another_version_is_refused(version: int) -> None:
    with pytest.raises(RowVersionUnknown, match=f"row version: {version}, expected 1 to 2"):
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
    assert known.note_model(LogRecord(3, 0, b"tier", None), "segment-models") == []
    assert known.newest_of("tier") is None
