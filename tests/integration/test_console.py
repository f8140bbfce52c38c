"""The whole chain in front of a browser: worker, view, API and console, a move that a purchase makes, an approval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream_app.api.access import SCOPES, hash_token
from tests.integration.test_approval import SECTIONS, Operator, history
from tests.integration.test_worker import PATIENCE_SECONDS, Deploy, Input, deploy
from tests.report.conftest import browser
from tests.support.processes import free_port, wait_for
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch
from tests.web.driving import Driver, Found, Visit

__all__ = ["browser", "deploy", "history"]

pytestmark = pytest.mark.browser

TOKEN = "segmenter_token-of-marta"
SIGN_IN = [
    {"fill": ["input[name=token]", TOKEN]},
    {"click": "button[type=submit]"},
    {"wait": "nav.pages"},
]


@pytest.fixture
def operator(deploy: Deploy, history: Sequence[tuple[str, Input]]) -> Operator:
    deployment = deploy(**SECTIONS)
    deployment.start_worker()
    return Operator(deployment, history)


@pytest.fixture
def console(operator: Operator, tmp_path: Path) -> Iterator[str]:
    """Serve what the worker tells; give the address."""
    port, view_health = free_port(), free_port()
    with ExitStack() as running:
        redis = running.enter_context(RedisServer(tmp_path / "redis"))
        scopes = ", ".join(f'"{scope}"' for scope in SCOPES)
        settings = dict(each.split("=", 1) for each in operator.deployment._environment) | {
            "SEGMENTER_REDIS__URL": f"redis://127.0.0.1:{redis.port}/0",
            "SEGMENTER_VIEW__HEALTH_PORT": str(view_health),
            "SEGMENTER_API__PORT": str(port),
            "SEGMENTER_API__HEALTH_PORT": "0",
            "SEGMENTER_API__TOKENS": f'[{{"name": "marta", "sha256": "{hash_token(TOKEN)}", "scopes": [{scopes}]}}]',
        }
        running.enter_context(Service(tmp_path, "view", ["view"], settings))
        running.enter_context(Service(tmp_path, "api", ["api"], settings))
        operator.feed(0.6)
        for address in (f"http://127.0.0.1:{view_health}", f"http://127.0.0.1:{port}"):
            wait_for(lambda address=address: fetch(f"{address}/ready")[0] == 200, PATIENCE_SECONDS, address)
        yield f"http://127.0.0.1:{port}"


def test_what_happens_on_kafka_is_seen_and_decided_on_in_the_console(
    browser: Driver, console: str, operator: Operator, tmp_path: Path
) -> None:
    assert operator.shown()["waiting"]["version"] == 2
    approval = [
        *SIGN_IN,
        {"wait": ".live.live"},
        {"wait": '[data-own="decision"] button'},
        {"click": '[data-own="decision"] button:text-is("Approve")'},
        {"wait": 'p[role=status]:has-text("Done: version 2 is in force.")'},
        {"look": None},
    ]
    (found,) = browser.visit(Visit(f"{console}/#/models", actions=approval))
    assert found.raw["violations"] == []
    assert found.errors == []
    assert operator.shown()["published"]["version"] == 2
    assert operator.shown()["last_decision"]["decided_by"] == "marta"
    follow(browser, console, operator, tmp_path / "ready")


def follow(browser: Driver, console: str, operator: Operator, ready: Path) -> None:
    """Look at a page while the next part of the history is produced."""
    actions = [
        *SIGN_IN,
        {"wait": ".live.live"},
        {"evaluate": "globalThis.before = document.querySelector('.as-of').textContent"},
        {"tell": str(ready)},
        {"until": "document.querySelector('.as-of').textContent !== globalThis.before"},
        {"wait": 'section:has(h2:text-is("Latest moves")) tbody tr'},
    ]
    with ThreadPoolExecutor(1) as pool:
        visiting = pool.submit(browser.visit, Visit(f"{console}/#/overview", actions=actions))
        wait_for(ready.exists, PATIENCE_SECONDS, "a page that listens")
        operator.feed(0.62)
        found: Found = visiting.result()[0]
    assert found.errors == []
