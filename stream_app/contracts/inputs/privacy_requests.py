"""Privacy requests: that a customer is to be erased, suppressed or let in again, or wants to see what is held.

A request is a statement from an instant on. It is no act of the customer's, and no time passes by it: a person who
asks today to be forgotten does not make it today for everybody else.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from stream_app.contracts.fields import CustomerId, Id, Text, Time
from stream_app.contracts.inputs.contract import InputContract, Record
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.core.events import PRIVACY_REQUEST, Event

RequestType = Literal["erase", "suppress", "unsuppress", "export"]
Jurisdiction = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
"""ISO 3166: a country, or a part of one, such as `DE` or `US-CA`; `EU` too."""


class PrivacyRequestRecord(Record):
    """What is to be done about one customer id."""

    request_id: Id
    """Identity of the request; its receipts are found by it, so it must not tell who the customer is."""
    type: RequestType
    """`erase` what is known so far; `suppress`: erase, and take nothing in from then on; `unsuppress`: take in again
    what happens from then on; `export`: note that somebody wants to see what is held (`segmenter privacy export`)."""
    customer_id: CustomerId
    """The customer; equal to the record's key."""
    requested_at: Time
    """When it was asked for: RFC 3339 with a zone, read to the millisecond. What happened before is forgotten."""
    source: Text | None = None
    """Where it came in, such as `helpdesk`."""
    jurisdiction: Jurisdiction | None = None
    """Whose law sets the deadline: 45 days for `US-CA`, a month for all others by default (settings `privacy`)."""


def to_event(record: PrivacyRequestRecord, _policy: DecodingPolicy) -> Event:
    """Return a valid record as an event that no step takes in, see `stream_app.core.privacy`."""
    jurisdiction = (record.jurisdiction or "").encode()
    return Event(
        PRIVACY_REQUEST, record.customer_id, record.request_id, record.requested_at, record.type, kept=jurisdiction
    )


PRIVACY_REQUESTS: Final = InputContract(
    topic="privacy-requests",
    version=1,
    title="Privacy requests",
    summary="Which customers are to be erased, suppressed or let in again, or ask what is held.",
    model=PrivacyRequestRecord,
    to_event=to_event,
    table_form=TableForm(own_ids=()),
    time_field="requested_at",
)
