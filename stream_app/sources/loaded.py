"""Loaded files, decoded block by block like records of topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.scanner import Scanner, split_lines
from stream_app.core.clock import NO_TIME
from stream_app.core.events import NO_EVENTS
from stream_app.core.records import (
    NO_RECORDS,
    Batch,
    Other,
    Rejection,
    batch_of_records,
    join_batches,
    records_of_others,
)
from stream_app.native.structures import EVENT, EVENT_DTYPE
from stream_app.sources.files import Input
from stream_app.sources.inputs import InputFile, LoadingOptions
from stream_app.sources.loading import Line, Loading

_NEWLINE: Final = "\n"


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
        for lines in self._loading.lines():
            batch = self._decode(lines)
            self._watermark_ms = int(batch.watermarks_ms[-1])
            yield batch

    def _decode(self, lines: Sequence[Line]) -> Batch:
        topics = np.array([line.topic if line.error is None else "" for line in lines])
        records = np.empty(len(lines), EVENT_DTYPE)
        rows, files = np.array([line.row for line in lines]), np.array([line.file for line in lines])
        parts: list[Batch] = []
        places: list[Any] = []
        for topic in np.unique(topics).tolist():
            place = np.flatnonzero(topics == topic)
            parts.append(self._part(topic, [lines[at] for at in place.tolist()]))
            places.append(place)
        joined = join_batches(parts) if len(parts) > 1 else parts[0]
        records[np.concatenate(places)] = joined.records
        records["source"] = files
        places_in_order = np.arange(self._read + 1, self._read + 1 + len(lines))
        records["offset"] = np.where(records["status"] == EVENT, places_in_order, rows)
        self._read += len(lines)
        return batch_of_records(records, joined.texts, joined.others, self._watermark_ms)

    def _part(self, topic: str, lines: Sequence[Line]) -> Batch:
        if not topic:
            others: list[Other] = [Rejection(line.error, _bytes(line.text)) for line in lines if line.error is not None]
            return batch_of_records(records_of_others(others), NO_EVENTS.texts, others, NO_TIME)
        block = _bytes(_NEWLINE.join([*(line.text for line in lines), ""]))
        scanned = self._scanners[topic].scan(block, split_lines(block), self._now_ms)
        return batch_of_records(scanned.records, scanned.texts, scanned.others, NO_TIME)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
