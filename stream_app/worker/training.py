"""The trainers of all learned segmentations, on whichever worker owns the one partition of `population-samples`.

A tick is learned from once every partition has sent its sample of that tick or a later one. What the trainers know is
written in one transaction with the models they publish and the decision on the tick (`stream_app.worker.ticks`), and
the same fence as for customers keeps a second owner out: so a model has one successor, workers may fail at any time,
and segments keep their identity.

An operator's decisions come on the topic of the samples, too (`stream_app.worker.decisions`); one that was carried out
is known by its offset, since samples before it may be read again.

Samples of partitions that the trainers' own worker has come from memory as soon as they are committed, and again in
their topic, which tells how far it is read. So a tick of such partitions does not wait for a consumer; and what there
is to learn from them is learned by then (`stream_app.worker.learning_ahead`).

Where a partition has not sent its sample a moment after another, it may have nothing to fold. The tick is then called
awaited, and the partition lets its time pass up to it. What had to be asked once is asked at once the next time.

Each trainer's state has a key of its own. That of a segmentation which is no longer configured is left alone, and
is used again if the segmentation comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stream_app.adapters.delivery import Delivery, OutgoingRecord
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.decisions import is_decision, read_decision
from stream_app.core.clock import NO_TIME
from stream_app.core.row import FIRST_SEGMENTATION
from stream_app.core.segmentation import Segmentation
from stream_app.learning.drawing import share_of
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import encode_segmentation
from stream_app.worker.decisions import carry_out, model_record
from stream_app.worker.learning_ahead import LearningAhead, learn, log_tick
from stream_app.worker.samples import decode_origin, decode_sample
from stream_app.worker.ticks import tick_record

logger = logging.getLogger(__name__)

PROGRESS_KEY: Final = b"trainer"
"""How far the samples are learned from, by all trainers alike."""
STATE_KEY_PREFIX: Final = b"trainer/"
"""Before a segmentation's name: the state of its trainer."""
NEVER: Final = -1
"""Stands for the tick of a partition that has sent no sample."""
PATIENCE_SECONDS: Final = 0.5
"""So long the samples of a tick may come apart before somebody is asked: partitions of one backlog seldom do."""
LOOK_SECONDS: Final = 0.1


class Progress(msgspec.Struct, omit_defaults=True):
    """How far the samples are learned from.

    Parameters
    ----------
    next_sample
        Offset of the first sample that may still be needed.
    latest_ticks
        By partition, the tick of the newest sample before that offset.
    published
        By segmentation, the newest version in `segment-models`, held ones apart.
    decided_ms
        Instant of the newest tick that was learned from; samples up to it are no longer needed.
    last_decision
        Offset of the newest of an operator's decisions that was carried out; -1 before the first.
    trainer
        The only trainer's state, as long as it was written here.
    """

    next_sample: int = 0
    latest_ticks: dict[int, int] = {}
    published: dict[str, int] = {}
    decided_ms: int = NO_TIME
    last_decision: int = -1
    trainer: dict[str, Any] | None = None


class TrainingState:
    """What is written of all trainers.

    Attributes
    ----------
    progress
        How far the samples are learned from.
    trainers
        By segmentation, `Trainer.state()`; also of segmentations that are no longer configured.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self.trainers: dict[str, dict[str, Any]] = {}

    def restore(self, records: RecordBlock) -> None:
        """Bring the state up to date with records of the trainer's changelog."""
        for record in records:
            key, value = record.key, record.value
            if key is None or value is None:
                continue
            if key == PROGRESS_KEY:
                self.progress = msgspec.json.decode(value, type=Progress)
                if self.progress.trainer is not None:
                    self.trainers[FIRST_SEGMENTATION] = self.progress.trainer
                    self.progress.trainer = None
            elif key.startswith(STATE_KEY_PREFIX):
                self.trainers[key.removeprefix(STATE_KEY_PREFIX).decode()] = msgspec.json.decode(value)


