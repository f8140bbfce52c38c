from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b32decode

import pytest

from stream_app.contracts.pseudonyms import Pseudonyms
from stream_app.errors import ConfigurationError

KEY = bytes(range(32))


def test_pseudonym_is_the_keyed_hash_of_the_id() -> None:
    pseudonym = Pseudonyms(KEY).of("käthe")
    assert b32decode(pseudonym.upper() + "====") == hmac.new(KEY, "käthe".encode(), hashlib.sha256).digest()
    assert (len(pseudonym), pseudonym.isalnum()) == (52, True)


def test_records_are_rewritten_but_for_what_is_no_id() -> None:
    pseudonyms = Pseudonyms(KEY)
    record = {"event_id": "e1", "customer_id": 42, "alias": "d-1", "type": "link", "note": None}
    said = json.loads(pseudonyms.rewrite(json.dumps(record).encode()))
    assert said == record | {"customer_id": pseudonyms.of("42"), "alias": pseudonyms.of("d-1")}


def test_nobody_stays_nobody() -> None:
    assert Pseudonyms(KEY).of("") == ""
    assert json.loads(Pseudonyms(KEY).rewrite(b'{"customer_id":null}')) == {"customer_id": None}


def test_another_key_makes_other_pseudonyms() -> None:
    assert Pseudonyms(KEY).of("c1") != Pseudonyms(KEY[::-1]).of("c1")


def test_short_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="5 bytes, expected at least 32"):
        Pseudonyms(b"short")
