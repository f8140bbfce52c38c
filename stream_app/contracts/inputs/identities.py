"""Identities: that ids which look like different customers are one.

A link says that an alias, such as a device or the hash of an address, belongs to a customer. A merge says that a
customer is another one. Both are statements from an instant on, and may be made again without harm, so they need no id.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

from pydantic import StringConstraints, field_validator

from stream_app.contracts.fields import CustomerId, Id, Text, Time
from stream_app.contracts.inputs.contract import InputContract, Record
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.core.clock import format_instant
from stream_app.core.events import MERGE, Event
from stream_app.core.identities import LINK, MERGE_STATEMENT, NAMESPACE_PATTERN

NamespaceName = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)]
"""A sort of identifiers, such as `device` or `email_hash`."""
StatementType = Literal["link", "merge"]


class IdentityRecord(Record):
    """That an alias is a customer's, from an instant on."""

    event_id: Id | None = None
    """Identity of the record, if it has one."""
    type: StatementType | None = "link"
    """`link` of an identifier to a customer, which it is if absent; `merge` of two customers."""
    customer_id: CustomerId
    """The customer who goes on; equal to the record's key."""
    alias: Id
    """The other id: an identifier of the customer, or the customer that it was taken for. It ends."""
    namespace: NamespaceName | None = None
    """Of a link, what sort of an identifier the alias is; limits are set for each (`identities`)."""
    observed_at: Time
    """From when on it is known: RFC 3339 with a zone, read to the millisecond."""
    source: Text | None = None
    """Where it is known from, such as `login`."""

    @field_validator("type", mode="after")
    @classmethod
    def _absent_means_link(cls, value: StatementType | None) -> StatementType:
        return value or LINK


def to_event(record: IdentityRecord, _policy: DecodingPolicy) -> Event:
    """Return the event of a valid record, as `stream_app.core.weaving` follows it."""
    kind = MERGE_STATEMENT if record.type == MERGE_STATEMENT else LINK
    namespace = (record.namespace or "") if kind == LINK else ""
    return Event(MERGE, record.customer_id, record.alias, record.observed_at, kind, kept=namespace.encode())


def payload_of(event: Event) -> bytes:
    """Return the record that says what an event of `to_event` does, as JSON."""
    said = {"type": event.type, "customer_id": event.customer_id, "alias": event.event_id}
    if event.kept:
        said["namespace"] = event.kept.decode()
    return json.dumps(said | {"observed_at": format_instant(event.at_ms)}, ensure_ascii=False).encode()


IDENTITIES: Final = InputContract(
    topic="identities",
    version=1,
    title="Identities",
    summary="Which ids are one customer's: links of identifiers, and merges of customers.",
    model=IdentityRecord,
    to_event=to_event,
    table_form=TableForm(own_ids=()),
    time_field="observed_at",
)
