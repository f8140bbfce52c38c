"""An example of each kind of segmentation, for tests that hold of all."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.definition import AudienceConfiguration, RulesConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation, RulesSegmentation
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
                    {"figure": "recency_days", "more_than": 12.5},
                    {"figure": "recency_days", "at_most": 60},
                    {"figure": "orders_decayed", "at_least": 1.2},
                ]
            },
        },
        {"id": "gone", "name": "Gone", "when": {"figure": "recency_days", "at_least": 45}},
        {
            "id": "keen",
            "name": "Keen",
            "when": {
                "any": [
                    {"figure": "engagements", "more_than": 3},
                    {"figure": "engaged_days_decayed", "at_least": 1.5},
                ]
            },
        },
        {
            "id": "big",
            "name": "Big spenders",
            "when": {"not": {"figure": "revenue_decayed", "less_than": 60}},
        },
        {"id": "refunded", "name": "Refunded", "when": {"figure": "refunds", "more_than": 0}},
        {"id": "fresh", "name": "Fresh", "when": {"figure": "tenure_days", "less_than": 20}},
    ],
    "otherwise": {"id": "others", "name": "Others"},
}
"""Rules that ask for figures of every sort, with every operator."""


AUDIENCE: Final[dict[str, Any]] = {
    "kind": "audience",
    "name": "cart_watchers",
    "title": "Watchers",
    "when": {
        "any": [
            {
                "all": [
                    {"event": "search", "at_least": 2, "last": "20d"},
                    {
                        "not": {
                            "event": "order_completed",
                            "where": [{"field": "amount", "at_least": 100}],
                            "last": "9d",
                        }
                    },
                ]
            },
            {"since_last": "order_*", "at_least": "30d", "less_than": "70d"},
            {"restarted": "search", "last": "5d", "pause": "20d"},
            {"event": "order_completed", "calendar": {"days": 2, "timezone": "Europe/Rome"}, "at_least": 2},
        ]
    },
}
"""An audience that is asked of events in all sorts of windows."""


def rules(**changes: Any) -> RulesConfiguration:
    """Return the rules of the example, or others."""
    return RulesConfiguration.model_validate(RULES | changes)


COLD_START: Final = LearnedSegmentation(prior_model(hysteresis=0.1, no_return_days=20.0))
LEARNED: Final = LearnedSegmentation(dataclasses.replace(learned_model(no_return_days=10.0), name="habits"))
BY_RULES: Final = RulesSegmentation(rules())
WATCHERS: Final = AudienceSegmentation(AudienceConfiguration.model_validate(AUDIENCE))
EXAMPLES: Final[tuple[Segmentation, ...]] = (COLD_START, LEARNED, BY_RULES, WATCHERS)
"""Of every kind, under different names; the last two are by rules and weigh sessions."""
NOT_RULED: Final = (COLD_START, LEARNED)