class Training:
    """Collects samples and lets every trainer learn from them.

    Parameters
    ----------
    trainers
        By segmentation: new, or as restored.
    progress
        How far the samples are learned from.
    delivery
        The right to write.
    topics
        Names.
    partitions
        How many partitions send samples.
    sample_size, seed
        Of the merged sample.
    """

    def __init__(
        self,
        trainers: Mapping[str, Trainer],
        progress: Progress,
        delivery: Delivery,
        topics: TopicNames,
        partitions: int,
        sample_size: int,
        seed: int,
    ) -> None:
        self.trainers = dict(trainers)
        self.next_sample = progress.next_sample
        self._latest_ticks = dict(progress.latest_ticks)
        self._published = dict(progress.published)
        self._decided_ms = progress.decided_ms
        self._last_decision = progress.last_decision
        self._waiting: dict[int, dict[int, tuple[int | None, PopulationSample]]] = {}  # None: of no offset yet
        self._handed_over: defaultdict[int, deque[int]] = defaultdict(deque)  # ticks that are not read yet
        self._delivery = delivery
        self._topics = topics
        self._partitions = partitions
        self._sample_size = sample_size
        self._seed = seed
        self._ahead = LearningAhead(partitions, sample_size, seed)
        self._end = self.next_sample
        self._is_closed = False
        self._taking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None
        self._asked: frozenset[int] = frozenset()

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin to ask for samples that are missing; `failed` is called with whatever goes wrong."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._asking = asyncio.create_task(self._ask_for_missing(), name="ask for samples")
        self._asking.add_done_callback(ended)

    @property
    def published(self) -> Mapping[str, int]:
        """By segmentation, the newest version in `segment-models`, held ones apart."""
        return self._published

    async def announce(self, segmentations: Iterable[Segmentation]) -> None:
        """Publish versions that are newer than those published, which what is written with them knows for sure."""
        wanted = list(segmentations)
        announced = [each for each in wanted if each.version > self._published.get(each.name, -1)]
        if announced:
            self._published |= {each.name: each.version for each in announced}
            await self._write([segmentation_record(each, wanted) for each in announced])

    async def accept_sample(self, offset: int, value: bytes | None) -> None:
        """Take a record of the samples' topic: a sample, or a decision, which is carried out.

        Raises
        ------
        DeliveryFailed
            If a model could not be published; the process has to end.
        """
        async with self._taking:
            if offset < self._end:
                return
            self._end = offset + 1
            if value is None:
                return
            if is_decision(value):
                await self._carry_out(offset, value)
                return
            try:
                self._note_read(offset, value)
            except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
                logger.warning("sample at offset %d is left out: %s", offset, error)
                return
            await self._learn_what_is_complete()

    def note_drawn(self, partition: int, sample: PopulationSample) -> None:
        """Take notice of a sample of this worker's that is about to be committed."""
        self._ahead.note_drawn(partition, sample)
        if not self._taking.locked():  # else the trainers are learning
            self._ahead.begin(self.trainers)

    async def hand_over(self, partition: int, sample: PopulationSample) -> None:
        """Take a sample that this worker has committed, and will read as well.

        Raises
        ------
        DeliveryFailed
            See `accept_sample`.
        """
        async with self._taking:
            self._handed_over[partition].append(sample.tick)
            if sample.as_of_ms > self._decided_ms:
                waiting = self._waiting.setdefault(sample.tick, {})
                offset = waiting[partition][0] if partition in waiting else None
                waiting[partition] = (offset, sample)
            await self._learn_what_is_complete()

    async def close(self) -> None:
        """Give up the right to write. A model that is being learned meanwhile is left to the next owner."""
        self._is_closed = True
        self._ahead.forget()
        async with self._writing:
            if self._asking is not None:
                self._asking.cancel()  # which does not write now
            await self._delivery.close()

    def _note_read(self, offset: int, value: bytes) -> None:
        """Note a sample that was read; it is decoded if that is still needed."""
        partition, tick, as_of_ms = decode_origin(value)
        handed_over = self._handed_over[partition]
        if handed_over and handed_over[0] == tick:
            handed_over.popleft()
        if as_of_ms > self._decided_ms:
            waiting = self._waiting.setdefault(tick, {})
            known = waiting.get(partition)
            waiting[partition] = (offset, decode_sample(value)[1] if known is None else known[1])
        self._latest_ticks[partition] = tick

    def _missing(self, tick: int) -> frozenset[int]:
        """Return the partitions that have not come to a tick."""
        return frozenset(number for number in range(self._partitions) if self._reached(number) < tick)

    def _reached(self, partition: int) -> int:
        """Return the tick of a partition's newest sample."""
        handed_over = self._handed_over[partition]
        return handed_over[-1] if handed_over else self._latest_ticks.get(partition, NEVER)

    async def _ask_for_missing(self) -> None:
        """Call a tick awaited where samples of it are missing for a while."""
        looked_at, since, asked = NEVER, 0.0, NEVER
        while not self._is_closed:
            await asyncio.sleep(LOOK_SECONDS)
            tick, now = min(self._waiting, default=NEVER), asyncio.get_running_loop().time()
            if tick != looked_at:
                looked_at, since = tick, now
            missing = self._missing(tick)
            if tick == asked or not missing or (now - since < PATIENCE_SECONDS and not missing <= self._asked):
                continue
            asked, self._asked = tick, missing
            as_of_ms = max(sample.as_of_ms for _, sample in self._waiting[tick].values())
            async with self._writing:
                if not self._is_closed:
                    await self._delivery.commit(
                        {(self._topics.models, 0): [tick_record("awaited", tick, as_of_ms, {})]}
                    )

    async def _learn_what_is_complete(self) -> None:
        while not self._is_closed and self._waiting and not self._missing(min(self._waiting)):
            await self._learn(min(self._waiting))

    async def _learn(self, tick: int) -> None:
        samples = {number: sample for number, (_, sample) in self._waiting.pop(tick).items()}
        learned = await self._ahead.result(samples) or await learn(
            self.trainers, samples, self._sample_size, self._seed
        )
        self.trainers = dict(learned.trainers)
        log_tick(tick, len(samples), learned)
        self._note_needed()
        merged = learned.merged
        self._published |= {each.model.name: each.model.version for each in learned.proposals if not each.held}
        self._decided_ms = merged.as_of_ms
        share = share_of(self._sample_size, merged.population_size)
        decision = tick_record("decided", tick, merged.as_of_ms, self._published, share)
        await self._write([*(model_record(each) for each in learned.proposals), decision])

    def _note_needed(self) -> None:
        self.next_sample = min(
            (offset for samples in self._waiting.values() for offset, _ in samples.values() if offset is not None),
            default=self._end,
        )

    async def _carry_out(self, offset: int, value: bytes) -> None:
        if offset <= self._last_decision:
            return
        try:
            decision = read_decision(value)
        except msgspec.DecodeError as error:
            logger.warning("decision at offset %d is left out: %s", offset, error)
            return
        self._ahead.forget()
        done = carry_out(decision, offset, self.trainers)
        self._last_decision = offset
        self._note_needed()
        if done.published is not None:
            self._published[decision.segmentation] = done.published
        await self._write(done.records)

    async def _write(self, versions: Sequence[OutgoingRecord]) -> None:
        """Write all that is known, and versions of segmentations with it, in one transaction."""
        progress = Progress(
            self.next_sample, self._latest_ticks, self._published, self._decided_ms, self._last_decision
        )
        known = [OutgoingRecord(PROGRESS_KEY, msgspec.json.encode(progress))]
        known += [
            OutgoingRecord(STATE_KEY_PREFIX + name.encode(), msgspec.json.encode(trainer.state()))
            for name, trainer in self.trainers.items()
        ]
        outgoing: dict[tuple[str, int], Sequence[OutgoingRecord]] = {(self._topics.trainer_changelog, 0): known}
        if versions:
            outgoing[self._topics.models, 0] = versions
        async with self._writing:
            if not self._is_closed:
                await self._delivery.commit(outgoing)


