"""From many records as bytes to events in columns, by three tiers that decode.

The compiled scanner accepts the common form and doubts everything else. Of what it doubts, the typed decode
(`stream_app.contracts.fast_path`) accepts what else is common, and the models judge the rest: they alone refuse.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple
from weakref import finalize

import numpy as np
import numpy.typing as npt

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.kept import KeptPath
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.scan_form import COMMON_FIELDS, TIME, Reads, ScanForm
from stream_app.contracts.traits import kinds_by_trait
from stream_app.core.events import Event, Records, Texts, pack_events
from stream_app.core.records import TOMBSTONE, Other, Rejection, records_of_others
from stream_app.errors import InvalidRecord
from stream_app.native.library import address, function
from stream_app.native.structures import (
    CURRENCY_DTYPE,
    DOUBTED,
    EVENT_DTYPE,
    FIELD_DTYPE,
    KEPT_PATH_DTYPE,
    SKIPPED,
    TRAIT_DTYPE,
    WORD_DTYPE,
    ScanPolicy,
)

FIELD_BYTES: Final = 4 + 8
"""What a kept field has beside its name, and at most beside what the record says: its head, and a number."""
TRAITS_LISTED_MAX: Final = 16_384
"""Of a catalogue, for the scanner; it leaves profiles with others to the slower tiers."""
ABSENT: Final = -1
"""Size of what is not there: a tombstone's value, the key of a record without one."""
_INT64_MAX: Final = 2**63 - 1


class Spans(NamedTuple):
    """Where parts of a buffer lie.

    Attributes
    ----------
    at, size
        Bytes, shape `(n,)`; a size may be `ABSENT`.
    """

    at: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]


class Scanned(NamedTuple):
    """What became of n records.

    Attributes
    ----------
    records
        `EVENT_DTYPE`, shape `(n,)`, with neither source nor offset.
    texts, others
        What they point into, see `stream_app.core.records.Batch`.
    doubted
        How many the scanner left to the slower tiers.
    """

    records: Records
    texts: Texts
    others: list[Other]
    doubted: int


