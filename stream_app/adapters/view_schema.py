"""The view in Redis: the names of its keys and the form of its values.

Its writer (`stream_app.view`) and its reader (`stream_app.api`) share this file and nothing else; `docs/redis.md`
explains it for those who read Redis themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from stream_app.contracts.readers import MigrationRecord

REASON_FIELD: Final = "?"
"""Before a segmentation's name in a customer's hash: why it is in its segment. Without it: that it is."""
FORM: Final = b"3"
"""Of a generation as a whole: the view rebuilds one of another form. Since 2 it has histories, and days of flows; since
3 the money of flows, refused records, and buyers."""
FLOW_SEPARATOR: Final = ">"
MONEY_UNITS: Final = 10_000
"""To a major unit of the base currency, in the money of flows: no currency has smaller ones."""
UNKNOWN_MONEY: Final = "?"
"""Before the field of a flow: how many of its moves do not say what the customers had brought."""
REFUSED_DAYS: Final = 90
"""So long refused records are counted, as `dead-letters` keeps them by default."""
REFUSED_EXAMPLES: Final = 5
"""The newest of each reason that are kept."""
REFUSED_CHARACTERS: Final = 300
"""Of the message of each."""
NO_SEGMENT: Final = "-"
"""Stands for none where a segment's id would be."""


@dataclass(frozen=True)
class ViewKeys:
    """Names of keys.

    Parameters
    ----------
    prefix
        Of every key, so that the view can share a database.
    """

    prefix: str

    @property
    def pointer(self) -> str:
        """String: the generation that readers read."""
        return self.prefix + "generation"

    @property
    def generations(self) -> str:
        """Set: the generations that may have keys."""
        return self.prefix + "generations"

    @property
    def feed(self) -> str:
        """Stream: the newest migrations; it belongs to no generation, so that its ids outlive a rebuild."""
        return self.prefix + "feed"

    @property
    def feed_position(self) -> str:
        """Hash: partition to the offset that comes next in the feed."""
        return self.prefix + "feed:position"

    def signed_out(self, number: str) -> str:
        """Text without content: a session of the console has ended. The API writes it; it expires after the session."""
        return f"{self.prefix}console:signed-out:{number}"

    @property
    def actions(self) -> str:
        """Hash: `segmentation/segment` to what somebody has said to do with its customers. The API writes it."""
        return self.prefix + "console:actions"

    @property
    def forgotten(self) -> str:
        """Sorted set: customer who was erased by the instant (ms) of that, until the feed has nothing of it either."""
        return self.prefix + "forgotten"

    def of(self, generation: str) -> str:
        """Return the prefix of all keys of a generation."""
        return f"{self.prefix}{generation}:"

    def position(self, generation: str) -> str:
        """Hash: `topic/partition` to the offset that comes next, `at`, when it was last written (ms), and `form`."""
        return self.of(generation) + "position"

    def told(self, generation: str) -> str:
        """Hash: `follower` to what the process that writes the view said last of itself, see `FollowerCondition`."""
        return self.of(generation) + "told"

    def customer(self, generation: str, customer_id: str) -> str:
        """Hash: segmentation to membership, `?segmentation` to the reason."""
        return f"{self.of(generation)}c:{customer_id}"

    def history(self, generation: str, customer_id: str) -> str:
        """List: the newest migrations of a customer (`PastMove`), as they came, the last one first."""
        return f"{self.of(generation)}h:{customer_id}"

    def members(self, generation: str, segmentation: str, segment: str) -> str:
        """Sorted set: customer id by the instant it entered the segment (ms)."""
        return f"{self.of(generation)}m:{segmentation}:{segment}"

    def paths_ahead(self, generation: str, segmentation: str) -> str:
        """Set: `segment>segment` for paths that silence will take, or would have taken, some customers."""
        return f"{self.of(generation)}u:{segmentation}"

    def ahead(self, generation: str, segmentation: str, path: str) -> str:
        """Sorted set: customer id by the instant of its next move (ms), of those who will go a path."""
        return f"{self.paths_ahead(generation, segmentation)}:{path}"

    def flows(self, generation: str, segmentation: str, day: str) -> str:
        """Hash: `from>to>cause>change` to the number of migrations that became true on a day of the shop."""
        return f"{self.of(generation)}f:{segmentation}:{day}"

    def flow_money(self, generation: str, segmentation: str, day: str) -> str:
        """Hash: the same fields to what those customers had brought before, see `MONEY_UNITS` and `UNKNOWN_MONEY`."""
        return f"{self.of(generation)}v:{segmentation}:{day}"

    def refused(self, generation: str, day: str) -> str:
        """Hash: reason to the records that were refused for it on a day of the shop; it goes after `REFUSED_DAYS`."""
        return f"{self.of(generation)}r:{day}"

    def refused_examples(self, generation: str, reason: str) -> str:
        """List: the newest records that were refused for a reason (`RefusedExample`), the last one first."""
        return f"{self.of(generation)}x:{reason}"

    def buyers(self, generation: str) -> str:
        """Hash: partition to its newest sample of customers with what they have brought, see `Buyers`."""
        return self.of(generation) + "buyers"

    def forgot(self, generation: str) -> str:
        """Hash: partition to when (ms) the last customer of it was erased; samples from before that are not kept."""
        return self.of(generation) + "forgot"

    def flow_days(self, generation: str, segmentation: str) -> str:
        """Set: the days that there are flows of."""
        return f"{self.of(generation)}d:{segmentation}"

    def totals(self, generation: str, segmentation: str) -> str:
        """Hash: `day/partition` to what members had done by the end of that day of the shop, see `TotalsValue`."""
        return f"{self.of(generation)}t:{segmentation}"

    def models(self, generation: str, segmentation: str) -> str:
        """Hash: `version`, or `version/held`, to the model's document."""
        return f"{self.of(generation)}models:{segmentation}"

    def figures(self, generation: str, segmentation: str) -> str:
        """Hash: partition to its newest record of `segment-figures`."""
        return f"{self.of(generation)}figures:{segmentation}"

    def segmentations(self, generation: str) -> str:
        """Set: names of the segmentations that there are models of."""
        return self.of(generation) + "segmentations"


