"""What can be configured of a learned segmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stream_app.segmentations.configuration import SegmentationConfiguration
from stream_app.segmentations.learned.roles import KEYS, KINDS

Days = Annotated[float, Field(gt=0, le=3650)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Slackness = Annotated[float, Field(ge=0, le=3)]


class LearnedConfiguration(SegmentationConfiguration):
    """A segmentation that is learned from the population; fields that are not set follow the deployment's settings."""

    kind: Literal["learned"] = "learned"
    """Which kind of segmentation it is."""
    names: dict[str, Annotated[str, Field(min_length=1, max_length=80)]] = Field(default_factory=dict)
    """Other names for segments, by key (`champions`, `at_risk`, …); ids stay."""
    actions: dict[str, Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=dict)
    """What to do with a segment's customers, in other words, by key."""
    hysteresis: Annotated[float, Field(ge=0, le=5)] | None = None
    """Instead of `assignment.hysteresis`."""
    no_return_days: Annotated[float, Field(ge=0, le=365)] | None = None
    """Instead of `assignment.no_return_days`."""
    risk_probability: Probability | None = None
    """Instead of `assignment.risk_probability`."""
    lapsed_probability: Probability | None = None
    """Instead of `assignment.lapsed_probability`."""
    one_time_probability: Probability | None = None
    """Instead of `assignment.one_time_probability`."""
    risk_days_min: Days | None = None
    """Instead of `assignment.risk_days_min`."""
    lapsed_days_min: Days | None = None
    """Instead of `assignment.lapsed_days_min`."""
    lost_days: Days | None = None
    """Instead of `assignment.lost_days`."""
    loyal_slack: Slackness | None = None
    """Instead of `assignment.loyal_slack`."""
    regular_slack: Slackness | None = None
    """Instead of `assignment.regular_slack`."""
    big_slack: Slackness | None = None
    """Instead of `assignment.big_slack`."""
    visits_slack: Slackness | None = None
    """Instead of `assignment.visits_slack`."""
    browsers_slack: Slackness | None = None
    """Instead of `assignment.browsers_slack`."""
    rare_slack: Slackness | None = None
    """Instead of `assignment.rare_slack`."""
    value_slack: Slackness | None = None
    """Instead of `assignment.value_slack`."""
    max_publish_churn: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instead of `learning.max_publish_churn`."""

    @model_validator(mode="after")
    def _require_known_keys(self) -> LearnedConfiguration:
        for field in ("names", "actions"):
            for key in getattr(self, field):
                if key not in KEYS:
                    raise ValueError(f"{field}: {key!r}, expected one of {', '.join(KEYS)}")
        shown = [self.names.get(kind.key, kind.name) for kind in KINDS]
        for name in shown:
            if shown.count(name) > 1:
                raise ValueError(f"names: {name!r} occurs twice, expected distinct ones")
        return self
