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
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import ModelProposal, proposal_from_document
from stream_app.segmentations.learned.model import Model

logger = logging.getLogger(__name__)


class DefinitionFollower:
    """Knows the newest published version of every segmentation.

    Parameters
    ----------
    connection, topic
        Where versions are published.
    initial
        Of each configured segmentation, what is in force while nothing is published.

    Attributes
    ----------
    current
        By name, the version in force of each configured segmentation, in the order of the configuration.
    newest
        By name, what was learned last, held models included; nothing of a segmentation of which nothing was read.
    is_read
        Set once everything that was published before the start is known.
    """

    def __init__(self, connection: KafkaConnection, topic: str, initial: Iterable[Model]) -> None:
        self.current: dict[str, Model] = {snapshot.segmentation: snapshot for snapshot in initial}
        self.newest: dict[str, ModelProposal] = {}
        self.is_read = asyncio.Event()
        self._connection = connection
        self._topic = topic
        self._followers: list[Callable[[Model], None]] = []
        self._renewed = asyncio.Event()

    async def reach(self, versions: Mapping[str, int]) -> None:
        """Return once these versions, or later ones, are in force; those of other segmentations do not matter."""
        if behind := self._behind(versions):
            logger.info("customers were assessed under versions that are not read yet, waiting for %s", behind)
        while self._behind(versions):
            await self._renewed.wait()

    def subscribe(self, follower: Callable[[Model], None]) -> None:
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
                    self.is_read.set()

    def _behind(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Return which of some versions are newer than those in force."""
        current = self.current
        return {name: at for name, at in versions.items() if name in current and current[name].version < at}

    def _read(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            proposal = proposal_from_document(msgspec.json.decode(value))
        except (ModelInvalid, msgspec.DecodeError) as error:
            logger.warning("a model cannot be followed, the one before stays: %s", error)
            return
        snapshot = proposal.snapshot
        name = snapshot.segmentation
        if name not in self.current:
            return
        if name not in self.newest or snapshot.as_of_ms >= self.newest[name].snapshot.as_of_ms:
            self.newest[name] = proposal
        if not proposal.held and snapshot.version > self.current[name].version:
            self._adopt(snapshot)

    def _adopt(self, snapshot: Model) -> None:
        self.current[snapshot.segmentation] = snapshot
        self._renewed.set()
        self._renewed = asyncio.Event()
        for follower in self._followers:
            follower(snapshot)
