"""What a lane's work becomes on the wire, held to the published contracts."""

from __future__ import annotations

import json

import pytest

from stream_app.adapters.changelog import POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import OutgoingRecord
from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.outputs.migrations import SegmentMembership, SegmentMigration
from stream_app.contracts.schema_files import CHANNELS
from stream_app.core.events import Position, pack_events
from stream_app.core.partition import Clock, Partition
from stream_app.core.processor import process_events, sweep
from stream_app.core.records import Rejection
from stream_app.errors import InvalidRecord
from stream_app.segmentations.describing import Chunk, Described, Describer
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker.outbox import Outbox
from tests.support.events import engagement, instant, purchase
from tests.support.models import learned_model, partition_under, prior_model
from tests.support.playing import play, state_of
from tests.support.published import Migration, read_migration
from tests.worker.memory import TOPICS, replay

PLACE = {topic: (topic, 2) for topic in (TOPICS.migrations, TOPICS.memberships, TOPICS.dead_letters, TOPICS.changelog)}


@pytest.fixture
def partition() -> Partition:
    return partition_under(prior_model())


@pytest.fixture
def described(partition: Partition) -> list[Described]:
    """Moves of all kinds of cause, step by step: events, silence and a model."""
    describer = Describer(partition.context, TOPICS.group)
    # c2 has been new for less time than the prior model asks for, and for more than the learned one does.
    events = pack_events([purchase(0, customer_id="é1"), engagement(275, customer_id="c2")], range(2), 0)
    acts = describer.describe_step(partition, process_events(partition, events).moves, Chunk(events, ["log"]))
    silence = describer.describe_step(partition, sweep(partition, instant(300)).moves)
    partition.follow(LearnedSegmentation(learned_model()))
    return [acts, silence, describer.describe_step(partition, sweep(partition, instant(301)).moves)]


@pytest.fixture
def migrations(described: list[Described]) -> list[Migration]:
    """Those moves, read back."""
    found = [read_migration(step.migration(number)) for step in described for number in range(len(step))]
    assert {migration.cause.kind for migration in found} >= {"purchase", "engagement", "lapse", "model"}
    return found


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(TOPICS, 2)


def migrate(outbox: Outbox, described: list[Described]) -> None:
    for step in described:
        outbox.migrate(step)


def seal(outbox: Outbox, partition: Partition) -> dict[tuple[str, int], list[OutgoingRecord]]:
    return {place: list(records) for place, records in outbox.seal(partition.table, PartitionPosition()).items()}


def test_migrations_and_memberships_keep_their_contracts_and_carry_their_customers_key(
    outbox: Outbox, partition: Partition, described: list[Described], migrations: list[Migration]
) -> None:
    migrate(outbox, described)
    sealed = seal(outbox, partition)
    for topic, contract in ((TOPICS.migrations, SegmentMigration), (TOPICS.memberships, SegmentMembership)):
        records = sealed[PLACE[topic]]
        assert len(records) == len(migrations)
        for record, migration in zip(records, migrations, strict=True):
            assert contract.model_validate_json(record.value or b"").customer_id == migration.customer_id
            place = migration.customer_id if topic == TOPICS.migrations else f"value/{migration.customer_id}"
            assert record.key == place.encode()
    assert outbox.size == len(migrations)


def test_migration_is_a_cloudevent_with_the_headers_that_are_published(
    outbox: Outbox, partition: Partition, described: list[Described], migrations: list[Migration]
) -> None:
    migrate(outbox, described)
    (channel,) = [channel for channel in CHANNELS if channel.topic == "segment-migrations"]
    for record, migration in zip(seal(outbox, partition)[PLACE[TOPICS.migrations]], migrations, strict=True):
        headers = dict(record.headers)
        assert sorted(headers) == sorted(name for name, _ in channel.headers)
        assert headers == {
            "ce_specversion": b"1.0",
            "ce_id": migration.migration_id.encode(),
            "ce_type": f"com.stream-segmenter.migration.{migration.change}".encode(),
            "ce_source": b"t-segmenter",
            "ce_subject": migration.customer_id.encode(),
            "ce_time": migration.effective_at.encode(),
            "content-type": b"application/json",
        }


