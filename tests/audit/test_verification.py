"""Every invariant is shown to be watched: a faultless story is clean, and each seeded breach is found by its check."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_app.adapters.changelog import POSITION_KEY, PartitionPosition
from stream_app.audit.checks import migration_id
from stream_app.audit.findings import CHECKS
from stream_app.audit.report import document, lines
from stream_app.core.clock import DAY_MS
from stream_app.errors import TimeZoneChanged
from tests.audit.stories import Append, Story, audited, drawn_inputs, partition_of, record_of, told
from tests.reference.row import MEMBERSHIP_DTYPE, digest, join_row, split_row
from tests.support.events import instant, purchase
from tests.support.models import partition_under, prior_model
from tests.support.playing import play
from tests.support.replays import ROOT


@pytest.fixture
def story() -> Story:
    return told(drawn_inputs(customers=30, events=400))


def breaches(story: Story, **how: Any) -> set[str]:
    return set(asyncio.run(audited(story, **how)).tally.breaches)


def rows_of(story: Story) -> list[Append]:
    return [append for append in story.written(story.names.changelog) if append.key != POSITION_KEY]


def last_positions(story: Story) -> list[Append]:
    found = {a.partition: a for a in story.written(story.names.changelog) if a.key == POSITION_KEY}
    return list(found.values())


def moved(append: Append, topic: str, by: int) -> Append:
    position = PartitionPosition.decode(append.value or b"")
    return replace(append, value=PartitionPosition(position.offsets | {topic: position.offsets[topic] + by}).encode())


def test_faultless_deployment_is_clean(story: Story) -> None:
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))
    assert found.figures["customers"] == 30
    assert found.figures["folded"] == 400
    assert found.figures["duplicates"] > 0
    assert found.refused.keys() == {"malformed", "wrong_type", "key_mismatch"}
    assert found.figures["tombstones"] > 0
    assert found.figures["fences"] == 2


def test_deployment_of_another_time_zone_is_clean_by_its_own_days() -> None:
    story = told(drawn_inputs(customers=30, events=400), timezone="America/New_York")
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))


def test_deployment_that_counts_days_of_another_zone_is_refused(story: Story) -> None:
    with pytest.raises(TimeZoneChanged) as refused:
        asyncio.run(audited(story, timezone="Europe/Berlin"))
    assert "'Europe/Berlin', expected 'UTC', whose days t-segmenter-customers-changelog[0] counts" in str(refused.value)


def test_records_behind_the_position_are_pending_and_no_breach() -> None:
    story = told(drawn_inputs(30, 400), unread=9)
    assert not breaches(story, is_drained=False)
    assert asyncio.run(audited(story, is_drained=False)).figures["pending"] == 18
    assert breaches(story) == {"drained"}


def test_large_history_of_few_customers_is_clean() -> None:
    found = asyncio.run(audited(told(drawn_inputs(customers=4, events=1_500, seed=3))))
    assert found.tally.is_clean, list(lines(found))
    assert found.figures["duplicates"] > 0


def test_empty_deployment_is_clean() -> None:
    assert not breaches(told([]))


def test_migration_ids_are_the_workers() -> None:
    moves = play(partition_under(prior_model()), [purchase(0, customer_id="ünïcode"), instant(900)])
    assert len(moves) > 1
    for move in moves:
        assert migration_id("value", "ünïcode", move.sequence) == move.migration_id


def test_misplaced_record_is_looked_for_on_its_own_partition() -> None:
    record = record_of("purchases", 9_000, "c1", 401)
    astray = replace(record, partition=1 - partition_of(b"c1"))
    story = told([*drawn_inputs(30, 200), astray])
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))
    assert found.figures["misplaced"] == 1
    copy = next(a for a in story.inputs if a.value == astray.value and a.partition != astray.partition)
    story.change(copy, replace(copy, value=copy.with_json(event_id="another").value))
    assert "forwarding" in breaches(story)


def test_record_whose_id_belongs_elsewhere_in_its_normal_form_is_misplaced() -> None:
    number = next(n for n in range(100) if partition_of(f" c{n}".encode()) != partition_of(f"c{n}".encode()))
    story = told([*drawn_inputs(30, 200), record_of("purchases", 9_000, f" c{number}", 401)])
    found = asyncio.run(audited(story))
    assert found.tally.is_clean, list(lines(found))
    assert found.figures["misplaced"] == 1


def test_record_of_the_future_is_refused_or_folded() -> None:
    early = record_of("purchases", 9_000, "c1", 401)
    folded = replace(early, timestamp_ms=early.timestamp_ms - DAY_MS)
    refused = told([*drawn_inputs(30, 200), folded])  # judged by its own timestamp: in the future
    assert [a.json["reason"] for a in refused.written(refused.names.dead_letters)].count("time_in_future") == 1
    assert not breaches(refused)
    accepted = told([*drawn_inputs(30, 200), early])
    source = next(a for a in accepted.inputs if a.value == early.value)
    accepted.change(source, replace(source, timestamp_ms=folded.timestamp_ms))  # read later than it was appended
    assert not breaches(accepted)
    letter = next(a for a in refused.written(refused.names.dead_letters) if a.json["reason"] == "time_in_future")
    refused.change(letter)
    assert breaches(refused) == {"totals"}, "neither refused nor folded"


# --- seeded breaches --------------------------------------------------------------------------------------------


def lose_event(story: Story) -> None:
    story.inputs.append(
        replace(record_of("engagements", 9_000, "c1", 399), topic=story.names.input_topic("engagements"))
    )
    own = partition_of(b"c1")
    story.committed[story.names.input_topic("engagements"), own] += 1
    for position in last_positions(story):
        if position.partition == own:
            story.change(position, moved(position, story.names.input_topic("engagements"), 1))


def fold_twice(story: Story) -> None:
    counted = next(
        a
        for a in story.inputs
        if a.topic == story.names.input_topic("engagements") and a.value and _is_unique(story, a)
    )
    story.change(counted, replace(counted, value=None))


def _is_unique(story: Story, append: Append) -> bool:
    caused = {a.json["cause"]["event_id"] for a in story.written(story.names.migrations)}
    same = [a for a in story.inputs if a.value == append.value]
    return len(same) == 1 and append.key == b"c0" and json.loads(append.value or b"")["event_id"] not in caused


def drop_rows_of_a_customer(story: Story) -> None:
    for row in rows_of(story):
        if row.key == b"c0":
            story.change(row)


def lose_last_row(story: Story) -> None:
    for row in [row for row in rows_of(story) if row.key == b"c0"][-2:]:  # the very last is a sweep's
        story.change(row)


def swap_rows(story: Story) -> None:
    donor = [row for row in rows_of(story) if row.key == b"c0"][-1]
    partner = next(row for row in reversed(rows_of(story)) if row.partition == donor.partition and row.key != donor.key)
    story.change(partner, replace(partner, value=donor.value))


def duplicate_migration(story: Story) -> None:
    migration = story.written(story.names.migrations)[5]
    story.change(migration, migration, migration)


def lose_migration(story: Story) -> None:
    entries = story.written(story.names.migrations)
    story.change(next(a for a in entries if a.json["sequence"] == 2))


def lose_last_migration(story: Story) -> None:
    story.change([a for a in story.written(story.names.migrations) if a.key == b"c0"][-1])


def swap_migrations(story: Story) -> None:
    mine = [a for a in story.written(story.names.migrations) if a.key == b"c0"][:2]
    story.change(mine[0])
    story.change(mine[1], mine[1], mine[0])


def change_migration(**changes: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        migration = next(a for a in story.written(story.names.migrations) if a.json["sequence"] == 2)
        story.change(migration, migration.with_json(**changes))

    return change


def change_first_migration(story: Story) -> None:
    migration = next(a for a in story.written(story.names.migrations) if a.json["sequence"] == 1)
    story.change(migration, migration.with_json(from_segment={"id": "s1", "name": "somewhere"}))


def change_id(story: Story) -> None:
    migration = story.written(story.names.migrations)[3]
    changed = migration.with_json(migration_id="0" * 32)
    story.change(migration, replace(changed, headers=(("ce_id", b"0" * 32),)))


def drop_headers(story: Story) -> None:
    story.change_all(story.names.migrations, lambda append: replace(append, headers=()))


def change_cause(**changes: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        migration = next(a for a in story.written(story.names.migrations) if a.json["cause"]["event_id"])
        cause = migration.json["cause"]
        cause |= {name: value for name, value in changes.items() if name != "offset"}
        if "offset" in changes:
            cause["position"]["offset"] += changes["offset"]
        story.change(migration, migration.with_json(cause=cause))

    return change


def rename_key(topic: str) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        record = story.written(getattr(story.names, topic))[0]
        story.change(record, replace(record, key=b"somebody else"))

    return change


def move_to_other_partition(topic: str) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        for record in story.written(getattr(story.names, topic)):
            if record.key in (b"c0", b"value/c0"):
                story.change(record, replace(record, partition=1 - record.partition))

    return change


def copy_row_to_other_partition(story: Story) -> None:
    row = rows_of(story)[0]
    story.change(row, row, replace(row, partition=1 - row.partition))


def change_membership(**changes: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        membership = [a for a in story.written(story.names.memberships) if a.key == b"value/c0"][-1]
        story.change(membership, membership.with_json(**changes))

    return change


def lose_membership(story: Story) -> None:
    for membership in story.written(story.names.memberships):
        if membership.key == b"value/c0":
            story.change(membership)


def lose_letter(story: Story) -> None:
    story.change(story.written(story.names.dead_letters)[0])


def duplicate_letter(story: Story) -> None:
    letter = story.written(story.names.dead_letters)[0]
    story.change(letter, letter, letter)


def change_letter(**changes: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        letter = story.written(story.names.dead_letters)[0]
        story.change(letter, letter.with_json(**changes))

    return change


def misaddress_letter(story: Story) -> None:
    letter = story.written(story.names.dead_letters)[0]
    story.change(letter, letter.with_json(position=letter.json["position"] | {"topic": "elsewhere"}))


def letter_of_a_valid_record(story: Story) -> None:
    letter = story.written(story.names.dead_letters)[0]
    at = letter.json["position"]
    mine = [a for a in story.inputs if (a.topic, a.partition) == (at["topic"], letter.partition)]
    valid = next(offset for offset, a in enumerate(mine) if a.value and a.key == b"c0")
    story.change(letter, letter, letter.with_json(position=at | {"offset": valid}))


def letter_of_a_tombstone(story: Story) -> None:
    letter = story.written(story.names.dead_letters)[0]
    at = letter.json["position"]
    mine = [a for a in story.inputs if (a.topic, a.partition) == (at["topic"], letter.partition)]
    tombstone = next(offset for offset, a in enumerate(mine) if a.value is None)
    story.change(letter, letter, letter.with_json(position=at | {"offset": tombstone}))


def rewind_position(story: Story) -> None:
    position = last_positions(story)[0]
    story.change(position, moved(position, story.names.input_topic("purchases"), 1), position)


def overrun_position(story: Story) -> None:
    position = last_positions(story)[0]
    story.change(position, moved(position, story.names.input_topic("purchases"), 50))


def lose_positions(story: Story) -> None:
    for append in story.written(story.names.changelog):
        if append.key == POSITION_KEY:
            story.change(append)


def position_of_strange_topic(story: Story) -> None:
    position = last_positions(story)[0]
    offsets = PartitionPosition.decode(position.value or b"").offsets | {"elsewhere": 3}
    story.change(position, replace(position, value=PartitionPosition(offsets).encode()))


def spoil(topic: str) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        record = story.written(getattr(story.names, topic))[-1]
        story.change(record, replace(record, value=b'{"no": "such thing"'))

    return change


def spoil_row(story: Story) -> None:
    row = rows_of(story)[-1]
    story.change(row, replace(row, value=(row.value or b"")[:-1]))


def delete_row(story: Story) -> None:
    row = rows_of(story)[-1]
    story.change(row, row, replace(row, value=None))


def name_unpublished_model(story: Story) -> None:
    story.change_all(story.names.migrations, lambda append: append.with_json(model_version=9))


def publish_model(story: Story) -> None:
    example = (ROOT / "schemas/examples/segment-models/published.pass.json").read_bytes()
    model = Append(story.names.models, 0, b"value", example)
    unreadable = replace(model, value=b"{}")
    story.transactions.append([model, unreadable])
    row = next(row for row in reversed(rows_of(story)) if row.key == b"c0")
    parts = split_row(row.value or b"")
    name = digest(b"value")
    membership = np.frombuffer(parts.memberships[name], MEMBERSHIP_DTYPE).copy()
    membership["model_version"] = 8  # the example's is 7
    story.change(row, replace(row, value=join_row(parts.activity, [name + membership.tobytes()], *parts[2:])))


def commit_too_far(story: Story) -> None:
    position = last_positions(story)[0]
    story.change(position, moved(position, story.names.input_topic("purchases"), -4))


def commit_nothing(story: Story) -> None:
    story.committed.clear()


def last_figures(story: Story) -> Append:
    return story.written(story.names.figures)[-1]


def lose_figures(story: Story) -> None:
    for record in story.written(story.names.figures):
        story.change(record)


def lose_last_figures(story: Story) -> None:
    story.change(last_figures(story))


def change_sums(**more: int) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        record = last_figures(story)
        first, *others = record.json["segments"]
        first |= {name: first[name] + by for name, by in more.items()}
        story.change(record, record.with_json(segments=[first, *others]))

    return change


def leave_out_a_segment(story: Story) -> None:
    record = last_figures(story)
    story.change(record, record.with_json(segments=record.json["segments"][1:]))


def figures_of_nobody(story: Story) -> None:
    record = last_figures(story)
    strange = record.json["segments"][0] | {"segment": "s99"}
    story.change(record, record.with_json(segments=[*record.json["segments"], strange]))


def figures_of_another_segmentation(story: Story) -> None:
    record = last_figures(story)
    key = f"habits/{record.partition}".encode()
    story.change(record, record, replace(record.with_json(segmentation="habits"), key=key))


def take_figures_back(story: Story) -> None:
    story.change(last_figures(story), last_figures(story), replace(last_figures(story), value=None))


def figures_of_another_partition(story: Story) -> None:
    record = last_figures(story)
    story.change(record, record.with_json(partition=1 - record.partition))


def move_figures(story: Story) -> None:
    record = last_figures(story)
    story.change(record, replace(record, partition=1 - record.partition))


SEEDED: dict[str, tuple[Callable[[Story], None], set[str]]] = {
    "event lost": (lose_event, {"totals"}),
    "event folded twice": (fold_twice, {"totals"}),
    "customer lost": (drop_rows_of_a_customer, {"totals", "membership"}),
    "last row lost": (lose_last_row, {"totals", "membership"}),
    "rows swapped": (swap_rows, {"totals", "membership"}),
    "migration twice": (duplicate_migration, {"sequences"}),
    "migration lost": (lose_migration, {"sequences"}),
    "last migration lost": (lose_last_migration, {"membership"}),
    "migrations out of order": (swap_migrations, {"sequences"}),
    "from elsewhere": (change_migration(from_segment={"id": "s99", "name": "x"}), {"chain"}),
    "from nowhere": (change_migration(from_segment=None), {"chain"}),
    "entered again": (change_migration(change="entered"), {"chain"}),
    "first from somewhere": (change_first_migration, {"chain"}),
    "number skipped": (change_migration(sequence=30), {"sequences", "identity"}),
    "id not derived": (change_id, {"identity"}),
    "no headers": (drop_headers, {"identity"}),
    "cause of another event": (change_cause(event_id="another"), {"causes"}),
    "cause beyond the log": (change_cause(offset=10_000), {"causes"}),
    "cause without position": (change_cause(position=None), {"causes"}),
    "cause of no event with position": (change_cause(kind="lapse"), {"causes"}),
    "migration under another key": (rename_key("migrations"), {"placement"}),
    "membership under another key": (rename_key("memberships"), {"placement"}),
    "migrations on another partition": (move_to_other_partition("migrations"), {"placement", "membership", "causes"}),
    "memberships on another partition": (move_to_other_partition("memberships"), {"placement", "membership"}),
    "row on two partitions": (copy_row_to_other_partition, {"placement", "totals", "membership"}),
    "membership in another segment": (change_membership(segment={"id": "s99", "name": "x"}), {"membership"}),
    "membership of another sequence": (change_membership(sequence=99), {"membership"}),
    "membership since another time": (change_membership(since="2020-01-01T00:00:00.000Z"), {"membership"}),
    "membership lost": (lose_membership, {"membership"}),
    "no figures": (lose_figures, {"figures"}),
    "figures of before": (lose_last_figures, {"figures"}),
    "figures of one customer more": (change_sums(customers=1), {"figures"}),
    "figures with other revenue": (change_sums(revenue_minor=-1), {"figures"}),
    "figures with other orders": (change_sums(purchases=1), {"figures"}),
    "figures of other instants": (change_sums(first_at_seconds=1, active_at_seconds=-1), {"figures"}),
    "figures without a segment": (leave_out_a_segment, {"figures"}),
    "figures of a segment without customers": (figures_of_nobody, {"figures"}),
    "figures of a segmentation without customers": (figures_of_another_segmentation, {"figures"}),
    "figures taken back": (take_figures_back, {"figures"}),
    "figures of another partition": (figures_of_another_partition, {"contracts", "figures"}),
    "figures on another partition": (move_figures, {"contracts", "figures"}),
    "figures under another key": (rename_key("figures"), {"contracts"}),
    "figures unreadable": (spoil("figures"), {"contracts", "figures"}),
    "dead letter lost": (lose_letter, {"dead letters"}),
    "dead letter twice": (duplicate_letter, {"dead letters"}),
    "dead letter with another reason": (change_letter(reason="too_deep"), {"dead letters"}),
    "dead letter of another field": (change_letter(field="total"), {"dead letters"}),
    "dead letter of another payload": (change_letter(payload_sha256="0" * 64), {"dead letters"}),
    "dead letter of another time": (change_letter(source_timestamp=None), {"dead letters"}),
    "dead letter of another topic": (misaddress_letter, {"dead letters"}),
    "dead letter of a valid record": (letter_of_a_valid_record, {"dead letters"}),
    "dead letter of a tombstone": (letter_of_a_tombstone, {"dead letters"}),
    "dead letter under another key": (rename_key("dead_letters"), {"dead letters"}),
    "position rewound": (rewind_position, {"positions"}),
    "position beyond the log": (overrun_position, {"positions"}),
    "no positions": (lose_positions, {"positions", "totals", "dead letters", "causes", "group offsets", "drained"}),
    "position of a strange topic": (position_of_strange_topic, {"positions"}),
    "migration unreadable": (spoil("migrations"), {"contracts", "membership"}),
    "membership unreadable": (spoil("memberships"), {"contracts", "membership"}),
    "dead letter unreadable": (spoil("dead_letters"), {"contracts", "dead letters"}),
    "position unreadable": (spoil("changelog"), {"contracts"}),
    "row unreadable": (spoil_row, {"contracts", "totals", "membership"}),
    "row deleted": (delete_row, {"totals", "membership"}),
    "model unpublished": (name_unpublished_model, {"models", "membership"}),
    "model ahead of the published one": (publish_model, {"models", "contracts"}),
    "committed, not folded": (commit_too_far, {"positions", "group offsets", "drained"}),
    "nothing committed": (commit_nothing, {"drained"}),
}


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_breach_is_found(story: Story, name: str) -> None:
    seed, expected = SEEDED[name]
    seed(story)
    assert expected <= breaches(story)


@pytest.mark.parametrize(
    "name",
    [
        "event lost",
        "migration twice",
        "figures of one customer more",
        "figures with other revenue",
        "no figures",
        "id not derived",
        "dead letter lost",
    ],
)
def test_seeded_breach_alone_is_found(story: Story, name: str) -> None:
    seed, expected = SEEDED[name]
    seed(story)
    assert breaches(story) == expected


def test_every_check_has_a_seeded_breach() -> None:
    elsewhere = {"history", "forwarding", "rules", "traits", "consents", "direction", "names"}
    assert set(itertools.chain.from_iterable(found for _, found in SEEDED.values())) | elsewhere == set(CHECKS)


def test_log_whose_first_records_are_gone_is_a_breach_of_its_own(story: Story) -> None:
    found = breaches(story, first=40)
    assert found == {"history"}, "what came before is not known"


# --- the report -------------------------------------------------------------------------------------------------


def test_report_names_customer_and_position(story: Story) -> None:
    duplicate_migration(story)
    found = asyncio.run(audited(story))
    text = list(lines(found))
    example = next(line for line in text if ", again" in line)
    customer_id = story.written(story.names.migrations)[5].key
    assert repr((customer_id or b"").decode()) in example
    assert "t-segment-migrations[" in example
    assert text[-1].startswith("1 breach, ")
    assert all(line.isprintable() for line in text)


def test_report_shows_the_first_examples_and_counts_the_rest(story: Story) -> None:
    drop_headers(story)
    found = asyncio.run(audited(story))
    count = len(story.written(story.names.migrations))
    assert f"      … and {count - 5:,} more" in lines(found)
    told_in_json = json.loads(json.dumps(document(found)))
    assert told_in_json["checks"]["identity"]["breaches"] == count
    assert len(told_in_json["checks"]["identity"]["examples"]) == 5
    assert told_in_json["clean"] is False
