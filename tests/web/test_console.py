"""The live console in Chromium, on a view in a real Redis: what people do there, and what the pages show afterwards."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import free_port, wait_for
from tests.support.replays import Outputs
from tests.web.consoles import OF_SEGMENTS, PATIENCE_SECONDS, TOKEN, Consoles, wait_until_ready
from tests.web.driving import Driver, Found, Visit, text_of
from tests.web.view_of_replay import WORKER, ViewOfReplay, members_of

PAGES = (
    "overview",
    "movements",
    "movements?change=lapsed&days=90",
    "segment",
    "rfm",
    "rfm?group=at_risk",
    "customer",
    "models",
    "quality",
    "health",
)
SIGNED_IN = "nav.pages"
CURRENT = "html[data-current]"
"""What is shown first may have been made some seconds ago."""
DRAWN = "[data-own] table, [data-own] .tile"

pytestmark = pytest.mark.browser


def signing_in(token: str = TOKEN) -> list[dict[str, Any]]:
    return [{"fill": ["input[name=token]", token]}, {"click": "button[type=submit]"}, {"wait": SIGNED_IN}]


def tile(found: Found, title: str) -> str:
    (shown,) = re.findall(rf'<div class="tile"><dt>{title}</dt>(.*?)</div>', found.html)
    return text_of(shown)


@pytest.fixture(scope="module")
def segment(shipped: Outputs) -> str:
    """The segment with the most customers."""
    found = Counter(
        each["segment"]["id"] for each in shipped.lines("memberships.jsonl") if each["segmentation"] == "value"
    )
    return found.most_common(1)[0][0]


# --- every page -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1_280, 390])
def test_everybody_can_use_every_page(
    browser: Driver, console: str, view: ViewOfReplay, scheme: str, width: int
) -> None:
    visits = [Visit(f"{console}/#/{page}", width, scheme, axe=True) for page in PAGES]
    customer = view.some_movers()[0]
    filled = [{"wait": DRAWN}]
    visits.append(Visit(f"{console}/#/customer?id={customer}", width, scheme, filled, axe=True))
    visits.append(Visit(f"{console}/#/health", width, scheme, filled, axe=True))
    visits.append(Visit(f"{console}/#/overview?segmentation=vips_who_slip", width, scheme, axe=True))
    for visit, found in zip(visits, browser.visit(*visits), strict=True):
        assert found.raw["violations"] == [], visit.url
        assert found.raw["sideways"] <= 0, visit.url
        assert found.errors == [], visit.url
        assert found.raw["blank"] == 0, "a chart that nothing was drawn on"
        assert [each for each in found.raw["requests"] if not each.startswith(console)] == []


def test_figures_are_those_of_the_view(browser: Driver, console: str, shipped: Outputs) -> None:
    (found,) = browser.visit(Visit(f"{console}/#/overview"))
    rows = {row[0]: row for row in found.rows("Who your customers are")}
    told = shipped.summary["segments"]
    assert tile(found, "Customers").startswith(f"{shipped.summary['customers']} ")
    for each in told:
        (row,) = [row for name, row in rows.items() if name.startswith(each["name"] + " ")]
        assert row[1] == str(each["customers"])
        assert float(row[2].removesuffix(" %")) == pytest.approx(each["share"] * 100, abs=0.11)


def test_what_is_not_known_is_left_out_and_not_nought(browser: Driver, console: str) -> None:
    pages = ("overview", "models", "segment")
    overview, models, segment = browser.visit(*(Visit(f"{console}/#/{page}") for page in pages))
    assert "as far as it is known: since" in tile(overview, "Revenue")
    assert "It moved nobody" not in models.text
    assert "what each moved is not told apart here" in models.text
    assert "Brought" not in segment.text
    assert "How far they spread is in the report of a replay alone." in segment.text


def test_money_of_moves_is_that_of_the_report(browser: Driver, console: str, shipped: Outputs) -> None:
    live, report = browser.visit(
        Visit(f"{console}/#/movements?days=all"),
        Visit(f"{(shipped.folder / 'report.html').resolve().as_uri()}#/movements?days=all"),
    )
    told = sorted(live.rows("From where to where"))
    assert told == sorted(report.rows("From where to where"))
    assert any(row[3] not in ("–", "0 EUR") for row in told)
    (customer,) = browser.visit(Visit(f"{console}/#/overview?days=365"))
    assert "who had spent" in customer.text


def test_what_is_counted_of_all_customers_is_that_of_the_report(
    browser: Driver, console: str, shipped: Outputs, segment: str
) -> None:
    report = (shipped.folder / "report.html").resolve().as_uri()
    addresses = ("rfm", f"segment?segment={segment}&with=lifecycle")
    live_grid, live_segment, grid, of_segment = browser.visit(
        *(Visit(f"{base}#/{address}") for base in (f"{console}/", report) for address in addresses)
    )
    groups = "What the cells are usually called"
    for title, columns in (("How lately, how often, how much", 7), (groups, 4)):
        live, told = (
            [[", ".join(sorted(cell.split(", "))) for cell in row[:columns]] for row in found.rows(title)]
            for found in (live_grid, grid)
        )
        assert live == told, "but for the order of equals"
    assert sorted(live_segment.rows("Who else they are")) == sorted(of_segment.rows("Who else they are"))
    assert text_of(live_segment.section("How long they stay")).startswith("How long they stay Who is still there")


def test_refused_records_are_counted_and_shown(browser: Driver, console: str, closed: str) -> None:
    wait = [{"wait": DRAWN}]
    everything, less = browser.visit(
        Visit(f"{console}/#/quality", actions=wait),
        Visit(f"{closed}/#/quality", actions=[*signing_in(OF_SEGMENTS), *wait]),
    )
    for found in (everything, less):
        assert "8 records were refused in the last 7 days" in found.text
        assert "no customer: 6 records" in found.text
    assert "offset 7" in everything.text
    assert "offset" not in less.text, "examples may be personal"


# --- signing in and out -----------------------------------------------------------------------------------------


def test_people_sign_in_with_a_token_and_out_again(browser: Driver, closed: str) -> None:
    kept = "JSON.stringify([document.cookie, Object.values(localStorage).join(), location.href])"
    (found,) = browser.visit(
        Visit(
            f"{closed}/",
            actions=[
                {"look": None},
                *signing_in(),
                {"evaluate": kept},
                {"visit": f"{closed}/#/segment"},
                {"wait": SIGNED_IN},
                {"evaluate": "document.querySelector('.who').textContent"},
                {"click": ".controls button"},
                {"wait": "input[name=token]"},
                {"visit": f"{closed}/#/overview"},
                {"wait": "input[name=token]"},
            ],
        )
    )
    what_scripts_see, who = found.raw["values"]
    assert "segmenter_session" not in what_scripts_see
    assert TOKEN not in what_scripts_see
    assert who == "marta"
    assert found.raw["violations"] == []
    assert found.errors == []


def test_an_unknown_token_is_refused_in_words(browser: Driver, closed: str) -> None:
    actions = [
        {"fill": ["input[name=token]", "wrong"]},
        {"click": "button[type=submit]"},
        {"wait": ".said:not(:empty)"},
    ]
    (found,) = browser.visit(Visit(f"{closed}/", actions=actions))
    assert "This token is not known." in found.text
    assert [error for error in found.errors if "401" not in error] == []


def test_a_page_shows_what_the_token_is_good_for(browser: Driver, closed: str) -> None:
    (found,) = browser.visit(
        Visit(f"{closed}/#/segment", actions=[*signing_in(OF_SEGMENTS), {"wait": ".card"}, {"look": None}])
    )
    assert "Not live" in found.text
    assert "<h2" in found.html
    assert ">Members</h2>" not in found.html
    assert found.errors == []


def test_what_to_do_with_a_segment_is_said_by_those_who_may(browser: Driver, closed: str, segment: str) -> None:
    page, text = f"{closed}/#/segment?segment={segment}", ".action"
    keep, field = ".action-editor button[type=submit]", ".action-editor input"
    (found,) = browser.visit(
        Visit(
            page,
            actions=[
                *signing_in(),
                {"visit": page},
                {"evaluate": f"document.querySelector('{text}').textContent"},
                {"click": ".action-editor button"},
                {"look": None},
                {"fill": [field, "Call them <b>before</b> Friday."]},
                {"click": keep},
                {"gone": field},
                {"evaluate": f"document.querySelector('{text}').textContent"},
                {"visit": f"{closed}/#/overview"},
                {"gone": ".action-editor"},
                {"visit": page},
                {"click": ".action-editor button"},
                {"click": ".action-editor button:text('Back to the definition')"},
                {"gone": field},
                {"evaluate": f"document.querySelector('{text}').textContent"},
                {"look": None},
            ],
        )
    )
    before, said, after = found.raw["values"]
    assert said.startswith("What to do: Call them <b>before</b> Friday.By marta, ")
    assert said.endswith(f"the definition says: {before.removeprefix('What to do: ')}")
    assert after == before
    assert found.raw["violations"] == []
    assert found.errors == []
    (reader,) = browser.visit(Visit(page, actions=[*signing_in(OF_SEGMENTS), {"visit": page}, {"wait": text}]))
    assert before in reader.text
    assert "action-editor" not in reader.html


# --- live -------------------------------------------------------------------------------------------------------


def feed_of(customer: str) -> str:
    """Select a customer's row in the feed."""
    return f'section:has(h2:text-is("Latest moves")) tr:has-text("A purchase just now"):has-text("{customer}")'


