"""What the view looks like in Redis: the names of its keys and the form of its values.

Whoever writes it (`stream_app.view`) and whoever reads it (`stream_app.api`) share this file and nothing else;
`docs/redis.md` explains it for those who read Redis themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from stream_app.core.migration import Cause, Holdout
from stream_app.segmentations.learned.explanation import CustomerFigures, LearnedReason

WHY_FIELD: Final = "?"
"""Before a segmentation's name in a customer's hash: why it is in its segment. Without it: that it is."""
FLOW_SEPARATOR: Final = ">"


@dataclass(frozen=True)
class ViewKeys:
    """Names of keys.

    Parameters
    ----------
    prefix
        Stands before every key, so that the view can share a database.
    """

    prefix: str

    @property
    def pointer(self) -> str:
        """String: the generation that readers read."""
        return self.prefix + "generation"

    @property
    def generations(self) -> str:
        """Set: the generations of which there may be keys."""
        return self.prefix + "generations"

    @property
    def feed(self) -> str:
        """Stream: the newest migrations; it belongs to no generation, so that its ids outlive a rebuild."""
        return self.prefix + "feed"

    @property
    def feed_position(self) -> str:
        """Hash: partition to the offset that comes next in the feed."""
        return self.prefix + "feed:position"

    def of(self, generation: str) -> str:
        """Return what all keys of a generation begin with."""
        return f"{self.prefix}{generation}:"

    def position(self, generation: str) -> str:
        """Hash: `topic/partition` to the offset that comes next, and `at`, when it was last written (ms)."""
        return self.of(generation) + "position"

    def customer(self, generation: str, customer_id: str) -> str:
        """Hash: segmentation to membership, `?segmentation` to the reason."""
        return f"{self.of(generation)}c:{customer_id}"

    def members(self, generation: str, segmentation: str, segment: str) -> str:
        """Sorted set: customer id by the instant it entered the segment (ms)."""
        return f"{self.of(generation)}m:{segmentation}:{segment}"

    def flows(self, generation: str, segmentation: str, day: str) -> str:
        """Hash: `from>to>cause` to the number of migrations that became true on a day (UTC)."""
        return f"{self.of(generation)}f:{segmentation}:{day}"

    def models(self, generation: str, segmentation: str) -> str:
        """Hash: `version`, or `version/held`, to the model's document."""
        return f"{self.of(generation)}models:{segmentation}"

    def segmentations(self, generation: str) -> str:
        """Set: names of the segmentations that there are models of."""
        return self.of(generation) + "segmentations"


class MembershipValue(NamedTuple):
    """What a customer's hash says of a membership: `sequence segment since_ms model_version as_of_ms`.

    In this form it stays below the 64 bytes up to which Redis packs a small hash by default.
    """

    sequence: int
    segment: str
    since_ms: int
    model_version: int
    as_of_ms: int

    def encode(self) -> str:
        """Return the value."""
        return f"{self.sequence} {self.segment} {self.since_ms} {self.model_version} {self.as_of_ms}"

    @classmethod
    def decode(cls, value: bytes) -> MembershipValue:
        """Return what a value says."""
        sequence, segment, since_ms, model_version, as_of_ms = value.split()
        return cls(int(sequence), segment.decode(), int(since_ms), int(model_version), int(as_of_ms))


class Why(msgspec.Struct, array_like=True, gc=False):
    """Why a customer is in its segment, as a JSON array without names; the sequence stands first, for the script.

    Attributes
    ----------
    before, after
        `CustomerFigures` in their order.
    """

    sequence: int
    from_segment: str | None
    change: str
    cause: str
    event_id: str | None
    margin: float | None
    distance_from: float | None
    distance_to: float
    decisive_feature: str | None
    sentence: str
    before: tuple[float, float, float, float, float, float, float] | None
    after: tuple[float, float, float, float, float, float, float]
    bucket: int
    held_out: bool

    def explanation(self) -> LearnedReason:
        """Return it as the migration had it."""
        return LearnedReason(
            None if self.before is None else CustomerFigures(*self.before),
            CustomerFigures(*self.after),
            self.distance_from,
            self.distance_to,
            self.margin,
            self.decisive_feature,
            self.sentence,
        )

    def holdout(self) -> Holdout:
        """Return it as the migration had it."""
        return Holdout(self.bucket, self.held_out)

    def cause_of(self) -> Cause:
        """Return the cause, without the position of its event."""
        return Cause(self.cause, self.event_id, None)


def flow_field(from_segment: str | None, to_segment: str, cause: str) -> str:
    """Return the field of a flow; a first entry comes from nothing."""
    return FLOW_SEPARATOR.join((from_segment or "", to_segment, cause))


def model_field(version: int, status: str) -> str:
    """Return the field of a model: a version may be held at first and be published later."""
    return str(version) if status == "published" else f"{version}/{status}"
