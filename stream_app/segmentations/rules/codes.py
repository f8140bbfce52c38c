"""Codes of segments that are named by an id: made of the id alone, so that they are the same in every version."""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_64_intdigest

from stream_app.core.segments import MAX_SEGMENT_CODE


def segment_code(segment_id: str) -> int:
    """Return the code of a segment."""
    return 1 + xxh3_64_intdigest(segment_id.encode()) % MAX_SEGMENT_CODE


def clashing_ids(ids: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two ids of the same code, which cannot be in one segmentation; None if all codes differ."""
    by_code: dict[int, str] = {}
    for segment_id in ids:
        earlier = by_code.setdefault(segment_code(segment_id), segment_id)
        if earlier != segment_id:
            return earlier, segment_id
    return None
