"""Sessions of people who have signed in: a token, given once, becomes a cookie that scripts cannot read.

A cookie says whose session it is, until when, and a random number, and is signed, so that any process that has the key
knows it and nothing has to be kept. It is as good as its token: when the token is removed from the settings, or has
other scopes, so is the session. That somebody has signed out is the one thing a signature cannot say: it is kept apart,
see `stream_app.api.sign_outs`.

A browser sends a cookie along with every request, whichever page makes it. `SameSite=Strict` keeps out those of other
sites, and a request that changes something must show, in a header, a number that follows from the session and that only
pages of this origin can have read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple

import msgspec
from starlette.types import Scope

from stream_app.api.access import BearerTokens, Client, header_of
from stream_app.api.problems import CSRF_TOKEN_INVALID, RETRY_SECONDS, VIEW_UNAVAILABLE, Problem
from stream_app.api.sign_outs import SignOuts, SignOutsUnavailable

COOKIE: Final = "segmenter_session"
CSRF_HEADER: Final = b"x-csrf-token"
LIFETIME_SECONDS: Final = 12 * 3_600
"""Then people sign in again, whatever they do: a day's work."""
KEY_BYTES: Final = 32
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NONCE_BYTES: Final = 18


class Session(NamedTuple):
    """What a cookie says.

    Attributes
    ----------
    client
        Name of the token.
    token_sha256
        Of the token.
    expires_at
        In seconds since the epoch.
    nonce
        No other session has it.
    """

    client: str
    token_sha256: str
    expires_at: int
    nonce: str


class Sessions:
    """The credential that a session's cookie is, see `stream_app.api.access`.

    Parameters
    ----------
    tokens
        Those that people may sign in with.
    key
        What signs cookies is made from; processes that share it know each other's.
    sign_outs
        Of the sessions that have ended before their time.
    now
        In seconds since the epoch.
    """

    def __init__(
        self, tokens: BearerTokens, key: bytes, sign_outs: SignOuts, now: Callable[[], float] = time.time
    ) -> None:
        self._tokens = tokens
        self._key = hmac.digest(key, b"sessions of the console", hashlib.sha256)  # the key signs other things, too
        self._sign_outs = sign_outs
        self._now = now

    async def __call__(self, scope: Scope) -> Client | None:
        """Return whose session a request is of; see `Credential`."""
        session = await self.of(scope)
        client = None if session is None else self.client_of(session)
        if session is None or client is None:
            return None
        if scope["method"] not in SAFE_METHODS:
            self.require_csrf_token(scope, session)
        return client

    def begin(self, client: Client) -> tuple[Session, str]:
        """Begin a session; return it, and the cookie's value."""
        expires_at = int(self._now()) + LIFETIME_SECONDS
        session = Session(client.name, client.sha256, expires_at, secrets.token_urlsafe(_NONCE_BYTES))
        payload = _encode(msgspec.json.encode(session))
        return session, f"{payload}.{_encode(self._sign(b'session', payload.encode()))}"

    async def end(self, session: Session) -> None:
        """End a session, for every process.

        Raises
        ------
        Problem
            503, if that cannot be kept.
        """
        with _problems():
            await self._sign_outs.add(session.nonce, session.expires_at)

    async def of(self, scope: Scope) -> Session | None:
        """Return the session that a request's cookie is of; None without a cookie, and for one that is not valid.

        Raises
        ------
        Problem
            503, if nobody can say whether it has ended.
        """
        payload, _, signature = _cookie(header_of(scope, b"cookie")).partition(".")
        expected = _encode(self._sign(b"session", payload.encode()))
        if not payload or not hmac.compare_digest(signature.encode(), expected.encode()):
            return None
        session = msgspec.json.decode(_decode(payload), type=Session)
        if session.expires_at <= self._now():
            return None
        with _problems():
            return None if await self._sign_outs.has(session.nonce) else session

    def client_of(self, session: Session) -> Client | None:
        """Return who has the session, with its present scopes; None if the token is no longer known."""
        client = self._tokens.by_name.get(session.client)
        return client if client is not None and client.sha256 == session.token_sha256 else None

    def csrf_token(self, session: Session) -> str:
        """Return what requests of a session that change something show."""
        return _encode(self._sign(b"csrf", session.nonce.encode()))

    def require_csrf_token(self, scope: Scope, session: Session) -> None:
        """Refuse a request that does not show it.

        Raises
        ------
        Problem
            403.
        """
        given = header_of(scope, CSRF_HEADER)
        if not hmac.compare_digest(given.encode("latin-1"), self.csrf_token(session).encode()):
            raise Problem(CSRF_TOKEN_INVALID, CSRF_TOKEN_INVALID.example)

    def _sign(self, purpose: bytes, text: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b":" + text, hashlib.sha256)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except SignOutsUnavailable as error:
        raise Problem(VIEW_UNAVAILABLE, str(error), {"Retry-After": str(RETRY_SECONDS)}) from error


def set_cookie(value: str, scope: Scope, seconds: int) -> str:
    """Return the header that gives a browser a cookie, for TLS alone where the request has come by TLS."""
    is_secure = scope.get("scheme") == "https" or header_of(scope, b"x-forwarded-proto") == "https"
    parts = [f"{COOKIE}={value}", "Path=/", f"Max-Age={seconds}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if is_secure else parts)


def is_same_origin(scope: Scope) -> bool:
    """Say whether a request is of a page of this origin, or of no page at all, as far as its headers tell."""
    if header_of(scope, b"sec-fetch-site") not in ("", "same-origin", "none"):
        return False
    origin = header_of(scope, b"origin")
    return not origin or origin.partition("://")[2] == header_of(scope, b"host")


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
