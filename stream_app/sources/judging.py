"""Records of files judged before anything is done with them: what is valid is kept aside, what is not is counted.

What is valid waits in a file without a name, so that it can be read as often as needed, in memory that does
not grow with it, and so that exactly what was judged is what is used.
"""

from __future__ import annotations

import struct
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import NO_TIME
from stream_app.errors import InvalidRecord
from stream_app.sources.files import SourceFile
from stream_app.sources.loading import Loading, LoadingOptions
from stream_app.sources.opening import planned

_SIZE: Final = struct.Struct("<I")
_encode: Final = msgspec.msgpack.Encoder().encode


class JudgedRecord(NamedTuple):
    """A valid record.

    Attributes
    ----------
    at_ms
        When it happened, milliseconds since the epoch.
    topic
        The input topic whose contract it keeps.
    customer_id, event_id
        Of it; a profile may have no id, and an empty one then.
    payload
        The record as JSON.
    """

    at_ms: int
    topic: str
    customer_id: str
    event_id: str
    payload: bytes


_decode: Final = msgspec.msgpack.Decoder(tuple[int, str, str, str, bytes]).decode


class Judgement:
    """What is valid of some records, and why the others are not; a context manager.

    Attributes
    ----------
    accepted
        Valid records by topic.
    refused
        Others by reason.
    examples
        The first refused record of each reason: file, row and message.
    newest_ms
        The latest time of a valid record, milliseconds since the epoch.
    """

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.newest_ms = NO_TIME
        self._file = tempfile.TemporaryFile("w+b", buffering=1 << 20)  # noqa: SIM115  (closed by `__exit__`)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def accept(self, record: JudgedRecord) -> None:
        """Keep a valid record."""
        self.accepted[record.topic] += 1
        self.newest_ms = max(self.newest_ms, record.at_ms)
        frame = _encode(tuple(record))
        self._file.write(_SIZE.pack(len(frame)) + frame)

    def refuse(self, error: InvalidRecord, place: str) -> None:
        """Count a record that is not valid."""
        self.refused[error.reason] += 1
        self.examples.setdefault(error.reason, f"{place}: {error.message}")

    def records(self) -> Iterator[JudgedRecord]:
        """Yield the valid records, in the order in which they came; nothing may be accepted meanwhile."""
        self._file.seek(0)
        while size := self._file.read(_SIZE.size):
            yield JudgedRecord(*_decode(self._file.read(_SIZE.unpack(size)[0])))


@contextmanager
def judge_files(
    files: Sequence[SourceFile], decoders: Mapping[str, Decoder], now_ms: int, options: LoadingOptions
) -> Iterator[Judgement]:
    """Give what is valid of files, and why the rest is not.

    Parameters
    ----------
    files
        Input files.
    decoders, now_ms
        See `judge`.
    options
        What mappings leave open.

    Raises
    ------
    ConfigurationError
        If a file is missing or unreadable, is of no form that is known, or lacks a column that it must have.
    """
    names = [str(file.path) for file in files]
    with planned(files, names, options) as (inputs, own_options):
        with Loading(inputs, own_options) as loading:
            judgement = judge(loading, decoders, now_ms, names)
        with judgement:
            yield judgement


def judge(loading: Loading, decoders: Mapping[str, Decoder], now_ms: int, names: Sequence[str]) -> Judgement:
    """Return what is valid of what is loaded, and why the rest is not.

    Parameters
    ----------
    loading
        Gives the records.
    decoders
        By topic.
    now_ms
        The time of reading, milliseconds since the epoch.
    names
        Of the files, by number.
    """
    judgement = Judgement()
    for block in loading.lines():
        for topic, text, error, file, row in block:
            try:
                if error is not None:
                    raise error
                judgement.accept(_judged(decoders[topic], topic, text, now_ms))
            except InvalidRecord as invalid:
                judgement.refuse(invalid, f"{names[file]}, row {row}")
    return judgement


def _judged(decoder: Decoder, topic: str, text: str, now_ms: int) -> JudgedRecord:
    payload = text.encode("utf-8", "surrogateescape")
    event = decoder.decode(payload, now_ms)
    return JudgedRecord(event.at_ms, topic, event.customer_id, event.event_id, payload)
