"""The report as a browser shows it, once its scripts have run."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stream_app.report.page import write_report
from tests.report.report_folder import RETIRED, SEGMENTS, ReportFolder
from tests.support.programs import find_program
from tests.support.replays import Outputs

HOSTILE_ID = "</script><img src=x onerror=document.title='owned'>&amp; 100%"

pytestmark = pytest.mark.browser


def rendered(report: Path, profile: Path, fragment: str = "") -> str:
    """The page's elements after its scripts have run."""
    command = [
        find_program("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=8000",
        "--window-size=1280,900",
        "--dump-dom",
        report.as_uri() + fragment,
    ]
    dom = subprocess.run(command, capture_output=True, check=True, timeout=600).stdout.decode()
    # What the page was made from is not what it shows.
    return re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)


def part(dom: str, section: str) -> str:
    """One section of the page."""
    (found,) = re.findall(rf'<section id="{section}".*?</section>', dom, re.DOTALL)
    return found


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.fixture(scope="module")
def folder() -> ReportFolder:
    return ReportFolder(customer_ids=[HOSTILE_ID, *(f"c{number:05d}" for number in range(1, 300))])


@pytest.fixture(scope="module")
def dom(folder: ReportFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report")
    folder.write(path)
    fragment = f"#customer={quote(HOSTILE_ID, safe='')}"
    return rendered(write_report(path), tmp_path_factory.mktemp("profile"), fragment)


@pytest.fixture(scope="module")
def summary(folder: ReportFolder) -> dict[str, Any]:
    return folder.summary(folder.models())


def test_no_script_fails(dom: str) -> None:
    assert 'data-complete="yes"' in dom


@pytest.mark.parametrize(
    ("section", "marks"),
    [("sizes", "scatterlayer"), ("flows", "sankey-link"), ("causes", "barlayer"), ("models", "barlayer")],
)
def test_each_chart_is_drawn(dom: str, section: str, marks: str) -> None:
    drawn = part(dom, section)
    assert "<svg" in drawn
    assert marks in drawn
    assert "<path" in drawn


def test_every_segment_is_named_in_table_profile_and_chart(dom: str) -> None:
    names = [row[0] for row in SEGMENTS.values()]
    for section in ("segments", "profiles", "sizes", "flows"):
        shown = text_of(part(dom, section))
        assert [name for name in names if name not in shown] == []
    assert RETIRED[1] in text_of(part(dom, "sizes"))


def test_profile_cells_hold_the_real_figures(dom: str, summary: dict[str, Any]) -> None:
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", part(dom, "profiles"))
    assert len(cells) == 5 * (len(SEGMENTS) + 1)
    for segment in summary["segments"]:
        assert f"{segment['revenue_per_customer']:,.2f}" in cells
        assert f"{segment['orders_per_customer']:,.2f}" in cells
        assert f"{segment['recency_days']:,.1f}" in cells


def test_shares_and_revenue_add_up_as_they_are_shown(dom: str, summary: dict[str, Any]) -> None:
    rows = re.findall(r"<tr><th[^>]*>(.*?)</th>(.*?)</tr>", part(dom, "segments"), re.DOTALL)
    figures = [re.findall(r"[\d,.]+%?", text_of(row.replace("</td>", " </td>"))) for _, row in rows if "<td" in row]
    assert [text_of(name) for name, _ in rows[-1:]] == ["All"]
    for column, scale in ((0, 1), (1, 10), (2, 100), (3, 10)):
        told = [round(float(row[column].strip("%").replace(",", "")) * scale) for row in figures]
        assert sum(told[:-1]) == told[-1]
    assert figures[-1][:2] == [f"{summary['customers']:,}", "100.0%"]


def test_the_period_and_the_instants_of_learning_are_named(dom: str) -> None:
    (subtitle,) = re.findall(r'<p id="subtitle"[^>]*>(.*?)</p>', dom)
    assert "1 Jan 2024 to 7 Oct 2024 (281 days); figures as of 7 Oct 2024." in subtitle
    assert "model version 33, learned on 30 Sept 2024." in subtitle
    for section in ("sizes", "causes"):
        assert "model learned" in text_of(part(dom, section))


def test_moves_of_models_are_apart_from_those_of_customers(dom: str, summary: dict[str, Any]) -> None:
    shown = text_of(part(dom, "causes"))
    own, by_versions = (summary["migrations"][whose]["total"] for whose in ("own_moves", "moves_by_new_versions"))
    assert f"{own:,} moves by customers themselves" in shown
    assert f"Moves by new models{by_versions:,} moves: " in "".join(shown.split("\n"))
    flows = sum(flow["migrations"] - flow["by_new_version"] for flow in summary["flows"] if flow["from"])
    assert f"of the {flows:,} moves that customers made themselves" in text_of(part(dom, "flows"))


def test_each_segment_says_what_is_true_of_it_and_what_to_do(dom: str) -> None:
    rows = re.findall(r'<th scope="row">(.*?)</th><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>', part(dom, "meanings"))
    named = {text_of(name): (text_of(statement), text_of(action)) for name, statement, action in rows}
    assert set(named) == {row[0] for row in SEGMENTS.values()}
    assert next(iter(named)) == "Champions"
    assert named["Champions"] == ("orders about 11.8 times", "Do what Champions need.")
    assert named["Browsers"][0] == "orders about 0.4 times closed"


def test_roles_are_named_as_segments_are(dom: str) -> None:
    assert re.search(r"<td[^>]*>Loyal</td>", part(dom, "models"))


def test_what_holds_before_learning_has_no_date(dom: str) -> None:
    assert re.search(r'<th scope="row">0</th><td[^>]*>–</td>', part(dom, "models"))


def test_the_held_proposal_is_marked(dom: str) -> None:
    shown = text_of(part(dom, "models"))
    assert "held for approval" in shown
    assert "31%" in shown


def test_the_customer_of_the_address_is_shown_with_every_move(dom: str, folder: ReportFolder) -> None:
    timeline = part(dom, "timeline")
    moves = [migration for migration in folder.migrations if migration["customer_id"] == HOSTILE_ID]
    assert f"Customer {HOSTILE_ID}" in text_of(timeline)
    assert "barlayer" in timeline
    assert timeline.count("<li>") == len(moves) > 2
    for migration in moves:
        explanation = migration["explanation"]
        assert explanation["sentence"].split(";")[0] in text_of(timeline)
        if explanation["margin"] is not None:
            assert f"margin {explanation['margin']:.2f}"[:-1] in text_of(timeline)


def test_a_hostile_customer_id_adds_no_element(dom: str) -> None:
    assert "<img" not in dom
    assert "<title>Customer segments</title>" in dom


def test_rejected_records_are_told_by_reason(dom: str) -> None:
    assert "invalid time" in text_of(part(dom, "records"))
    assert "Without a customer: 2 of the rejected records" in text_of(part(dom, "records"))


def test_a_page_without_customers_says_so_and_does_not_fail(tmp_path: Path) -> None:
    ReportFolder(customer_ids=[], with_models=False).write(tmp_path)
    dom = rendered(write_report(tmp_path), tmp_path / "profile")
    assert 'data-complete="yes"' in dom
    assert "There are no customers yet." in text_of(part(dom, "segments"))
    assert "No model has been learned yet" in text_of(part(dom, "models"))
    assert "Nobody has changed segment yet." in text_of(part(dom, "flows"))


def test_a_single_segmentation_needs_no_links_between_pages(dom: str) -> None:
    assert re.search(r'<nav id="segmentations"[^>]* hidden=""></nav>', dom)
    assert 'id="conditions"' not in dom


@pytest.fixture(scope="module")
def rules_dom(several: Outputs, tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(several.folder / "report-lifecycle.html", tmp_path_factory.mktemp("profile"))


def links_of(dom: str) -> list[tuple[str, str, bool]]:
    """Where the links between pages lead, what they are called, and whether each is the page itself."""
    (nav,) = re.findall(r'<nav id="segmentations"[^>]*>(.*?)</nav>', dom)
    links = re.findall(r'<a href="([^"]*)"( aria-current="page")?>([^<]*)</a>', nav)
    return [(href, name, bool(current)) for href, current, name in links]


@pytest.fixture(scope="module")
def learned_dom(several: Outputs, tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(several.folder / "report.html", tmp_path_factory.mktemp("profile"))


def test_pages_of_several_segmentations_are_linked(several: Outputs, learned_dom: str, rules_dom: str) -> None:
    assert 'data-complete="yes"' in learned_dom
    assert links_of(learned_dom) == [("report.html", "value", True), ("report-lifecycle.html", "lifecycle", False)]
    assert links_of(rules_dom) == [("report.html", "value", False), ("report-lifecycle.html", "lifecycle", True)]
    assert all((several.folder / href).is_file() for href, _, _ in links_of(rules_dom))


def test_a_page_of_rules_shows_conditions_and_no_models(rules_dom: str) -> None:
    assert 'data-complete="yes"' in rules_dom
    assert 'id="models"' not in rules_dom
    assert 'id="meanings"' not in rules_dom
    assert 'href="#models"' not in rules_dom
    assert '<a href="#conditions">Conditions</a>' in rules_dom
    conditions = part(rules_dom, "conditions")
    rows = re.findall(r'<th scope="row">(.*?)</th><td[^>]*>(.*?)</td>', conditions)
    assert [(text_of(name), text_of(condition)) for name, condition in rows] == [
        ("New", "tenure of less than 30 days"),
        ("VIP", "1000 or more purchases"),
        ("Active & <b>well</b>", "recency of less than 45 days"),
        ("Lapsed", "otherwise"),
    ]
    timeline = text_of(part(rules_dom, "timeline"))
    assert "definition version 1" in timeline
    assert "Margin" not in timeline
    for section, marks in (("sizes", "scatterlayer"), ("flows", "sankey-link"), ("causes", "barlayer")):
        assert marks in part(rules_dom, section)


def test_where_models_move_few_the_scale_names_no_share_twice(tmp_path: Path) -> None:
    folder = ReportFolder()
    summary = folder.write(tmp_path)
    models = [model | {"status": "published", "expected_churn": 0.01} for model in folder.models()]
    (tmp_path / "models.jsonl").write_text("".join(json.dumps(model) + "\n" for model in models), encoding="utf-8")
    summary["models"] = [model | {"customers_moved": 1} for model in summary["models"]]
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    shown = part(rendered(write_report(tmp_path), tmp_path / "profile"), "models")
    shares = re.findall(r'<g class="ytick"><text[^>]*>([^<]*%)</text></g>', shown)
    assert len(shares) == len(set(shares)) > 2
