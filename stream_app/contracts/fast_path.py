"""The hot path: one typed decode by msgspec, which only ever accepts.

Whatever it cannot prove valid at once it leaves to the reference path, whose verdict counts. So each test here may
be stricter than the contract, never laxer; a property test holds both together.

Of repeated keys, msgspec silently keeps the last. Counting proves that no key is repeated: in valid JSON every
string, key or value, has two `"` bytes, and an escaped quote is one more. If the payload holds exactly two for each
key and string that was decoded, there is no room for another key. If it holds more, an untyped decode counts all
strings of the tree; equality again proves that nothing was dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from stream_app.contracts.fields import MAX_TEXT_CHARACTERS, parse_instant
from stream_app.contracts.ids import is_customer, is_plain
from stream_app.contracts.kept import KeptPath, with_kept
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.events import Event

Reader = Callable[[bytes, int, bytes | None], Event | None]
"""From payload, now in milliseconds, and key to the event; None where the reference path must decide."""

ID_FIELDS: Final = ("event_id", "customer_id", "order_id")
"""Of any topic; all other texts are taken as they come."""
_DOUBTS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises over a payload that cannot be accepted here."""

WireText = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
OptionalWireText = WireText | UnsetType | None


OptionalWireObject = dict[str, Any] | UnsetType | None


class WireRecord(Struct, gc=False):
    """What the fast path reads of every record, however the contract names the time."""

    customer_id: WireText
    occurred_at: str


class Wire(WireRecord, gc=False, kw_only=True):
    """What it reads of every event; a topic's own struct adds the other fields of its contract."""

    event_id: WireText
    properties: OptionalWireObject = UNSET


Complete = Callable[[Any, int, bytes], Event | None]
"""A topic's own part of the verdict: from decoded record, its time in milliseconds, and payload to the event."""
Explain = Callable[[bytes, int], bool]
"""Tells whether a payload's quotes are all explained by the strings of its whole tree."""

QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_DELETE: Final = 0x7F


class FastForm(NamedTuple):
    """The common form of a topic's records.

    Attributes
    ----------
    wire
        What msgspec decodes a payload into: each field at least as strict as the model's.
    bind
        Returns the topic's own part of the verdict under a policy. It counts the strings it knows of, keys included,
        and asks the `Explain` that it is given where the payload has more quotes than these have.
    """

    wire: type[WireRecord]
    bind: Callable[[DecodingPolicy, Explain], Complete]


def build_reader(form: FastForm | None, policy: DecodingPolicy, kept: Sequence[KeptPath] = ()) -> Reader:
    """Build the reader of a topic; all it needs is bound in closures, which are quickest to reach.

    Parameters
    ----------
    form
        None for a reader that leaves everything to the reference path.
    policy
        What the deployment decided.
    kept
        What is kept of its records, `type` and the fields of `form.wire`.
    """
    if form is None:
        return lambda _payload, _now_ms, _key: None
    decode_tree = msgspec.json.Decoder().decode
    max_bytes, max_depth, earliest_ms = policy.max_payload_bytes, policy.max_depth, policy.earliest_ms
    tolerance_ms, placeholders = policy.future_tolerance_ms, policy.placeholders
    id_fields = tuple(name for name in ID_FIELDS if name in form.wire.__struct_fields__)

    def explain(payload: bytes, quotes: int) -> bool:
        return quotes == 2 * count_strings(decode_tree(payload), max_depth)

    decode: Callable[[bytes], WireRecord] = msgspec.json.Decoder(form.wire).decode
    complete = form.bind(policy, explain)

    def read(payload: bytes, now_ms: int, key: bytes | None) -> Event | None:
        try:
            if len(payload) > max_bytes:
                return None
            record = decode(payload)
            customer_id = record.customer_id
            if not payload.isascii() or _BACKSLASH in payload or _DELETE in payload:
                _require_printable(record)  # any other payload can hold no control character and no lone surrogate
            for name in id_fields:
                if type(text := getattr(record, name)) is str and not is_plain(text):
                    return None
            if not is_customer(customer_id, placeholders) or (key is not None and key != customer_id.encode()):
                return None
            at_ms = parse_instant(record.occurred_at)
            if not earliest_ms <= at_ms <= now_ms + tolerance_ms:
                return None
            event = complete(record, at_ms, payload)
            return event if event is None or not kept else with_kept(event, record, kept)
        except _DOUBTS:
            return None

    return read


def _require_printable(record: WireRecord) -> None:
    """Raise `ValueError` unless all texts are printable: stricter than "no control character, no lone surrogate"."""
    for value in astuple(record):
        if type(value) is str:
            texts = value
        elif type(value) is list:
            texts = "".join(value)
        else:
            continue
        if not texts.isprintable():
            raise ValueError(texts)


def count_strings(node: Any, levels: int) -> int:
    """Return how many strings, keys included, decoded JSON holds; raise `ValueError` if it has more levels."""
    if levels == 0:
        raise ValueError("too deep")
    strings, children = (len(node), node.values()) if type(node) is dict else (0, node)
    for child in children:
        kind = type(child)
        if kind is str:
            strings += 1
        elif kind is dict or kind is list:
            strings += count_strings(child, levels - 1)
    return strings
