"""Dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream_app.contracts.outputs.fields import Count, Instant, Output, SourcePosition
from stream_app.contracts.rejections import REJECTION_REASONS

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _require_reason(value: str) -> str:
    if value not in REJECTION_REASONS:
        raise PydanticCustomError("out_of_range", "one of " + ", ".join(REJECTION_REASONS))
    return value


Reason = Annotated[
    str,
    AfterValidator(_require_reason),
    WithJsonSchema({"type": "string", "enum": list(REJECTION_REASONS)}),
]
"""The closed list is that of `rejections`; a second one here could differ."""


class DeadLetter(Output):
    """A record that was refused, and why."""

    reason: Reason
    field: str
    """The field at fault, `$` for the record as a whole."""
    message: str
    """Names the value seen and the value expected."""
    position: SourcePosition
    source_timestamp: Instant | None
    payload: str | None
    """At most its first 64 KiB; null if payloads are not kept."""
    payload_encoding: Literal["utf-8", "base64"] | None
    payload_sha256: Sha256
    """Of the whole payload."""
    payload_bytes: Count
    """Length of the whole payload."""
