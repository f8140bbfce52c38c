"""Opening partitions: what has to be true before anything is folded into them.

The order matters, each step relies on the one before:

1. `InitProducerId` shuts the former owner out and ends its open transaction.
2. A fence record marks the changelog's end after everything that the former owner could write.
3. The changelog is restored up to that fence, the position row with it.
4. Its rows count the days of the shop's time zone, or it is refused: which instants their days are made of is not kept,
   so they cannot be counted again.
5. The versions in force are at least as new as those that the rows were written under. Memberships in learned
   segmentations name their model's version, places in segmentations by rules name none: the position row, which is
   written in the same transaction as any row, says which versions were in force.

The inputs are then sought to the position, and the partition's loop starts (`stream_app.worker.owned`).

A rebalance takes all partitions away and gives most of them back. Their tables stay in memory, and serve again if the
producer's epoch shows that nobody else has opened the partition in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from stream_app.adapters.changelog import (
    MARK_PREFIX,
    POSITION_KEY,
    RESERVED,
    SALT_KEY,
    PartitionPosition,
    decode_mark,
    mark_hash_of,
)
from stream_app.adapters.delivery import Delivery
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.state_log import StateLog
from stream_app.adapters.topics import TopicNames
from stream_app.core.customers import CustomerTable
from stream_app.core.local_days import UTC
from stream_app.core.marks import Marks
from stream_app.errors import ConfigurationError, RecordsLost, TimeZoneChanged
from stream_app.learning.trainer import TrainerSettings
from stream_app.native import batches as native
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.training import Training, TrainingState, open_training


@dataclass(frozen=True)
class PartitionSettings:
    """How partitions are opened.

    Parameters
    ----------
    partitions
        Number of partitions of every keyed topic.
    recovery_timeout_seconds
        Opening takes no longer, or the process ends.
    timezone
        Name of the zone whose days are counted.
    """

    partitions: int
    recovery_timeout_seconds: int
    timezone: str = UTC


@dataclass
class RestoredPartition:
    """A partition's state in memory.

    Attributes
    ----------
    table
        Its customers; the loop that owns the partition changes them.
    position
        Where the inputs were when the table was last known to be written.
    identity
        Of the producer that opened the partition, see `Delivery.identity`.
    marks
        Who is not to be known; the loop that owns the partition changes them.
    """

    table: CustomerTable
    position: PartitionPosition
    identity: tuple[int, int]
    marks: Marks = field(default_factory=Marks)

    @property
    def versions(self) -> dict[str, int]:
        """By segmentation, the newest version that anybody here was assessed under; −1 where nobody was."""
        memberships = self.table.memberships
        assessed = np.where(memberships["sequence"] > 0, memberships["model_version"], -1)
        newest = dict(zip(self.table.names, assessed.max(axis=1, initial=-1).tolist(), strict=True))
        known = newest, self.position.versions, self.position.adopted
        return {
            name: max(versions.get(name, -1) for versions in known)
            for name in (*self.table.names, *self.table.ruled_names)
        }

    def admit(self, names: Iterable[str], is_ruled: Callable[[str], bool]) -> None:
        """Add some segmentations to the table, and those that it was divided by last."""
        for name in dict.fromkeys((*names, *self.position.versions)):
            if name not in self.table.names and name not in self.table.ruled_names:
                (self.table.admit_ruled if is_ruled(name) else self.table.admit)(name)

    def restore(self, records: RecordBlock) -> None:
        """Bring the state up to date with changelog records that follow on those restored before."""
        columns = records.records
        has_key = np.flatnonzero(columns[native.KEY_SIZE] > 0)
        first_bytes = np.frombuffer(records.buffer, np.uint8)[columns[native.KEY_AT][has_key]]
        is_row = np.ones(len(records), np.bool_)
        is_row[has_key] = first_bytes != RESERVED
        for index in np.flatnonzero(~is_row).tolist():
            record = records[index]
            self._restore_other(record.key or b"", record.value)
        rows = columns[:, is_row]
        keys, values = (rows[part : part + 2] for part in (native.KEY_AT, native.VALUE_AT))
        self.table.restore_parts(records.buffer, keys, values)

    def _restore_other(self, key: bytes, value: bytes | None) -> None:
        """Take in a record that is no row."""
        if key == POSITION_KEY and value is not None:
            self.position = PartitionPosition.decode(value)
        elif key == SALT_KEY and value is not None:
            self.marks.salt = value
        elif key.startswith(MARK_PREFIX):
            if value is None:
                self.marks.drop(mark_hash_of(key))
            else:
                self.marks.put(mark_hash_of(key), decode_mark(value))


class Opened(NamedTuple):
    """What an opening has led to.

    Attributes
    ----------
    partitions
        By number, the state and the right to write.
    training
        The trainer; None if it was not asked for.
    """

    partitions: Mapping[int, tuple[RestoredPartition, Delivery]]
    training: Training | None


class PartitionOpener:
    """Opens partitions, and knows which tables in memory may serve again.

    Parameters
    ----------
    log, topics
        The state's log, and the names of all topics.
    settings
        Numbers.
    trainer_settings
        By learned segmentation.
    follower
        Knows the versions in force.
    identities
        Knows which ids are one customer's, if statements on them are followed.
    """

    def __init__(
        self,
        log: StateLog,
        topics: TopicNames,
        settings: PartitionSettings,
        trainer_settings: Mapping[str, TrainerSettings],
        follower: DefinitionFollower,
        identities: IdentityFollower | None = None,
    ) -> None:
        self._identities = identities
        self._log = log
        self._topics = topics
        self._settings = settings
        self._trainer_settings = trainer_settings
        self._follower = follower
        self._cached: dict[int, RestoredPartition] = {}

    async def open(self, partitions: Sequence[int], with_trainer: bool) -> Opened:
        """Open partitions, and the trainer if asked; if that fails or is cancelled, nothing stays open.

        Raises
        ------
        TimeoutError
            If it takes longer than it may.
        DeliveryFailed
            If the right to write was not given.
        RecordsLost
            If inputs expired before they were read.
        TimeZoneChanged
            If a partition counts the days of another zone than the one that is set.
        """
        deliveries = {number: self._delivery(f"{number}") for number in partitions}
        opened = list(deliveries.values())
        training = None
        try:
            async with asyncio.timeout(self._settings.recovery_timeout_seconds):
                await asyncio.gather(*(delivery.open() for delivery in opened))
                await self._restore(deliveries)
                await self._follower.is_read.wait()
                if self._identities is not None:
                    await self._identities.is_read.wait()
                if with_trainer:
                    opened.append(self._delivery("trainer"))
                    await opened[-1].open()
                    training = await self._restore_training(opened[-1])
                    await self._follower.reach(training.published)  # what is new in the configuration begins here
                for number in partitions:
                    self._cached[number].admit(self._follower.names_in_force, self._follower.is_ruled)
                    await self._follower.reach(self._cached[number].versions)
                if not any(self._cached[number].position.versions for number in partitions):
                    await self._follower.reach_any()  # a deployment's first start: the trainers' owner publishes
        except (Exception, asyncio.CancelledError):
            await asyncio.shield(asyncio.gather(*(delivery.close() for delivery in opened)))
            raise
        return Opened({number: (self._cached[number], delivery) for number, delivery in deliveries.items()}, training)

    def withdraw(self, partitions: Iterable[int]) -> dict[int, RestoredPartition]:
        """Return the states in memory of partitions; they do not serve again unless `cache` gives them back."""
        return {number: self._cached.pop(number) for number in partitions if number in self._cached}

    def cache(self, partitions: Mapping[int, RestoredPartition]) -> None:
        """Let states in memory serve again: each is known to be as written, at its position."""
        self._cached |= partitions

    def _delivery(self, name: str) -> Delivery:
        return self._log.delivery(f"{self._topics.group}-{name}")

    async def _restore(self, deliveries: Mapping[int, Delivery]) -> None:
        """Bring the states in memory to where the changelog ends."""
        cached = {number: self._still_valid(number, delivery) for number, delivery in deliveries.items()}
        # What is not valid is forgotten first: an opening that is broken off here must leave nothing half restored.
        self._cached = {number: restored for number, restored in cached.items() if restored is not None}
        missing = {
            number: RestoredPartition(self._empty_table(), PartitionPosition(), delivery.identity)
            for number, delivery in deliveries.items()
            if number not in self._cached
        }
        if not missing:
            return
        async for number, records in self._log.read_back(self._topics.changelog, list(missing)):
            missing[number].restore(records)
        for number, restored in missing.items():
            self._require_identities(restored.position)
            _require_timezone(restored, self._settings.timezone, f"{self._topics.changelog}[{number}]")
        starts = await asyncio.gather(*(self._log.log_starts(self._topics.taken_in, number) for number in missing))
        for (number, restored), start in zip(missing.items(), starts, strict=True):
            restored.position = _from_log_start(restored.position, start, number)
        self._cached.update(missing)

    def _require_identities(self, position: PartitionPosition) -> None:
        """Refuse a state of a deployment that has followed statements on ids: rows may be on their way.

        Raises
        ------
        ConfigurationError
            If they are not followed any more.
        """
        if self._topics.handovers in position.offsets and not self._topics.with_identities:
            raise ConfigurationError(
                "setting identities.enabled: False, expected True, as this deployment has followed statements on ids"
            )

    def _empty_table(self) -> CustomerTable:
        """Return a table for what is configured."""
        ruled = [name for name in self._follower.names if self._follower.is_ruled(name)]
        names = [name for name in self._follower.names if name not in ruled]
        return CustomerTable(names, ruled, self._settings.timezone)

    def _still_valid(self, number: int, delivery: Delivery) -> RestoredPartition | None:
        """Return the state in memory of a partition, if nobody else has opened it since."""
        restored = self._cached.get(number)
        name, times = delivery.identity
        if restored is None or restored.identity != (name, times - 1):
            return None
        restored.identity = delivery.identity
        return restored

    async def _restore_training(self, delivery: Delivery) -> Training:
        state = TrainingState()
        async for _, records in self._log.read_back(self._topics.trainer_changelog, [0]):
            state.restore(records)
        await self._follower.reach(state.progress.published)  # the former owner can publish nothing more
        return await open_training(
            state,
            self._trainer_settings,
            self._follower.wanted,
            delivery,
            self._topics,
            self._settings.partitions,
        )


def records_expired(topic: str, partition: int, expected: int, log_start: int) -> RecordsLost:
    """Return the error that says that the log has lost records which were never read."""
    return RecordsLost(
        f"{topic}[{partition}]: records {expected} to {log_start - 1} expired before they were read (retention)"
    )


def _require_timezone(restored: RestoredPartition, timezone: str, place: str) -> None:
    """Refuse rows that count the days of another zone.

    Raises
    ------
    TimeZoneChanged
        If there are such.
    """
    counted = restored.position.timezone
    if counted != timezone and len(restored.table):
        raise TimeZoneChanged(place, counted, timezone)


def _from_log_start(position: PartitionPosition, starts: Mapping[str, int], number: int) -> PartitionPosition:
    """Return a position that names an offset for every input topic.

    Raises
    ------
    RecordsLost
        If a topic begins after its position.
    """
    for topic, offset in position.offsets.items():
        if topic in starts and starts[topic] > offset:
            raise records_expired(topic, number, offset, starts[topic])
    offsets = {topic: position.offsets.get(topic, start) for topic, start in starts.items()}
    return msgspec.structs.replace(position, offsets=offsets)
