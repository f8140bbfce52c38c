"""A frozen model: everything that is needed to say which segment a customer is in, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats
from stream_app.core.clock import NO_TIME
from stream_app.core.segments import Roster, Segment
from stream_app.errors import ModelInvalid
from stream_app.native import formulas
from stream_app.segmentations.learned.axes import ENGAGEMENT
from stream_app.segmentations.learned.rhythm import PRIOR, OwnRhythm, Rhythm
from stream_app.segmentations.learned.roles import BROWSERS, KEYS, ROLES, segments
from stream_app.segmentations.learned.statements import Slack, Statements

WEIGHTS: Final = (1.0, 0.9, 2.0)
"""Weight of r, e and a in distances; e's falls to 0 where nobody engages."""
ENGAGEMENT_COUNTS: Final = 0.5
"""From this weight on, engagement makes roles and statements."""
OFFSETS: Final = np.array(
    [
        (-1.2, -1.4, 0.0),
        (-0.7, 0.9, -0.1),
        (0.0, 0.0, -0.1),
        (0.7, 0.6, 0.0),
        (-0.1, -0.2, 1.0),
        (1.4, 1.1, 0.2),
        (2.9, 1.6, 0.3),
    ]
)
"""Prior centres of the roles relative to the typical active customer, in log units; by role."""
PRIOR_TYPICAL: Final = (math.log(1 / 33), math.log(1 / 12), 0.0)
"""The typical active customer before any is known: an order in 33 days, a visit in 12, at the usual value."""
PRIOR_NEW_DAYS: Final = 35.0


class Silences(NamedTuple):
    """How long a silence has to be to be telling, in days, shape `(n,)` each."""

    risk: Floats
    one_time: Floats
    lapsed: Floats
    lost: Floats


class Thresholds(NamedTuple):
    """What is configured rather than learned.

    Attributes
    ----------
    hysteresis
        How far past the middle between two centres a customer must be to change role, in log units, ≥ 0.
    no_return_days
        How long an own act does not lead back to the role that was left, ≥ 0.
    risk_probability, lapsed_probability
        A customer is at risk, or has lapsed, once it is active with no more than this probability.
    one_time_probability
        Nor is who has ordered at most once expected to again, and so called new for longer or given a role.
    risk_days_min, lapsed_days_min
        No shorter silence is telling.
    lost_days
        Silence after which nobody is expected back.
    loyal_slack, regular_slack, big_slack, visits_slack, browsers_slack, rare_slack, value_slack
        See `Slack`.
    """

    hysteresis: float = 0.4
    no_return_days: float = 30.0
    risk_probability: float = 0.5
    lapsed_probability: float = 0.1
    one_time_probability: float = 0.2
    risk_days_min: float = 10.0
    lapsed_days_min: float = 30.0
    lost_days: float = 365.0
    loyal_slack: float = Slack().loyal
    regular_slack: float = Slack().regular
    big_slack: float = Slack().big
    visits_slack: float = Slack().visits
    browsers_slack: float = Slack().browsers
    rare_slack: float = Slack().rare
    value_slack: float = Slack().value

    def telling_silences(self, own: OwnRhythm) -> Silences:
        """Return for how long customers of a rhythm are silent before it tells something."""
        patience = (
            *(self.risk_probability, self.lapsed_probability, self.one_time_probability),
            *(self.risk_days_min, self.lapsed_days_min, self.lost_days),
        )
        return Silences(*formulas.silences(own, patience))


DEFAULT_THRESHOLDS: Final = Thresholds()


