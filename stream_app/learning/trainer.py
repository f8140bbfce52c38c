"""From one sample of the population after another to the next model.

At each tick: learn what would fit the sample, go as far towards it as few customers move by it, and say what that would
do and how far the population has drifted. Learning begins with the first customers and goes by small steps, so no model
turns over what has been published about customers.

What is learned may be held back for an operator, whose decisions are the other half of this file; see
`stream_app.learning.releases` for what there is to decide on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stream_app.core.members import NO_MEMBERS, MemberFigures, member_figures
from stream_app.errors import DecisionRefused
from stream_app.learning.algorithms import Algorithm
from stream_app.learning.drift import ReferenceDistribution, role_shifts
from stream_app.learning.population import PopulationFit, Wanted
from stream_app.learning.publishing import Forecast, Publication, choose_step, differs
from stream_app.learning.releases import Held, Releases
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.document import Drift, ModelProposal, model_document, model_from_document
from stream_app.segmentations.learned.model import Model

Approval = Literal["automatic", "manual"]
NEVER: Final = -1
"""Stands for "no tick learned yet"; ticks count from 0."""


@dataclass(frozen=True)
class TrainerSettings:
    """How a segmentation is learned.

    Parameters
    ----------
    segmentation
        Name of the segmentation.
    algorithm
        See `stream_app.learning.algorithms`.
    sample_size
        Customers to draw at a tick, for those who draw; the trainer learns from all it is given.
    max_publish_churn
        Share of customers, in [0, 1], that a model may move at once.
    approval
        `"manual"` holds every model but the first until an operator releases it.
    seed
        ≥ 0; fixes, together with the ticks, every random choice.
    minor_per_major
        Minor units of the base currency to one major unit.
    """

    segmentation: str = "value"
    algorithm: Algorithm = "role-centres"
    sample_size: int = 2000
    max_publish_churn: float = 0.02
    approval: Approval = "automatic"
    seed: int = 0
    minor_per_major: int = 100


class Trainer:
    """Learns a segmentation and proposes its models.

    Parameters
    ----------
    settings
        How to learn.
    initial
        What is in force until the first model: the prior numbers (version 0).

    Attributes
    ----------
    published
        The version in force.
    releases
        What an operator may decide on.
    refusal
        Why the centres of the last tick were not taken; None if they were, or none were sought.
    """

    def __init__(self, settings: TrainerSettings, initial: Model) -> None:
        self.settings = settings
        self.published = initial
        self.refusal: str | None = None
        self._fit = PopulationFit(settings.algorithm, settings.seed)
        self._reference: ReferenceDistribution | None = None
        self._last_tick = NEVER
        self.releases = Releases()
        self.releases.publish(initial, None)

    def follow(self, model: Model) -> None:
        """Continue from a version that was published elsewhere, with changed thresholds or names."""
        if model.version > self.published.version:
            self._publish(model, self._reference)

    def learn(self, sample: PopulationSample) -> ModelProposal | None:
        """Learn from a sample and return the model that comes of it.

        None if nothing comes of it, if its tick was learned before (a sample may be delivered twice), or if some of its
        customers are not divided by the segmentation yet.
        """
        self.refusal = None
        if sample.tick <= self._last_tick or self.published.name not in sample.memberships:
            return None
        self._last_tick = sample.tick
        if len(sample) == 0:
            return None
        wanted = self._fit.learn(sample, self.published.frame)
        self.refusal = wanted.refusal
        forecast = Forecast(self.published, sample)
        publication = choose_step(self.published.frame, wanted.frame, forecast.churn, self.settings.max_publish_churn)
        if not differs(self.published.frame, publication.frame):
            return None
        proposal = ModelProposal(
            model=self.published.successor(
                as_of_ms=sample.as_of_ms,
                frame=publication.frame,
                expected_churn=publication.churn if len(forecast) else None,
                training=self._training(sample, wanted, publication),
            ),
            held=self._holds_back,
            drift=self._drift(sample, wanted),
            members=self._members(sample),
        )
        reference = ReferenceDistribution.of(sample.quantities, proposal.model.frame)
        if proposal.held:
            self.releases.held = Held(proposal, reference)
        else:
            self._publish(proposal.model, reference)
        return proposal

    @property
    def _holds_back(self) -> bool:
        is_manual = self.settings.approval == "manual" and self.published.version > 0
        return is_manual or self.releases.pinned is not None

    def _publish(self, model: Model, reference: ReferenceDistribution | None) -> None:
        self.published = model
        self._reference = reference
        self.releases.publish(model, reference)

    # --- an operator's decisions ---------------------------------------------------------------------------------

    def approve(self, version: int, as_of_ms: int | None = None) -> ModelProposal:
        """Publish the model that is held, and return it; see `Releases.require_held` for what is refused.

        Raises
        ------
        DecisionRefused
            If it is not held, or no longer, or a version is pinned.
        """
        if self.releases.pinned is not None:
            raise DecisionRefused(
                f"version {self.releases.pinned} is pinned, and no other is published until it is unpinned"
            )
        proposal, reference = self.releases.require_held(version, as_of_ms)
        self._publish(proposal.model, reference)
        return replace(proposal, held=False)

    def reject(self, version: int, as_of_ms: int | None = None) -> ModelProposal:
        """Drop the model that is held, and return it; the next tick may propose another one.

        Raises
        ------
        DecisionRefused
            If it is not held, or no longer.
        """
        proposal, _ = self.releases.require_held(version, as_of_ms)
        self.releases.held = None
        return replace(proposal, rejected=True)

    def pin(self, version: int) -> ModelProposal | None:
        """Keep a version's frame in force, and return the model that brings it back; None if it is in force.

        Raises
        ------
        DecisionRefused
            If the version was never published, or is no longer kept.
        """
        release = self.releases.require_published(version)
        self.releases.pinned = version
        if not differs(self.published.frame, release.frame):
            return None
        model = self.published.successor(
            as_of_ms=release.as_of_ms, frame=release.frame, training={"republished_version": version}
        )
        self._publish(model, release.reference)
        return ModelProposal(model)

    def unpin(self) -> None:
        """Let learning continue.

        Raises
        ------
        DecisionRefused
            If no version is pinned.
        """
        if self.releases.pinned is None:
            raise DecisionRefused("no version is pinned")
        self.releases.pinned = None

    def _training(self, sample: PopulationSample, wanted: Wanted, publication: Publication) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "algorithm": self.settings.algorithm,
            "sample_size": len(sample),
            "active_customers": wanted.active_customers,
            "step": publication.step,
            "open_roles": int(publication.frame.admits.sum()),
            "seed": self.settings.seed,
        }
        return figures if wanted.refusal is None else figures | {"refusal": wanted.refusal}

    def _drift(self, sample: PopulationSample, wanted: Wanted) -> Drift | None:
        if self._reference is None:
            return None
        frame = self.published.frame
        psi = self._reference.population_stability(sample.quantities, frame)
        return Drift(psi, role_shifts(frame, wanted.frame) if wanted.has_centres else {})

    def _members(self, sample: PopulationSample) -> dict[int, MemberFigures] | None:
        sums = sample.members.get(self.published.name)
        if sums is None:
            return None
        codes = self.published.roster.codes.tolist()
        codes += sorted(sums.keys() - set(codes))  # customers in retired segments count in the shares
        by_code = {code: sums.get(code, NO_MEMBERS) for code in codes}
        return member_figures(by_code, sample.as_of_ms, self.settings.minor_per_major)

    def state(self) -> dict[str, Any]:
        """Return all that the next proposal depends on, as JSON values."""
        return {
            "last_tick": self._last_tick,
            "published": model_document(ModelProposal(self.published)),
            "reference": None if self._reference is None else self._reference.state(),
            "fit": self._fit.state(),
            "releases": self.releases.state(),
        }

    @classmethod
    def restore(cls, settings: TrainerSettings, state: Mapping[str, Any]) -> Trainer:
        """Return a trainer that continues where `state` was taken.

        Of the state of an earlier release, whose segments were clusters, only ticks, versions and segments continue.
        """
        trainer = cls(settings, model_from_document(state["published"]))
        trainer._last_tick = state["last_tick"]
        if "fit" in state:
            trainer._fit.load_state(state["fit"])
            if state["reference"] is not None:
                trainer._reference = ReferenceDistribution.from_state(state["reference"])
        if "releases" in state:
            trainer.releases.load_state(state["releases"])
        return trainer
