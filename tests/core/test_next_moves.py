"""When and where to a customer moves next, as others are told."""

from __future__ import annotations

import numpy as np

from stream_app.core.next_moves import LAST_INSTANT_MS, NextMove, next_moves
from stream_app.core.segmentation import NEVER_MS, Due
from stream_app.core.segments import NOWHERE, Roster, Segment


def test_next_move_has_an_instant_that_can_be_written_or_is_none() -> None:
    roster = Roster((Segment(3, "New"), Segment(5, "At risk")))
    at_ms = np.array([1_000, LAST_INSTANT_MS, LAST_INSTANT_MS + 1, NEVER_MS, 2_000])
    due = Due(at_ms, np.array([1, 0, 1, NOWHERE, NOWHERE]))
    assert next_moves(due, roster) == [
        NextMove("1970-01-01T00:00:01.000Z", Segment(5, "At risk").reference),
        NextMove("9999-12-31T23:59:59.999Z", Segment(3, "New").reference),
        None,
        None,
        NextMove("1970-01-01T00:00:02.000Z", None),
    ]