class Scanner:
    """Decodes the records of one topic, many at a time; threads may share it.

    Parameters
    ----------
    decoder
        The slower tiers, with the topic's contract and the deployment's policy.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._handle = _create(decoder)
        if self._handle is not None:
            finalize(self, _free(), self._handle)
        absent_word = decoder.contract.scan_form and decoder.contract.scan_form.absent_word
        absent_word_bytes = len((absent_word or "").encode())
        self._kept_scale = _scale_of(decoder)
        self._added_bytes = absent_word_bytes + sum(
            FIELD_BYTES + len(path.name) + absent_word_bytes for path in decoder.kept
        )

    def scan(self, buffer: bytes | Texts, values: Spans, now_ms: int, keys: Spans | None = None) -> Scanned:
        """Return the events in payloads, and why the others are not events.

        Parameters
        ----------
        buffer
            Holds payloads and keys.
        values
            The payloads; a tombstone is `ABSENT`.
        now_ms
            The time of reading, milliseconds since the epoch; times further ahead than tolerated are refused.
        keys
            Of each record, its customer's id; `ABSENT` where it has none. None if the carrier has no keys.
        """
        records, texts = self.accept(buffer, values, now_ms, keys)
        status = records["status"]
        doubted = np.flatnonzero(status == DOUBTED)
        tombstones = np.flatnonzero(status == SKIPPED)
        others: list[Other] = []
        if len(doubted):
            accepted: list[tuple[int, Event]] = []
            refused: list[int] = []
            for index in doubted.tolist():
                key = None if keys is None else _part(buffer, keys, index)
                verdict = self._judge(_part(buffer, values, index) or b"", now_ms, keys is not None, key)
                if isinstance(verdict, Event):
                    accepted.append((index, verdict))
                else:
                    refused.append(index)
                    others.append(verdict)
            texts = _put_events(records, texts, accepted)
            records[refused] = records_of_others(others)
        if len(tombstones):
            records["text_at"][tombstones] = len(others)
            others.append(TOMBSTONE)
        return Scanned(records, texts, others, len(doubted))

    def accept(
        self, buffer: bytes | Texts, values: Spans, now_ms: int, keys: Spans | None = None
    ) -> tuple[Records, Texts]:
        """Do as `scan` by the scanner alone: what it doubts has the status `DOUBTED`."""
        count = len(values.size)
        if self._handle is None:
            records = records_of_others([TOMBSTONE] * count)
            records["status"][values.size != ABSENT] = DOUBTED
            return records, np.empty(0, np.uint8)
        records = np.empty(count, EVENT_DTYPE)
        payload_bytes = int(np.maximum(values.size, 0).sum())
        texts = np.empty(payload_bytes * self._kept_scale + count * self._added_bytes, np.uint8)
        written = ctypes.c_int64()
        scanned = np.frombuffer(buffer, np.uint8)
        key_at, key_size = (None, None) if keys is None else (address(keys.at), address(keys.size))
        status = _scan()(
            self._handle,
            address(scanned),
            len(scanned),
            count,
            address(values.at),
            address(values.size),
            key_at,
            key_size,
            now_ms,
            address(records),
            address(texts),
            len(texts),
            ctypes.byref(written),
        )
        if status != 0:
            raise ValueError(f"records: status {status} of seg_scan, expected all of them to be in the buffer")
        return records, texts[: written.value].copy()

    def _judge(self, payload: bytes, now_ms: int, has_keys: bool, key: bytes | None) -> Event | Rejection:
        """Ask the slower tiers about a record."""
        try:
            return self._decoder.decode(payload, now_ms, key or b"" if has_keys else None)
        except InvalidRecord as error:
            return Rejection(error, payload, key)


def split_lines(block: bytes) -> Spans:
    """Return the lines of a block, without their ends; what follows the last end is no line."""
    count = count_lines(block)
    lines = Spans(np.empty(count, np.int64), np.empty(count, np.int64))
    _split_lines()(block, len(block), address(lines.at), address(lines.size), count)
    return lines


def count_lines(block: bytes) -> int:
    """Return how many ends of lines a block has; where lines are short, `bytes.count` takes ten times as long."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def _part(buffer: bytes | Texts, spans: Spans, index: int) -> bytes | None:
    at, size = int(spans.at[index]), int(spans.size[index])
    return None if size == ABSENT else bytes(buffer[at : at + size])


def _put_events(records: Records, texts: Texts, accepted: Sequence[tuple[int, Event]]) -> Texts:
    """Put events in their places; return the texts with theirs."""
    if not accepted:
        return texts
    packed = pack_events([event for _, event in accepted], 0, 0)
    packed.records["text_at"] += len(texts)
    records[[index for index, _ in accepted]] = packed.records
    return np.concatenate((texts, packed.texts))


# --- the library's side -------------------------------------------------------------------------------------------


def _scale_of(decoder: Decoder) -> int:
    """Return how many times as long as its payload a record's texts may be, beside what is added for each.

    A text that is kept may also be among an event's texts. A trait of one digit takes 13 bytes of 6.
    """
    return 4 if _reads_traits(decoder) else 2 if decoder.kept else 1


def _reads_traits(decoder: Decoder) -> bool:
    form = decoder.contract.scan_form
    return form is not None and any(field.reads == Reads.TRAITS for field in form.fields.values())


def _create(decoder: Decoder) -> int | None:
    """Return a handle, None if the scanner would have nothing to do.

    Raises
    ------
    ValueError
        If the contract's description is not valid.
    """
    contract, policy, form = decoder.contract, decoder.policy, decoder.contract.scan_form
    traits = _traits(policy) if _reads_traits(decoder) else np.empty(0, TRAIT_DTYPE)
    if form is None or (_reads_traits(decoder) and not len(traits)):
        return None
    fields, words, currencies = _fields(contract, form), _words(form), _currencies(policy)
    paths = _paths(contract, decoder.kept)
    placeholders = _placeholders(policy)
    absent_word = -1 if form.absent_word is None else list(form.words).index(form.absent_word)
    native_policy = ScanPolicy(
        policy.max_payload_bytes,
        policy.earliest_ms,
        policy.future_tolerance_ms,
        policy.max_depth,
        form.kind,
        absent_word,
    )
    handle: int | None = _new()(
        address(fields),
        len(fields),
        address(words),
        len(words),
        address(currencies),
        len(currencies),
        address(paths),
        len(paths),
        address(traits),
        len(traits),
        address(placeholders),
        len(placeholders),
        ctypes.byref(native_policy),
    )
    if handle is None:
        raise ValueError(f"scan_form of {contract.topic}: {form}, expected one that makes events")
    return handle


