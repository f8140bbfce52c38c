"""How customers are divided in a run."""

from __future__ import annotations

import random

from stream_app.segmentations.configuration import SegmentationConfiguration
from stream_app.segmentations.registry import parse_segmentations
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.zones import in_zone


def buyers(orders: int) -> dict[str, object]:
    """Return rules by events alone and by time."""
    often = {"figure": "purchases", "at_least": orders}
    away = {"figure": "recency_days", "more_than": 45.5}
    return {
        "kind": "rules",
        "name": "buyers",
        "segments": [
            {"id": "away", "name": "Away", "when": away},
            {"id": f"often-{orders}", "name": "Often", "when": often},
        ],
        "otherwise": {"id": "seldom", "name": "Seldom"},
    }


def audience(name: str, when: dict[str, object], **rest: object) -> dict[str, object]:
    """Return an audience."""
    return {"kind": "audience", "name": name, "when": when, **rest}


def lookers(days: int) -> dict[str, object]:
    """Return who looks at much: a window, and a field that has to be kept."""
    looks = {"event": "product_viewed", "where": [{"field": "properties.pages", "at_least": 3}], "last": f"{days}d"}
    return audience("lookers", looks)


BROWSERS = audience("lookers", {"event": "product_*", "last": "30d", "at_least": 2}, warn_before="5d")
"""As `lookers` is called, too: another definition that needs no field."""
SLIPPING = audience(
    "slipping",
    {"all": [{"trait": "plan", "in": ["gold", "silver"]}, {"not": {"event": "order_completed", "last": "25d"}}]},
    warn_before="10d",
)
"""By a trait, and by silence."""
STEADY = audience("steady", {"segmentation": "buyers", "segment": "often-2", "for_at_least": "15d"})
TODAY = audience(
    "today", {"event": "order_*", "calendar": {"days": 12, "timezone": "Europe/Rome"}, "sum": "amount", "at_least": 100}
)
KEPT = audience("kept", {"trait": "plan", "equals": "gold", "held_for": {"at_least": "9d"}})
"""By since when a trait has its value."""
LAYERED = audience(
    "layered",
    {"all": [{"any": [{"segmentation": "slipping"}, {"segmentation": "kept"}]}, {"not": {"list": "staff"}}]},
)
"""By others, by a list, and by all of the past."""
CHURNED = audience(
    "layered",
    {"all": [{"event": "order_completed", "at_least": 2}, {"segmentation": "value", "segment": ["at_risk", "lost"]}]},
)
"""Called the same: by all of the past, and by what is learned."""
LISTS = {"staff": IdList.of(f"c{number}" for number in range(0, 24, 5))}
LEARNED = {"kind": "learned", "name": "value"}

CHOICES: tuple[list[dict[str, object]], ...] = (
    [LEARNED],
    [LEARNED, {"kind": "learned", "name": "habits", "hysteresis": 0.1}, buyers(2)],
    [buyers(3), LEARNED],
    [{"kind": "learned", "name": "habits"}, buyers(2)],
    [LEARNED, lookers(20), SLIPPING],
    [lookers(45), TODAY, buyers(2), STEADY],
    [BROWSERS, LEARNED, STEADY, buyers(2), SLIPPING],
    [LEARNED, SLIPPING, KEPT, LAYERED, buyers(3)],
    [LEARNED, CHURNED, TODAY],
)
"""One, three of two kinds, with a changed definition, and without the first one; then with audiences."""


def drawn_segmentations(drawn: random.Random) -> tuple[SegmentationConfiguration, ...]:
    """Draw what is configured."""
    parsed: tuple[SegmentationConfiguration, ...] = parse_segmentations(drawn.choice(CHOICES))
    return tuple(in_zone(each, "UTC") for each in parsed)
