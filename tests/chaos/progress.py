"""How far a deployment has come, read from outside: committed positions, the group's offsets, membership."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.adapters.changelog import POSITION_KEY, PartitionPosition
from stream_app.adapters.topics import TopicNames

Place = tuple[str, int]
FETCH_RECORDS: Final = 2_000
SILENT_SECONDS: Final = 15
"""After such a silence the changelog is asked for again from where it was read to: a consumer that has no group may not
notice by itself that its broker is back."""


def follower(bootstrap_servers: str) -> Consumer:
    """Return a consumer of committed records that is in no group and reports ends."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "reconnect.backoff.max.ms": 500,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


class Progress:
    """Follows the position rows in the changelog while it is entered.

    A position row is written in the transaction of the rows that it speaks of, so this is the exact truth about what
    is folded; the group's offsets may be behind it.

    Parameters
    ----------
    bootstrap_servers, names, partitions
        Of the deployment.

    Attributes
    ----------
    offsets
        By topic and partition, the first record that is not folded yet.
    versions
        By partition and segmentation, the last version under which every customer was assessed.
    """

    def __init__(self, bootstrap_servers: str, names: TopicNames, partitions: int) -> None:
        self.offsets: dict[Place, int] = {}
        self.versions: dict[int, dict[str, int]] = {}
        self._advanced_at: dict[int, float] = {}
        self._longest_pause = 0.0
        self._reversals: list[str] = []
        self._read_to: dict[int, int] = {}
        self._names = names
        self._partitions = partitions
        self._consumer = follower(bootstrap_servers)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._assign()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._consumer.close()

    def pending(self, ends: Mapping[Place, int], partitions: Iterable[int]) -> int:
        """Return how many records of some partitions are not folded."""
        chosen = set(partitions)
        return sum(max(end - self.offsets.get(at, 0), 0) for at, end in ends.items() if at[1] in chosen)

    def wait_for(self, ends: Mapping[Place, int], patience_seconds: float) -> float:
        """Wait until everything up to `ends` is folded; return how long that took, in seconds.

        Raises
        ------
        TimeoutError
            If it does not happen.
        """
        started = time.monotonic()
        while any(self.offsets.get(at, 0) < end for at, end in ends.items()):
            if time.monotonic() - started > patience_seconds:
                behind = {f"{t}[{p}]": (self.offsets.get((t, p), 0), end) for (t, p), end in ends.items()}
                raise TimeoutError(f"not folded after {patience_seconds:g} s: position, end: {behind}")
            time.sleep(0.01)
        return time.monotonic() - started

    def unassessed(self, segmentations: Sequence[str]) -> list[str]:
        """Return which partitions were never assessed under some segmentation, or under an older version again."""
        return [
            f"partition {partition}: never assessed under {', '.join(missing)}"
            for partition in range(self._partitions)
            if (missing := [name for name in segmentations if self.versions.get(partition, {}).get(name, -1) < 0])
        ] + self._reversals

    def longest_pause_seconds(self) -> float:
        """Return the longest time between two steps of a partition since the last call."""
        longest, self._longest_pause = self._longest_pause, 0.0
        self._advanced_at = {}
        return longest

    def _assign(self) -> None:
        """Read every partition on from where it was read to."""
        topic, read_to = self._names.changelog, self._read_to
        self._consumer.assign(
            [TopicPartition(topic, p, read_to.get(p, OFFSET_BEGINNING)) for p in range(self._partitions)]
        )

    def _follow(self) -> None:
        heard_at = time.monotonic()
        while not self._is_over.is_set():
            messages = self._consumer.consume(FETCH_RECORDS, 0.05)
            if messages:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > SILENT_SECONDS:
                self._assign()
                heard_at = time.monotonic()
            for message in messages:
                value = message.value()
                if not message.error():
                    self._read_to[int(message.partition() or 0)] = int(message.offset() or 0) + 1
                if not message.error() and message.key() == POSITION_KEY and value is not None:
                    partition, now = int(message.partition() or 0), time.monotonic()
                    self._longest_pause = max(self._longest_pause, now - self._advanced_at.get(partition, now))
                    self._advanced_at[partition] = now
                    position = PartitionPosition.decode(bytes(value))
                    for topic, offset in position.offsets.items():
                        self.offsets[topic, partition] = offset
                    self._note_versions(partition, position.versions)

    def _note_versions(self, partition: int, versions: Mapping[str, int]) -> None:
        before = self.versions.get(partition, {})
        self._reversals += [
            f"partition {partition}: {name} was assessed under version {before[name]}, then under {version}"
            for name, version in versions.items()
            if version < before.get(name, version)
        ]
        self.versions[partition] = dict(versions)


class Group:
    """The consumer group, as lag tools see it."""

    def __init__(self, bootstrap_servers: str, names: TopicNames) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._names = names

    def lag(self, ends: Mapping[Place, int]) -> int | None:
        """Return how many records the group's offsets are behind; None if nobody answers."""
        group = self._names.group
        wanted = [TopicPartition(*at) for at in ends]
        try:
            asked = self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=5
            )
            answer = asked[group].result(6)
        except (KafkaException, TimeoutError):
            return None
        offsets = {(at.topic, at.partition): max(at.offset, 0) for at in answer.topic_partitions}
        return sum(max(end - offsets.get(at, 0), 0) for at, end in ends.items())

    def owner_of(self, topic: str, partition: int) -> str | None:
        """Return the instance id of the member that has a partition."""
        group = self._names.group
        try:
            described = self._admin.describe_consumer_groups([group], request_timeout=5)[group].result(6)
        except (KafkaException, TimeoutError):
            return None
        for member in described.members:
            if any((at.topic, at.partition) == (topic, partition) for at in member.assignment.topic_partitions):
                return str(member.group_instance_id)
        return None
