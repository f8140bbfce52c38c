"""Chromium, and a console on a view of what a simulated shop's replay has left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.conftest import browser, shipped
from tests.support.replays import Outputs
from tests.support.servers import RedisServer
from tests.web.consoles import Consoles, wait_until_counted, wait_until_ready
from tests.web.view_of_replay import ViewOfReplay

__all__ = ["browser", "shipped"]


@pytest.fixture(scope="session")
def view(shipped: Outputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewOfReplay]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        found = ViewOfReplay(server.port, shipped.folder)
        found.fill()
        yield found


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
        wait_until_counted(address)
        yield address
