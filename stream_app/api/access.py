"""Who may call: credentials, the scopes they are good for, and how often they may be used.

A token is 256 random bits, so its hash needs no salt and no slow function: there is nothing to guess. Hashes are
compared in constant time, and always with all of them.

A request may bring one of several kinds of credential. Each kind is a function from a request to its caller, None
where the request has nothing of this kind; the first one that finds a caller decides.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.api.problems import (
    ORIGIN_FOREIGN,
    RATE_LIMITED,
    SCOPE_MISSING,
    TOKEN_MALFORMED,
    TOKEN_MISSING,
    TOKEN_UNKNOWN,
    Problem,
)
from stream_app.api.quotas import Quotas

READ_CUSTOMERS: Final = "read:customers"
READ_SEGMENTS: Final = "read:segments"
STREAM_MIGRATIONS: Final = "stream:migrations"
DECIDE_MODELS: Final = "decide:models"
"""Approve and reject models in the console."""
EDIT_ACTIONS: Final = "edit:actions"
"""Say what to do with a segment's customers."""
READING: Final = (READ_CUSTOMERS, READ_SEGMENTS, STREAM_MIGRATIONS)
SCOPES: Final = (*READING, DECIDE_MODELS, EDIT_ACTIONS)
TOKEN_PREFIX: Final = "segmenter_"
"""Lets scanners for leaked secrets recognise one."""
TOKEN_BYTES: Final = 32
OPEN_PATHS: Final = frozenset({"/live", "/ready", "/docs", "/openapi.json"})
"""They tell nothing of customers or segments."""
OPEN_PREFIXES: Final = ("/docs/", "/problems/")
OWN_NAMES: Final = frozenset({"", "localhost", "127.0.0.1", "[::1]"})
"""Of this machine; the empty one is that of programs which name none."""
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

Credential = Callable[[Scope], Awaitable[Client | None]]
"""Returns the caller that a request names by one kind of credential, None where it has none of that kind; raises
`Problem` for one that is wrong."""


async def anybody(scope: Scope) -> Client:
    """Let everybody on this machine in: a credential that each request has.

    A page from elsewhere, whose name its owner makes stand for this machine (DNS rebinding), asks by that name.

    Raises
    ------
    Problem
        403, for such a page.
    """
    host = header_of(scope, b"host")
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in OWN_NAMES:
        raise Problem(ORIGIN_FOREIGN, f"without tokens, only {', '.join(sorted(OWN_NAMES - {''}))} may be asked")
    return ANYBODY


def header_of(scope: Scope, name: bytes) -> str:
    """Return a header of a request, empty if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


class BearerTokens:
    """The credential `Authorization: Bearer <token>`.

    Parameters
    ----------
    clients
        Those whose tokens are known.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self.replace(clients)

    def replace(self, clients: Sequence[Client]) -> None:
        """Let others in from now on."""
        self._clients = [(client.sha256.encode(), client) for client in clients]
        self.by_name = {client.name: client for client in clients}

    def find(self, token: str) -> Client | None:
        """Return whose token this is; None for one that is not known."""
        found, given_hash = None, hash_token(token).encode()
        for sha256, client in self._clients:
            if hmac.compare_digest(sha256, given_hash):
                found = client
        return found

    async def __call__(self, scope: Scope) -> Client | None:
        """See `Credential`."""
        authorization = header_of(scope, b"authorization")
        if not authorization:
            return None
        kind, _, token = authorization.partition(" ")
        given = token.strip()
        if kind.lower() != "bearer" or not given:
            raise Problem(TOKEN_MALFORMED, TOKEN_MALFORMED.example, {"WWW-Authenticate": CHALLENGE})
        found = self.find(given)
        if found is None:
            challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
            raise Problem(TOKEN_UNKNOWN, TOKEN_UNKNOWN.example, challenge)
        return found


class AccessMiddleware:
    """Lets no request through whose caller is not known, but for paths that are open.

    Routes check the scope themselves (`needs`); they find the caller in the request's state.

    Parameters
    ----------
    app
        The application that is protected.
    credentials
        In the order in which they are looked for.
    quotas
        How often each caller may call.
    open_paths, open_prefixes
        Of what everybody may see.
    """

    def __init__(
        self,
        app: ASGIApp,
        credentials: Sequence[Credential],
        quotas: Quotas,
        open_paths: Collection[str] = OPEN_PATHS,
        open_prefixes: Sequence[str] = OPEN_PREFIXES,
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._quotas = quotas
        self._open_paths = frozenset(open_paths)
        self._open_prefixes = tuple(open_prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in self._open_paths or path.startswith(self._open_prefixes):
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        try:
            client = await self._identify(scope)
        except Problem as problem:
            await problem.response(state)(scope, receive, send)
            return
        state["client"] = client
        bucket = self._quotas.of(client.name)
        wait_seconds = bucket.take()
        limits = [self._quotas.policy, bucket.told()]

        async def send_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *limits]
            await send(message)

        if wait_seconds:
            await _too_many(wait_seconds).response(state)(scope, receive, send_limits)
        else:
            await self._app(scope, receive, send_limits)

    async def _identify(self, scope: Scope) -> Client:
        for credential in self._credentials:
            client = await credential(scope)
            if client is not None:
                return client
        raise Problem(TOKEN_MISSING, TOKEN_MISSING.example, {"WWW-Authenticate": CHALLENGE})


def _too_many(wait_seconds: float) -> Problem:
    wait = math.ceil(wait_seconds)
    detail = f"too many requests with this token; the next one is let through in {wait} s"
    return Problem(RATE_LIMITED, detail, {"Retry-After": str(wait)})


def needs(client: Client, scope: str) -> None:
    """Refuse a client whose token lacks a scope.

    Raises
    ------
    Problem
        403.
    """
    if scope not in client.scopes:
        challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'}
        raise Problem(SCOPE_MISSING, f"this token lacks the scope {scope}", challenge)
