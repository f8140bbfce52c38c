"""Comparing the filters of subscriptions with the segments there are: a filter that can match nothing is not silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.contracts.readers import KEY_SEPARATOR, NOTE_PREFIX, read_model
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.errors import ConfigurationError, SegmentAmbiguous, SegmentUnknown
from stream_app.webhooks.subscriptions import Subscription

logger = logging.getLogger(__name__)

QUIET_MS: Final = 2_000
"""Models are compared once none has come for this long: those of several segmentations come one after the other."""
RECONNECT_SECONDS: Final = 5.0


def unknown_words(subscription: Subscription, index: SegmentIndex) -> Iterator[str]:
    """Yield a sentence for each word of a filter that no model has.

    Raises
    ------
    ConfigurationError
        If a word is a segment of several segmentations, and the filter does not say which.
    """
    chosen = subscription.filter.migration_filter()
    known = []
    for name in chosen.segmentations or ():
        try:
            known.append(index.require(name).segmentation)
        except SegmentUnknown as error:
            yield f"subscription {subscription.name}: filter.segmentation: {error}"
    if chosen.segmentations and not known:
        return
    for field, choices in (("from", chosen.from_segments), ("to", chosen.to_segments)):
        for choice in choices or ():
            try:
                index.resolve(choice, known or None)
            except SegmentUnknown as error:
                yield f"subscription {subscription.name}: filter.{field}: {error}"
            except SegmentAmbiguous as error:
                raise ConfigurationError(f"subscription {subscription.name}: filter.{field}: {error}") from None


def names_in_use(subscription: Subscription, index: SegmentIndex) -> Iterator[str]:
    """Yield a sentence for each segment that a filter calls by its name, with the id that it has at present."""
    chosen = subscription.filter.migration_filter()
    for field, choices in (("from", chosen.from_segments), ("to", chosen.to_segments)):
        for choice in choices or ():
            try:
                found = index.resolve(choice, chosen.segmentations)
            except (SegmentUnknown, SegmentAmbiguous):
                continue  # `unknown_words` says so
            if found.segment != choice.segment:
                yield (
                    f"subscription {subscription.name}: filter.{field}: {choice.segment!r} is {index.shown(found)} at "
                    "present; name the id, which stays when the name changes"
                )


class FilterCheck:
    """Follows the models and logs, once each, the words of filters that no model has.

    Parameters
    ----------
    connection
        The cluster.
    topic
        Of the models.
    subscriptions
        Those to be compared.
    """

    def __init__(self, connection: KafkaConnection, topic: str, subscriptions: Sequence[Subscription]) -> None:
        self._connection = connection
        self._partition = TopicPartition(topic, 0)
        self._subscriptions = subscriptions
        self._index = SegmentIndex()
        self._logged: set[str] = set()

    async def run_once(self) -> None:
        """Read the models there are and compare.

        Raises
        ------
        ConfigurationError
            If a filter is ambiguous.
        KafkaError
            If the brokers do not answer.
        """
        async with committed_reader(self._connection) as consumer:
            await self._begin(consumer)
            end = (await consumer.end_offsets([self._partition]))[self._partition]
            while await consumer.position(self._partition) < end:
                await self._read(consumer)
        self._compare()

    async def run(self) -> None:
        """Follow the models until cancelled."""
        while True:
            try:
                async with committed_reader(self._connection) as consumer:
                    await self._begin(consumer)
                    await self._follow(consumer)
            except KafkaError as error:
                logger.warning("the models cannot be read, filters are not compared: %s", type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign([self._partition])
        await consumer.seek_to_beginning(self._partition)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        has_news = False
        while True:
            if await self._read(consumer):
                has_news = True
            elif has_news:
                has_news = False
                try:
                    self._compare()
                except ConfigurationError as error:
                    self._log(logging.ERROR, f"{error}; the next start will be refused")

    async def _read(self, consumer: AIOKafkaConsumer) -> bool:
        """Take models in; return whether there were any."""
        fetched = (await consumer.getmany(timeout_ms=QUIET_MS)).get(self._partition, [])
        for record in fetched:
            key = (record.key or b"").decode(errors="replace")
            if key.startswith(NOTE_PREFIX.decode()):
                continue
            if record.value is not None:
                try:
                    self._index.add(read_model(record.value))
                except ValueError as error:
                    logger.warning("segment-models, offset %d: skipped: %s", record.offset, type(error).__name__)
            elif KEY_SEPARATOR not in key:
                self._index.remove(key)
        return bool(fetched)

    def _compare(self) -> None:
        if not self._index.models:
            return
        for subscription in self._subscriptions:
            for sentence in unknown_words(subscription, self._index):
                self._log(logging.WARNING, sentence)
            for sentence in names_in_use(subscription, self._index):
                self._log(logging.INFO, sentence)

    def _log(self, level: int, sentence: str) -> None:
        if sentence not in self._logged:
            self._logged.add(sentence)
            logger.log(level, "%s", sentence)
