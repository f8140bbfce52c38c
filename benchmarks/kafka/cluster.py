"""Topics and offsets of the broker that the benchmark runs on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

PARTITIONS = 4
ANSWER_SECONDS = 30
FOR_EVER = {"retention.ms": "-1"}
"""Event times lie up to 90 days back: the broker would delete the events as old."""
COMPACTED = {"cleanup.policy": "compact"}
APPEND_TIMES = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}
"""For migrations: the broker then tells when each one was appended."""

Partitions = dict[tuple[str, int], int]
"""Offsets by topic and partition."""


class Cluster:
    """What the benchmark asks of the broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, configurations: dict[str, dict[str, str]]) -> None:
        """Create topics that do not exist yet."""
        topics = [NewTopic(name, PARTITIONS, 1, config=config) for name, config in configurations.items()]
        for future in self._admin.create_topics(topics).values():
            try:
                future.result(ANSWER_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def configure(self, topic: str, configuration: dict[str, str]) -> None:
        """Change a topic's configuration."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in configuration.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for future in self._admin.incremental_alter_configs([resource]).values():
            future.result(ANSWER_SECONDS)

    def delete(self, topics: Sequence[str]) -> None:
        """Delete topics if they exist, and wait until they are gone."""
        doomed = set(topics) & self.topics()
        if not doomed:
            return
        for future in self._admin.delete_topics(list(doomed)).values():
            future.result(ANSWER_SECONDS)
        while doomed & self.topics():
            time.sleep(0.1)

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self._admin.list_topics(timeout=ANSWER_SECONDS).topics)

    def end_offsets(self, topics: Sequence[str]) -> Partitions:
        """Return the offset after the last record of each partition."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for topic in topics for number in range(PARTITIONS)}
        answers = self._admin.list_offsets(asked)
        return {
            (partition.topic, partition.partition): future.result(ANSWER_SECONDS).offset
            for partition, future in answers.items()
        }

    def committed(self, group: str) -> Partitions:
        """Return the offsets that a group has committed; empty if there is no such group."""
        answer = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        try:
            found = answer[group].result(ANSWER_SECONDS).topic_partitions
        except KafkaException:
            return {}
        return {(partition.topic, partition.partition): partition.offset for partition in found}

    def read(self, topic: str) -> Iterator[Message]:
        """Yield all committed records of a topic, up to its present end."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "bench-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        unread = set(range(PARTITIONS))
        try:
            while unread:
                for message in consumer.consume(10_000, timeout=1.0):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unread.discard(message.partition())
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()


def covers(reached: Partitions, ends: Partitions) -> bool:
    """Tell whether every partition that holds records was read to its end."""
    return all(reached.get(partition, -1) >= end for partition, end in ends.items() if end > 0)