def test_membership_says_where_the_migration_led(
    outbox: Outbox, partition: Partition, described: list[Described]
) -> None:
    migrate(outbox, described)
    sealed = seal(outbox, partition)
    pairs = zip(sealed[PLACE[TOPICS.memberships]], sealed[PLACE[TOPICS.migrations]], strict=True)
    for membership, migration in ((json.loads(record.value or b"") for record in pair) for pair in pairs):
        assert membership["segment"] == migration["to_segment"]
        assert (membership["since"], membership["as_of"]) == (migration["effective_at"], migration["decided_at"])
        for name in ("sequence", "model_version", "next_move"):
            assert membership[name] == migration[name]


def test_changed_rows_are_written_as_they_are_when_sealed_with_the_position_behind_them(
    outbox: Outbox, partition: Partition
) -> None:
    play(partition, [purchase(0, customer_id="a"), purchase(0, customer_id="b"), purchase(0, customer_id="c")])
    outbox.touch([0, 2], 2)
    outbox.touch([2], 1)
    play(partition, [purchase(1, customer_id="c")])
    position = PartitionPosition({TOPICS.input_topic("purchases"): 4}, Clock(instant(1)), {"value": 3})
    rows = outbox.seal(partition.table, position)[PLACE[TOPICS.changelog]]
    assert [record.key for record in rows][-1] == POSITION_KEY
    assert len(rows) == 3
    table, restored = replay(rows)
    assert restored == position
    state = state_of(partition)
    assert {c: table.encode(table.find(c)) for c in table.customer_ids} == {"a": state["a"], "c": state["c"]}
    assert outbox.size == 3


@pytest.mark.parametrize("keep_payload", [True, False])
def test_dead_letter_names_the_source_and_has_its_key(outbox: Outbox, partition: Partition, keep_payload: bool) -> None:
    error = InvalidRecord("malformed", "$", "$: bad")
    position = Position(TOPICS.input_topic("purchases"), 2, 17)
    outbox.reject(Rejection(error, b"\xff", b"key", 1_700_000_000_000), position, keep_payload)
    outbox.reject(Rejection(error, b"{", None, 0), position, keep_payload)
    binary, keyless = seal(outbox, partition)[PLACE[TOPICS.dead_letters]]
    letter = DeadLetter.model_validate_json(binary.value or b"")
    assert (binary.key, keyless.key) == (b"key", None)
    assert (letter.position.topic, letter.position.partition, letter.position.offset) == (
        TOPICS.input_topic("purchases"),
        2,
        17,
    )
    assert letter.payload == ("/w==" if keep_payload else None)
    assert letter.source_timestamp == "2023-11-14T22:13:20.000Z"


def test_outbox_is_touched_by_whatever_has_to_be_written(partition: Partition) -> None:
    for note in (
        lambda outbox: outbox.touch((), 1),
        lambda outbox: outbox.reject(
            Rejection(InvalidRecord("malformed", "$", ""), b""), Position("purchases", 0, 0), False
        ),
        lambda outbox: outbox.add("topic", 5, OutgoingRecord(b"k", b"v")),
    ):
        outbox = Outbox(TOPICS, 2)
        assert not outbox.is_touched
        note(outbox)
        assert outbox.is_touched
        assert next(iter(seal(outbox, partition))) == PLACE[TOPICS.changelog]


def test_text_of_any_script_is_utf8_on_the_wire(
    outbox: Outbox, partition: Partition, described: list[Described]
) -> None:
    outbox.migrate(described[0])
    record, _ = seal(outbox, partition)[PLACE[TOPICS.migrations]]
    assert record.key == dict(record.headers)["ce_subject"] == "é1".encode()
    assert json.loads(record.value or b"")["customer_id"] == "é1"
