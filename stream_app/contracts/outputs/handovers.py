"""Rows of ids that have ended, on their way to the partition of their customer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stream_app.contracts.outputs.fields import Output

Id = Annotated[str, StringConstraints(min_length=1)]
Row = Annotated[
    str, StringConstraints(pattern="^[A-Za-z0-9+/]*={0,2}$"), Field(json_schema_extra={"contentEncoding": "base64"})
]


class IdentityHandover(Output):
    """What an id has and is goes over to the customer that it turned out to be. From workers, for workers."""

    ended: Id
    """The id that has ended."""
    into: Id
    """The id that its customer goes by; equal to the record's key."""
    at_ms: int
    """When it ended, milliseconds since the epoch."""
    row: Row
    """The row as it stood, in base64 (RFC 4648); as in the changelog (see `stream_app.core.row.Row`)."""
