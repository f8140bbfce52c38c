"""What an operator may choose among: the frames that were published of late, and the model that is held back.

A trainer proposes and an operator disposes: a held model is let through or refused, and a published one is pinned.
While one is pinned, whatever is learned is held back. Pinning an earlier version publishes its frame again as the next
version, since versions ascend; what is configured (thresholds, names, actions) is that of the version in force.

Each frame is kept with the distribution of the sample that it was learned from, so that drift is always measured
against the population that the frame in force was made for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from stream_app.core.clock import format_instant
from stream_app.errors import DecisionRefused
from stream_app.learning.drift import ReferenceDistribution
from stream_app.segmentations.learned.document import (
    ModelProposal,
    frame_document,
    model_document,
    parse_frame,
    proposal_from_document,
)
from stream_app.segmentations.learned.model import Frame, Model

RELEASES_MAX: Final = 12
"""Published frames to choose from: a quarter of a year of weekly ticks, in some 20 kB of a trainer's state."""


class Release(NamedTuple):
    """A frame that was published.

    Attributes
    ----------
    version, as_of_ms
        Of the model that published it.
    frame
        What it had learned.
    reference
        Distribution of the sample that it was learned from; None if it was learned from none.
    """

    version: int
    as_of_ms: int
    frame: Frame
    reference: ReferenceDistribution | None


class Held(NamedTuple):
    """A model that waits for an operator, and the distribution of its sample."""

    proposal: ModelProposal
    reference: ReferenceDistribution


class Releases:
    """The models of one segmentation that an operator may decide on.

    Attributes
    ----------
    held
        The one that waits; its version is the next one.
    pinned
        The version whose frame stays in force whatever is learned; None if none is pinned.
    """

    def __init__(self) -> None:
        self.held: Held | None = None
        self.pinned: int | None = None
        self._published: deque[Release] = deque(maxlen=RELEASES_MAX)

    def __iter__(self) -> Iterator[Release]:
        return iter(self._published)

    def publish(self, model: Model, reference: ReferenceDistribution | None) -> None:
        """Take note of a model that is in force now; one that was held would have been its rival, and is gone."""
        self.held = None
        self._published.append(Release(model.version, model.as_of_ms, model.frame, reference))

    def require_held(self, version: int, as_of_ms: int | None) -> Held:
        """Return the held model of a version.

        Parameters
        ----------
        as_of_ms
            The instant that it was learned at: a tick may have put another one of the same version in its place. None
            means whichever it is.

        Raises
        ------
        DecisionRefused
            If it is not there, or no longer there.
        """
        if self.held is None:
            raise DecisionRefused(f"version {version} is not held: no model waits")
        model = self.held.proposal.model
        if model.version != version:
            raise DecisionRefused(f"version {version} is not held: the model that waits is version {model.version}")
        if as_of_ms is not None and as_of_ms != model.as_of_ms:
            raise DecisionRefused(
                f"version {version} as of {format_instant(as_of_ms)} is no longer held: the one that waits was "
                f"learned at {format_instant(model.as_of_ms)}"
            )
        return self.held

    def require_published(self, version: int) -> Release:
        """Return a frame that was published.

        Raises
        ------
        DecisionRefused
            If it never was, or is no longer kept.
        """
        for release in self._published:
            if release.version == version:
                return release
        kept = ", ".join(str(release.version) for release in self._published)
        raise DecisionRefused(f"version {version} is not among the published ones that are kept, which are {kept}")

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "pinned": self.pinned,
            "held": self.held
            and {"model": model_document(self.held.proposal), "reference": self.held.reference.state()},
            "published": [
                {
                    "version": release.version,
                    "as_of_ms": release.as_of_ms,
                    "frame": frame_document(release.frame),
                    "reference": release.reference and release.reference.state(),
                }
                for release in self._published
            ],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was called on."""
        held = state["held"]
        self.pinned = state["pinned"]
        self.held = held and Held(
            proposal_from_document(held["model"]), ReferenceDistribution.from_state(held["reference"])
        )
        self._published.clear()
        self._published.extend(
            Release(
                entry["version"],
                entry["as_of_ms"],
                parse_frame(entry["frame"]),
                entry["reference"] and ReferenceDistribution.from_state(entry["reference"]),
            )
            for entry in state["published"]
        )
