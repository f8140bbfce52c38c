"""Reads what a replay has written, with messages that name the file and the line of what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stream_app.contracts.readers import SegmentReference
from stream_app.core.clock import to_milliseconds
from stream_app.errors import ConfigurationError

T = TypeVar("T")


class Cause(msgspec.Struct, gc=False):
    """What the report reads of a move's cause."""

    kind: str


class Explanation(msgspec.Struct, gc=False):
    """What it reads of the reason."""

    sentence: str


class Migration(msgspec.Struct, gc=False):
    """What it reads of a migration."""

    customer_id: str
    segmentation: str
    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    change: str
    effective_at: str
    cause: Cause
    model_version: int
    explanation: Explanation


class NextMove(msgspec.Struct, gc=False):
    """Where silence alone leads next, and when."""

    at: str
    to_segment: SegmentReference | None


class Membership(msgspec.Struct, gc=False):
    """What it reads of a membership: where a customer is, since when, and what comes next."""

    customer_id: str
    segmentation: str
    segment: SegmentReference
    since: str
    next_move: NextMove | None = None


class Place(msgspec.Struct, gc=False):
    """Where a refused record came from."""

    topic: str
    offset: int


class Refused(msgspec.Struct, gc=False):
    """What it reads of a dead letter."""

    reason: str
    message: str
    position: Place
    field: str | None = None


def milliseconds(instant: str) -> int:
    """Return an instant of the outputs as milliseconds since the epoch."""
    return to_milliseconds(datetime.fromisoformat(instant))


def read_document(path: Path) -> dict[str, Any]:
    """Return a file of one JSON object.

    Raises
    ------
    ConfigurationError
        If it is missing or no such file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}, expected the output of a replay") from error


def read_lines(path: Path, line_type: type[T]) -> Iterator[T]:
    """Return the lines of a file, one after the other.

    Raises
    ------
    ConfigurationError
        If it is missing, or a line cannot be read.
    """
    decode = msgspec.json.Decoder(line_type).decode
    count = 0
    try:
        with path.open("rb") as lines:
            for line in lines:
                count += 1
                yield decode(line)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path.name}, line {count}: {error}, expected the output of a replay") from error
