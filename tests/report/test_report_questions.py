"""What a marketer asks, each answered within three clicks, and what the pages say of lists that are not whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from typing import Any

import pytest

from stream_app.report.page import write_report
from tests.report.packed import content_of
from tests.report.report_folder import ReportFolder, day_of
from tests.web.driving import Driver, Found, Visit, text_of

pytestmark = pytest.mark.browser
CLICKS = ("click", "press", "choose", "download")


@pytest.fixture(scope="module")
def folder() -> ReportFolder:
    return ReportFolder()


@pytest.fixture(scope="module")
def address(folder: ReportFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report")
    folder.write(path)
    return write_report(path).as_uri()


@pytest.fixture(scope="module")
def partial(folder: ReportFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of few bytes: it holds some customers with every move, and of the others some with their segments."""
    path = tmp_path_factory.mktemp("partial")
    folder.write(path)
    history = json.loads((path / "history.json").read_bytes())
    kept = sorted(range(len(history["customers"]["id"])), key=lambda row: history["customers"]["id"][row])[:200]
    for name, column in history["customers"].items():
        if name != "segments":
            history["customers"][name] = [column[row] for row in kept]
    history["customers"]["segments"] = {
        name: [column[row] for row in kept] for name, column in history["customers"]["segments"].items()
    }
    history["segmentations"]["value"]["members"] = {
        key: each | {"top": []} for key, each in history["segmentations"]["value"]["members"].items()
    }
    (path / "history.json").write_text(json.dumps(history), encoding="utf-8")
    whole = write_report(path).read_text(encoding="utf-8")
    size = len(gzip.compress(json.dumps(content_of(whole)).encode()))
    return write_report(path, bytes_max=size * 2 // 3).as_uri()


def answered(browser: Driver, address: str, *actions: dict[str, Any]) -> Found:
    """What is shown after some clicks, beginning with the first page."""
    assert sum(next(iter(action)) in CLICKS for action in actions) <= 3
    (found,) = browser.visit(Visit(address, actions=list(actions)))
    assert found.errors == []
    return found


def test_who_are_my_best_customers(browser: Driver, address: str, folder: ReportFolder) -> None:
    best = {customer for customer, segment in folder.current.items() if segment == "s1"}
    first = answered(browser, address)
    card = text_of(first.html[first.html.index("Look after") :].split("</article>")[0])
    assert f"Champions : {len(best)} customers" in card
    assert "Do what Champions need." in card
    found = answered(browser, address, {"click": '.advice a:has-text("Champions")'}, {"wait": "svg.curve"})
    assert {row[0] for row in found.rows("Members All")} <= best


def test_who_is_slipping_away_and_what_are_they_worth(browser: Driver, address: str, folder: ReportFolder) -> None:
    first = answered(browser, address)
    card = text_of(first.html[first.html.index("Win back") :].split("</article>")[0])
    at_risk = sum(segment == "s5" for segment in folder.current.values())
    assert f"At risk : {at_risk} customers who have spent" in card
    found = answered(browser, address, {"download": '.advice-card:has-text("Win back") button'})
    rows = list(csv.DictReader(io.StringIO(found.downloads[0]["text"])))
    assert {row["Customer"] for row in rows} == {c for c, segment in folder.current.items() if segment == "s5"}


def test_what_changed_this_month(browser: Driver, address: str, folder: ReportFolder) -> None:
    found = answered(browser, address)
    assert "In the last 30 days revenue was" in found.text
    last = folder.end_ms // 86_400_000
    for row in found.rows("What each segment brought")[:3]:
        name = row[0]
        of = [
            m
            for m in folder.migrations
            if m["cause"]["kind"] == "purchase" and (m["from_segment"] or {"name": "First orders"})["name"] == name
        ]
        now, before = (
            sum(first <= day_of(m["effective_at"]) <= end for m in of)
            for first, end in ((last - 29, last), (last - 59, last - 30))
        )
        assert row[4].startswith(str(now)), name
        assert row[5] == str(before), name


def test_why_is_this_customer_here(browser: Driver, address: str, folder: ReportFolder) -> None:
    found = answered(
        browser,
        address,
        {"click": 'nav.pages a[href*="customer"]'},
        {"fill": ['input[name="id"]', "c00012"]},
        {"press": "Enter"},
        {"wait": "svg.lanes"},
    )
    (present,) = found.rows("Where this customer is now")
    (last,) = [m for m in folder.migrations if m["customer_id"] == "c00012"][-1:]
    assert present[1] == last["to_segment"]["name"]
    assert present[3] == last["explanation"]["sentence"].split(";")[0] + "."
    assert "Without a further act, Value: Lost on 8 Oct 2024" in found.text
    assert "stays, as far as time alone goes" not in found.text


def test_whom_did_the_last_model_move(browser: Driver, address: str, folder: ReportFolder) -> None:
    newest = max(m["model_version"] for m in folder.migrations)
    moved = [m for m in folder.migrations if m["cause"]["kind"] == "model" and m["model_version"] == newest]
    found = answered(
        browser,
        address,
        {"click": 'nav.pages a[href*="models"]'},
        {"click": f'a[href*="version={newest}"]'},
        {"wait": f'h2:has-text("Whom model {newest} moved")'},
    )
    assert Counter(row[0] for row in found.rows(f"Whom model {newest}")) == Counter(m["customer_id"] for m in moved)
    assert f"All {len(moved)} move" in found.text


def test_send_me_the_list(browser: Driver, address: str, folder: ReportFolder) -> None:
    found = answered(browser, address, {"click": '#app table a:has-text("Loyal")'}, {"download": ".page-head button"})
    rows = list(csv.DictReader(io.StringIO(found.downloads[0]["text"])))
    assert {row["Customer"] for row in rows} == {c for c, segment in folder.current.items() if segment == "s2"}
    assert list(rows[0]) == ["Customer", "Orders", "Revenue, EUR", "Last active", "Value"]
    assert {row["Value"] for row in rows} == {"Loyal"}


# --- lists ----------------------------------------------------------------------------------------------------


def test_members_are_listed_page_by_page(browser: Driver, address: str, folder: ReportFolder) -> None:
    largest, count = Counter(folder.current.values()).most_common(1)[0]
    assert count > 50
    pages = f"{address}#/segment?segment={largest}"
    next_page = '.pager button:has-text("Next")'
    first, second, last = browser.visit(
        Visit(pages),
        Visit(pages, actions=[{"click": next_page}]),
        Visit(pages, actions=[{"click": '.pager button:has-text("Last")'}]),
    )
    lists = [[row[0] for row in found.rows("Members All")] for found in (first, second, last)]
    assert [len(each) for each in lists[:2]] == [25, 25]
    assert not set(lists[0]) & set(lists[1])
    assert len(lists[2]) == (count - 1) % 25 + 1
    assert 'aria-disabled="true">Next' in last.html, "behind the last page there is none"
    assert 'aria-disabled="true">Previous' in first.html
    assert f"26–50 of {count}" in second.text


def test_the_grid_leads_to_its_customers(browser: Driver, address: str, folder: ReportFolder) -> None:
    grid, chosen = browser.visit(
        Visit(f"{address}#/rfm"),
        Visit(f"{address}#/rfm", actions=[{"click": '.rfm a:has-text("Champions")'}, {"wait": ".pager"}]),
    )
    assert "Champions (recency 5, frequency 5) bring the most" in grid.text
    assert "3 more have not ordered and are not in the grid" in grid.text
    assert "One column" not in grid.text
    buyers = len(folder.current) - len(folder.current) // 3 - 3
    assert f"{buyers} buyers with" in chosen.text
    assert {row[0] for row in chosen.rows("Champions (recency 5")} <= {f"c{number:05d}" for number in range(4, 301, 3)}
    assert grid.errors == chosen.errors == []


def test_overlaps_say_how_much_more_often_than_anybody(browser: Driver, shipped: Any) -> None:
    report = (shipped.folder / "report.html").as_uri()
    address = f"{report}#/segment?segmentation=lifecycle&segment=slipping&with=value"
    (found,) = browser.visit(Visit(address, actions=[{"click": ".matrix-fold summary"}], axe=True))
    assert found.errors == found.raw["violations"] == []
    rows = found.rows("Who else they are")
    of: dict[str, dict[str, str]] = {}
    for membership in shipped.memberships:
        of.setdefault(membership["segmentation"], {})[membership["customer_id"]] = membership["segment"]["name"]
    slipping = {customer for customer, name in of["lifecycle"].items() if name == "Slipping"}
    expected = Counter(of["value"][customer] for customer in slipping)
    assert {row[0]: int(row[1]) for row in rows[: len(expected)]} == expected
    for row in rows[: len(expected)]:
        there = sum(name == row[0] for name in of["value"].values())
        lift = expected[row[0]] * len(of["value"]) / len(slipping) / there
        if lift > 1.05:
            assert row[3] == f"{lift:.1f} times as often"


# --- a file that does not hold everybody ------------------------------------------------------------------------


def test_whoever_is_listed_can_be_looked_up_without_moves(browser: Driver, partial: str, folder: ReportFolder) -> None:
    visits = [Visit(f"{partial}#/customer?id=c{number:05d}") for number in range(1, 40)]
    found = browser.visit(*visits)
    assert all(each.errors == [] for each in found)
    listed = [each for each in found if "This file does not have the moves of this customer" in each.text]
    assert listed, "some are there with their moves, others with their segments alone"
    for each in listed:
        customer = each.raw["address"].split("id=")[1]
        assert each.rows("Where this customer is now")[0][1] == folder.names[folder.current[customer]]


def test_not_included_is_told_apart_from_not_there(browser: Driver, address: str, partial: str) -> None:
    visits = [Visit(f"{partial}#/customer?id=c00299"), Visit(f"{address}#/customer?id=c99999")]
    left_out, absent = browser.visit(*visits)
    assert "“c00299” is not included in this file, which has 200 of 300 customers." in left_out.text
    assert "That does not mean that there is no such customer" in left_out.text
    assert "There is no customer “c99999”: all 300 customers are in this file" in absent.text


def test_a_list_that_is_not_whole_says_where_all_of_it_is(browser: Driver, partial: str, folder: ReportFolder) -> None:
    largest, count = Counter(folder.current.values()).most_common(1)[0]
    (found,) = browser.visit(Visit(f"{partial}#/segment?segment={largest}"))
    assert f"of {count} with the greatest revenue are in this file; memberships.jsonl beside it has all" in found.text
    assert "best members" in found.text


def test_everybody_who_moved_in_the_last_days_is_named(browser: Driver, partial: str, folder: ReportFolder) -> None:
    (found,) = browser.visit(Visit(f"{partial}#/movements?change=lapsed"))
    last = folder.end_ms // 86_400_000
    lapsed = [
        m
        for m in folder.migrations
        if m["change"] == "lapsed"
        and m["cause"]["kind"] != "model"
        and m["from_segment"]["id"] not in ("s5", "s105", "s6")
        and last - 29 <= day_of(m["effective_at"]) <= last
    ]
    assert Counter(row[0] for row in found.rows("Lapsed")) == Counter(m["customer_id"] for m in lapsed)
    assert f"All {len(lapsed)} moves" in found.text
    assert "not in this file" in found.text
