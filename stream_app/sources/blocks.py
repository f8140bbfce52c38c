"""Loaded records as columns, and each as a value.

Their texts are one run of bytes, which the compiled scanner takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.contracts.scanner import Spans
from stream_app.errors import InvalidRecord

BLOCK_LINES: Final = 8192
"""Records that are passed on at once: few beside the state, and enough to decode cheaply."""
Numbers = npt.NDArray[Any]


def numbered_topics() -> tuple[str, ...]:
    """Return the topics that files hold records of, in the order of their numbers."""
    return tuple(FILE_CONTRACTS)


class Line(NamedTuple):
    """One record.

    Attributes
    ----------
    topic
        Whose contract it keeps.
    text
        JSON.
    error
        Why it is refused already; None if that is for the contract to say.
    file, row
        Number of its file, and of its row there.
    """

    topic: str
    text: str
    error: InvalidRecord | None
    file: int
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Several records.

    Parameters
    ----------
    topics
        Number of each one's topic in `numbered_topics`, shape `(n,)`.
    text
        Bytes that hold all of them; valid until the next block is asked for.
    lines
        Where each is in the bytes.
    errors
        Why some of them are refused already, by place in the block.
    files, rows
        Number of each one's file, and of its row there, shape `(n,)`.
    """

    topics: Numbers
    text: npt.NDArray[np.uint8]
    lines: Spans
    errors: Mapping[int, InvalidRecord]
    files: Numbers
    rows: Numbers

    def __len__(self) -> int:
        return len(self.topics)

    def part(self, begin: int) -> Block:
        """Return the records from a place on."""
        errors = {place - begin: error for place, error in self.errors.items() if place >= begin}
        lines = Spans(self.lines.at[begin:], self.lines.size[begin:])
        return Block(self.topics[begin:], self.text, lines, errors, self.files[begin:], self.rows[begin:])

    def payload(self, place: int) -> bytes:
        """Return a record as bytes."""
        at = int(self.lines.at[place])
        return self.text[at : at + int(self.lines.size[place])].tobytes()

    def values(self) -> Iterator[Line]:
        """Yield each record as a value."""
        numbers = zip(self.topics.tolist(), self.files.tolist(), self.rows.tolist(), strict=True)
        names = numbered_topics()
        for place, (topic, file, row) in enumerate(numbers):
            text = self.payload(place).decode("utf-8", "surrogateescape")
            yield Line(names[topic], text, self.errors.get(place), file, row)


def block_of(lines: Sequence[Line]) -> Block:
    """Return records as a block."""
    payloads = [line.text.encode("utf-8", "surrogateescape") for line in lines]
    size, names = np.array([len(payload) for payload in payloads], np.int64), numbered_topics()
    return Block(
        np.array([names.index(line.topic) for line in lines], np.int8),
        np.frombuffer(b"".join(payloads), np.uint8),
        Spans(np.cumsum(size) - size, size),
        {place: line.error for place, line in enumerate(lines) if line.error is not None},
        np.array([line.file for line in lines], np.int16),
        np.array([line.row for line in lines], np.int64),
    )
