"""From fetched records to chunks: decoded, checked for gaps, and the partition's topics merged by event time.

Merging must not depend on which topic was fetched first, so a record waits until no topic that is not drained can have
anything earlier (`stream_app.core.merging`). On a backlog the chunks are then ordered exactly as `segmenter replay`
orders files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple

import msgspec
import numpy as np

from stream_app.adapters.record_blocks import BlockRecord, RecordBlock
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.handovers import decode_handover
from stream_app.contracts.scanner import Scanned, Scanner, Spans
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Events
from stream_app.core.handing_over import event_of
from stream_app.core.merging import WatermarkMerge
from stream_app.core.placement import place_of, places_of
from stream_app.core.privacy import set_requests_aside
from stream_app.core.records import (
    TOMBSTONE,
    Batch,
    Content,
    Rejection,
    Skipped,
    batch_of,
    batch_of_records,
    end_between,
    records_of_others,
)
from stream_app.core.trust import GAP_MS
from stream_app.errors import InvalidRecord
from stream_app.native import batches as native
from stream_app.native.structures import EVENT, REJECTED, UNNAMED

HELD_RECORDS_MAX: Final = 20_000
"""A topic that holds this many decoded records is not fetched until some of them are merged."""


class Misplaced(NamedTuple):
    """A valid record of a customer who belongs to another partition, or without one, but with a key that does."""

    topic: str
    partition: int
    record: BlockRecord


class InputChunk(NamedTuple):
    """Consecutive records of one partition.

    Attributes
    ----------
    partition
        Number of the partition.
    batch
        The records, by time; `sources` index the input topics.
    start, end
        By topic, offset of the first record, and the one after the last.
    intake
        What gave it out: a chunk that outlives its intake belongs to an earlier opening of the partition.
    """

    partition: int
    batch: Batch
    start: Mapping[str, int]
    end: Mapping[str, int]
    intake: Intake | None = None


class _Inlet:
    """How far one topic of the partition is read: the records of `[merged_to, fetched_to)` are held."""

    def __init__(self, number: int, topic: str, offset: int) -> None:
        self.number = number
        self.topic = topic
        self.fetched_to = offset
        self.merged_to = offset


class Intake:
    """Takes in what is fetched for one partition and gives out chunks.

    Parameters
    ----------
    partition
        Its number.
    offsets
        By input topic, where to begin.
    decoders
        By input topic.
    partitions
        How many there are.
    gap_ms
        How far a single record may lead its topic.
    watermark_ms
        How far the records before have come, `NO_TIME` if there are none.
    handovers
        The topic that rows of other partitions come on; None where ids are as events have them. Records are kept as
        they were fetched until they are folded where there is one.
    """

    def __init__(
        self,
        partition: int,
        offsets: Mapping[str, int],
        decoders: Mapping[str, Decoder],
        partitions: int,
        gap_ms: int = GAP_MS,
        watermark_ms: int = NO_TIME,
        handovers: str | None = None,
    ) -> None:
        self.partition = partition
        self._partitions = partitions
        self._handovers = handovers
        self._scanners = {topic: Scanner(decoders[topic]) for topic in offsets if topic != handovers}
        self._blocks: dict[str, deque[RecordBlock]] = {topic: deque() for topic in offsets}
        self._inlets = [_Inlet(number, topic, offset) for number, (topic, offset) in enumerate(offsets.items())]
        self._inlet_of = {inlet.topic: inlet for inlet in self._inlets}
        self._merge = WatermarkMerge(len(self._inlets), HELD_RECORDS_MAX, gap_ms, watermark_ms)
        self._under_way: deque[tuple[float, InputChunk]] = deque()

    @property
    def topics(self) -> list[str]:
        """Input topics, indexed by `Batch.sources`."""
        return [inlet.topic for inlet in self._inlets]

    @property
    def held_records(self) -> int:
        """Number of records that wait to be merged."""
        return self._merge.held_records()

    @property
    def given_out_to(self) -> dict[str, int]:
        """By topic, the offset after the last record that was given out."""
        return {inlet.topic: inlet.merged_to for inlet in self._inlets}

    def fetched_to(self, topic: str) -> int:
        """Return the offset that the next record of a topic should have."""
        return self._inlet_of[topic].fetched_to

    def renew(self, decoders: Mapping[str, Decoder]) -> dict[str, int]:
        """Have later records read by other decoders; return by topic the offset of the first of these records."""
        self._scanners = {topic: Scanner(decoders[topic]) for topic in self._scanners}
        return {inlet.topic: inlet.fetched_to for inlet in self._inlets}

    def skip_to(self, topic: str, offset: int) -> None:
        """Expect the topic's next record at a later offset: the log has none before it."""
        self._inlet_of[topic].fetched_to = offset

    def is_full(self, topic: str) -> bool:
        """Return whether the topic should not be fetched for now."""
        return self._merge.held_records(self._inlet_of[topic].number) >= HELD_RECORDS_MAX

    def feed(self, topic: str, block: RecordBlock, now_ms: int) -> None:
        """Take in consecutive records of a topic, as fetched.

        Parameters
        ----------
        now_ms
            Times further ahead of this than tolerated are refused.
        """
        inlet = self._inlet_of[topic]
        scanned = scan_rows(block) if topic == self._handovers else self._scan(topic, block, now_ms)
        if self._handovers is not None:
            self._blocks[topic].append(block)
        _note_timestamps(scanned, block)
        self._set_aside_misplaced(topic, scanned, block)
        scanned.records["source"] = inlet.number
        scanned.records["offset"] = block.offsets
        batch = batch_of_records(scanned.records, scanned.texts, scanned.others, NO_TIME)
        self._merge.add(inlet.number, batch)
        inlet.fetched_to = int(block.offsets[-1]) + 1

    def _scan(self, topic: str, block: RecordBlock, now_ms: int) -> Scanned:
        columns = block.records
        values = Spans(columns[native.VALUE_AT], columns[native.VALUE_SIZE])
        keys = Spans(columns[native.KEY_AT], columns[native.KEY_SIZE])
        return self._scanners[topic].scan(block.buffer, values, now_ms, keys)

    def record_at(self, number: int, offset: int) -> BlockRecord:
        """Return a record that is not folded yet as it was fetched, by the number of its topic and its offset."""
        block = next(each for each in self._blocks[self.topics[number]] if each.offsets[-1] >= offset)
        return block[int(np.searchsorted(block.offsets, offset))]

    def forget(self, folded_to: Mapping[str, int]) -> None:
        """Let go of records that are folded, by topic those before an offset."""
        for topic, blocks in self._blocks.items():
            while blocks and blocks[0].offsets[-1] < folded_to[topic]:
                blocks.popleft()

    def emit_chunks(self, drained_topics: Set[str], records_max: int, now_seconds: float) -> Iterator[InputChunk]:
        """Give out all that may go by now.

        Parameters
        ----------
        drained_topics
            Those that are fetched to their end.
        records_max
            Most records in a chunk, but for those of one instant.
        now_seconds
            By a clock that never goes back.
        """
        # Rows join in any order: those that are on their way hold no event up.
        drained_topics |= {self._handovers} if self._handovers else set()
        merged = self._merge.release({inlet.number for inlet in self._inlets if inlet.topic in drained_topics})
        merged = set_requests_aside(merged)
        instants, begin = merged.instants(), 0
        while begin < len(merged):
            end_of_part = end_between(instants, begin, begin + records_max, len(merged))
            batch, begin = merged.part(begin, end_of_part), end_of_part
            start = {inlet.topic: inlet.merged_to for inlet in self._inlets}
            end = offsets_after(batch, self.topics, start)
            for inlet in self._inlets:
                inlet.merged_to = end[inlet.topic]
            chunk = InputChunk(self.partition, batch, start, end, self)
            self._under_way.append((now_seconds, chunk))
            yield chunk

    def arrived(self, chunk: InputChunk) -> list[InputChunk]:
        """Return the chunks that were given out up to this one, which has arrived, but not those returned before.

        What is given out goes through Faust, which may drop a message where a rebalance breaks its loop.
        """
        if not any(each is chunk for _, each in self._under_way):
            return []
        arrived: list[InputChunk] = []
        while not arrived or arrived[-1] is not chunk:
            arrived.append(self._under_way.popleft()[1])
        return arrived

    def overdue(self, before_seconds: float) -> list[InputChunk]:
        """Return the chunks that were given out before an instant and have not arrived, and count them as such."""
        overdue = []
        while self._under_way and self._under_way[0][0] < before_seconds:
            overdue.append(self._under_way.popleft()[1])
        return overdue

    def _set_aside_misplaced(self, topic: str, scanned: Scanned, block: RecordBlock) -> None:
        """Turn events of customers who belong to another partition into records that are passed on."""
        events = np.flatnonzero(scanned.records["status"] == EVENT)
        of_events = scanned.records if len(events) == len(scanned.records) else scanned.records[events]
        homes = places_of(Events(of_events, scanned.texts), self._partitions)
        strangers = np.flatnonzero(homes != self.partition)
        homes_of = dict(zip(events[strangers].tolist(), homes[strangers].tolist(), strict=True))
        homes_of |= self._homes_of_unnamed(scanned)
        if not homes_of:
            return
        misplaced = list(homes_of)
        skipped = [Skipped(Misplaced(topic, home, block[index])) for index, home in homes_of.items()]
        moved = records_of_others(skipped)
        moved["text_at"] += len(scanned.others)
        scanned.records[misplaced] = moved
        scanned.others.extend(skipped)

    def _homes_of_unnamed(self, scanned: Scanned) -> dict[int, int]:
        """Return where records without a customer belong by their keys, by index, of those that stand elsewhere.

        A record without a key is taken where it is.
        """
        homes = {}
        for index in np.flatnonzero(scanned.records["status"] == UNNAMED).tolist():
            rejection = scanned.others[int(scanned.records["text_at"][index])]
            if isinstance(rejection, Rejection) and rejection.key:
                homes[index] = place_of(rejection.key, self._partitions)
        return {index: home for index, home in homes.items() if home != self.partition}


