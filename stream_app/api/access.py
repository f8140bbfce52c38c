"""Who may call: bearer tokens, their scopes, and how often they may be used.

A token is 256 random bits, so its hash needs no salt and no slow function: there is nothing to guess. Hashes are
compared in constant time, and always with all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import HTTP_REQUEST_DURATION
from stream_app.api.problems import Problem

READ_CUSTOMERS: Final = "read:customers"
READ_SEGMENTS: Final = "read:segments"
STREAM_MIGRATIONS: Final = "stream:migrations"
SCOPES: Final = (READ_CUSTOMERS, READ_SEGMENTS, STREAM_MIGRATIONS)
TOKEN_PREFIX: Final = "segmenter_"
"""Lets scanners for leaked secrets recognise one."""
TOKEN_BYTES: Final = 32
OPEN_PATHS: Final = frozenset({"/live", "/ready"})
CHALLENGE: Final = 'Bearer realm="segmenter"'


def create_token() -> str:
    """Return a new token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """Return the form in which a token is kept: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Client:
    """A caller.

    Parameters
    ----------
    name
        For logs.
    sha256
        Of the token.
    scopes
        Rights of the token.
    """

    name: str
    sha256: str
    scopes: frozenset[str]


ANYBODY: Final = Client("anybody", "", frozenset(SCOPES))


class TokenBucket:
    """Lets through a burst of calls, and then as many as time refills.

    Parameters
    ----------
    per_second
        Calls that time gives back.
    burst
        Most that can be saved up.
    clock
        In seconds.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._counted_at = clock()

    def take(self) -> float:
        """Take one call and return 0; if none is left, return the seconds until the next one."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return (1 - self._left) / self._per_second
        self._left -= 1
        return 0.0


class TokenMiddleware:
    """Lets no request without a known token through, but for liveness and readiness.

    Routes check the scope themselves (`needs`). Every answer is timed here, too.

    Parameters
    ----------
    app
        The application that is protected.
    clients
        Those who may call; without any, everybody may.
    requests_per_second, burst
        Of each client.
    metrics
        Counts answers.
    """

    def __init__(
        self, app: ASGIApp, clients: Sequence[Client], requests_per_second: float, burst: int, metrics: Metrics
    ) -> None:
        self._app = app
        self._clients = [(client.sha256.encode(), client) for client in clients]
        self._buckets = {client.name: TokenBucket(requests_per_second, burst) for client in (*clients, ANYBODY)}
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, is_timed = time.perf_counter(), False

        async def send_timed(message: Message) -> None:
            nonlocal is_timed
            if not is_timed and message["type"] == "http.response.start":
                is_timed = True
                self._observe(scope, str(message["status"]), time.perf_counter() - started)
            await send(message)

        try:
            if scope["path"] not in OPEN_PATHS:
                scope.setdefault("state", {})["client"] = self._admit(Headers(scope=scope))
        except Problem as problem:
            await problem.response()(scope, receive, send_timed)
            return
        await self._app(scope, receive, send_timed)

    def _admit(self, headers: Headers) -> Client:
        client = self._identify(headers.get("authorization", "")) if self._clients else ANYBODY
        wait_seconds = self._buckets[client.name].take()
        if wait_seconds:
            headers_sent = {"Retry-After": str(math.ceil(wait_seconds))}
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests with this token", headers_sent)
        return client

    def _identify(self, authorization: str) -> Client:
        if not authorization:
            detail = "the header Authorization is missing, expected Authorization: Bearer <token>"
            raise Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": CHALLENGE})
        kind, _, token = authorization.partition(" ")
        given = token.strip()
        if kind.lower() != "bearer" or not given:
            detail = "the header Authorization is of another form, expected Authorization: Bearer <token>"
            raise Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": CHALLENGE})
        found, given_hash = None, hash_token(given).encode()
        for sha256, client in self._clients:
            if hmac.compare_digest(sha256, given_hash):
                found = client
        if found is None:
            challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
            raise Problem(HTTPStatus.UNAUTHORIZED, "this token is not known", challenge)
        return found

    def _observe(self, scope: Scope, status: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
        labels = {"method": method, "route": route, "status": f"{status[0]}xx"}
        self._metrics.distribution(HTTP_REQUEST_DURATION, **labels).observe(seconds)


def needs(client: Client, scope: str) -> None:
    """Refuse a client whose token lacks a scope.

    Raises
    ------
    Problem
        403.
    """
    if scope not in client.scopes:
        challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'}
        raise Problem(HTTPStatus.FORBIDDEN, f"this token lacks the scope {scope}", challenge)
