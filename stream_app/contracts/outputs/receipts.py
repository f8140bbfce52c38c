"""Receipts of privacy requests: what was done, and what will be gone by when. None of them names a customer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from stream_app.contracts.outputs.fields import Count, Instant, Output

MarkHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class StoreReceipt(Output):
    """What becomes of the customer in one place."""

    store: str
    """The topic."""
    how: Literal["compaction", "retention"]
    """By what it is removed: a tombstone that was written, or the age of its records."""
    by: Instant
    """When it is gone at the latest."""


class PrivacyReceipt(Output):
    """What a worker has done about a request, written in the transaction that did it."""

    request_id: str
    type: Literal["erase", "suppress", "unsuppress", "export"]
    customer: MarkHash
    """Salted hash of the customer's id, by which further receipts of this customer are known; not the id."""
    partition: Count
    jurisdiction: str | None
    requested_at: Instant
    accepted_at: Instant
    """By the clock of the worker that has done it."""
    due_at: Instant
    """When the law of the jurisdiction wants it finished (settings `privacy`)."""
    was_known: bool
    """Whether the customer had a row."""
    is_suppressed: bool
    """Whether nothing of this customer is taken in from then on."""
    stores: list[StoreReceipt]
    """What is not gone at once; empty of a request that erases nothing."""
    marked_until: Instant | None
    """Until when the salted hash is kept, so that late events do not bring the customer back; null for as long as the
    customer is suppressed."""
