"""Live consoles on a view, as an API serves them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Final

from stream_app.adapters.metrics import API, Metrics
from stream_app.api.access import SCOPES, BearerTokens, Client, hash_token
from stream_app.api.console import Console
from stream_app.api.live_document import LiveDocument
from stream_app.api.live_parts import LiveParts
from stream_app.api.redis_store import RedisStore
from stream_app.api.refusals import Refusals
from stream_app.api.sampling import ViewSampler
from stream_app.api.store import SegmentStore
from tests.api.serving import serving
from tests.support.processes import wait_for
from tests.support.services import fetch
from tests.web.view_of_replay import KEYS, ViewOfReplay

TOKEN, OF_SEGMENTS = "token-of-marta", "token-of-an-intern"
CLIENTS: Final = [
    Client("marta", hash_token(TOKEN), frozenset(SCOPES)),
    Client("intern", hash_token(OF_SEGMENTS), frozenset({"read:segments"})),
]
KEY: Final = b"a key that signs sessions, 32 letters"
PATIENCE_SECONDS: Final = 300
"""Only ever waited for in full by a test that fails."""


class Consoles:
    """Serves consoles on a view.

    Parameters
    ----------
    view
        What they show.
    """

    def __init__(self, view: ViewOfReplay) -> None:
        self.view = view

    def serving(self, *, is_open: bool = False, port: int = 0) -> AbstractContextManager[str]:
        """Serve one, which everybody may look at or people sign in to; give its address."""
        return serving(self._store, [] if is_open else CLIENTS, self._console, port)

    def _store(self) -> SegmentStore:
        return RedisStore(self.view.connection(), KEYS, Metrics(API), lambda: self.view.end_ms)

    def _console(self, store: SegmentStore, tokens: BearerTokens | None) -> Console:
        sampler = ViewSampler(self.view.connection(), KEYS)
        document = LiveDocument(store, "UTC", LiveParts(store, sampler))
        return Console(store, document, tokens, KEY, version="9.8.7", refusals=Refusals(sampler, "UTC"))


def wait_until_counted(address: str) -> None:
    """Wait for what is counted beside: of a console that everybody may look at."""

    def is_counted() -> bool:
        status, document = fetch(f"{address}/console/document")
        return status == 200 and json.loads(document)["rfm"] is not None

    wait_for(is_counted, PATIENCE_SECONDS, "what is counted of customers")


def wait_until_ready(address: str) -> None:
    wait_for(lambda: fetch(f"{address}/ready")[0] == 200, PATIENCE_SECONDS, "the first look at the view")
