"""Short-lived tokens for the live stream, for browsers: their `EventSource` can send no header.

A stream token is the caller's name and an instant, signed; until then it opens the stream, and nothing else. So it may
be part of an address, where a token may not: addresses are written down on the way. A stream that is open by then stays
open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from starlette.types import Scope

from stream_app.adapters.wall_clock import now_ms
from stream_app.api.access import CHALLENGE, STREAM_MIGRATIONS, Client
from stream_app.api.problems import STREAM_TOKEN_INVALID, Problem

STREAM_PATH: Final = "/v1/migrations/stream"
PARAMETER: Final = "token"
PREFIX: Final = "segmenter_stream_"
LIFETIME_MS: Final = 60_000
"""Enough to open a stream; a browser that reconnects later needs another one."""
SIGNED_AS: Final = b"stream-token\0"
"""Before what is signed: sessions are signed with the same key."""
_SIGNATURE_BYTES: Final = 32


class IssuedToken(NamedTuple):
    """A stream token.

    Attributes
    ----------
    token
        For the address.
    expires_ms
        When it stops being of use.
    """

    token: str
    expires_ms: int


class StreamTokens:
    """Makes stream tokens, and is the credential that takes them.

    Parameters
    ----------
    key
        That signs them. Processes that are to take each other's share it.
    now
        In milliseconds.
    """

    def __init__(self, key: bytes, now: Callable[[], int] = now_ms) -> None:
        self._key = key
        self._now = now

    def issue(self, client: Client) -> IssuedToken:
        """Return a token for a caller."""
        expires_ms = self._now() + LIFETIME_MS
        payload = msgspec.json.encode((client.name, expires_ms))
        text = base64.urlsafe_b64encode(self._signature(payload) + payload).decode()
        return IssuedToken(PREFIX + text, expires_ms)

    async def __call__(self, scope: Scope) -> Client | None:
        """See `Credential`."""
        if scope["path"] != STREAM_PATH or b"token" not in scope["query_string"]:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get(PARAMETER)
        if given is None:
            return None
        return Client(self._name_of(given[0]), "", frozenset({STREAM_MIGRATIONS}))

    def _name_of(self, token: str) -> str:
        try:
            signed = base64.b64decode(token.removeprefix(PREFIX), b"-_", validate=True)
        except (binascii.Error, ValueError):
            signed = b""
        signature, payload = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            raise _refused("is not known")
        name, expires_ms = msgspec.json.decode(payload, type=tuple[str, int])
        if self._now() >= expires_ms:
            raise _refused("has expired")
        return name

    def _signature(self, payload: bytes) -> bytes:
        return hmac.new(self._key, SIGNED_AS + payload, hashlib.sha256).digest()


def _refused(what: str) -> Problem:
    detail = f"this stream token {what}; POST /v1/stream-tokens makes another one"
    return Problem(STREAM_TOKEN_INVALID, detail, {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})
