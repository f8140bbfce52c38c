"""Alerts fire when they should and are silent when they should be, and lead to a page that says what to do."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana import dashboard, parts
from deploy.grafana.panels import ROWS
from stream_app.adapters.metrics.declared import DECLARED
from tests.deploy.monitoring import RULE_TESTS, RULES, RUNBOOK, alerts, load, metrics_in, metrics_used, rules
from tests.support.programs import find_program
from tests.support.replays import ROOT

PATIENCE_SECONDS = 300
RUNBOOK_BASE = "https://docs.example.com/segmenter/runbook"
"""Stands for where an operator publishes the runbook: what opens an alert knows no paths of this repository."""
DEPLOYMENT = ROOT / "docs" / "deployment.md"
LISTED = {
    "SegmenterDown",
    "SegmenterLagGrowing",
    "SegmenterPartitionStalled",
    "SegmenterWatermarkStale",
    "SegmenterLatencyBurnFast",
    "SegmenterLatencyBurnSlow",
    "SegmenterDeadLetterRatio",
    "SegmenterMigrationRateAnomaly",
    "SegmenterMigrationsStopped",
    "SegmenterModelStale",
    "SegmenterModelDrift",
    "SegmenterModelHeld",
    "SegmenterRoleDrift",
    "SegmenterTickWaitsExpired",
    "SegmenterRebalanceStorm",
    "SegmenterRecoverySlow",
    "SegmenterErasureOverdue",
    "SegmenterViewStale",
    "SegmenterWebhookBacklog",
    "SegmenterWebhookDead",
    "SegmenterApiErrors",
    "SegmenterApiSlow",
}


def promtool(*arguments: object) -> None:
    command = [find_program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


COMPLAINTS = {"segments look wrong", "history was loaded twice", "a definition moved too many"}


def sections() -> dict[str, str]:
    """Return the runbook's entries by title, in small letters: those of alerts and those of complaints."""
    parts = re.split(r"^### (.+)$", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)
    return {title.lower(): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_rules_are_valid() -> None:
    promtool("check", "rules", RULES)


def test_alerts_fire_and_are_silent_as_their_cases_say() -> None:
    promtool("test", "rules", RULE_TESTS)


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    cases: dict[str, set[bool]] = {}
    for group in load(RULE_TESTS)["tests"]:
        for case in group["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert cases == {name: {True, False} for name in LISTED}


def test_every_alert_has_a_severity_and_a_complete_entry_in_the_runbook() -> None:
    entries = sections()
    assert set(alerts()) == LISTED
    assert set(entries) == {name.lower() for name in LISTED} | COMPLAINTS
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        anchor = name.lower()
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK_BASE}#{anchor}"
    for name, entry in entries.items():
        found = re.findall(r"^\*\*(.+?)\.\*\*", entry, flags=re.MULTILINE)
        assert found == ["Meaning", "Impact", "First look", "Mitigation"], name


def test_base_of_the_runbook_is_replaced_as_documented() -> None:
    for text in (RULES.read_text("utf-8"), DEPLOYMENT.read_text("utf-8")):
        assert f"sed -i 's|{RUNBOOK_BASE}|<your address>|' deploy/prometheus/rules*.yml" in text
    named = re.findall(r"runbook_url: (\S+)", RULES.read_text("utf-8"))
    assert len(named) == len(LISTED)
    assert len({url.replace(RUNBOOK_BASE, "https://wiki/page").partition("#")[0] for url in named}) == 1


def test_cases_about_a_segmentation_have_two() -> None:
    labelled = {each.name for each in DECLARED if "segmentation" in each.labels}
    tested: set[str] = set()
    for case in load(RULE_TESTS)["tests"]:
        series = [each["series"] for each in case["input_series"]]
        of_segmentations = [each for each in series if each.partition("{")[0] in labelled]
        names = {name for each in of_segmentations for name in re.findall(r'segmentation="(\w+)"', each)}
        assert len(names) == (2 if of_segmentations else 0), case["name"]
        tested |= {each.partition("{")[0] for each in of_segmentations}
    assert tested == labelled & metrics_in(rule["expr"] for rule in rules())


def test_every_metric_of_the_dashboard_is_narrowed_to_what_is_chosen() -> None:
    labelled = {each.name for each in DECLARED if "segmentation" in each.labels}
    for expr in (query.expr for row in ROWS for panel in row.panels for query in panel.queries):
        for found in re.finditer(r"(segmenter[_:][a-z0-9_:]+)(?:\{([^}]*)\})?", parts.scoped(expr)):
            name, matchers = found[1], found[2] or ""
            assert parts.DEPLOYMENT in matchers, expr
            assert (parts.PROCESS in matchers) == name.startswith("segmenter_"), expr
            assert (parts.SEGMENTATION in matchers) == (name in {"segmenter:migrations:rate1h", *labelled}), expr


def test_numbers_of_a_segmentation_are_joined_by_its_name() -> None:
    labelled = {each.name for each in DECLARED if "segmentation" in each.labels}
    for query in (query for row in ROWS for panel in row.panels for query in panel.queries):
        assert ("{{segmentation}}" in query.legend) == ("$segmentation" in parts.scoped(query.expr)), query.expr
    for expr in [*dashboard.expressions(), *(rule["expr"] for rule in rules())]:
        if metrics_in([expr]) & labelled:
            grouped = [labels.split(", ") for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)]
            assert all("segmentation" in labels for labels in grouped if labels != ["deployment"]), expr