def _fields(contract: InputContract, form: ScanForm) -> np.ndarray:
    described = {**COMMON_FIELDS, contract.time_field: TIME, **form.fields}
    if described.keys() != set(contract.fields):
        raise ValueError(f"scan_form of {contract.topic}: fields {sorted(described)}, expected {contract.fields}")
    fields = np.zeros(len(described), FIELD_DTYPE)
    for field, name in zip(fields, contract.fields, strict=True):
        _write(field, "name", "name_size", name)
        field["reads"], field["most"], field["meaning"] = described[name]
        field["required"] = contract.model.model_fields[name].is_required()
    return fields


def _words(form: ScanForm) -> np.ndarray:
    words = np.zeros(len(form.words), WORD_DTYPE)
    for word, (text, kind) in zip(words, form.words.items(), strict=True):
        _write(word, "text", "size", text)
        word["kind"] = kind
    return words


def _placeholders(policy: DecodingPolicy) -> np.ndarray:
    words = np.zeros(len(policy.placeholders), WORD_DTYPE)
    for word, text in zip(words, sorted(policy.placeholders), strict=True):
        _write(word, "text", "size", text)
    return words


def _paths(contract: InputContract, kept: Sequence[KeptPath]) -> np.ndarray:
    paths = np.zeros(len(kept), KEPT_PATH_DTYPE)
    for path, (name, field, _) in zip(paths, kept, strict=True):
        _write(path, "text", "size", name.decode())
        path["field"] = contract.fields.index(field)
    return paths


def _traits(policy: DecodingPolicy) -> np.ndarray:
    listed = list(islice(kinds_by_trait(policy), TRAITS_LISTED_MAX))
    traits = np.zeros(len(listed), TRAIT_DTYPE)
    for trait, (name, kinds) in zip(traits, listed, strict=True):
        _write(trait, "name", "size", name)
        trait["kinds"] = kinds
    return traits


def _currencies(policy: DecodingPolicy) -> np.ndarray:
    """Return those whose rate is a fraction of 64-bit integers; the scanner doubts the others."""
    rows = []
    for code, conversion in policy.conversions.items():
        shared = math.gcd(conversion.numerator, conversion.denominator)
        numerator, denominator = conversion.numerator // shared, conversion.denominator // shared
        if max(numerator, denominator) <= _INT64_MAX:
            letters = (*code.encode(), 0)
            rows.append((conversion.limit_minor, numerator, denominator, letters, conversion.minor_digits))
    return np.array(rows, CURRENCY_DTYPE)


def _write(record: Any, name: str, size_name: str, text: str) -> None:
    encoded = np.frombuffer(text.encode(), np.uint8)
    record[name][: len(encoded)] = encoded
    record[size_name] = len(encoded)


_Function = Callable[..., Any]


@cache
def _new() -> _Function:
    number, array = ctypes.c_int64, ctypes.c_void_p
    tables = [array, number] * 6  # fields, words, currencies, paths, traits, placeholders
    return function("seg_scanner_new", ctypes.c_void_p, *tables, ctypes.c_void_p)


@cache
def _free() -> _Function:
    return function("seg_scanner_free", None, ctypes.c_void_p)


@cache
def _scan() -> _Function:
    number, array = ctypes.c_int64, ctypes.c_void_p
    spans = [array] * 4
    out = [array, array, number, ctypes.POINTER(ctypes.c_int64)]
    return function("seg_scan", ctypes.c_int32, ctypes.c_void_p, array, number, number, *spans, number, *out)


@cache
def _split_lines() -> _Function:
    number, array = ctypes.c_int64, ctypes.c_void_p
    return function("seg_split_lines", number, ctypes.c_char_p, number, array, array, number)
