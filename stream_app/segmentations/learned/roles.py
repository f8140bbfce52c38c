"""The segments of a learned segmentation: seven roles of active customers, the new ones, and four lapsed kinds.

A segment says at what *stage* a customer is (active, at risk, lapsed), and of active ones which *role* they play. Codes
belong to segments for good, so no id ever changes its meaning; names are for people and can be configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.segments import Segment

OCCASIONAL, BROWSERS, REGULAR, LOYAL, BIG_SPENDERS, CHAMPIONS, VIP = range(7)
NEW, AT_RISK, HIBERNATING, ONE_TIME, LOST = range(7, 12)
ROLES: Final = 7
"""Targets below this are roles."""


class Kind(NamedTuple):
    """What is fixed of a segment.

    Attributes
    ----------
    code
        See `stream_app.core.segments`. Codes from 7 to 100 belong to segments that earlier releases made up.
    key
        Its name in configuration.
    name
        As shown where none is configured.
    level
        Higher is better; below 0 is lapsed.
    action
        What to do with its customers, where nothing else is configured.
    """

    code: int
    key: str
    name: str
    level: int
    action: str


KINDS: Final = (
    Kind(
        102,
        "occasional",
        "Occasional",
        0,
        "Remind them gently, with a reason to come back soon.",
    ),
    Kind(4, "browsers", "Browsers", 1, "They look and do not buy: help them choose."),
    Kind(101, "regular", "Regular", 1, "Keep in touch; suggest what goes with their last order."),
    Kind(2, "loyal", "Loyal", 2, "Thank them; offer a loyalty programme."),
    Kind(103, "big_spenders", "Big spenders", 1, "Offer service and early access rather than discounts."),
    Kind(1, "champions", "Champions", 3, "Ask for reviews and referrals; give early access."),
    Kind(104, "vip", "VIP", 4, "Know them by name; a personal contact."),
    Kind(3, "new", "New", 1, "Welcome them; the second order is what counts."),
    Kind(5, "at_risk", "At risk", -1, "Ask what is missing before they are gone."),
    Kind(105, "hibernating", "Hibernating", -2, "One good reason to return, then leave them in peace."),
    Kind(106, "one_time", "One-time", -2, "A second-order offer once; do not insist."),
    Kind(6, "lost", "Lost", -3, "Do not spend on them; keep them out of lookalikes."),
)
"""By target."""
LEVELS: Final = np.array([kind.level for kind in KINDS])
KEYS: Final = tuple(kind.key for kind in KINDS)


def segments(names: Mapping[str, str] | None = None) -> tuple[Segment, ...]:
    """Return the segments by target; `names` replaces the names of some, by key."""
    chosen = names or {}
    return tuple(Segment(kind.code, chosen.get(kind.key, kind.name), level=kind.level) for kind in KINDS)