class MembershipValue(NamedTuple):
    """A membership in a customer's hash: `sequence segment since_ms model_version as_of_ms next_at_ms next_segment`.

    The last two are left out if silence moves the customer no more; the last one is `-` if it leaves the segmentation.
    In this form it stays below the 64 bytes up to which Redis packs a small hash by default. Consents that are
    published follow `as_of_ms` and a slash: `+email,-advertising`.
    """

    sequence: int
    segment: str
    since_ms: int
    model_version: int
    as_of_ms: int
    next_at_ms: int | None = None
    next_segment: str | None = None
    consents: Mapping[str, bool] | None = None

    def encode(self) -> str:
        """Return the value."""
        told = f"{self.sequence} {self.segment} {self.since_ms} {self.model_version} {self.as_of_ms}"
        if self.consents:
            told += "/" + ",".join(("+" if agrees else "-") + purpose for purpose, agrees in self.consents.items())
        return told if self.next_at_ms is None else f"{told} {next_text(self.next_at_ms, self.next_segment)}"

    @classmethod
    def decode(cls, value: bytes) -> MembershipValue:
        """Parse a value."""
        sequence, segment, since_ms, model_version, as_of, *following = value.decode().split()
        as_of_ms, _, told = as_of.partition("/")
        at_ms, target = following or (None, NO_SEGMENT)
        return cls(
            int(sequence),
            segment,
            int(since_ms),
            int(model_version),
            int(as_of_ms),
            None if at_ms is None else int(at_ms),
            None if target == NO_SEGMENT else target,
            {each[1:]: each[0] == "+" for each in told.split(",")} if told else None,
        )


class FollowerCondition(msgspec.Struct, frozen=True, gc=False):
    """How the process that writes the view is.

    Attributes
    ----------
    version
        Of the software.
    state
        `current`, or why it is not.
    staleness_seconds
        Age of the oldest record that is not in the view.
    lag_records
        By kind of record, how many are not in the view yet.
    """

    version: str
    state: str
    staleness_seconds: float
    lag_records: dict[str, int]


class RefusedExample(msgspec.Struct, array_like=True, gc=False):
    """A record that was refused: when, where it was read, the field at fault, and what is wrong."""

    at_ms: int
    topic: str
    partition: int
    offset: int
    field: str
    message: str


class Buyers(msgspec.Struct, array_like=True, gc=False):
    """Customers of a partition, drawn by chance, and what they had brought: a column each.

    Attributes
    ----------
    as_of_ms
        When they were drawn.
    population
        From how many.
    ids
        Of customers.
    orders, revenue_minor
        In all their time.
    ordered_at_ms
        When they ordered last; of those without an order it says nothing.
    """

    as_of_ms: int
    population: int
    ids: list[str]
    orders: list[int]
    revenue_minor: list[int]
    ordered_at_ms: list[int]


class TotalsValue(NamedTuple):
    """What all members of a segmentation in a partition have done: `customers purchases revenue_minor`."""

    customers: int
    purchases: int
    revenue_minor: int

    def encode(self) -> str:
        """Return the value."""
        return " ".join(map(str, self))

    @classmethod
    def decode(cls, value: bytes) -> TotalsValue:
        """Parse a value."""
        return cls(*map(int, value.split()))


def next_text(at_ms: int, segment: str | None) -> str:
    """Return how a membership's value ends where silence moves the customer."""
    return f"{at_ms} {segment or NO_SEGMENT}"


def path_ends(path: str) -> tuple[str, str | None]:
    """Return the segments that a path ahead leads from and to; None stands for out of the segmentation."""
    segment, _, target = path.partition(FLOW_SEPARATOR)
    return segment, None if target == NO_SEGMENT else target


def flow_field(migration: MigrationRecord) -> str:
    """Return the field that counts a migration; a first entry comes from nothing, and leaving leads to nothing."""
    ends = migration.from_segment, migration.to_segment
    names = ("" if end is None else end.id for end in ends)
    return FLOW_SEPARATOR.join((*names, migration.cause.kind, migration.change))


class FlowField(NamedTuple):
    """What a field of flows counts; None stands for none at entries and leavings."""

    from_segment: str | None
    to_segment: str | None
    cause: str
    change: str

    @classmethod
    def decode(cls, field: str) -> FlowField:
        """Parse a field; one of an earlier release lacks the change, which the ends tell in part."""
        origin, target, cause, *told = field.split(FLOW_SEPARATOR)
        plain = "moved" if origin and target else "left" if origin else "entered"
        return cls(origin or None, target or None, cause, told[0] if told else plain)


def model_field(version: int, status: str) -> str:
    """Return the field of a model: a version may be held, or rejected, at first and be published later."""
    return str(version) if status == "published" else f"{version}/held"
