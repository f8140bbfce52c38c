"""The order of a segmentation's segments, as the reference asks for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stream_app.core.arrays import Codes
from stream_app.core.segments import Roster


def levels_of(roster: Roster) -> Mapping[int, int] | None:
    """Return the level by segment code where the segments are ordered; None where they are not."""
    levels = {code: segment.level for code, segment in roster.by_code.items() if segment.level is not None}
    return levels or None


def lapsed_codes_of(roster: Roster) -> Codes:
    """Return the codes of the lapsed segments."""
    return np.array([code for code, level in (levels_of(roster) or {}).items() if level < 0], np.int16)
