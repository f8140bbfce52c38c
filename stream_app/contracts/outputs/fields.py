"""What the fields of output records have in common.

Every field is always present; a value that is unknown or does not apply is null. Instants are RFC 3339 in UTC with
milliseconds. Consumers must ignore fields they do not know.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_COUNT: Final = 2**63 - 1
"""Counts fit a signed 64-bit integer on the consumer's side."""
INSTANT_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
Instant = Annotated[str, StringConstraints(pattern=INSTANT_PATTERN)]
Number = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
SLUG: Final = r"^[a-z][a-z0-9_-]{0,63}$"
"""Names of segmentations and ids of segments: without a slash, so that `value/s3` can be taken apart."""
SegmentationName = Annotated[str, StringConstraints(pattern=SLUG)]
SegmentId = Annotated[str, StringConstraints(pattern=SLUG)]
"""Unique within its segmentation alone; learned ones are `s` and a number."""


class Output(BaseModel):
    """Base of all output records: no coercion, no unknown fields, no changes afterwards."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)


class SourcePosition(Output):
    """Where a record came from; for a file, its name, 0, and its line number from 1."""

    topic: str
    partition: Count
    offset: Count


class SegmentReference(Output):
    """A segment: its id is stable, its name may change with the model."""

    id: SegmentId
    name: str
