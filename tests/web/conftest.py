"""Chromium, and a console on a view of what a simulated shop's replay has left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.adapters.metrics import API, Metrics
from stream_app.api.access import SCOPES, BearerTokens, Client, hash_token
from stream_app.api.console import Console
from stream_app.api.live_document import LiveDocument
from stream_app.api.redis_store import RedisStore
from stream_app.api.store import SegmentStore
from tests.api.serving import serving
from tests.report.conftest import browser, shipped
from tests.support.processes import wait_for
from tests.support.replays import Outputs
from tests.support.servers import RedisServer
from tests.support.services import fetch
from tests.web.view_of_replay import KEYS, ViewOfReplay

__all__ = ["browser", "shipped"]

TOKEN, OF_SEGMENTS = "token-of-marta", "token-of-an-intern"
CLIENTS = [
    Client("marta", hash_token(TOKEN), frozenset(SCOPES)),
    Client("intern", hash_token(OF_SEGMENTS), frozenset({"read:segments"})),
]
PATIENCE_SECONDS = 60
KEY = b"a key that signs sessions, 32 letters"


def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
    return Console(store, LiveDocument(store, "UTC"), tokens, KEY, version="9.8.7")


@pytest.fixture(scope="session")
def view(shipped: Outputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewOfReplay]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        found = ViewOfReplay(server.port, shipped.folder)
        found.fill()
        yield found


class Consoles:
    """Serves consoles on a view.

    Parameters
    ----------
    view
        What they show.
    """

    def __init__(self, view: ViewOfReplay) -> None:
        self.view = view

    def store(self) -> SegmentStore:
        return RedisStore(self.view.connection(), KEYS, Metrics(API), lambda: self.view.end_ms)

    def serving(self, *, is_open: bool = False, port: int = 0):  # type: ignore[no-untyped-def]
        return serving(self.store, [] if is_open else CLIENTS, console_of, port)


@pytest.fixture(scope="session")
def consoles(view: ViewOfReplay) -> Consoles:
    return Consoles(view)


@pytest.fixture(scope="session")
def closed(consoles: Consoles) -> Iterator[str]:
    """A console that people sign in to."""
    with consoles.serving() as address:
        wait_until_ready(address)
        yield address


@pytest.fixture(scope="session")
def console(consoles: Consoles) -> Iterator[str]:
    """A console that everybody may look at."""
    with consoles.serving(is_open=True) as address:
        wait_until_ready(address)
        yield address


def wait_until_ready(address: str) -> None:
    wait_for(lambda: fetch(f"{address}/ready")[0] == 200, PATIENCE_SECONDS, "the first look at the view")
