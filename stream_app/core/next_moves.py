"""When and where to customers move if nothing happens, as it is published."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from stream_app.core.clock import format_instants
from stream_app.core.segmentation import Due
from stream_app.core.segments import Roster, SegmentReference

LAST_INSTANT_MS: Final = 253_402_300_799_999
"""The end of the year 9999, beyond which RFC 3339 has no instants."""


class NextMove(msgspec.Struct, frozen=True, gc=False):
    """When and where to the customer moves if nothing happens until then."""

    at: str
    to_segment: SegmentReference | None


def next_moves(following: Due, roster: Roster) -> list[NextMove | None]:
    """Return when and where to n customers move if nothing happens; None where silence moves them no more."""
    references = roster.references
    targets = [references.get(code) for code in roster.codes.tolist()]
    known = following.at_ms <= LAST_INSTANT_MS
    instants = format_instants(np.where(known, following.at_ms, 0))
    return [
        NextMove(instant, targets[place]) if is_known else None
        for instant, place, is_known in zip(instants, following.target.tolist(), known.tolist(), strict=True)
    ]
