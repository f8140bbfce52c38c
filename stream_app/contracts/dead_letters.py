"""From a rejection to the dead letter that reports it."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.outputs.fields import SourcePosition
from stream_app.core.clock import format_instant
from stream_app.core.events import Position
from stream_app.errors import InvalidRecord, TraitProtected

KEPT_BYTES: Final = 65_536
"""Longer payloads are cut: enough to see what they were, and the digest tells them apart."""


def dead_letter(
    rejection: InvalidRecord,
    payload: bytes,
    position: Position,
    source_timestamp_ms: int | None,
    keep_payload: bool = True,
) -> DeadLetter:
    """Build the dead letter of a refused record.

    Parameters
    ----------
    rejection
        Why.
    payload
        The record's bytes, whole.
    position
        Where it came from.
    source_timestamp_ms
        The carrier's own timestamp, milliseconds since the epoch; None for a file.
    keep_payload
        Whether to carry the payload: as text if it is UTF-8, else base64. It may hold personal data; that of a record
        which was refused for what it tells is never carried.
    """
    is_kept = keep_payload and not isinstance(rejection, TraitProtected)
    text, encoding = _carried(payload) if is_kept else (None, None)
    return DeadLetter.model_validate(
        {
            "reason": rejection.reason,
            "field": rejection.field,
            "message": rejection.message,
            "position": SourcePosition(topic=position.topic, partition=position.partition, offset=position.offset),
            "source_timestamp": None if source_timestamp_ms is None else format_instant(source_timestamp_ms),
            "payload": text,
            "payload_encoding": encoding,
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "payload_bytes": len(payload),
        }
    )


def _carried(payload: bytes) -> tuple[str, str]:
    kept = payload[:KEPT_BYTES]
    try:
        return kept.decode(), "utf-8"
    except UnicodeDecodeError as error:
        # the cut may fall inside a character of up to four bytes; that is no fault of the payload's
        if len(payload) > KEPT_BYTES and error.reason == "unexpected end of data":
            return kept[: error.start].decode(), "utf-8"
        return base64.b64encode(kept).decode(), "base64"
