"""What happens to customers, as records of the input topics; decoded as files and fetched records are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.bootstrap.decoding import create_decoders
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.contracts.scanner import Scanner, split_lines
from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.events import Events
from stream_app.core.records import Rejection, batch_of_records, join_batches
from stream_app.settings.sections import Settings

Document = dict[str, Any]
ENGAGEMENTS: Final = "engagements"
PURCHASES: Final = "purchases"
PROFILES: Final = "profiles"
CONSENTS: Final = "consents"
IDENTITIES: Final = "identities"
NOW_MS: Final = 2**42
"""When everything is read: later than all inputs."""


class Input(NamedTuple):
    """A record: its topic, and the fields that it has beside ids and time.

    `arrives_ms` is when it is known, never before `at_ms`.
    """

    customer_id: str
    at_ms: int
    arrives_ms: int
    event_id: str
    topic: str
    fields: Document

    @property
    def record(self) -> Document:
        """The whole record."""
        time = "observed_at" if self.topic in (PROFILES, CONSENTS, IDENTITIES) else "occurred_at"
        ids = {"event_id": self.event_id, "customer_id": self.customer_id, time: format_instant(self.at_ms)}
        return ids | self.fields

    @property
    def payload(self) -> bytes:
        """The record as JSON."""
        return json.dumps(self.record, separators=(",", ":")).encode()


def engagement(customer_id: str, at_ms: int, event_id: str, type_: str, **fields: Any) -> Input:
    return Input(customer_id, at_ms, at_ms, event_id, ENGAGEMENTS, {"type": type_, **fields})


def order(customer_id: str, at_ms: int, event_id: str, type_: str, total: str, order_id: str, **fields: Any) -> Input:
    money = {"type": type_, "order_id": order_id, "currency": "EUR", "total": total}
    return Input(customer_id, at_ms, at_ms, event_id, PURCHASES, {**money, **fields})


def profile(customer_id: str, at_ms: int, event_id: str, traits: Document) -> Input:
    return Input(customer_id, at_ms, at_ms, event_id, PROFILES, {"traits": traits})


def merge(ended: str, into: str, at_ms: int, event_id: str) -> Input:
    """Return what says that a customer is another one."""
    return Input(into, at_ms, at_ms, event_id, IDENTITIES, {"type": "merge", "alias": ended})


def consent(customer_id: str, at_ms: int, event_id: str, purpose: str, is_granted: bool, place: str = "") -> Input:
    """Return what says that a customer agrees to a purpose, or does not any more."""
    said = {"purpose": purpose, "decision": "granted" if is_granted else "withdrawn"}
    return Input(customer_id, at_ms, at_ms, event_id, CONSENTS, said | ({"jurisdiction": place} if place else {}))


ANY_ID: Final = Settings.model_validate({"records": {"placeholder_ids": []}})
"""Worlds call their customers what they like, such as none."""


class Reader:
    """Decodes inputs, keeping some fields of theirs; what is refused is a defect of the test."""

    def __init__(self, fields: Iterable[str]) -> None:
        decoders = create_decoders(ANY_ID, fields, FILE_CONTRACTS)
        self._scanners = {topic: Scanner(decoder) for topic, decoder in decoders.items()}
        self._sources = {topic: number for number, topic in enumerate(self._scanners)}

    @property
    def names(self) -> list[str]:
        """Names of the sources, in order."""
        return list(self._sources)

    def read(self, inputs: Sequence[Input], first_offset: int = 0) -> Events:
        """Return inputs as the core takes them, in their order."""
        batches = []
        offset = first_offset
        for topic, run in groupby(inputs, key=lambda each: each.topic):
            block = b"".join(each.payload + b"\n" for each in run)
            lines = split_lines(block)
            scanned = self._scanners[topic].scan(block, lines, NOW_MS)
            refused = [other for other in scanned.others if isinstance(other, Rejection)]
            if refused:
                raise ValueError(f"{refused[0].payload!r}: {refused[0].error}, expected a valid record")
            scanned.records["source"] = self._sources[topic]
            scanned.records["offset"] = np.arange(offset, offset + len(lines.size))
            offset += len(lines.size)
            batches.append(batch_of_records(scanned.records, scanned.texts, scanned.others, NO_TIME))
        return join_batches(batches).events()


@cache
def reader_of(fields: frozenset[str]) -> Reader:
    """Return a reader that keeps fields, the same for the same ones."""
    return Reader(fields)
