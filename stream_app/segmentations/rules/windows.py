"""The windows that events are counted in.

All are half-open. A window that moves holds t if now − D < t ≤ now, so that an event is out at exactly t + D; one that
stands still holds t if from ≤ t < to. Days of a calendar are local dates of a named time zone, of 23, 24 or 25 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.durations import Duration, DurationOrZero, Instant
from stream_app.segmentations.rules.values import ZoneName

DEFAULT_ZONE = "UTC"
"""The time zone where neither a condition nor its file names one."""


class Calendar(Configuration):
    """The last local dates."""

    days: Annotated[int, Field(strict=True, ge=1, le=3660)]
    """How many dates."""
    timezone: ZoneName | None = None
    """Whose midnight begins a date; the file's time zone if none is given."""
    today: Annotated[bool, Field(strict=True)] = True
    """`true`: the present date is one of them; `false`: the dates before it."""

    @property
    def zone(self) -> str:
        """The time zone."""
        return self.timezone or DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class Moving:
    """now − oldest_ms < t ≤ now − newest_ms."""

    newest_ms: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """from_ms ≤ t < to_ms; None is open."""

    from_ms: int | None
    to_ms: int | None


Window: TypeAlias = Moving | Fixed | Calendar


class Windowed(Configuration):
    """Part of a leaf that says when events count; without any of these, all do."""

    last: Duration | None = None
    """Events up to now; `30d`: out at exactly 30 days of age."""
    between_ago: tuple[DurationOrZero, Duration] | None = None
    """Events between two ages: `[30d, 90d]` are those of 30 days or more and less than 90."""
    since: Annotated[Instant | None, Field(alias="from")] = None
    """Events from this instant on; alone or together with `to`."""
    to: Instant | None = None
    """Events before this instant; alone or together with `from`."""
    calendar: Calendar | None = None
    """Events of the last local dates."""

    @property
    def window(self) -> Window | None:
        """When events count; None for all time."""
        if self.last is not None:
            return Moving(0, self.last.milliseconds)
        if self.between_ago is not None:
            newest, oldest = self.between_ago
            return Moving(newest.milliseconds, oldest.milliseconds)
        if self.since is not None or self.to is not None:
            return Fixed(self.since.at_ms if self.since else None, self.to.at_ms if self.to else None)
        return self.calendar

    @model_validator(mode="after")
    def _require_one_window(self) -> Windowed:
        given = [name for name in ("last", "between_ago", "calendar") if getattr(self, name) is not None]
        if self.since is not None or self.to is not None:
            given.append("from/to")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are combined, expected one window")
        if self.between_ago is not None and self.between_ago[0] >= self.between_ago[1]:
            newest, oldest = self.between_ago
            raise ValueError(f"between_ago: [{newest}, {oldest}], expected the shorter duration first")
        if self.since is not None and self.to is not None and self.since >= self.to:
            raise ValueError(f"from: {self.since} is not before to: {self.to}, so nothing lies between them")
        return self