def test_rules_keep_deployments_apart() -> None:
    for rule in rules():
        grouped = re.findall(r"\b(by|on|max|min|sum|group) \(([^)]*)\)", rule["expr"])
        for _, labels in grouped:
            assert "deployment" in labels.split(", "), rule["expr"]
        assert not re.search(r"\b(sum|max|min|avg|count|group)\(", rule["expr"]), rule["expr"]


def test_every_alert_is_linked_from_a_panel_whose_threshold_is_its_limit() -> None:
    panels = [panel for row in ROWS for panel in row.panels]
    assert {alert for panel in panels for alert in panel.alerts} == LISTED
    for panel in panels:
        limits = [limit for name in panel.alerts for limit in numbers_in(alerts()[name]["expr"])]
        if panel.limit is not None and panel.limit not in {0, 0.99, 1, 5}:  # objectives, and "any at all"
            assert panel.limit in limits, panel.title
    drawn = {panel["title"]: panel for panel in dashboard.dashboard()["panels"]}
    for panel in panels:
        links = [link["url"] for link in drawn[panel.title]["links"]]
        assert links == [f"${{runbook}}#{alert.lower()}" for alert in panel.alerts]


def numbers_in(expr: str) -> list[float]:
    """Return the numbers that an expression compares with, products as what they come to."""
    factors = re.findall(r"[<>]=? ([\d.]+(?: \* [\d.]+)*)", expr)
    return [math.prod(map(float, each.split(" * "))) for each in factors]


def test_dashboard_asks_for_one_deployment_at_a_time() -> None:
    variables = {each["name"]: each for each in dashboard.dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "deployment", "job", "instance", "segmentation", "runbook"]
    assert not variables["deployment"]["multi"]
    assert not variables["deployment"]["includeAll"]
    assert variables["runbook"]["query"] == parts.RUNBOOK == RUNBOOK_BASE


def test_links_of_the_runbook_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOK.read_text("utf-8")):
        page, _, anchor = link.partition("#")
        target = (RUNBOOK.parent / page if page else RUNBOOK).read_text("utf-8")
        titles = re.findall(r"^#+ (.+)$", target, flags=re.MULTILINE)
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, link


def test_metrics_that_are_used_or_named_are_declared() -> None:
    declared = {each.name for each in DECLARED}
    process = {"segmenter_process_cpu_seconds_total", "segmenter_process_resident_memory_bytes"}
    assert metrics_used() <= declared | process
    named = set(re.findall(r"segmenter_[a-z_]+", RUNBOOK.read_text("utf-8")))
    assert {re.sub(r"_count$", "", name) for name in named} <= declared | process


def test_dashboard_is_in_step_with_its_code() -> None:
    hint = "make it anew: python -m deploy.grafana.dashboard"
    assert dashboard.TARGET.read_text("utf-8") == dashboard.text(), hint


def test_every_expression_of_the_dashboard_is_parsed_by_promtool(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(dashboard.expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}), "utf-8")
    promtool("check", "rules", file)
    broken = tmp_path / "broken.yml"
    broken.write_text(file.read_text("utf-8").replace("sum(", "sum((", 1), "utf-8")
    with pytest.raises(AssertionError):
        promtool("check", "rules", broken)


def test_recorded_names_that_the_dashboard_uses_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for expr in dashboard.expressions() for name in re.findall(r"segmenter:[a-z0-9_:]+", expr)}
    assert used <= recorded


def test_panels_lie_side_by_side_within_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(dashboard.text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(0 <= x < dashboard.COLUMNS for x, _ in cells), panel["title"]
        taken |= cells
