"""An example of each kind of segmentation, for tests that hold of all."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.definition import RulesConfiguration
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.support.models import learned_model, prior_model

RULES: Final[dict[str, Any]] = {
    "kind": "rules",
    "name": "service",
    "segments": [
        {
            "id": "slipping",
            "name": "Slipping",
            "when": {
                "all": [
                    {"figure": "recency_days", "operator": ">", "value": 12.5},
                    {"figure": "recency_days", "operator": "<=", "value": 60},
                    {"figure": "orders_decayed", "operator": ">=", "value": 1.2},
                ]
            },
        },
        {"id": "gone", "name": "Gone", "when": {"figure": "recency_days", "operator": ">=", "value": 45}},
        {
            "id": "keen",
            "name": "Keen",
            "when": {
                "any": [
                    {"figure": "engagements", "operator": ">", "value": 3},
                    {"figure": "engaged_days_decayed", "operator": ">=", "value": 1.5},
                ]
            },
        },
        {
            "id": "big",
            "name": "Big spenders",
            "when": {"not": {"figure": "revenue_decayed_minor", "operator": "<", "value": 6_000}},
        },
        {"id": "refunded", "name": "Refunded", "when": {"figure": "refunds", "operator": ">", "value": 0}},
        {"id": "fresh", "name": "Fresh", "when": {"figure": "tenure_days", "operator": "<", "value": 20}},
    ],
    "otherwise": {"id": "others", "name": "Others"},
}
"""Rules that ask for figures of every sort, with every operator."""


def rules(**changes: Any) -> RulesConfiguration:
    """Return the rules of the example, or others."""
    return RulesConfiguration.model_validate(RULES | changes)


COLD_START: Final = LearnedSegmentation(prior_model(hysteresis=0.1, no_return_days=20.0))
LEARNED: Final = LearnedSegmentation(dataclasses.replace(learned_model(no_return_days=10.0), name="habits"))
BY_RULES: Final = RulesSegmentation(rules())
EXAMPLES: Final[tuple[Segmentation, ...]] = (COLD_START, LEARNED, BY_RULES)
"""Of every kind, under different names; the last one weighs sessions."""