def test_a_migration_is_in_figures_and_feed_without_a_reload(
    browser: Driver, console: str, view: ViewOfReplay, tmp_path: Path
) -> None:
    customer, listening = view.some_movers()[1], tmp_path / "listening"
    (before,) = browser.visit(Visit(f"{console}/#/overview"))
    actions = [{"wait": ".live.live"}, {"tell": str(listening)}, {"wait": feed_of(customer)}]
    with ThreadPoolExecutor(1) as pool:
        visiting = pool.submit(browser.visit, Visit(f"{console}/#/overview", actions=actions))
        wait_for(listening.exists, PATIENCE_SECONDS, "a page that listens")
        migration = view.move(customer)
        (found,) = visiting.result()
    (again,) = browser.visit(Visit(f"{console}/#/overview", actions=[{"wait": CURRENT}]))
    after = sizes_in(found)
    change = Counter({migration.to_segment.name: 1, migration.from_segment.name: -1})
    assert {name: after[name] - size for name, size in sizes_in(before).items() if after[name] != size} == change
    assert sizes_in(again) == after, "as counted by the server"
    assert found.errors == []


def sizes_in(found: Found) -> dict[str, int]:
    part = found.section("Who your customers are")
    names = [text_of(each) for each in re.findall(r'<a class="segment"[^>]*>(.*?)</a>', part)]
    rows = found.rows("Who your customers are")
    return {name: int(row[1].replace(",", "")) for name, row in zip(names, rows, strict=True)}


