"""What alerts and the dashboard ask for, as tests need it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.grafana import dashboard
from stream_app.adapters.metrics import CONTENT_TYPE, Metrics
from tests.support.replays import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
RULE_TESTS: Final = ROOT / "deploy" / "prometheus" / "rules_test.yml"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
_METRIC: Final = re.compile(r"\bsegmenter_[a-z0-9_]+")
_PARTS_OF_HISTOGRAMS: Final = ("_bucket", "_count", "_sum")


def load(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text("utf-8")))


def rules() -> list[dict[str, Any]]:
    """Return all rules, those that record and those that alert."""
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metrics_in(expressions: Iterable[str]) -> set[str]:
    """Return the names of our metrics, histograms as they are declared."""
    names = {name for expression in expressions for name in _METRIC.findall(expression)}
    return {_declared(name) for name in names}


def metrics_used() -> set[str]:
    """Return every metric that an alert or the dashboard uses."""
    return metrics_in([*(rule["expr"] for rule in rules()), *dashboard.expressions()])


@contextmanager
def served(metrics: Metrics) -> Iterator[str]:
    """Serve metrics; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.end_headers()
            self.wfile.write(metrics.exposition())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _declared(name: str) -> str:
    for part in _PARTS_OF_HISTOGRAMS:
        if name.endswith("_seconds" + part):
            return name.removesuffix(part)
    return name
