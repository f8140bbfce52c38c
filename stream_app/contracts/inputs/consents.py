"""Consents: what a customer agrees to, purpose by purpose, from an instant on.

Of each purpose the statement that was observed last holds, of equal instants a withdrawal. So a record may be read
twice without harm, and needs no id.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from stream_app.contracts.fields import CustomerId, Id, Text, Time
from stream_app.contracts.inputs.contract import InputContract, Record
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rejections import reject
from stream_app.contracts.rows import TableForm
from stream_app.core.consent import JURISDICTION, JURISDICTION_PATTERN, STATEMENTS
from stream_app.core.events import CONSENT, Event
from stream_app.core.kept import encode_kept

CONSENT_TYPE: Final = "consent"
"""The type of a consent's event, which has no other."""
Purpose = Annotated[str, StringConstraints(min_length=1, max_length=40, strict=True)]
Jurisdiction = Annotated[str, StringConstraints(pattern=JURISDICTION_PATTERN, strict=True)]


class ConsentRecord(Record):
    """That a customer agrees to a purpose, or no longer does."""

    event_id: Id | None = None
    """Identity of the record, if it has one; moves name it as their cause."""
    customer_id: CustomerId
    """The customer; equal to the record's key."""
    purpose: Purpose
    """What for: `segmentation`, `personalization`, `advertising`, `email`, or what `consent.purposes` lists. Customers
    who do not agree to `segmentation` are in no segment, and nothing is kept of what they do."""
    decision: Literal["granted", "withdrawn"]
    """What was decided."""
    jurisdiction: Jurisdiction | None = None
    """Whose law holds for the customer, such as `EU` or `US-CA`; it says what holds of purposes that nobody has spoken
    of (`consent.jurisdictions`). If absent, what was said last remains."""
    observed_at: Time
    """When it was decided: RFC 3339 with a zone, read to the millisecond."""
    source: Text | None = None
    """Where it is known from, such as `preference-center`."""


def to_event(record: ConsentRecord, policy: DecodingPolicy) -> Event:
    """Return the event of a valid record; refuse a purpose that is not configured."""
    if record.purpose not in policy.purposes:
        raise reject("out_of_range", "purpose", record.purpose, f"one of {', '.join(policy.purposes)}")
    said: list[tuple[str, bool | str]] = [(record.purpose, record.decision == "granted")]
    if record.jurisdiction is not None:
        said.append((JURISDICTION, record.jurisdiction))
    kept = encode_kept(((STATEMENTS + name).encode(), value) for name, value in sorted(said))
    return Event(CONSENT, record.customer_id, record.event_id or "", record.observed_at, CONSENT_TYPE, kept=kept)


CONSENTS: Final = InputContract(
    topic="consents",
    version=1,
    title="Consents",
    summary="What customers agree to, purpose by purpose.",
    model=ConsentRecord,
    to_event=to_event,
    table_form=TableForm(own_ids=()),
    time_field="observed_at",
)
