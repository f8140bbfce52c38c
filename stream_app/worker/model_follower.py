"""Following the model: every worker reads all of `segment-models` and hears of a new one within milliseconds.

Not by Faust's GlobalTable, which tells other workers only at the next rebalance (faust #283), and not in the group:
each worker needs every record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec
from aiokafka import TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import ModelProposal, proposal_from_document
from stream_app.segmentations.learned.model import Model

logger = logging.getLogger(__name__)


class ModelFollower:
    """Knows the newest published model of a segmentation.

    Parameters
    ----------
    connection, topic
        Where models are published.
    initial
        The model as long as there is none.

    Attributes
    ----------
    snapshot
        The model in use.
    newest
        What was learned last, held models included; None before anything was read.
    """

    def __init__(self, connection: KafkaConnection, topic: str, initial: Model) -> None:
        self.snapshot = initial
        self.newest: ModelProposal | None = None
        self.is_read = asyncio.Event()
        self._connection = connection
        self._topic = topic
        self._followers: list[Callable[[Model], None]] = []
        self._renewed = asyncio.Event()

    async def reach(self, version: int) -> None:
        """Return once a model of this version, or a later one, is in use."""
        if self.snapshot.version < version:
            logger.info("customers were assessed under model %d: waiting to read it", version)
        while self.snapshot.version < version:
            await self._renewed.wait()

    def subscribe(self, follower: Callable[[Model], None]) -> None:
        """Have a function called with every new model."""
        self._followers.append(follower)

    async def run(self) -> None:
        """Read for ever; `is_read` is set once everything that was there at the start is known."""
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

    def _read(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            proposal = proposal_from_document(msgspec.json.decode(value))
        except (ModelInvalid, msgspec.DecodeError) as error:
            logger.warning("a model cannot be followed, the one before stays: %s", error)
            return
        snapshot = proposal.snapshot
        if snapshot.segmentation != self.snapshot.segmentation:
            return
        if self.newest is None or snapshot.as_of_ms >= self.newest.snapshot.as_of_ms:
            self.newest = proposal
        if proposal.held:
            return
        if snapshot.version > self.snapshot.version:
            self.snapshot = snapshot
            self._renewed.set()
            self._renewed = asyncio.Event()
            for follower in self._followers:
                follower(snapshot)
