"""Customers that rules are asked about one by one, and the memberships that definitions mean, found the slow way."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import DAY_MS
from stream_app.native.programs import NativeProgram, Subject
from stream_app.native.structures import EVENT_DTYPE
from stream_app.segmentations.registry import KINDS
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.native_form import compile_rules

NEVER_MS: Final = 2**62
PURCHASE, REFUND, ENGAGEMENT, PROFILE = 0, 1, 2, 6


class Numbers:
    """A table, as far as compiling asks of it."""

    def __init__(self, ruled_names: Sequence[str], names: Sequence[str] = ()) -> None:
        self.ruled_names = list(ruled_names)
        self.names = list(names)
        self.digests: dict[int, int] = {}

    timezone = "UTC"

    def series_number(self, digest: int) -> int:
        return self.digests.setdefault(digest, len(self.digests))


def segmentation(definition: Mapping[str, Any], lists: Mapping[str, IdList] | None = None) -> Any:
    """Return the segmentation of a definition, or the audience of a condition."""
    whole = definition if "kind" in definition else {"kind": "audience", "name": "a", "when": dict(definition)}
    kind = KINDS[whole["kind"]]
    return kind.build(kind.configuration.model_validate(whole), {"lists": lists or {}}, None)


def audience(name: str, when: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition of an audience."""
    return {"kind": "audience", "name": name, "when": dict(when)}


def program(
    *definitions: Mapping[str, Any],
    lists: Mapping[str, IdList] | None = None,
    others: Sequence[Any] = (),
    table: Numbers | None = None,
) -> NativeProgram:
    """Return the program of some definitions; a condition alone is the audience `a`."""
    ruled = [segmentation(each, lists) for each in definitions]
    names = [each.name for each in ruled]
    numbers = table or Numbers(names, [each.name for each in others])
    return compile_rules([*others, *ruled], numbers)


class Happened(NamedTuple):
    """Something that a customer did.

    Attributes
    ----------
    at_ms, type, kind
        When and what.
    fields
        What is kept of it.
    amount_minor
        Of orders and refunds.
    """

    at_ms: int
    type: str
    fields: Mapping[str, Any] = {}
    kind: int = ENGAGEMENT
    amount_minor: int = 0


def kept(fields: Mapping[str, Any]) -> bytes:
    """Return fields as they stand behind an event's texts."""
    return b"".join(_kept(name.encode(), value) for name, value in fields.items())


def _kept(name: bytes, value: Any) -> bytes:
    match value:
        case None:
            kind, own = 0, b""
        case bool():
            kind, own = (2 if value else 1), b""
        case str():
            kind, own = 4, value.encode()
        case list():
            kind, own = 5, b"".join(struct.pack("<H", len(text.encode())) + text.encode() for text in value)
        case _:
            kind, own = 3, struct.pack("<d", value)
    return struct.pack("<BBH", len(name), kind, len(own)) + name + own


def traits(values: Mapping[str, Any], observed_ms: int = 0) -> bytes:
    """Return traits as a row holds them."""
    entries = []
    for name in sorted(values, key=str.encode):
        one = _kept(name.encode(), values[name])
        entries.append(one[:4] + struct.pack("<q", observed_ms) + one[4:])
    return b"".join(entries)


def note(subject: Subject, happened: Happened, now_ms: int | None = None) -> int:
    """Enter an event into a customer's series."""
    event = np.zeros(1, EVENT_DTYPE)
    texts = [b"c", b"e", happened.type.encode(), kept(happened.fields)]
    event["at_ms"], event["kind"], event["amount_minor"] = happened.at_ms, happened.kind, happened.amount_minor
    for name, text in zip(("customer_size", "event_id_size", "type_size", "kept_size"), texts, strict=True):
        event[name] = len(text)
    return subject.note(event, b"".join(texts), happened.at_ms if now_ms is None else now_ms)


def lived(rules: NativeProgram, happened: Sequence[Happened], customer_id: str = "c") -> Subject:
    """Return a customer to whom all this has happened."""
    subject = Subject(rules, customer_id)
    for each in happened:
        note(subject, each)
    return subject


def is_in(rules: NativeProgram, happened: Sequence[Happened], at_ms: int) -> bool:
    """Return whether a customer is in the first audience at an instant."""
    return lived(rules, [each for each in happened if each.at_ms <= at_ms]).evaluate(at_ms).targets[0] == 0


