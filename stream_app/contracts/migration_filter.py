"""Which migrations somebody asks for: the same for the live stream and for webhooks.

Moves by a new model or definition say nothing new about the customer and come in thousands: they are left out unless
somebody asks for them by their cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stream_app.contracts.migration_conditions import holds
from stream_app.contracts.outputs.fields import SLUG
from stream_app.contracts.readers import KEY_SEPARATOR, MigrationRecord, SegmentReference, UpcomingRecord
from stream_app.core.moves import VERSION_CAUSES
from stream_app.segmentations.rules.conditions import Condition

_SLUG: Final = re.compile(SLUG)

HoldoutChoice = Literal["exclude", "only", "include"]


@dataclass(frozen=True, slots=True)
class SegmentChoice:
    """A segment as somebody names it.

    Parameters
    ----------
    segmentation
        None: any.
    segment
        Its id or its name.
    """

    segmentation: str | None
    segment: str

    @classmethod
    def parse(cls, text: str) -> SegmentChoice:
        """Read `value/s3`, `value/At risk`, or a bare id or name, which may itself hold a slash."""
        segmentation, separator, segment = text.partition(KEY_SEPARATOR)
        if separator and segment and _SLUG.fullmatch(segmentation):
            return cls(segmentation, segment)
        return cls(None, text)

    def matches(self, segmentation: str, segment: SegmentReference | None) -> bool:
        """Return whether this is the segment meant; null, which stands for no segment, never is."""
        return (
            segment is not None
            and self.segmentation in (None, segmentation)
            and self.segment in (segment.id, segment.name)
        )


@dataclass(frozen=True, slots=True)
class MigrationFilter:
    """Selects the migrations that match every field given; of several alternatives one is enough.

    Parameters
    ----------
    segmentations, from_segments, to_segments, changes, directions
        Alternatives; None: any. A migration without a direction, such as a first entry, fits none.
    causes
        Alternatives; None: any but those of `VERSION_CAUSES`.
    min_margin
        At least this far past the border. Only a move that a distance decided has a margin; a migration without one,
        such as a first entry, has nothing to fall short of and passes. `changes` without `entered` leaves entries out.
    holdout
        Whether customers who are held out are left out, the only ones, or treated as all others.
    statuses
        Alternatives, of notices alone; None: any.
    where
        Of migrations alone: a condition of `read_condition` that must be true; None: any.
    purpose
        What the customers must agree to; None: nothing. Notices tell nothing of consents: none is selected then.
    """

    segmentations: tuple[str, ...] | None = None
    from_segments: tuple[SegmentChoice, ...] | None = None
    to_segments: tuple[SegmentChoice, ...] | None = None
    changes: tuple[str, ...] | None = None
    directions: tuple[str, ...] | None = None
    causes: tuple[str, ...] | None = None
    min_margin: float | None = None
    holdout: HoldoutChoice = "include"
    statuses: tuple[str, ...] | None = None
    where: Condition | None = None
    purpose: str | None = None

    def selects(self, migration: MigrationRecord) -> bool:
        """Return whether a migration is asked for."""
        margin, name = migration.margin, migration.segmentation
        return (
            (self.segmentations is None or name in self.segmentations)
            and _is_any(self.from_segments, name, migration.from_segment)
            and _is_any(self.to_segments, name, migration.to_segment)
            and (self.changes is None or migration.change in self.changes)
            and (self.directions is None or migration.direction in self.directions)
            and self._selects_cause(migration.cause.kind)
            and (self.min_margin is None or margin is None or margin >= self.min_margin)
            and self._selects_holdout(is_held_out=migration.holdout.held_out)
            and (self.where is None or holds(self.where, migration))
            and agrees(migration.consents, self.purpose)
        )

    def selects_notice(self, notice: UpcomingRecord) -> bool:
        """Return whether a notice is asked for: `from` is the segment that it is about.

        It has no change, direction and margin. A warning that comes to nothing is always reported, whatever the
        cause, so that without `causes` all are selected.
        """
        name = notice.segmentation
        return (
            (self.segmentations is None or name in self.segmentations)
            and _is_any(self.from_segments, name, notice.segment)
            and _is_any(self.to_segments, name, notice.to_segment)
            and (self.causes is None or notice.cause.kind in self.causes)
            and (self.statuses is None or notice.status in self.statuses)
            and self._selects_holdout(is_held_out=notice.holdout.held_out)
            and self.purpose is None
        )

    def _selects_holdout(self, *, is_held_out: bool) -> bool:
        return self.holdout == "include" or is_held_out == (self.holdout == "only")

    def _selects_cause(self, kind: str) -> bool:
        return kind not in VERSION_CAUSES if self.causes is None else kind in self.causes


def agrees(consents: Mapping[str, bool] | None, purpose: str | None) -> bool:
    """Return whether a customer agrees to a purpose, by what a record tells of consents; to None everybody does."""
    return purpose is None or consents is None or consents.get(purpose, True)


def _is_any(choices: tuple[SegmentChoice, ...] | None, segmentation: str, segment: SegmentReference | None) -> bool:
    return choices is None or any(choice.matches(segmentation, segment) for choice in choices)
