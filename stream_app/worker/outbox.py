"""What a partition's loop has done in memory and has not written yet; it becomes one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from stream_app.adapters.changelog import POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import Headers, Outgoing, OutgoingRecord
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.dead_letters import dead_letter
from stream_app.contracts.readers import membership_key
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Position
from stream_app.core.migration import Migration
from stream_app.core.records import Rejection

CE_SPECVERSION: Final = b"1.0"
CE_TYPE: Final = "com.stream-segmenter.migration."
_encode = msgspec.json.Encoder().encode


class Outbox:
    """Collects the records of one partition.

    Parameters
    ----------
    topics
        Names of the topics.
    partition
        Number of the partition.
    """

    def __init__(self, topics: TopicNames, partition: int) -> None:
        self._topics = topics
        self._partition = partition
        self._numbers: set[int] = set()
        self._records: defaultdict[tuple[str, int], list[OutgoingRecord]] = defaultdict(list)
        self.size = 0
        self.is_touched = False

    def touch(self, numbers: Iterable[int], events: int) -> None:
        """Note which rows have changed, if any, and how many input records that took."""
        self._numbers.update(numbers)
        self.size += events
        self.is_touched = True

    def migrate(self, migrations: Iterable[Migration]) -> None:
        """Add migrations, and the memberships that they lead to."""
        moves, memberships = self._to(self._topics.migrations), self._to(self._topics.memberships)
        for migration in migrations:
            key = migration.customer_id.encode()
            moves.append(OutgoingRecord(key, _encode(migration), self._headers(migration, key)))
            member = membership_key(migration.segmentation, migration.customer_id).encode()
            left = migration.to_segment is None
            memberships.append(OutgoingRecord(member, None if left else _encode(membership_of(migration))))
            self.size += 1

    def reject(self, rejection: Rejection, position: Position, keep_payload: bool) -> None:
        """Add the dead letter of a refused record."""
        letter = dead_letter(rejection.error, rejection.payload, position, rejection.timestamp_ms, keep_payload)
        record = OutgoingRecord(rejection.key, letter.model_dump_json().encode())
        self._to(self._topics.dead_letters).append(record)
        self.is_touched = True

    def add(self, topic: str, partition: int, record: OutgoingRecord) -> None:
        """Add any other record."""
        self._records[topic, partition].append(record)
        self.is_touched = True

    def seal(self, table: CustomerTable, position: PartitionPosition) -> Outgoing:
        """Return all records, with the changed rows as they are now, and the partition's position after them."""
        customer_ids, numbers = table.customer_ids, list(self._numbers)
        rows = [
            OutgoingRecord(customer_ids[number].encode(), row)
            for number, row in zip(numbers, table.encode_all(numbers), strict=True)
        ]
        rows.append(OutgoingRecord(POSITION_KEY, position.encode()))
        return {(self._topics.changelog, self._partition): rows, **{k: v for k, v in self._records.items() if v}}

    def _to(self, topic: str) -> list[OutgoingRecord]:
        return self._records[topic, self._partition]

    def _headers(self, migration: Migration, key: bytes) -> Headers:
        return [
            ("ce_specversion", CE_SPECVERSION),
            ("ce_id", migration.migration_id.encode()),
            ("ce_type", (CE_TYPE + migration.change).encode()),
            ("ce_source", self._topics.group.encode()),
            ("ce_subject", key),
            ("ce_time", migration.effective_at.encode()),
            ("content-type", b"application/json"),
        ]


def membership_of(migration: Migration) -> dict[str, object]:
    """Return the membership that a migration leads to, as the `segment-memberships` contract has it."""
    return {
        "customer_id": migration.customer_id,
        "segmentation": migration.segmentation,
        "segment": migration.to_segment,
        "since": migration.effective_at,
        "sequence": migration.sequence,
        "model_version": migration.model_version,
        "as_of": migration.decided_at,
        "next_move": migration.next_move,
    }
