"""Loaded files, decoded block by block like records of topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.scanner import Scanner, Spans
from stream_app.core.clock import NO_TIME
from stream_app.core.events import NO_EVENTS
from stream_app.core.records import (
    NO_RECORDS,
    Batch,
    Rejection,
    batch_of_records,
    join_batches,
    records_of_others,
)
from stream_app.native.structures import EVENT, EVENT_DTYPE
from stream_app.sources.blocks import Block, numbered_topics
from stream_app.sources.files import Input
from stream_app.sources.inputs import InputFile, LoadingOptions
from stream_app.sources.loading import Loading

_REFUSED: Final = -1


class LoadedReader:
    """Decodes what is loaded of files.

    Positions of events count the records in their order, whatever the order of a file's rows; those of what is refused
    are numbers of rows.

    Parameters
    ----------
    files
        What is loaded.
    options
        What their mappings leave open.
    decoders
        By topic.
    now_ms
        The time of reading, milliseconds since the epoch.

    Raises
    ------
    ConfigurationError
        See `Loading`.
    """

    def __init__(
        self, files: Sequence[InputFile], options: LoadingOptions, decoders: Mapping[str, Decoder], now_ms: int
    ) -> None:
        self.inputs = [Input(file.number, file.name, ", ".join(file.topics)) for file in files]
        self._loading = Loading(files, options)
        self._scanners = {topic: Scanner(decoders[topic]) for file in files for topic in file.topics}
        self._now_ms = now_ms
        self._watermark_ms = NO_TIME
        self._read = 0
        self._bytes = sum(file.look.path.stat().st_size for file in files if file.frame is None)
        self.bytes_read = 0
        self.closing: list[Callable[[], object]] = []
        self._blocks = self._decoded()

    def close(self) -> None:
        """Remove what was written on the way."""
        self._loading.close()
        for close in self.closing:
            close()

    def next_block(self) -> Batch:
        """Return the next decoded records, none at the end."""
        batch = next(self._blocks, NO_RECORDS)
        done = self._loading.delivered / max(self._loading.rows, 1) if len(batch) else 1.0
        self.bytes_read = int(self._bytes * min(done, 1.0))
        return batch

    def _decoded(self) -> Iterator[Batch]:
        for block in self._loading.blocks():
            batch = self._decode(block)
            self._watermark_ms = int(batch.watermarks_ms[-1])
            yield batch

    def _decode(self, block: Block) -> Batch:
        count = len(block)
        topics = block.topics.copy()
        topics[list(block.errors)] = _REFUSED
        parts: list[Batch] = []
        names = numbered_topics()
        places: list[Any] = []
        for number in np.unique(topics).tolist():
            place = np.flatnonzero(topics == number)
            if number == _REFUSED:
                refused = [Rejection(block.errors[at], block.payload(at)) for at in place.tolist()]
                parts.append(batch_of_records(records_of_others(refused), NO_EVENTS.texts, refused, NO_TIME))
            else:
                lines = Spans(block.lines.at[place], block.lines.size[place])
                scanned = self._scanners[names[number]].scan(block.text, lines, self._now_ms)
                parts.append(batch_of_records(scanned.records, scanned.texts, scanned.others, NO_TIME))
            places.append(place)
        joined = join_batches(parts) if len(parts) > 1 else parts[0]
        records = np.empty(count, EVENT_DTYPE)
        records[np.concatenate(places)] = joined.records
        records["source"] = block.files
        in_order = np.arange(self._read + 1, self._read + 1 + count)
        records["offset"] = np.where(records["status"] == EVENT, in_order, block.rows)
        self._read += count
        batch = batch_of_records(records, joined.texts, joined.others, self._watermark_ms)
        return replace(batch, rows=block.rows.astype(np.int64))
