"""What alerts and the dashboard ask for, as tests need it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.grafana import dashboard
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


def _declared(name: str) -> str:
    for part in _PARTS_OF_HISTOGRAMS:
        if name.endswith("_seconds" + part):
            return name.removesuffix(part)
    return name