@dataclass(frozen=True)
class Frame:
    """What is learned of the population.

    Parameters
    ----------
    rhythm
        How it comes back.
    order_value_minor
        Usual order value (geometric mean) in minor units, > 0; None until one is known.
    engagement_weight
        0 to 1: how much engagement counts beside orders.
    new_days
        How long a customer is new, > 0.
    centres
        Of the roles on the axes r, e, a; shape `(ROLES, 3)`.
    is_open
        Roles that admit customers, shape `(ROLES,)`.

    Raises
    ------
    ModelInvalid
        If a shape is wrong or a number is out of its range.
    """

    rhythm: Rhythm = PRIOR
    order_value_minor: float | None = None
    engagement_weight: float = 0.0
    new_days: float = PRIOR_NEW_DAYS
    centres: Floats = field(default_factory=lambda: np.array(PRIOR_TYPICAL) + OFFSETS)
    is_open: Flags = field(default_factory=lambda: np.ones(ROLES, np.bool_))

    def __post_init__(self) -> None:
        if self.centres.shape != (ROLES, 3):
            raise ModelInvalid(f"centres: shape {self.centres.shape}, expected ({ROLES}, 3)")
        if not np.isfinite(self.centres).all():
            raise ModelInvalid("centres: contains a number that is not finite")
        if self.is_open.shape != (ROLES,):
            raise ModelInvalid(f"is_open: shape {self.is_open.shape}, expected ({ROLES},)")
        if not self.is_open.any():
            raise ModelInvalid("is_open: no role is open, expected one at least")
        if self.order_value_minor is not None and not 0 < self.order_value_minor < math.inf:
            raise ModelInvalid(f"order_value_minor: {self.order_value_minor}, expected a number > 0")
        if not 0 <= self.engagement_weight <= 1:
            raise ModelInvalid(f"engagement_weight: {self.engagement_weight}, expected a number from 0 to 1")
        if not 0 < self.new_days < math.inf:
            raise ModelInvalid(f"new_days: {self.new_days}, expected a number > 0")

    @property
    def counts_engagement(self) -> bool:
        """Whether engagement makes roles and statements."""
        return self.engagement_weight >= ENGAGEMENT_COUNTS

    @cached_property
    def admits(self) -> Flags:
        """Roles that customers can be admitted to; shape `(ROLES,)`."""
        admits = self.is_open.copy()
        admits[BROWSERS] &= self.counts_engagement
        return admits

    @cached_property
    def weights(self) -> Floats:
        """Weight of each axis in distances."""
        weights = np.array(WEIGHTS)
        weights[ENGAGEMENT] *= self.engagement_weight
        return weights

    @cached_property
    def separation(self) -> Floats:
        """Distance between each two centres, shape `(ROLES, ROLES)`."""
        scaled = self.centres * self.weights
        return np.asarray(np.sqrt(((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)))

    def squared_distances(self, axes: Floats) -> Floats:
        """Return those of n customers to the roles' centres, shape `(n, ROLES)`."""
        return formulas.distances(axes, self.weights, self.centres)

    def statements(self, thresholds: Thresholds) -> Statements:
        """Return what the roles' names say."""
        slack = Slack(*(getattr(thresholds, f"{name}_slack") for name in Slack._fields))
        return Statements.between(self.centres, slack, self.counts_engagement)


@dataclass(frozen=True)
class Model:
    """One version of a learned segmentation.

    Parameters
    ----------
    name
        Of the segmentation, such as `value`.
    version
        From 0 (prior numbers), ascending.
    as_of_ms
        The instant it was learned at, `NO_TIME` for version 0.
    frame
        What was learned.
    previous
        What the version before had learned; None if there was none, or none of this form.
    thresholds
        What is configured.
    names, actions
        Of segments, by key, where they differ from the usual ones (see `roles`).
    expected_churn
        Share of customers, in [0, 1], that taking over is forecast to move; None if nobody was asked.
    retired_segments
        Segments of earlier models that this one lacks; customers may still be in them.
    training
        Figures of the training run for readers; JSON values only.
    is_of_clusters
        Whether an earlier release published this version, whose segments were clusters: all that is left of it are its
        number and its segments.

    Raises
    ------
    ModelInvalid
        If a threshold is out of its range, a name is unknown or occurs twice.
    """

    name: str
    version: int = 0
    as_of_ms: int = NO_TIME
    frame: Frame = field(default_factory=Frame)
    previous: Frame | None = None
    thresholds: Thresholds = DEFAULT_THRESHOLDS
    names: dict[str, str] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    expected_churn: float | None = None
    retired_segments: tuple[Segment, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    is_of_clusters: bool = False

    def __post_init__(self) -> None:
        for name, value in self.thresholds._asdict().items():
            if not 0 <= value < math.inf:
                raise ModelInvalid(f"{name}: {value}, expected a number ≥ 0")
        for name in ("risk_probability", "lapsed_probability", "one_time_probability"):
            value = getattr(self.thresholds, name)
            if not 0 < value < 1:
                raise ModelInvalid(f"{name}: {value}, expected a number between 0 and 1")
        if self.thresholds.lapsed_probability > self.thresholds.risk_probability:
            raise ModelInvalid(
                f"lapsed_probability: {self.thresholds.lapsed_probability}, expected at most risk_probability "
                f"({self.thresholds.risk_probability})"
            )
        for name in ("names", "actions"):
            if unknown := set(getattr(self, name)) - set(KEYS):
                raise ModelInvalid(f"{name}: {', '.join(sorted(unknown))}, expected some of {', '.join(KEYS)}")
        names = [segment.name for segment in self.roster.segments]
        if len(set(names)) < len(names):
            raise ModelInvalid(f"names: {', '.join(names)}, expected distinct ones")

    def successor(self, **changes: Any) -> Model:
        """Return the next version, with some fields changed; nobody has been asked yet whom it moves."""
        fresh: dict[str, Any] = {"previous": self.frame, "expected_churn": None, "is_of_clusters": False}
        return replace(self, version=self.version + 1, **(fresh | changes))

    @cached_property
    def roster(self) -> Roster:
        """The segments; targets are those of `stream_app.segmentations.learned.roles`."""
        return Roster(segments(self.names), self.retired_segments)

    @cached_property
    def statements(self) -> Statements:
        """What the roles' names say."""
        return self.frame.statements(self.thresholds)
