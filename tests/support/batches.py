"""Batches seen record by record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from stream_app.contracts.scanner import ABSENT, Spans
from stream_app.core.records import Batch, Content


def contents_of(batch: Batch) -> list[Content]:
    """Return what became of each record; of orders' ids only the digests are left."""
    events = batch.events()
    others = dict(batch.others_by_index())
    of_event = (events.event(index) for index in range(len(events)))
    return [others[index] if index in others else next(of_event) for index in range(len(batch))]


def join_parts(*parts: Sequence[bytes | None]) -> tuple[bytes, list[Spans]]:
    """Return a buffer that holds sequences of bytes, one after the other, and where they lie; None is `ABSENT`."""
    pieces = list(chain.from_iterable(parts))
    size = np.fromiter((ABSENT if piece is None else len(piece) for piece in pieces), np.int64, len(pieces))
    taken = np.maximum(size, 0)
    at = np.cumsum(taken) - taken
    ends = np.cumsum([len(each) for each in parts])[:-1]
    spans = [Spans(*each) for each in zip(np.split(at, ends), np.split(size, ends), strict=True)]
    return b"".join(filter(None, pieces)), spans