def test_a_page_comes_back_by_itself_and_misses_nothing(
    browser: Driver, consoles: Consoles, view: ViewOfReplay, tmp_path: Path
) -> None:
    customer, port, listening = view.some_movers()[2], free_port(), tmp_path / "listening"
    address = f"http://127.0.0.1:{port}"
    actions = [
        {"wait": ".live.live"},
        {"tell": str(listening)},
        {"wait": ".live.waiting"},
        {"wait": ".live.live"},
        {"wait": feed_of(customer)},
    ]
    with ThreadPoolExecutor(1) as pool:
        with consoles.serving(is_open=True, port=port):
            wait_until_ready(address)
            visiting = pool.submit(browser.visit, Visit(f"{address}/#/overview", actions=actions))
            wait_for(listening.exists, PATIENCE_SECONDS, "a page that listens")
        view.move(customer)
        with consoles.serving(is_open=True, port=port):
            (found,) = visiting.result()
    # A server that has to stop cancels what is under way, which uvicorn answers with 500.
    lost = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "500", "503")
    assert [error for error in found.errors if not any(each in error for each in lost)] == []


# --- what is asked for ------------------------------------------------------------------------------------------


def test_any_customer_can_be_looked_up(browser: Driver, console: str, view: ViewOfReplay, shipped: Outputs) -> None:
    customer = view.some_movers()[3]
    search = [{"fill": ["input[name=id]", customer]}, {"click": ".search button"}, {"wait": DRAWN}]
    found, unknown = browser.visit(
        Visit(f"{console}/#/customer", actions=search),
        Visit(f"{console}/#/customer?id=nobody%2Fat%20all", actions=[{"wait": "[data-own] .notice"}]),
    )
    present = {row[0]: row for row in found.rows("Where this customer is now")}
    memberships = [each for each in shipped.lines("memberships.jsonl") if each["customer_id"] == customer]
    last = [each for each in shipped.migrations if each["customer_id"] == customer and each["segmentation"] == "value"][
        -1
    ]
    assert len(present) == len(memberships)
    assert present["Value"][1] == last["to_segment"]["name"]
    assert last["explanation"]["sentence"].startswith(present["Value"][3].removesuffix("."))
    assert re.match(r"[\d,.]+ EUR before the last move, on ", tile(found, "Had spent"))
    assert "There is no customer “nobody/at all”." in unknown.text
    assert [error for error in unknown.errors if "404" not in error] == []


