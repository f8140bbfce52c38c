"""Following definitions: every worker reads all of `segment-models` and hears of a new version within milliseconds.

Not by Faust's GlobalTable, which reaches other workers only at the next rebalance (faust #283), and not in the group:
each worker needs every record.

What is published is in force, and nothing else. What was added to the configuration or changed in it waits until the
owner of the trainers has published it: if every worker followed its own configuration, rows could refer to versions
that nobody will ever read.

Segmentations by rules may look at others. So what others look at is in force as long as they do, even where it is not
configured here, and those that were published with each other take over with each other: never one before the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from aiokafka import TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.contracts.decisions import OUTCOME_KEY_PREFIX, read_outcome
from stream_app.contracts.readers import NOTE_PREFIX
from stream_app.core.segmentation import Segmentation
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import ModelProposal, is_waiting, proposal_from_document
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import decode_segmentation, fields_looked_at, looks_at
from stream_app.worker.ticks import Ticks

logger = logging.getLogger(__name__)


Build = Callable[[Mapping[str, Segmentation]], Iterable[Segmentation]]
"""Returns the configured segmentations, in order, given those that are published, by name."""
Follow = Callable[[Sequence[Segmentation]], None]
"""Takes new versions, which take over at the same instant."""


class DefinitionFollower:
    """Knows the newest published version of every segmentation.

    Parameters
    ----------
    connection, topic
        Where versions are published.
    build
        Makes the configured segmentations.

    Attributes
    ----------
    names
        Of the configured segmentations, in order.
    current
        By name, the version in force of each configured segmentation, and of each that those look at; nothing of one
        that is not published yet.
    published
        By name, the newest version that was read, also of segmentations that are no longer configured.
    newest
        By name, what was learned last of each configured segmentation, held models included, if anything was.
    pinned
        By name, the version that an operator has pinned, where one is.
    ticks
        What was read of ticks; a decision is read after the versions that it names.
    is_read
        Set once everything that was published before the start is known.
    """

    def __init__(self, connection: KafkaConnection, topic: str, build: Build) -> None:
        self.published: dict[str, Segmentation] = {}
        self.newest: dict[str, ModelProposal] = {}
        self.pinned: dict[str, int] = {}
        self.ticks = Ticks()
        self.is_read = asyncio.Event()
        self._build = build
        configured = list(build({}))
        self.names = [segmentation.name for segmentation in configured]
        self._ruled = {segmentation.name for segmentation in configured if segmentation.is_ruled}
        self._together: dict[str, int] = {}
        self.current: dict[str, Segmentation] = {}
        self._connection = connection
        self._topic = topic
        self._followers: list[Follow] = []
        self._renewed = asyncio.Event()

    @property
    def wanted(self) -> list[Segmentation]:
        """What is configured: published versions, or successors where a definition was changed or is new."""
        return list(self._build(self.published))

    def waiting(self, name: str) -> ModelProposal | None:
        """Return the model of a segmentation that waits for an operator."""
        newest, current = self.newest.get(name), self.current.get(name)
        if newest is None or current is None or not is_waiting(newest.status, newest.model.version, current.version):
            return None
        return newest

    async def reach(self, versions: Mapping[str, int]) -> None:
        """Return once these versions, or later ones, were read; rows refer to nothing that was not published."""
        if missing := self._missing(versions):
            logger.info("customers were assessed under versions that have not been read yet; waiting for %s", missing)
        while self._missing(versions):
            await self._renewed.wait()

    async def reach_any(self) -> None:
        """Return once a configured segmentation is in force."""
        while not self.current:
            await self._renewed.wait()

    @property
    def names_in_force(self) -> list[str]:
        """Names of the configured segmentations, in order, and of those that published ones among them look at."""
        return self._with_looked_at(self.published)

    @property
    def fields(self) -> frozenset[str]:
        """Fields of events that conditions look at, those of versions in force and of what is configured."""
        published = (self.published[name] for name in self.names_in_force if name in self.published)
        return fields_looked_at([*published, *self.wanted])

    def is_ruled(self, name: str) -> bool:
        """Return whether a segmentation is one by rules, as far as it is known."""
        return self.published[name].is_ruled if name in self.published else name in self._ruled

    def subscribe(self, follower: Follow) -> None:
        """Have a function called with all new versions, those that take over together at once."""
        self._followers.append(follower)

    async def run(self) -> None:
        """Read without end."""
        tp = TopicPartition(self._topic, 0)
        async with committed_reader(self._connection) as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while True:
                for records in (await consumer.getmany(tp, timeout_ms=200)).values():
                    for record in records:
                        self._read(record.value, record.key)
                if not self.is_read.is_set() and await consumer.position(tp) >= end:
                    self._finish_reading()

    def _with_looked_at(self, known: Mapping[str, Segmentation]) -> list[str]:
        """Return the names of the configured segmentations and of those that these look at, in these versions."""
        names = dict.fromkeys(self.names)
        found = list(names)
        while found:
            version = known.get(found.pop())
            looked_at = sorted(looks_at(version) - names.keys()) if version else []
            names |= dict.fromkeys(looked_at)
            found += looked_at
        return list(names)

    def _finish_reading(self) -> None:
        """Let what was published take over."""
        self.current = {name: self.published[name] for name in self.names_in_force if name in self.published}
        self.is_read.set()

    def _missing(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Return which of some versions are newer than those in force, or than those published of what is not."""
        in_force = {**self.published, **dict.fromkeys(self.names_in_force), **self.current}
        return _newer(versions, in_force)

    def _read(self, value: bytes | None, key: bytes | None = None) -> None:
        if value is None:
            return
        try:
            if key is not None and key.startswith(OUTCOME_KEY_PREFIX):
                self._note_outcome(value)
                return
            if key is not None and key.startswith(NOTE_PREFIX):
                self.ticks.read(value)
                return
            document = msgspec.json.decode(value, type=dict)
            segmentation = decode_segmentation(document)
            if isinstance(segmentation, LearnedSegmentation):
                proposal = proposal_from_document(document)
                self._note_learned(proposal)
                if proposal.held:
                    return
        except (ModelInvalid, msgspec.DecodeError) as error:
            logger.warning("a published version cannot be followed, the one before stays in force: %s", error)
            return
        self._note_published(segmentation, document.get("together", {}))

    def _note_learned(self, proposal: ModelProposal) -> None:
        name = proposal.model.name
        if name not in self.names:
            return
        if name not in self.newest or proposal.model.as_of_ms >= self.newest[name].model.as_of_ms:
            self.newest[name] = proposal

    def _note_outcome(self, value: bytes) -> None:
        outcome = read_outcome(value)
        if outcome.pinned_version is None:
            self.pinned.pop(outcome.segmentation, None)
        else:
            self.pinned[outcome.segmentation] = outcome.pinned_version

    def _note_published(self, segmentation: Segmentation, together: Mapping[str, int]) -> None:
        name = segmentation.name
        if name in self.published and segmentation.version <= self.published[name].version:
            return
        self.published[name] = segmentation
        if segmentation.is_ruled:
            self._together = dict(together)
        self._renewed.set()
        self._renewed = asyncio.Event()
        if self.is_read.is_set():
            self._take_over()

    def _take_over(self) -> None:
        """Let what is new take over; rules only once all that belong together have been read."""
        published = [self.published[name] for name in self.names_in_force if name in self.published]
        is_whole = not _newer(self._together, self.published)
        new = [
            each for each in published if each is not self.current.get(each.name) and (is_whole or not each.is_ruled)
        ]
        current = self.current | {segmentation.name: segmentation for segmentation in new}
        self.current = {name: current[name] for name in self._with_looked_at(current) if name in current}
        for segmentation in new:
            fields = {"segmentation": segmentation.name, "version": segmentation.version}
            level = logging.INFO if segmentation.is_ruled else logging.DEBUG  # of models the journal tells more
            logger.log(level, "segmentation %s: version %d is in force", *fields.values(), extra=fields)
        if new:
            for follower in self._followers:
                follower(new)


def _newer(versions: Mapping[str, int], known: Mapping[str, Segmentation | None]) -> dict[str, int]:
    """Return which of some versions are newer than those that are known, by name."""
    reached = {name: -1 if (each := known.get(name)) is None else each.version for name in versions}
    return {name: version for name, version in versions.items() if version > reached[name]}
