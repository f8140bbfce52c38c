from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.dead_letters import KEPT_BYTES, dead_letter
from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.rejections import REJECTION_REASONS
from stream_app.core.events import Position
from stream_app.errors import InvalidRecord, TraitProtected
from tests.support.replays import ROOT

REJECTION = InvalidRecord("out_of_range", "total", 'total: "-5", expected an amount')
POSITION = Position("purchases", 3, 1206)


def letter(payload: bytes, **options: bool) -> DeadLetter:
    return dead_letter(REJECTION, payload, POSITION, None, **options)


def test_dead_letter_carries_reason_position_and_timestamp() -> None:
    found = dead_letter(REJECTION, b"{}", POSITION, 1_714_564_800_123).model_dump()
    assert found == {
        "reason": "out_of_range",
        "field": "total",
        "message": 'total: "-5", expected an amount',
        "position": {"topic": "purchases", "partition": 3, "offset": 1206},
        "source_timestamp": "2024-05-01T12:00:00.123Z",
        "payload": "{}",
        "payload_encoding": "utf-8",
        "payload_sha256": hashlib.sha256(b"{}").hexdigest(),
        "payload_bytes": 2,
    }


def test_guide_says_what_to_do_about_each_reason() -> None:
    guide = (ROOT / "docs" / "kafka.md").read_text("utf-8")
    _, _, section = guide.partition("## Dead letters\n")
    table = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    listed = [reason for row in table for reason in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(REJECTION_REASONS)


def test_source_without_timestamp_has_null() -> None:
    assert letter(b"{}").source_timestamp is None


def test_payload_that_is_not_kept_leaves_digest_and_length() -> None:
    found = letter(b"secret", keep_payload=False)
    assert (found.payload, found.payload_encoding, found.payload_bytes) == (None, None, 6)
    assert found.payload_sha256 == hashlib.sha256(b"secret").hexdigest()


def test_payload_that_tells_what_is_protected_is_never_carried() -> None:
    payload = b'{"traits":{"religion":"x"}}'
    found = dead_letter(TraitProtected("out_of_range", "traits", "traits.religion: …"), payload, POSITION, None)
    assert (found.payload, found.payload_encoding, found.payload_bytes) == (None, None, len(payload))


@given(st.binary(max_size=200))
def test_payload_can_be_restored_exactly(payload: bytes) -> None:
    found = letter(payload)
    assert found.payload is not None
    restored = found.payload.encode() if found.payload_encoding == "utf-8" else base64.b64decode(found.payload)
    assert restored == payload


@pytest.mark.parametrize("lead", ["", "a", "ab", "abc"])
def test_long_text_is_cut_between_characters(lead: str) -> None:
    payload = (lead + "😀" * 20_000).encode()
    found = letter(payload)
    assert found.payload_encoding == "utf-8"
    assert found.payload is not None
    assert payload.startswith(found.payload.encode())
    assert KEPT_BYTES - 3 <= len(found.payload.encode()) <= KEPT_BYTES
    assert found.payload_bytes == len(payload)
    assert found.payload_sha256 == hashlib.sha256(payload).hexdigest()


@pytest.mark.parametrize("payload", [b"\xff" + b"a" * 70_000, b"a\xf0\x9f"])
def test_payload_that_is_no_text_is_base64_of_its_first_part(payload: bytes) -> None:
    found = letter(payload)
    assert found.payload_encoding == "base64"
    assert base64.b64decode(found.payload or "") == payload[:KEPT_BYTES]
