"""The console: pages for people, the document that they draw from, signing in and out, and what only they ask for.

Programs use `/v1`; the pages use it, too, for whatever is not in their document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from stream_app.adapters.wall_clock import now_ms
from stream_app.api import access
from stream_app.api.access import BearerTokens, Client, Credential
from stream_app.api.deciding import Decisions
from stream_app.api.figures import software_of_workers
from stream_app.api.live_document import LiveDocument
from stream_app.api.pages import ALWAYS_ASK, JSON, PREFIX, SECURITY_HEADERS, Asset, answer, page_routes
from stream_app.api.parameters import require_event_id
from stream_app.api.problems import ORIGIN_FOREIGN, RATE_LIMITED, TOKEN_UNKNOWN, Problem
from stream_app.api.quotas import TokenBucket
from stream_app.api.refusals import Refusals
from stream_app.api.routing import encode, require_segmentation
from stream_app.api.sessions import LIFETIME_SECONDS, Sessions, is_same_origin, set_cookie
from stream_app.api.store import SegmentStore
from stream_app.contracts.fields import parse_instant
from stream_app.errors import ConfigurationError
from stream_app.web.single_file import content_of

SIGN_IN: Final = "/console/sign-in"
SIGN_OUT: Final = "/console/sign-out"
SESSION: Final = "/console/session"
MOVES_MAX: Final = 200
"""Of one answer."""
SCANNED_MOVES: Final = 1_000
"""Looked at for one answer."""
SIGN_INS_PER_SECOND: Final = 1.0
SIGN_IN_BURST: Final = 20
"""Of all who try, with whatever token: there is nothing to guess, but much to log."""


class SignIn(msgspec.Struct):
    """What people sign in with."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Document(Protocol):
    """Where the pages' document comes from."""

    has_customers: bool
    """Whether customers are in it, and not only figures of segments."""

    async def start(self) -> None:
        """Get ready to give it; return at once."""
        ...

    async def close(self) -> None:
        """Close everything."""
        ...

    async def get(self, *, may_be_old: bool = False) -> Asset:
        """Return it as it is now, or, where that will do, as it was made last; may raise `StoreUnavailable`."""
        ...


class FileDocument:
    """The document that a report carries.

    Parameters
    ----------
    path
        Of the report.
    """

    has_customers = True

    def __init__(self, path: Path) -> None:
        content = content_of(path.read_text(encoding="utf-8"))
        if not content:
            raise ConfigurationError(f"{path}: holds no figures, expected the report of a replay")
        self._asset = Asset(content, JSON, f'"{path.stat().st_mtime_ns:x}"')

    async def start(self) -> None:
        """See `Document`."""

    async def close(self) -> None:
        """See `Document`."""

    async def get(self, *, may_be_old: bool = False) -> Asset:  # noqa: ARG002 - it never changes
        """See `Document`."""
        return self._asset


