"""What the configuration of every kind of segmentation has in common."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

SEGMENTATIONS_MAX: Final = 8
"""How many there can be at once: a customer's row grows by 40 bytes with each."""

Slug = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,63}$")]
"""A name in topics, keys and addresses."""


class Configuration(BaseModel):
    """Base of all parts: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SegmentationConfiguration(Configuration):
    """One way of dividing customers; kinds add their own fields."""

    kind: str
    """Which kind of segmentation it is."""
    name: Slug
    """Unique in a deployment; kept for good, as state, ids and keys are made of it."""
