"""Alerts fire when they should and are silent when they should be, and lead to a page that says what to do."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana import dashboard
from deploy.grafana.panels import CHOSEN, ROWS
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
    "SegmenterViewStale",
    "SegmenterWebhookBacklog",
}


def promtool(*arguments: object) -> None:
    command = [find_program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def sections() -> dict[str, str]:
    """Return the runbook's entries by anchor."""
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
    assert set(entries) == {name.lower() for name in LISTED}
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        anchor = name.lower()
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK_BASE}#{anchor}"
        found = re.findall(r"^\*\*(.+?)\.\*\*", entries[anchor], flags=re.MULTILINE)
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


def test_numbers_of_a_segmentation_are_chosen_and_joined_by_its_name() -> None:
    labelled = {each.name for each in DECLARED if "segmentation" in each.labels}
    chosen = {"segmenter:migrations:rate1h", *labelled}
    for row in ROWS:
        for query in (query for panel in row.panels for query in panel.queries):
            for name in re.findall(r"segmenter[_:][a-z0-9_:]+", query.expr):
                assert (name + CHOSEN in query.expr) == (name in chosen), query.expr
            if "$segmentation" in query.expr:
                assert "{{segmentation}}" in query.legend, query.expr
    for expr in [*dashboard.expressions(), *(rule["expr"] for rule in rules())]:
        if metrics_in([expr]) & labelled:
            grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)
            assert all("segmentation" in labels.split(", ") for labels in grouped if labels), expr


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
    assert named <= declared


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