def _note_timestamps(scanned: Scanned, block: RecordBlock) -> None:
    """Give rejections the timestamps of their records."""
    rejected = np.flatnonzero(np.isin(scanned.records["status"], (REJECTED, UNNAMED)))
    for index, number in zip(rejected.tolist(), scanned.records["text_at"][rejected].tolist(), strict=True):
        rejection = scanned.others[number]
        if isinstance(rejection, Rejection):
            scanned.others[number] = rejection._replace(timestamp_ms=int(block.timestamps_ms[index]))


def scan_rows(block: RecordBlock) -> Scanned:
    """Return the rows that other partitions have handed over as events, and why others are none."""
    contents: list[Content] = []
    for record in block:
        if record.value is None:
            contents.append(TOMBSTONE)
            continue
        try:
            contents.append(event_of(decode_handover(record.value)))
        except msgspec.MsgspecError as error:
            contents.append(Rejection(InvalidRecord("malformed", "$", str(error)), record.value, record.key))
    batch = batch_of(contents, 0, block.offsets, NO_TIME)
    return Scanned(batch.records, batch.texts, list(batch.others), 0)


def no_record(number: int, offset: int) -> BlockRecord:
    """Return the record of a chunk that did not come through an intake: there is none."""
    raise LookupError(f"record {offset} of topic {number}: expected one that was fetched")


def offsets_after(batch: Batch, topics: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """Return by topic the offset after the last record in the batch, `before` where it has no record of the topic."""
    after = dict(before)
    for number, topic in enumerate(topics):
        mine = batch.offsets[batch.sources == number]
        if len(mine):
            after[topic] = int(mine[-1]) + 1
    return after
