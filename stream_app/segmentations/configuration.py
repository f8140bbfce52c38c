"""What the configuration of every kind of segmentation has in common."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from stream_app.segmentations.durations import Duration

SEGMENTATIONS_MAX: Final = 64
"""How many there can be at once, of all kinds."""
LEARNED_MAX: Final = 8
"""How many of them can be learned: a customer's row grows by 40 bytes with each."""

Slug = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,63}$")]
"""A name in topics, keys and addresses."""
SegmentName = Annotated[str, Field(min_length=1, max_length=80)]
"""A name for people."""
Action = Annotated[str, Field(min_length=1, max_length=500)]
"""What to do with a segment's customers."""


class Configuration(BaseModel):
    """Base of all parts: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SegmentationConfiguration(Configuration):
    """One way of dividing customers; kinds add their own fields."""

    kind: str
    """Which kind of segmentation it is."""
    name: Slug
    """Unique in a deployment; kept for good, as state, ids and keys are made of it."""
    title: SegmentName | None = None
    """For people; may change. The name if none is given."""
    description: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """What it is for."""
    owner: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Whom to ask about it."""
    action: Action | None = None
    """What to do with its customers."""
    warn_before: Duration | None = None
    """How far ahead a record in `segment-upcoming` announces that silence will move a customer out of a segment."""
