"""Pseudonyms in place of customers' ids, so that nobody without the key can see whose records are.

HMAC-SHA-256 of the id in base32 without padding, in small letters: 52 characters, which no exporter, shell or URL
changes. The same id gives the same pseudonym under the same key, so records of one customer stay together.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from typing import Any, Final

import msgspec

from stream_app.errors import ConfigurationError

KEY_BYTES_MIN: Final = 32
ID_FIELDS: Final = ("customer_id", "alias")
"""Fields of input records that hold ids of customers."""


class Pseudonyms:
    """Puts pseudonyms in the place of ids.

    Parameters
    ----------
    key
        The secret.

    Raises
    ------
    ConfigurationError
        If it is shorter than `KEY_BYTES_MIN`.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise ConfigurationError(
                f"setting privacy.pseudonym_key_file: {len(key)} bytes, expected at least {KEY_BYTES_MIN}"
            )
        self._key = key

    def of(self, customer_id: str) -> str:
        """Return the pseudonym of an id; of an empty one, which is nobody's, the same."""
        if not customer_id:
            return customer_id
        digest = hmac.digest(self._key, customer_id.encode(), "sha256")
        return b32encode(digest).decode().rstrip("=").lower()

    def rewrite(self, payload: bytes) -> bytes:
        """Return a valid record with pseudonyms in the place of its ids."""
        record: dict[str, Any] = msgspec.json.decode(payload)
        for name in ID_FIELDS:
            if record.get(name) is not None:
                record[name] = self.of(str(record[name]))
        return msgspec.json.encode(record)
