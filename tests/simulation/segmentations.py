"""How customers are divided in a run."""

from __future__ import annotations

import random

from stream_app.segmentations.configuration import SegmentationConfiguration
from stream_app.segmentations.registry import parse_segmentations


def buyers(orders: int) -> dict[str, object]:
    """Return rules by events alone and by time."""
    often = {"figure": "purchases", "operator": ">=", "value": orders}
    away = {"figure": "recency_days", "operator": ">", "value": 45.5}
    return {
        "kind": "rules",
        "name": "buyers",
        "segments": [
            {"id": "away", "name": "Away", "when": away},
            {"id": f"often-{orders}", "name": "Often", "when": often},
        ],
        "otherwise": {"id": "seldom", "name": "Seldom"},
    }


CHOICES: tuple[list[dict[str, object]], ...] = (
    [{"kind": "learned", "name": "value"}],
    [{"kind": "learned", "name": "value"}, {"kind": "learned", "name": "habits", "hysteresis": 0.1}, buyers(2)],
    [buyers(3), {"kind": "learned", "name": "value"}],
    [{"kind": "learned", "name": "habits"}, buyers(2)],
)
"""One, three of two kinds, with a changed definition, and without the first one."""


def drawn_segmentations(drawn: random.Random) -> tuple[SegmentationConfiguration, ...]:
    """Draw what is configured."""
    parsed: tuple[SegmentationConfiguration, ...] = parse_segmentations(drawn.choice(CHOICES))
    return parsed
