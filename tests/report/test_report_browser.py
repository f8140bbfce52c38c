"""The report as a person finds it in Chromium: what each page says, what can be done there, and that nothing fails."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stream_app.report.page import write_report
from stream_app.report.timelines import shorten_sentence
from tests.report.report_folder import LEVELS, RETIRED, SEGMENTS, ReportFolder, day_of
from tests.support.replays import Outputs
from tests.web.driving import Driver, Found, Visit, text_of

HOSTILE_ID = "</script><img src=x onerror=document.title='owned'>&amp; 100%"
PAGES = ("overview", "movements", "segment", "rfm", "customer", "models", "quality")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder() -> ReportFolder:
    return ReportFolder(customer_ids=[HOSTILE_ID, *(f"c{number:05d}" for number in range(1, 300))])


@pytest.fixture(scope="module")
def summary(folder: ReportFolder) -> dict[str, Any]:
    return folder.summary(folder.models())


@pytest.fixture(scope="module")
def address(folder: ReportFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report")
    folder.write(path)
    return write_report(path).as_uri()


@pytest.fixture(scope="module")
def pages(browser: Driver, address: str) -> dict[str, Found]:
    """Each page of the report, for the whole time, and the customer with the worst of ids."""
    of = {"customer": f"&id={quote(HOSTILE_ID, safe='')}", "segment": "&segment=s1"}
    visits = [Visit(f"{address}#/{name}?days=all{of.get(name, '')}") for name in PAGES]
    return dict(zip(PAGES, browser.visit(*visits), strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_nothing_fails_and_nobody_is_asked(pages: dict[str, Found], address: str, page: str) -> None:
    found = pages[page]
    assert found.errors == []
    assert [request for request in found.raw["requests"] if not request.startswith(address)] == []
    assert found.raw["blank"] == 0, "a chart that nothing was drawn on"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1_280, 390])
def test_everybody_can_use_every_page(browser: Driver, address: str, scheme: str, width: int) -> None:
    visits = [Visit(f"{address}#/{page}?days=90", width, scheme, axe=True) for page in PAGES]
    visits.append(Visit(f"{address}#/customer?id=c00001", width, scheme, axe=True))
    for visit, found in zip(visits, browser.visit(*visits), strict=True):
        assert found.raw["violations"] == [], visit.url
        assert found.raw["sideways"] <= 0, visit.url
        assert found.errors == []


# --- overview -------------------------------------------------------------------------------------------------


def is_lapse(move: dict[str, Any]) -> bool:
    """Whether a customer falls silent who had not before: the steps further down are no lapses of their own."""
    return move["change"] == "lapsed" and LEVELS.get(move["from_segment"]["id"], 0) >= 0


def tile(found: Found, title: str) -> str:
    """What a tile says below its title."""
    (shown,) = re.findall(rf'<div class="tile"><dt>{title}</dt>(.*?)</div>', found.html)
    return text_of(shown)


def test_the_overview_says_what_came_and_what_went(pages: dict[str, Found], folder: ReportFolder) -> None:
    shown = pages["overview"]
    lapsed = [m for m in own_moves(folder) if is_lapse(m)]
    back = [m for m in folder.migrations if m["change"] == "returned" and m["cause"]["kind"] != "model"]
    assert tile(shown, "Customers").startswith(f"{len(folder.current)} ")
    assert tile(shown, "Lapsed") == (
        f"{len(lapsed)} customers who fell silent and had spent {len(lapsed) * 31:,} EUR. Who has lapsed"
    )
    assert tile(shown, "Won back").startswith(f"{len(back)} ")
    bought = sum(m["cause"]["kind"] == "purchase" for m in folder.migrations)
    assert tile(shown, "Revenue").startswith(f"{bought * 31:,} EUR")


def test_a_period_is_compared_with_the_one_before(browser: Driver, address: str, folder: ReportFolder) -> None:
    (found,) = browser.visit(Visit(f"{address}#/overview"))
    last = folder.end_ms // 86_400_000
    of_days = {
        name: sum(is_lapse(m) and first <= day_of(m["effective_at"]) <= end for m in own_moves(folder))
        for name, first, end in (("now", last - 29, last), ("before", last - 59, last - 30))
    }
    shown = tile(found, "Lapsed")
    assert shown.startswith(f"{of_days['now']} ")
    change = round(abs(of_days["now"] / of_days["before"] - 1) * 100)
    word = "more" if of_days["now"] > of_days["before"] else "less"
    assert f"{change} % {word} than in the 30 days before" in shown


def test_segments_stand_in_the_order_of_the_life_cycle(pages: dict[str, Found], summary: dict[str, Any]) -> None:
    rows = pages["overview"].rows("Who your customers are")
    assert [row[0].split(" Do what")[0] for row in rows] == [segment["name"] for segment in summary["segments"]]
    for row, segment in zip(rows, summary["segments"], strict=True):
        assert row[0].endswith(f"Do what {segment['name']} need.")
        assert row[1] == f"{segment['customers']:,}"
        assert row[2] == f"{segment['share'] * 100:.1f} %"


def test_sizes_at_the_end_are_those_of_the_segments(pages: dict[str, Found], summary: dict[str, Any]) -> None:
    part = pages["overview"].section("How the segments grew and shrank")
    heads = [text_of(head) for head in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', part)]
    sizes = dict(zip(heads, pages["overview"].rows("How the segments grew and shrank")[-1], strict=True))
    assert f"{RETIRED[1]} (former)" in heads
    for segment in summary["segments"]:
        assert sizes[segment["name"]] == f"{segment['customers']:,}"


# --- movements ------------------------------------------------------------------------------------------------


def own_moves(folder: ReportFolder) -> list[dict[str, Any]]:
    return [m for m in folder.migrations if m["from_segment"] and m["cause"]["kind"] != "model"]


def test_movements_leave_out_first_entries_and_new_models(pages: dict[str, Found], folder: ReportFolder) -> None:
    found = pages["movements"]
    assert f"{len(own_moves(folder)):,} moves since" in found.text
    cells = [cell for row in found.rows("Matrix") for cell in row[1:] if cell.isdigit()]
    assert sum(map(int, cells)) == len(own_moves(folder))
    assert "first seen" not in text_of(found.section("From where to where"))


def test_moves_of_new_models_are_shown_when_asked_for(browser: Driver, address: str, folder: ReportFolder) -> None:
    (found,) = browser.visit(
        Visit(
            f"{address}#/movements?days=all",
            actions=[{"click": 'input[value="model"]'}, {"wait": 'input[value="model"]:checked'}],
        )
    )
    moves = [m for m in folder.migrations if m["from_segment"]]
    assert f"{len(moves):,} moves since" in found.text
    assert found.errors == []


def test_a_number_of_the_matrix_leads_to_its_customers(browser: Driver, address: str, folder: ReportFolder) -> None:
    (found,) = browser.visit(
        Visit(f"{address}#/movements?days=all", actions=[{"click": '.heat a[aria-label^="Loyal to At risk"]'}])
    )
    expected = {
        m["customer_id"]
        for m in own_moves(folder)
        if (m["from_segment"]["name"], m["to_segment"]["name"]) == ("Loyal", "At risk")
    }
    assert {row[0] for row in found.rows("Loyal → At risk")} == expected
    assert found.errors == []
    assert f"All {len([*found.rows('Loyal → At risk')])} moves" in found.text


def test_who_has_lapsed_is_two_clicks_away(browser: Driver, address: str, folder: ReportFolder) -> None:
    (found,) = browser.visit(
        Visit(
            f"{address}#/overview?days=all",
            actions=[{"click": '.tile a[href*="lapsed"]'}, {"download": "section button"}],
        )
    )
    lapsed = [m for m in own_moves(folder) if is_lapse(m)]
    rows = list(csv.DictReader(io.StringIO(found.downloads[0]["text"])))
    assert sorted(row["Customer"] for row in rows) == sorted(m["customer_id"] for m in lapsed)
    assert {row["To"] for row in rows} == {m["to_segment"]["name"] for m in lapsed}


# --- segment, customer ----------------------------------------------------------------------------------------


def test_a_segment_says_who_its_members_are(pages: dict[str, Found], folder: ReportFolder) -> None:
    found = pages["segment"]
    assert found.html.count("<h1") == 1
    assert "True of everybody here: orders about 11.8 times." in found.text
    assert "In 62 of 100 pairs a member has ordered more often than somebody drawn from all." in found.text
    assert "In 60 of 100 pairs a member has spent less than somebody drawn from all." in found.text
    members = {row[0] for row in found.rows("Members All")}
    assert members == {customer for customer, segment in folder.current.items() if segment == "s1"}


def test_a_closed_segment_says_so(browser: Driver, address: str) -> None:
    (found,) = browser.visit(Visit(f"{address}#/segment?segment=s4"))
    assert "It admits nobody at present." in found.text


def test_every_move_of_a_customer_is_told(pages: dict[str, Found], folder: ReportFolder) -> None:
    found = pages["customer"]
    moves = [migration for migration in folder.migrations if migration["customer_id"] == HOSTILE_ID]
    rows = found.rows("Every move, the newest first")
    assert len(rows) == len(moves) > 2
    for row, migration in zip(reversed(rows), moves, strict=True):
        assert row[3] == migration["to_segment"]["name"]
        origin = migration["from_segment"] and migration["from_segment"]["name"]
        sentence = migration["explanation"]["sentence"]
        assert row[5] == shorten_sentence(sentence, origin, migration["to_segment"]["name"])
    (present,) = found.rows("Where this customer is now")
    assert present[1] == folder.names[folder.current[HOSTILE_ID]]


def test_a_hostile_customer_id_adds_no_element(pages: dict[str, Found]) -> None:
    found = pages["customer"]
    assert "<img" not in found.html
    assert f"Customer {HOSTILE_ID}" in found.text
    assert found.raw["title"] == "Customers – Customer segments"


def test_a_customer_is_looked_up_by_id(browser: Driver, address: str) -> None:
    known, unknown = browser.visit(
        *(
            Visit(
                f"{address}#/customer",
                actions=[{"fill": ['input[name="id"]', name]}, {"press": "Enter"}, {"wait": wait}],
            )
            for name, wait in (("c00007", "svg.lanes"), ("nobody <b>", "p.notice"))
        )
    )
    assert "Customer c00007" in known.text
    assert "There is no customer “nobody <b>”: all 300 customers are in this file" in unknown.text
    assert known.errors == unknown.errors == []


def test_a_keyboard_leads_from_page_to_page(browser: Driver, address: str) -> None:
    (found,) = browser.visit(
        Visit(f"{address}#/overview", actions=[{"click": 'nav.pages a[href*="movements"]'}, {"wait": "svg.ribbons"}])
    )
    assert found.raw["focused"] == "H1", "what changed is where a screen reader goes on"
    assert found.raw["title"] == "Movements – Customer segments"


# --- models, quality ------------------------------------------------------------------------------------------


def test_models_say_what_they_moved(pages: dict[str, Found]) -> None:
    found = pages["models"]
    rows = found.rows("Every version, the newest first")
    assert rows[-1][:3] == ["0", "–", "before learning"]
    (held,) = [row for row in rows if row[2] == "held for approval"]
    assert held[3] == "31.0 %"
    assert "1 proposal held for approval" in found.text
    assert "Loyal" in {row[6] for row in rows}, "roles are named as segments are"


def test_segments_say_what_they_mean_and_what_to_do(pages: dict[str, Found]) -> None:
    rows = {row[0]: row for row in pages["models"].rows("What each segment means")}
    assert rows["Champions"][2:] == ["orders about 11.8 times", "better than usual", "Do what Champions need."]
    assert rows["Browsers"][2] == "orders about 0.4 times closed at present"


def test_refused_records_are_told_with_examples(pages: dict[str, Found]) -> None:
    found = pages["quality"]
    assert "9 records of 17,234 (0.05 %) were refused." in found.text
    rows = found.rows("Refused, by reason")
    assert len(rows) == 9
    assert rows[0] == ["purchases.csv", "1", "occurred_at", "1 <b>bold</b>, expected a time"]
    assert "3 of them said something of an order that is too old to be followed" in found.text
    assert "Without a customer: 2 of them." in text_of(found.section("Refused, by reason"))


def test_the_report_begins_with_what_was_refused(pages: dict[str, Found]) -> None:
    text = pages["overview"].text
    assert "malformed: 4 records, such as purchases.csv, line 1: 1 <b>bold</b>, expected a time" in text
    assert text.index("9 records of 17,234 (0.05 %) were refused.") < text.index("In all this time")
    assert "were refused" not in pages["movements"].text, "so few are told once"


def test_times_in_doubt_are_told_in_plain_words(pages: dict[str, Found]) -> None:
    shown = text_of(pages["quality"].section("Times in doubt"))
    assert "3 records lie far from all others in time: 2 far ahead and 1 far behind." in shown
    assert pages["quality"].rows("Times in doubt") == [["purchases.csv", "1,180", "10 Feb 2026, 08:00 UTC"]]


def test_days_and_times_are_those_of_the_shop(browser: Driver, folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path) | {"timezone": "America/New_York"}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    report = write_report(tmp_path).as_uri()
    pages = ("overview", "movements", "customer?id=c00001", "quality")
    overview, movements, customer, quality = browser.visit(*(Visit(f"{report}#/{page}") for page in pages))
    assert [found.errors for found in (overview, movements, customer, quality)] == [[]] * 4
    assert "as of 6 Oct 2024" in overview.text, "midnight of UTC is an evening there"
    assert "Days and times are those of the shop, America/New_York." in overview.text
    assert "10 Feb 2026, 03:00 America/New_York" in quality.text
    assert "6 Oct 2024, 20:00 America/New_York" in customer.text


# --- files ----------------------------------------------------------------------------------------------------


def test_tables_are_handed_over_as_files(browser: Driver, address: str, summary: dict[str, Any]) -> None:
    (found,) = browser.visit(Visit(f"{address}#/overview", actions=[{"download": "section.card button"}]))
    (file,) = found.downloads
    rows = list(csv.DictReader(io.StringIO(file["text"])))
    assert file["name"] == "segments-value.csv"
    assert [(row["Segment"], int(row["Customers"])) for row in rows] == [
        (segment["name"], segment["customers"]) for segment in summary["segments"]
    ]


def test_no_cell_of_a_file_is_a_formula(browser: Driver, tmp_path: Path) -> None:
    folder = ReportFolder(customer_ids=["=HYPERLINK(1)", "+1", '"quoted", twice'], weeks=12)
    folder.write(tmp_path)
    report = write_report(tmp_path).as_uri()
    held = {folder.current[each] for each in folder.current}
    visits = [
        Visit(
            f"{report}#/segment?segment={each}",
            actions=[{"download": 'section:last-of-type button:has-text("members")'}],
        )
        for each in sorted(held)
    ]
    cells = {
        row["Customer"]
        for found in browser.visit(*visits)
        for row in csv.DictReader(io.StringIO(found.downloads[0]["text"]))
    }
    assert cells == {"'=HYPERLINK(1)", "+1", '"quoted", twice'}


# --- little, and several --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    [
        ReportFolder(customer_ids=[], with_models=False),
        ReportFolder(with_models=False),
        ReportFolder(with_migrations=False),
        ReportFolder(weeks=1),
    ],
    ids=["nobody", "no models", "no moves", "a week"],
)
def test_a_report_of_little_says_so_and_does_not_fail(browser: Driver, tmp_path: Path, folder: ReportFolder) -> None:
    folder.write(tmp_path)
    report = write_report(tmp_path).as_uri()
    for found in browser.visit(*(Visit(f"{report}#/{page}") for page in PAGES)):
        assert found.errors == []
        assert "undefined" not in found.text
        assert "NaN" not in found.text


def test_rules_show_their_conditions_and_no_models(browser: Driver, several: Outputs) -> None:
    report = (several.folder / "report.html").as_uri()
    chosen, rules = browser.visit(
        Visit(f"{report}#/overview", actions=[{"choose": ["select", "lifecycle"]}, {"wait": 'a[href*="lifecycle"]'}]),
        Visit(f"{report}#/models?segmentation=lifecycle"),
    )
    assert "Active & <b>well</b>" in text_of(chosen.section("Who your customers are"))
    assert "segmentation=lifecycle" in chosen.raw["address"]
    conditions = [(row[0], row[2]) for row in rules.rows("What each segment means")]
    assert conditions == [
        ("New", "tenure of less than 30 days"),
        ("VIP", "1000 or more purchases"),
        ("Active & <b>well</b>", "recency of less than 45 days"),
        ("Lapsed", "otherwise"),
    ], "in the order in which they are tried"
    assert "Every version" not in rules.text
    assert chosen.errors == rules.errors == []


def test_all_shipped_segmentations_are_shown(browser: Driver, shipped: Outputs) -> None:
    report = (shipped.folder / "report.html").as_uri()
    names = [shipped.summary["segmentation"], *(o["segmentation"] for o in shipped.summary["other_segmentations"])]
    visits = [Visit(f"{report}#/overview?segmentation={name}&days=90") for name in names]
    visits += [
        Visit(f"{report}#/segment?segmentation={name}") for name in ("region", "vip_slipping", "price_sensitive")
    ]
    for visit, found in zip(visits, browser.visit(*visits), strict=True):
        assert found.errors == [], visit.url
        assert "NaN" not in found.text
        assert "undefined" not in found.text


def test_a_segment_has_the_same_colour_in_every_report(browser: Driver, address: str, shipped: Outputs) -> None:
    other = (shipped.folder / "report.html").as_uri()
    found = browser.visit(Visit(f"{address}#/models"), Visit(f"{other}#/models?segmentation=value"))
    colours = [
        dict(
            re.findall(
                r"background: var\((--[a-z]+-\d)\)[^>]*></span>([^<]+)<", each.section("What each segment means")
            )
        )
        for each in found
    ]
    colours = [{name: colour for colour, name in each.items()} for each in colours]
    shared = set(colours[0]) & set(colours[1])
    assert len(shared) == len(SEGMENTS)
    assert {name: colours[0][name] for name in shared} == {name: colours[1][name] for name in shared}
    assert {name for name in shared if colours[0][name].startswith("--warm")} == {"At risk", "Hibernating", "Lost"}