async def open_training(
    state: TrainingState,
    settings: Mapping[str, TrainerSettings],
    wanted: Sequence[Segmentation],
    delivery: Delivery,
    topics: TopicNames,
    partitions: int,
) -> Training:
    """Return the trainers of the learned segmentations as they were last written; those that never were start afresh.

    Parameters
    ----------
    state
        All that is written; nobody else may still be able to write.
    settings
        By learned segmentation; how samples are merged is the same for all.
    wanted
        What is configured; published if it is new.
    delivery, topics, partitions
        See `Training`.
    """
    trainers = {
        each.name: Trainer.restore(settings[each.name], state.trainers[each.name])
        if each.name in state.trainers
        else Trainer(settings[each.name], each.model)
        for each in wanted
        if isinstance(each, LearnedSegmentation)
    }
    for each in wanted:
        if isinstance(each, LearnedSegmentation):
            trainers[each.name].follow(each.model)
    first = next(iter(settings.values()), TrainerSettings())
    progress = state.progress
    for name, trainer in state.trainers.items():  # written before versions were noted
        progress.published.setdefault(name, trainer["published"]["version"])
    training = Training(trainers, progress, delivery, topics, partitions, first.sample_size, first.seed)
    await training.announce(wanted)
    return training


def segmentation_record(segmentation: Segmentation, wanted: Iterable[Segmentation] = ()) -> OutgoingRecord:
    """Return a version of a segmentation as its record in `segment-models`.

    Parameters
    ----------
    wanted
        All that are configured with it: those by rules take over together, as they may look at each other.
    """
    document = encode_segmentation(segmentation)
    if segmentation.is_ruled:
        document["together"] = {each.name: each.version for each in wanted if each.is_ruled}
    return OutgoingRecord(segmentation.name.encode(), msgspec.json.encode(document))
