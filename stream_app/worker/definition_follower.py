"""Following definitions: every worker reads all of `segment-models` and hears of a new version within milliseconds.

Not by Faust's GlobalTable, which tells other workers only at the next rebalance (faust #283), and not in the group:
each worker needs every record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

import msgspec
from aiokafka import TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.core.segmentation import Segmentation
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import ModelProposal, proposal_from_document
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import decode_segmentation

logger = logging.getLogger(__name__)


Build = Callable[[Mapping[str, Segmentation]], Iterable[Segmentation]]
"""Returns the configured segmentations, in order, given those that are published, by name."""


class DefinitionFollower:
    """Knows the newest published version of every segmentation.

    Parameters
    ----------
    connection, topic
        Where versions are published.
    build
        Makes the configured segmentations; asked again once what is published has been read.

    Attributes
    ----------
    current
        By name, the version in force of each configured segmentation, in the order of the configuration.
    published
        By name, the newest version that was read, also of segmentations that are not configured any more.
    newest
        By name, what was learned last, held models included; nothing of a segmentation of which nothing was read.
    is_read
        Set once everything that was published before the start is known.
    """

    def __init__(self, connection: KafkaConnection, topic: str, build: Build) -> None:
        self.published: dict[str, Segmentation] = {}
        self.newest: dict[str, ModelProposal] = {}
        self.is_read = asyncio.Event()
        self._build = build
        self.current: dict[str, Segmentation] = self._configured()
        self._connection = connection
        self._topic = topic
        self._followers: list[Callable[[Segmentation], None]] = []
        self._renewed = asyncio.Event()

    @property
    def unpublished(self) -> list[Segmentation]:
        """Versions in force that nobody has published yet."""
        return [
            segmentation
            for name, segmentation in self.current.items()
            if name not in self.published or self.published[name].version < segmentation.version
        ]

    async def reach(self, versions: Mapping[str, int]) -> None:
        """Return once these versions, or later ones, are in force; those of other segmentations do not matter."""
        if missing := self._missing(versions):
            logger.info("customers were assessed under versions that are not read yet, waiting for %s", missing)
        while self._missing(versions):
            await self._renewed.wait()

    def subscribe(self, follower: Callable[[Segmentation], None]) -> None:
        """Have a function called with every new version."""
        self._followers.append(follower)

    async def run(self) -> None:
        """Read for ever."""
        tp = TopicPartition(self._topic, 0)
        async with committed_reader(self._connection) as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while True:
                for records in (await consumer.getmany(tp, timeout_ms=200)).values():
                    for record in records:
                        self._read(record.value)
                if not self.is_read.is_set() and await consumer.position(tp) >= end:
                    self._finish_reading()

    def _finish_reading(self) -> None:
        """Have the configured segmentations take up what was published."""
        self.current = self._configured()
        self.is_read.set()

    def _configured(self) -> dict[str, Segmentation]:
        return {segmentation.name: segmentation for segmentation in self._build(self.published)}

    def _missing(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Return which of some versions are newer than those in force."""
        current = self.current
        return {name: at for name, at in versions.items() if name in current and current[name].version < at}

    def _read(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            document = msgspec.json.decode(value)
            segmentation = decode_segmentation(document)
            if isinstance(segmentation, LearnedSegmentation):
                proposal = proposal_from_document(document)
                newest = self.newest.get(segmentation.name)
                if newest is None or proposal.model.as_of_ms >= newest.model.as_of_ms:
                    self.newest[segmentation.name] = proposal
                if proposal.held:
                    return
        except (ModelInvalid, msgspec.DecodeError) as error:
            logger.warning("a version of a segmentation cannot be followed, the one before stays: %s", error)
            return
        self._note_published(segmentation)

    def _note_published(self, segmentation: Segmentation) -> None:
        name = segmentation.name
        if name not in self.published or segmentation.version > self.published[name].version:
            self.published[name] = segmentation
        if self.is_read.is_set() and name in self.current and segmentation.version > self.current[name].version:
            self.current[name] = segmentation
            self._renewed.set()
            self._renewed = asyncio.Event()
            for follower in self._followers:
                follower(segmentation)
