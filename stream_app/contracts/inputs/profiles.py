"""Profiles: what a customer is, or says of itself, as traits; observed, not done.

A profile names a few traits; of each, the value that was observed last is the customer's, and null takes it away.
So a record may be read twice without harm, and needs no id.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType, field

from stream_app.contracts.fast_path import Complete, Explain, FastForm, OptionalWireText, WireRecord
from stream_app.contracts.fields import CustomerId, Id, Text, Time
from stream_app.contracts.inputs.contract import InputContract, Record
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import TEXT, ScanForm, traits_within
from stream_app.contracts.traits import (
    TRAIT_NAME,
    TRAIT_TEXTS_MAX,
    TRAITS_BYTES_MAX,
    TRAITS_FIELD,
    TRAITS_MAX,
    Traits,
    encode_traits,
)
from stream_app.core.events import PROFILE, Event
from stream_app.core.kept import TEXT_CHARACTERS_MAX
from stream_app.errors import InvalidRecord

PROFILE_TYPE: Final = "profile"
"""The type of a profile's event, which has no other."""


class ProfileRecord(Record):
    """What is known of a customer from an instant on."""

    event_id: Id | None = None
    """Identity of the record, if it has one; moves name it as their cause."""
    customer_id: CustomerId
    """The customer; equal to the record's key."""
    observed_at: Time
    """When it was seen: RFC 3339 with a zone, read to the millisecond. Of each trait the latest value counts."""
    traits: Traits
    """Values by name; null takes a trait away. What is not named stays as it is."""
    source: Text | None = None
    """Where it is known from, such as `crm`."""


def to_event(record: ProfileRecord, policy: DecodingPolicy) -> Event:
    """Return the event of a valid record; refuse traits that the catalogue does not allow."""
    return _event(record.customer_id, record.event_id or "", record.observed_at, encode_traits(record.traits, policy))


def _event(customer_id: str, event_id: str, at_ms: int, kept: bytes) -> Event:
    return Event(PROFILE, customer_id, event_id, at_ms, PROFILE_TYPE, kept=kept)


_TraitText = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
_TraitValue = bool | float | _TraitText | Annotated[list[_TraitText], Meta(max_length=TRAIT_TEXTS_MAX)] | None


class _Profile(WireRecord, gc=False, kw_only=True):
    occurred_at: str = field(name="observed_at")
    traits: Annotated[
        dict[Annotated[str, Meta(pattern=TRAIT_NAME.pattern.replace("$", r"\Z"))], _TraitValue],
        Meta(min_length=1, max_length=TRAITS_MAX),
    ]
    event_id: OptionalWireText = UNSET
    source: OptionalWireText = UNSET


def _strings(text: str | UnsetType | None) -> int:
    """Return how many strings an optional text and its key are."""
    return 0 if text is UNSET else 1 if text is None else 2


def _bind(policy: DecodingPolicy, explain: Explain) -> Complete:
    takes_lists = policy.max_depth >= 3  # the record, its traits, one of them

    def complete(record: _Profile, at_ms: int, payload: bytes) -> Event | None:
        known_strings = 5 + _strings(record.event_id) + _strings(record.source)  # required: three keys, two strings
        for value in record.traits.values():
            kind = type(value)
            if kind is list and not takes_lists:
                return None
            known_strings += 2 if kind is str else 1 + len(value) if kind is list else 1  # type: ignore[arg-type]
        quotes = payload.count(b'"')
        if quotes != 2 * known_strings and not explain(payload, quotes):
            return None
        try:
            kept = encode_traits(record.traits, policy)
        except InvalidRecord:
            return None
        return _event(record.customer_id, record.event_id or "", at_ms, kept)

    return complete


PROFILES: Final = InputContract(
    topic="profiles",
    version=1,
    title="Profiles",
    summary="What customers are, or say of themselves.",
    model=ProfileRecord,
    to_event=to_event,
    fast_form=FastForm(_Profile, _bind),
    scan_form=ScanForm(
        PROFILE,
        {TRAITS_FIELD: traits_within(TRAITS_BYTES_MAX), "source": TEXT},
        words={PROFILE_TYPE: PROFILE},
        absent_word=PROFILE_TYPE,
    ),
    table_form=TableForm(own_ids=(), others=TRAITS_FIELD, other_names=TRAIT_NAME),
    time_field="observed_at",
)
