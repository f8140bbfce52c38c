"""What a partition's loop has done in memory and has not written yet; it becomes one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from stream_app.adapters.changelog import POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import Outgoing, OutgoingRecord
from stream_app.adapters.record_blocks import Parts, RecordBlock
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.dead_letters import dead_letter
from stream_app.contracts.handovers import encode_handover
from stream_app.core.arrays import NO_INDICES, Indices
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Position
from stream_app.core.handing_over import Handed
from stream_app.core.marks import Refused
from stream_app.core.privacy import Erased
from stream_app.core.records import Batch, Positions, Rejection
from stream_app.learning.sample import PopulationSample
from stream_app.native import batches as native
from stream_app.segmentations.describing import Described
from stream_app.worker.counters import ERASED, FORWARDED, TOMBSTONE, PartitionCounters
from stream_app.worker.intake import Misplaced
from stream_app.worker.samples import encode_sample


class Outbox:
    """Collects the records of one partition.

    Parameters
    ----------
    topics
        Names of the topics.
    partition
        Number of the partition.

    Attributes
    ----------
    samples
        Those in it.
    """

    def __init__(self, topics: TopicNames, partition: int) -> None:
        self._topics = topics
        self._partition = partition
        self._numbers: set[int] = set()
        self._gone: dict[bytes, None] = {}
        self._blocks: defaultdict[str, list[RecordBlock]] = defaultdict(list)
        self._records: defaultdict[tuple[str, int], list[OutgoingRecord]] = defaultdict(list)
        self.samples: list[PopulationSample] = []
        self.size = 0
        self.is_touched = False

    def touch(self, numbers: Iterable[int], events: int) -> None:
        """Note which rows have changed, if any, and how many input records that took."""
        self._numbers.update(numbers)
        self.size += events
        self.is_touched = True

    def migrate(self, described: Described) -> None:
        """Add migrations, and the memberships that they lead to."""
        self._blocks[self._topics.migrations].append(_migrations_of(described))
        self._blocks[self._topics.memberships].append(_memberships_of(described))
        self.size += len(described)

    def notify(self, described: Described) -> None:
        """Add notices of moves that time alone will make."""
        self._blocks[self._topics.upcoming].append(_migrations_of(described))
        self.size += len(described)

    def set_aside(
        self,
        batch: Batch,
        input_names: Sequence[str],
        keep_payload: bool,
        figures: PartitionCounters,
        placed: Indices = NO_INDICES,
    ) -> None:
        """Add what becomes of records that were not folded, and count them: dead letters, and what goes elsewhere.

        Parameters
        ----------
        placed
            Indices of those that name no customer and were folded for that of their order.
        """
        for index, other in batch.others_by_index(placed):
            position = Positions(batch.records[index : index + 1], input_names, self._partition)[0]
            if isinstance(other, Rejection):
                self.reject(other, position, keep_payload)
                figures.note_rejected(position.topic, other.error.reason)
            elif isinstance(other.record, Refused):
                figures.outcomes[position.topic, ERASED] += 1
            else:
                self._pass_on(other.record)
                figures.outcomes[position.topic, TOMBSTONE if other.record is None else FORWARDED] += 1

    def forget(self, erased: Erased) -> None:
        """Note that a row is gone, and which one has its number now."""
        self._numbers.discard(erased.row)
        if erased.last in self._numbers:
            self._numbers.remove(erased.last)
            self._numbers.add(erased.row)
        self._gone[erased.customer_id.encode()] = None
        self.is_touched = True

    def mark_forgotten(self, marker: OutgoingRecord) -> None:
        """Add a record that says behind a customer's migrations, and notices, that they are to be forgotten."""
        for topic in (self._topics.migrations, self._topics.upcoming):
            self._blocks[topic].append(RecordBlock.to_send([marker]))
        self.is_touched = True

    def reject(self, rejection: Rejection, position: Position, keep_payload: bool) -> None:
        """Add the dead letter of a refused record."""
        letter = dead_letter(rejection.error, rejection.payload, position, rejection.timestamp_ms, keep_payload)
        record = OutgoingRecord(rejection.key, letter.model_dump_json().encode())
        self.add(self._topics.dead_letters, self._partition, record)

    def _pass_on(self, misplaced: Misplaced | None) -> None:
        if misplaced is not None:
            record = misplaced.record
            forwarded = OutgoingRecord(record.key, record.value, list(record.headers))
            self.add(misplaced.topic, misplaced.partition, forwarded)

    def hand_over(self, rows: Iterable[Handed], home_of: Callable[[str], int]) -> None:
        """Add rows that go to the partitions of their customers."""
        for handed in rows:
            record = OutgoingRecord(handed.into.encode(), encode_handover(handed))
            self.add(self._topics.handovers, home_of(handed.into), record)

    def sample(self, sample: PopulationSample) -> None:
        """Add a sample for the trainers."""
        self.samples.append(sample)
        value = encode_sample(sample, self._partition)
        self.add(self._topics.samples, 0, OutgoingRecord(str(self._partition).encode(), value))

    def add(self, topic: str, partition: int, record: OutgoingRecord) -> None:
        """Add any other record."""
        self._records[topic, partition].append(record)
        self.is_touched = True

    def seal(self, table: CustomerTable, position: PartitionPosition) -> Outgoing:
        """Return all records, with the changed rows as they are now, and the partition's position after them."""
        numbers = np.fromiter(self._numbers, np.int64, len(self._numbers))
        rows = RecordBlock.of_parts(Parts(*table.customer_ids.joined(numbers)), Parts(*table.encode_rows(numbers)))
        changelog = self._topics.changelog, self._partition
        others = [OutgoingRecord(customer_id, None) for customer_id in self._gone]
        others += self._records.pop(changelog, [])
        at = OutgoingRecord(POSITION_KEY, position.encode())
        return {
            changelog: RecordBlock.joined([RecordBlock.to_send(others), rows, RecordBlock.to_send([at])]),
            **{(topic, self._partition): RecordBlock.joined(blocks) for topic, blocks in self._blocks.items()},
            **{place: records for place, records in self._records.items() if records},
        }


def _migrations_of(described: Described) -> RecordBlock:
    """Return migrations, or what replaces them, as records, keyed by customer."""
    places, lines, keys = described.places, described.lines, described.keys
    records = _columns(len(described))
    key_ends = len(lines) + places["key_at"] + places["key_size"]
    records[native.KEY_AT], records[native.KEY_SIZE] = key_ends - places["customer_size"], places["customer_size"]
    records[native.VALUE_AT], records[native.VALUE_SIZE] = places["migration_at"], places["migration_size"]
    records[native.HEADERS_AT] = len(lines) + len(keys) + places["headers_at"]
    records[native.HEADERS_SIZE] = places["headers_size"]
    return RecordBlock(b"".join((lines, keys, described.headers)), records)


def _memberships_of(described: Described) -> RecordBlock:
    """Return memberships as records; a customer that has left has none."""
    places, memberships = described.places, described.memberships
    records = _columns(len(described))
    records[native.KEY_AT], records[native.KEY_SIZE] = len(memberships) + places["key_at"], places["key_size"]
    records[native.VALUE_AT], records[native.VALUE_SIZE] = places["membership_at"], places["membership_size"]
    records[native.HEADERS_AT :] = 0
    return RecordBlock(memberships + described.keys, records)


def _columns(count: int) -> native.Records:
    records = np.empty((native.COLUMNS, count), np.int64)
    records[native.OFFSET], records[native.TIMESTAMP_MS] = np.arange(count), -1
    return records
