"""Notices ahead of moves that time alone will make."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from stream_app.contracts.outputs.fields import MAX_COUNT, Count, Instant, Output, SegmentationName, SegmentReference
from stream_app.contracts.outputs.migrations import Cause, Holdout, NextMove

NoticeStatus = Literal["upcoming", "averted"]


class UpcomingMove(Output):
    """Notice that a customer will leave a segment if nothing happens, as early as the definition asks (`warn_before`).

    If the customer acts in time, or the definition changes, a second notice says that it has been averted. One that
    nothing has averted is followed by the migration.
    """

    notice_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Stable hash of segmentation, customer and sequence: equal for a repeated delivery, and no migration's."""
    sequence: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Of the notices, per segmentation and customer, from 1, without gaps."""
    customer_id: str
    segmentation: SegmentationName
    segment: SegmentReference
    """Which it will leave, or was about to."""
    leaves_at: Instant
    """When it leaves, or would have left."""
    to_segment: SegmentReference | None
    """Where that leads, or would have led; null for out of an audience."""
    lead: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[smhd]$")]
    """How long in advance the notice is given, as configured: whole seconds, minutes, hours or days."""
    status: NoticeStatus
    decided_at: Instant
    """When it was found."""
    cause: Cause
    """Why now: `lapse` where the instant has come near; otherwise what brought it near, or has averted it."""
    model_version: Count
    """Of the model or definition in force."""
    next_move: NextMove | None
    """The customer's next move in this segmentation, as of `decided_at`; null if silence moves it no more."""
    holdout: Holdout