def test_members_are_shown_page_by_page_and_downloaded_whole(
    browser: Driver, console: str, shipped: Outputs, segment: str
) -> None:
    listed = '[data-own="members"] .page-of'
    (found,) = browser.visit(
        Visit(
            f"{console}/#/segment?segment={segment}",
            actions=[{"wait": listed}, {"download": 'section:has(h2:text-is("Members")) a[download]'}],
        )
    )
    rows = list(csv.DictReader(io.StringIO(found.downloads[0]["text"])))
    expected = members_of(shipped.folder, "value", segment)
    assert len(rows) in range(len(expected) - 3, len(expected) + 4), "others may have moved since"
    assert f"of {len(rows)} member" in found.text
    assert found.errors == []


def test_movements_are_filtered_and_lead_to_those_who_moved(browser: Driver, console: str, shipped: Outputs) -> None:
    first = ".heat a"
    (found,) = browser.visit(
        Visit(
            f"{console}/#/movements?days=all",
            actions=[
                {"click": 'input[value="lapse"]'},
                {"wait": 'input[value="lapse"]:not(:checked)'},
                {"click": first},
                {"wait": '[data-own="movers"] .lead'},
            ],
        )
    )
    moves = [each for each in shipped.migrations if each["segmentation"] == "value" and each["from_segment"]]
    kept = [each for each in moves if each["cause"]["kind"] not in ("lapse", "model", "definition")]
    pairs = Counter((each["from_segment"]["name"], each["to_segment"]["name"]) for each in kept)
    (title,) = [text_of(each) for each in re.findall(r"<h2[^>]*>([^<]* → [^<]*)</h2>", found.html)]
    origin, target = title.split(" → ")
    assert len(found.rows(title)) >= pairs[origin, target] > 0
    assert found.errors == []


def test_health_says_how_far_the_view_is(browser: Driver, console: str, view: ViewOfReplay) -> None:
    view.beat()
    (found,) = browser.visit(Visit(f"{console}/#/health", actions=[{"wait": "[data-own] .tile"}]))  # ready, that is
    waiting = {row[0]: row[3] for row in found.rows("How far the view has read")}
    assert waiting["migrations"] == "3"
    assert tile(found, "View").startswith("up to date")
    versions = {row[0]: row[1:] for row in found.rows("Processes")}
    assert versions["View"][0] == "1.2.3"
    assert versions["Workers of 1 partition"][:2] == [WORKER.version, str(WORKER.library)]
