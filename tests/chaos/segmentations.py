"""How customers are divided in a chaos run: in three ways at once, of both kinds, and each at a pace of its own."""

from __future__ import annotations

import json
from typing import Any, Final

LIFECYCLE: Final[dict[str, Any]] = {
    "kind": "rules",
    "name": "lifecycle",
    "segments": [
        {"id": "gone", "name": "Gone", "when": {"figure": "recency_days", "operator": ">", "value": 40}},
        {"id": "away", "name": "Away", "when": {"figure": "recency_days", "operator": ">", "value": 14.5}},
        {
            "id": "new",
            "name": "New",
            "when": {
                "all": [
                    {"figure": "tenure_days", "operator": "<", "value": 10},
                    {"not": {"figure": "purchases", "operator": ">=", "value": 3}},
                ]
            },
        },
    ],
    "otherwise": {"id": "settled", "name": "Settled"},
}
"""Silence moves customers through it, and so do events."""
SEGMENTATIONS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "learned", "name": "value"},
    {"kind": "learned", "name": "eager", "hysteresis": 0.2, "no_return_days": 7},
    LIFECYCLE,
)
NAMES: Final[tuple[str, ...]] = tuple(each["name"] for each in SEGMENTATIONS)
SETTING: Final = json.dumps(SEGMENTATIONS)
"""For the environment of workers."""
