"""Who may call: bearer tokens, what they are good for, and how often they may be used.

A token is 256 random bits, so its hash needs no salt and no slow function: there is nothing to guess. What is compared
are hashes, in constant time, and always with all of them.
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
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="segmenter"'}


def create_token() -> str:
    """Return a new token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """Return what is kept of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Client:
    """Who calls.

    Parameters
    ----------
    name
        For logs.
    sha256
        Of the token.
    scopes
        What it may be used for.
    """

    name: str
    sha256: str
    scopes: frozenset[str]


ANYBODY: Final = Client("anybody", "", frozenset(SCOPES))


class TokenBucket:
    """Lets through a number of calls at once, and then as many as time refills.

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
        """Take one call; return 0, or the seconds to wait for the next one where there is none left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return (1 - self._left) / self._per_second
        self._left -= 1
        return 0.0


class Gate:
    """Stands before the application: nothing but liveness and readiness is reached without a token.

    What the token must be good for is said by the routes (`needs`). Every answer is timed here, too.

    Parameters
    ----------
    app
        What is behind.
    clients
        Who may call; none means that everybody may.
    requests_per_second, burst
        Of each client.
    metrics
        Where answers are counted.
    """

    def __init__(
        self, app: ASGIApp, clients: Sequence[Client], requests_per_second: float, burst: int, metrics: Metrics
    ) -> None:
        self._app = app
        self._clients = [(client.sha256.encode(), client) for client in clients]
        self._buckets = {client.name: TokenBucket(requests_per_second, burst) for client in (*clients, ANYBODY)}
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
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
        kind, _, token = authorization.partition(" ")
        found = None
        if kind.lower() == "bearer":
            told = hash_token(token.strip()).encode()
            for sha256, client in self._clients:
                if hmac.compare_digest(sha256, told):
                    found = client
        if found is None:
            raise Problem(HTTPStatus.UNAUTHORIZED, "expected the header Authorization: Bearer <token>", CHALLENGE)
        return found

    def _observe(self, scope: Scope, status: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
        labels = {"method": method, "route": route, "status": f"{status[0]}xx"}
        self._metrics.distribution(HTTP_REQUEST_DURATION, **labels).observe(seconds)


def needs(client: Client, scope: str) -> None:
    """Refuse a client whose token is not good for something.

    Raises
    ------
    Problem
        403.
    """
    if scope not in client.scopes:
        challenge = {"WWW-Authenticate": f'Bearer realm="segmenter", error="insufficient_scope", scope="{scope}"'}
        raise Problem(HTTPStatus.FORBIDDEN, f"the token is not good for {scope}", challenge)