# --- what conditions on events mean, event by event ------------------------------------------------------------------


def inside(window: Mapping[str, Any], at_ms: int, now_ms: int) -> bool:
    """Return whether an event lies in a window of days."""
    if "last" in window:
        return now_ms - days(window["last"]) < at_ms <= now_ms
    if "between_ago" in window:
        newest, oldest = map(days, window["between_ago"])
        return now_ms - oldest < at_ms <= now_ms - newest
    if "calendar" in window:
        calendar = window["calendar"]
        age = now_ms // DAY_MS - at_ms // DAY_MS - (not calendar.get("today", True))
        return 0 <= age < calendar["days"]
    return True


def days(text: str) -> int:
    """Return a duration of whole days, or hours."""
    return int(text[:-1]) * (DAY_MS if text[-1] == "d" else 3_600_000)


_AGGREGATES: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "sum": math.fsum,
    "min": lambda values: min(values, default=math.nan),
    "max": lambda values: max(values, default=math.nan),
    "average": lambda values: math.fsum(values) / len(values) if values else math.nan,
}


def means(leaf: Mapping[str, Any], happened: Sequence[Happened], now_ms: int) -> bool:
    """Return whether a condition on events holds, as the reference page puts it."""
    own = [each for each in happened if each.at_ms <= now_ms]
    if "event" in leaf and "half_life" not in leaf:
        found = [each for each in own if _is(leaf["event"], each) and inside(leaf, each.at_ms, now_ms)]
        aggregate = next((name for name in _AGGREGATES if name in leaf), None)
        if aggregate is None:
            return _compares(leaf, len(found)) if set(leaf) & _COMPARATORS.keys() else bool(found)
        return _compares(leaf, round(_AGGREGATES[aggregate]([each.fields["value"] for each in found]), 9))
    ages = {name: _ages(leaf[name], own, now_ms) for name in _SINGLE if name in leaf}
    if "first_event" in leaf:
        return bool(ages["first_event"]) and max(ages["first_event"]) < days(leaf["last"])
    if "restarted" in leaf:
        last, pause = days(leaf["last"]), days(leaf["pause"])
        lately = [age for age in ages["restarted"] if age < last]
        paused = not [age for age in ages["restarted"] if last <= age < last + pause]
        return bool(lately) and paused and any(age >= last + pause for age in ages["restarted"])
    if "regularly" in leaf:
        each = days(leaf["each"])
        counts = [sum(i * each <= age < (i + 1) * each for age in ages["regularly"]) for i in range(leaf["of_last"])]
        return sum(count >= leaf.get("times", 1) for count in counts) >= leaf["in_at_least"]
    if "since_last" in leaf:
        return bool(ages["since_last"]) and all(
            compare(min(ages["since_last"]), days(leaf[name])) for name, compare in _COMPARATORS.items() if name in leaf
        )
    first, second = ([each.at_ms for each in own if _is(name, each)] for name in leaf["sequence"])
    within, last = days(leaf["within"]), days(leaf["last"])
    return any(now_ms - last < a and any(a < b <= a + within for b in second) for a in first)


_SINGLE: Final = ("first_event", "restarted", "regularly", "since_last")
_COMPARATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "at_least": lambda found, wanted: found >= wanted,
    "at_most": lambda found, wanted: found <= wanted,
    "more_than": lambda found, wanted: found > wanted,
    "less_than": lambda found, wanted: found < wanted,
    "equals": lambda found, wanted: found == wanted,
    "not_equals": lambda found, wanted: not math.isnan(found) and found != wanted,
}


def _compares(leaf: Mapping[str, Any], found: float) -> bool:
    return all(compare(found, leaf[name]) for name, compare in _COMPARATORS.items() if name in leaf)


def _is(event: str, happened: Happened) -> bool:
    return happened.type.startswith(event[:-1]) if event.endswith("*") else happened.type == event


def _ages(event: str, happened: Sequence[Happened], now_ms: int) -> list[int]:
    return [now_ms - each.at_ms for each in happened if _is(event, each)]


def share_of(salt: str, customer_id: str) -> float:
    """Return the percentage that a customer is drawn by."""
    return xxh3_64_intdigest(f"{salt}:{customer_id}".encode()) % 10_000 / 100