class Console:
    """The console of an API.

    Parameters
    ----------
    store
        What is served.
    document
        What the pages draw.
    tokens
        Of those who may sign in; None where everybody may look without.
    key
        Signs sessions.
    decisions
        Where models are decided on; None where they cannot be.
    version
        Of the software.
    refusals
        Tells of refused records; None where nothing is known of them.
    sign_in_burst
        How many may try to sign in at once.
    """

    def __init__(
        self,
        store: SegmentStore,
        document: Document,
        tokens: BearerTokens | None,
        key: bytes,
        decisions: Decisions | None = None,
        version: str = "",
        refusals: Refusals | None = None,
        sign_in_burst: int = SIGN_IN_BURST,
    ) -> None:
        self._store = store
        self._document = document
        self._tokens = tokens
        self._sessions = None if tokens is None else Sessions(tokens, key, store.sign_outs)
        self._sign_ins = TokenBucket(SIGN_INS_PER_SECOND, sign_in_burst)
        self._decisions = decisions
        self._version = version
        self._refusals = refusals
        self._started_at_ms = now_ms()
        self.credentials: Sequence[Credential] = () if self._sessions is None else (self._sessions,)
        self.open_paths: Collection[str] = ("/", SIGN_IN, SIGN_OUT, SESSION)
        self.open_prefixes: Sequence[str] = (PREFIX,)

    async def start(self) -> None:
        """Get ready for people; return at once."""
        await self._document.start()

    async def close(self) -> None:
        """Close everything."""
        await self._document.close()

    @property
    def routes(self) -> APIRouter:
        """The console's routes."""
        router = APIRouter(include_in_schema=False)
        router.routes.extend(page_routes().routes)
        router.add_api_route(SESSION, self._session, methods=["GET"])
        router.add_api_route(SIGN_IN, self._sign_in, methods=["POST"])
        router.add_api_route(SIGN_OUT, self._sign_out, methods=["POST"])
        router.add_api_route("/console/document", self._get_document, methods=["GET"])
        router.add_api_route("/console/moves", self._moves, methods=["GET"])
        router.add_api_route("/console/refused", self._refused, methods=["GET"])
        router.add_api_route("/console/health", self._health, methods=["GET"])
        router.add_api_route(
            "/console/segmentations/{segmentation}/models/{version}/{action}", self._decide, methods=["POST"]
        )
        return router

    # --- who -----------------------------------------------------------------------------------------------------

    async def _session(self, request: Request) -> Response:
        """Say who is signed in, and what the pages can do."""
        if self._sessions is None:
            return _answer(self._told(access.ANYBODY, None))
        session = await self._sessions.of(request.scope)
        client = None if session is None else self._sessions.client_of(session)
        if session is None or client is None:
            return _answer({"signed_in": False})
        return _answer(self._told(client, self._sessions.csrf_token(session)))

    async def _sign_in(self, request: Request) -> Response:
        _require_own_page(request)
        wait_seconds = self._sign_ins.take()
        if wait_seconds:
            raise Problem(RATE_LIMITED, "too many people sign in at the moment; try again", {"Retry-After": "1"})
        if self._tokens is None or self._sessions is None:
            return _answer(self._told(access.ANYBODY, None))
        client = None
        with suppress(msgspec.DecodeError):
            client = self._tokens.find(msgspec.json.decode(await request.body(), type=SignIn).token.strip())
        if client is None:
            raise Problem(TOKEN_UNKNOWN, TOKEN_UNKNOWN.example)
        session, cookie = self._sessions.begin(client)
        response = _answer(self._told(client, self._sessions.csrf_token(session)))
        response.headers["Set-Cookie"] = set_cookie(cookie, request.scope, LIFETIME_SECONDS)
        return response

    async def _sign_out(self, request: Request) -> Response:
        _require_own_page(request)
        session = None if self._sessions is None else await self._sessions.of(request.scope)
        if session is not None and self._sessions is not None:
            self._sessions.require_csrf_token(request.scope, session)
            await self._sessions.end(session)
        response = _answer({"signed_in": False})
        response.headers["Set-Cookie"] = set_cookie("", request.scope, 0)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response

    def _told(self, client: Client, csrf_token: str | None) -> dict[str, Any]:
        return {
            "signed_in": True,
            "needs_token": self._sessions is not None,
            "client": client.name,
            "scopes": sorted(client.scopes),
            "csrf_token": csrf_token,
            "is_live": isinstance(self._document, LiveDocument),
            "can_edit_actions": self._store.actions is not None and access.EDIT_ACTIONS in client.scopes,
            "can_decide": self._decisions is not None and access.DECIDE_MODELS in client.scopes,
        }

    # --- what ----------------------------------------------------------------------------------------------------

    async def _get_document(self, request: Request, may_be_old: bool = False) -> Response:
        client = request.scope["state"]["client"]
        access.needs(client, access.READ_SEGMENTS)
        if self._document.has_customers:
            access.needs(client, access.READ_CUSTOMERS)
        return answer(request, await self._document.get(may_be_old=may_be_old), ALWAYS_ASK)

    async def _moves(
        self,
        request: Request,
        segmentation: str,
        limit: Annotated[int, Query(ge=1, le=MOVES_MAX)] = 50,
        from_ms: int = 0,
        to_ms: int = 2**63,
        before: str | None = None,
    ) -> Response:
        """Give moves of a segmentation in a period, newest first, among those that are kept one by one."""
        access.needs(request.scope["state"]["client"], access.READ_CUSTOMERS)
        require_segmentation(self._store, segmentation)
        if before is not None:
            require_event_id("before", before)
        entries = await self._store.newest(before, SCANNED_MOVES)
        found: list[dict[str, Any]] = []
        for entry in entries:
            before, migration = entry.entry_id, entry.migration
            if migration.segmentation == segmentation and from_ms <= parse_instant(migration.effective_at) < to_ms:
                found.append({"entry_id": entry.entry_id, "move": msgspec.Raw(entry.document)})
                if len(found) == limit:
                    break
        is_end = len(entries) < SCANNED_MOVES and len(found) < limit
        return _answer({"moves": found, "before": None if is_end else before})

    async def _health(self, request: Request) -> Response:
        """Say how fresh everything is, as far as this process can know."""
        access.needs(request.scope["state"]["client"], access.READ_SEGMENTS)
        reason = self._store.unready_reason()
        told: dict[str, Any] = {
            "now_ms": now_ms(),
            "version": self._version,
            "started_at_ms": self._started_at_ms,
            "ready": not reason,
            "reason": reason,
            "view": None,
            "workers": [],
            "figures": [],
        }
        if not reason:
            names = sorted(self._store.index.models)
            origins = await asyncio.gather(*(self._store.figures_from(name) for name in names))
            condition = await self._store.condition()
            told["view"] = condition._asdict()
            told["workers"] = software_of_workers(origins) if condition.is_live else []
            told["figures"] = [
                {
                    "segmentation": name,
                    "partitions": len(found),
                    "oldest": min(origin.as_of for origin in found.values()),
                    "newest": max(origin.as_of for origin in found.values()),
                }
                for name, found in zip(names, origins, strict=True)
                if found
            ]
        return _answer(told)

    async def _refused(self, request: Request) -> Response:
        """Say which records were refused lately; examples may be personal, and are for those who may see customers."""
        client = request.scope["state"]["client"]
        access.needs(client, access.READ_SEGMENTS)
        if self._refusals is None:
            return _answer({"days": [], "reasons": []})
        return _answer(await self._refusals.document(has_examples=access.READ_CUSTOMERS in client.scopes))

    async def _decide(
        self,
        request: Request,
        segmentation: str,
        version: Annotated[int, PathParameter(ge=0, le=2**31)],
        action: Literal["approve", "reject"],
    ) -> Response:
        _require_own_page(request)
        client: Client = request.scope["state"]["client"]
        access.needs(client, access.DECIDE_MODELS)
        require_segmentation(self._store, segmentation)
        return _answer(await Decisions.of(self._decisions).hand_in(action, segmentation, version, client.name))


def _require_own_page(request: Request) -> None:
    """Refuse what a page of another origin asks for: it cannot send JSON without a preflight request."""
    if not is_same_origin(request.scope) or request.headers.get("content-type", "").partition(";")[0] != JSON:
        raise Problem(ORIGIN_FOREIGN, ORIGIN_FOREIGN.example)


def _answer(document: object) -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
    return Response(encode(document), HTTPStatus.OK, headers, JSON)
