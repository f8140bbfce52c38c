"""From one sample of the population after another to the next model, if it is fit to be published.

At each tick: re-fit the feature parameters, let the learner learn, carry the segments' identities over from the last
published model, name them, and forecast whom the new model would move. A model that would move too many customers at
once is held; meanwhile learning goes on, and a later one may pass. But a trainer does not stall: what is proposed again
at the next tick is no whim of one sample, and is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.quantities import ORDER_HALF_LIFE_DAYS
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT, Segment
from stream_app.learning.algorithms import Algorithm, create_learner
from stream_app.learning.drift import ReferenceDistribution, centroid_shift
from stream_app.learning.kmeans import squared_distances
from stream_app.learning.learner import Fit, Learner
from stream_app.learning.lineage import inherit_codes, match_centroids, match_segments
from stream_app.learning.naming import name_segments, segment_means, segment_traits
from stream_app.learning.parameters import ParameterFit, choose_feature_set
from stream_app.learning.profiles import membership_weights, profile_segments
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.decision import decide
from stream_app.segmentations.learned.document import Drift, ModelProposal, model_document, model_from_document
from stream_app.segmentations.learned.features import FEATURE_NAMES, FeatureParameters, FeatureSet, extract_features
from stream_app.segmentations.learned.model import Model

DEFAULT_CLUSTERS: Final[dict[FeatureSet, int]] = {"activity": 7, "plain": 6}
"""Number of segments where none is set. Seven scored best on simulated customers with engagement events; purchases
alone tell less about a customer, and six serve there."""
FORMER: Final = " (former)"
"""Marks the name of a segment that no model has any more: another one may bear that name now."""
NEVER: Final = -1
"""Stands for "no tick learned yet"; ticks count from 0."""


@dataclass(frozen=True)
class TrainerSettings:
    """How a segmentation is learned.

    Parameters
    ----------
    segmentation
        Name of the segmentation.
    feature_set
        `"activity"`, `"plain"`, or `"auto"` to let `choose_feature_set` decide at the first model.
    n_clusters
        Number of segments k; None for that of the feature set in `DEFAULT_CLUSTERS`.
    sample_size
        Customers to draw at a tick, for those who draw; the trainer learns from all it is given.
    min_customers_per_cluster
        No model is learned from fewer than k times as many customers.
    min_history_days
        Nor before the longest tenure in a sample is this long: one half-life of orders (90 days), before which
        decayed orders are mere counts and recency is capped by the population's age. A first model learned earlier
        was overturned later: with 14 days, 20 % of the customers moved at once one or two weeks on; of six simulated
        populations that start from nobody a later model moved more than 10 % in two with 42 days, in one with 63,
        in none that was tried with 90.
    hysteresis, no_return_days
        Put into every model; see `stream_app.segmentations.learned.decision`.
    max_expected_churn
        A model that is forecast to move a larger share of customers is held. In nine simulated populations and Online
        Retail the most a later model moved was .13; CDNOW, whose customers all arrive within 12 weeks, has one of .45.
    held_ticks_max
        For so many ticks in a row models are held, the next one is published whatever it moves.
    algorithm
        See `stream_app.learning.algorithms`.
    minor_per_major
        Minor units in one major unit of the base currency.
    seed
        ≥ 0; fixes, together with the ticks, every random choice.
    """

    segmentation: str = "value"
    feature_set: FeatureSet | Literal["auto"] = "auto"
    n_clusters: int | None = None
    sample_size: int = 2000
    min_customers_per_cluster: int = 25
    min_history_days: float = ORDER_HALF_LIFE_DAYS
    hysteresis: float = 0.5
    no_return_days: float = 30.0
    max_expected_churn: float = 0.5
    held_ticks_max: int = 1
    algorithm: Algorithm = "resampled-kmeans"
    minor_per_major: int = 100
    seed: int = 0


class Trainer:
    """Learns a segmentation and proposes its models.

    Parameters
    ----------
    settings
        How to learn.
    initial
        What is in force until the first model: the cold-start rules (version 0).
    """

    def __init__(self, settings: TrainerSettings, initial: Model) -> None:
        self.settings = settings
        self.published = initial
        self._parameters = ParameterFit(initial.parameters.order_value_minor)
        self._learner: Learner | None = None
        self._feature_set: FeatureSet | None = None
        self._reference: ReferenceDistribution | None = None
        self._next_code = max(segment.code for segment in initial.segments) + 1
        self._last_tick = NEVER
        self._held_ticks = 0

    def learn(self, sample: PopulationSample) -> ModelProposal | None:
        """Learn from a sample and return the model that comes of it.

        None if the sample is too small or its population too young, if the algorithm found no usable clustering, or
        if its tick was learned before (a sample may be delivered twice), or if some of its customers are not divided by
        the segmentation yet.
        """
        if sample.tick <= self._last_tick or self.settings.segmentation not in sample.memberships:
            return None
        self._last_tick = sample.tick
        if len(sample) == 0 or sample.quantities.tenure_days.max() < self.settings.min_history_days:
            return None
        feature_set = self._feature_set or self._choose_feature_set(sample)
        if len(sample) < self._n_clusters(feature_set) * self.settings.min_customers_per_cluster:
            return None
        self._feature_set = feature_set
        self._parameters.learn(sample.quantities)
        parameters = self._feature_parameters(feature_set)
        features = extract_features(sample.quantities, parameters)
        fit = self._learner_for(parameters.feature_set).learn_sample(features, sample.tick)
        if fit is None:
            return None
        proposal = self._propose(sample, parameters, features, fit)
        if proposal.held:
            self._held_ticks += 1
        else:
            self.published, self._reference = proposal.model, ReferenceDistribution.of(features)
            self._held_ticks = 0
        return proposal

    def _choose_feature_set(self, sample: PopulationSample) -> FeatureSet:
        wanted = self.settings.feature_set
        return choose_feature_set(sample) if wanted == "auto" else wanted

    def _n_clusters(self, feature_set: FeatureSet) -> int:
        return self.settings.n_clusters or DEFAULT_CLUSTERS[feature_set]

    def _feature_parameters(self, feature_set: FeatureSet) -> FeatureParameters:
        # The plain features count money in major units; only the activity set is free of the currency.
        plain = feature_set == "plain"
        order_value = float(self.settings.minor_per_major) if plain else self._parameters.order_value_minor
        return FeatureParameters(feature_set, self._parameters.prior_gap_days, order_value)

    def _learner_for(self, feature_set: FeatureSet) -> Learner:
        if self._learner is None:
            settings = self.settings
            self._learner = create_learner(
                settings.algorithm, feature_set, self._n_clusters(feature_set), settings.sample_size, settings.seed
            )
        return self._learner

    def _propose(
        self, sample: PopulationSample, parameters: FeatureParameters, features: Floats, fit: Fit
    ) -> ModelProposal:
        draft = self._draft(sample, parameters, fit)
        points = draft.standardise(features)
        shares, weights = membership_weights(squared_distances(points, draft.scaled_centroids))
        traits = segment_traits(sample.quantities, self._parameters.order_value_minor, weights)
        means = segment_means(sample.quantities, weights)
        first = self.published.version == 0
        drift = None
        if first or self.published.parameters.feature_set != parameters.feature_set:
            segments = self._identify_by_name(traits, means)
        else:
            earlier = draft.standardise(self.published.centroids)
            _, earlier_weights = membership_weights(squared_distances(points, earlier))
            matched = match_segments(np.sign(earlier_weights), np.sign(weights))
            codes, self._next_code = inherit_codes(self.published.roster.codes[:-1], matched, self._next_code)
            segments = self._name(codes, traits, means)
            shift = centroid_shift(earlier, draft.scaled_centroids, match_centroids(earlier, draft.scaled_centroids))
            drift = self._drift(parameters.feature_set, features, shift)
        model = replace(draft, segments=segments, retired_segments=self._retired(segments))
        churn = expected_churn(model, features, sample.memberships[model.name], sample.as_of_ms)
        return ModelProposal(
            model=replace(model, expected_churn=churn),
            held=not first and self._is_held(churn),
            profiles=profile_segments(sample.quantities, shares, weights, self.settings.minor_per_major),
            drift=drift,
        )

    def _is_held(self, churn: float | None) -> bool:
        settings = self.settings
        moves_too_many = churn is not None and churn > settings.max_expected_churn
        return moves_too_many and self._held_ticks < settings.held_ticks_max

    def _draft(self, sample: PopulationSample, parameters: FeatureParameters, fit: Fit) -> Model:
        """Return the new model before its segments are identified."""
        return Model(
            name=self.settings.segmentation,
            version=self.published.version + 1,
            as_of_ms=sample.as_of_ms,
            parameters=parameters,
            mean=fit.mean,
            scale=fit.scale,
            centroids=fit.centroids,
            segments=tuple(Segment(index + 1, str(index)) for index in range(len(fit.centroids))),
            hysteresis=self.settings.hysteresis,
            no_return_days=self.settings.no_return_days,
            training={
                "algorithm": self.settings.algorithm,
                "sample_size": len(sample),
                "inertia": fit.inertia,
                "step": fit.step,
                "challenger_adopted": fit.challenger_adopted,
                "seed": self.settings.seed,
            },
        )

    def _identify_by_name(self, traits: Floats, means: Floats) -> tuple[Segment, ...]:
        """Name segments afresh; one whose name is in use already is that segment.

        So the "Champions" of the cold-start rules and of the first model are one, and likewise across a change of
        the feature set, where centroids cannot be compared.
        """
        known = {segment.name: segment.code for segment in self.published.segments}
        segments = []
        for name in name_segments(traits, means, [None] * len(traits)):
            code = known.get(name)
            if code is None:
                code, self._next_code = self._next_code, self._next_code + 1
            segments.append(Segment(code, name))
        return tuple(segments)

    def _name(self, codes: tuple[int, ...], traits: Floats, means: Floats) -> tuple[Segment, ...]:
        known = {segment.code: segment.name for segment in self.published.segments}
        names = name_segments(traits, means, [known.get(code) for code in codes])
        return tuple(Segment(code, name) for code, name in zip(codes, names, strict=True))

    def _retired(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Return all earlier segments that a model lacks, so that customers still in one have a name for it."""
        kept = {segment.code for segment in segments}
        return tuple(
            Segment(code, f"{segment.name.removesuffix(FORMER)}{FORMER}")
            for code, segment in self.published.roster.by_code.items()
            if code not in kept
        )

    def _drift(self, feature_set: FeatureSet, features: Floats, shift: float) -> Drift | None:
        if self._reference is None:
            return None
        psi = self._reference.population_stability(features).tolist()
        return Drift(shift, dict(zip(FEATURE_NAMES[feature_set], psi, strict=True)))

    def state(self) -> dict[str, Any]:
        """Return all that the next proposal depends on, as JSON values."""
        return {
            "algorithm": self.settings.algorithm,
            "n_clusters": None if self._feature_set is None else self._n_clusters(self._feature_set),
            "wanted_feature_set": self.settings.feature_set,
            "feature_set": self._feature_set,
            "last_tick": self._last_tick,
            "next_code": self._next_code,
            "held_ticks": self._held_ticks,
            "published": model_document(ModelProposal(self.published)),
            "reference": _state_or_none(self._reference),
            "parameters": self._parameters.state(),
            "learner": _state_or_none(self._learner),
        }

    @classmethod
    def restore(cls, settings: TrainerSettings, state: Mapping[str, Any]) -> Trainer:
        """Return a trainer that goes on where `state` was taken.

        Segments keep their identities under changed settings too; the learner begins anew if the algorithm, the
        number of clusters or the feature set was changed.
        """
        trainer = cls(settings, model_from_document(state["published"]))
        trainer._reference = _reference_or_none(state["reference"])
        trainer._parameters.load_state(state["parameters"])
        trainer._next_code = state["next_code"]
        trainer._held_ticks = state["held_ticks"]
        trainer._last_tick = state["last_tick"]
        feature_set: FeatureSet | None = state["feature_set"]
        if feature_set is not None and state["wanted_feature_set"] == settings.feature_set:
            trainer._feature_set = feature_set
            learned_by = (state["algorithm"], state["n_clusters"])
            same_learner = learned_by == (settings.algorithm, trainer._n_clusters(feature_set))
            if same_learner and state["learner"] is not None:
                trainer._learner_for(feature_set).load_state(state["learner"])
        return trainer


def expected_churn(model: Model, features: Floats, held: Held, as_of_ms: int) -> float | None:
    """Return the share of the sample's assigned customers whom a model would move; None if none is assigned."""
    assigned = np.flatnonzero(held.segment != NO_SEGMENT)
    if not len(assigned):
        return None
    instants = np.full(len(assigned), as_of_ms)
    return float(decide(model, model.score(features[assigned]), held.at(assigned), instants).moves.mean())


def _state_or_none(stateful: Learner | ReferenceDistribution | None) -> dict[str, Any] | None:
    return None if stateful is None else stateful.state()


def _reference_or_none(state: Mapping[str, Any] | None) -> ReferenceDistribution | None:
    return None if state is None else ReferenceDistribution.from_state(state)
