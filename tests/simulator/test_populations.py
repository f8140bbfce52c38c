"""The populations beside the shop: each keeps the rule it is made by."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.errors import ConfigurationError
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import SimulationCounts, simulate
from tests.support.replays import ROOT

START = datetime(2024, 1, 1, tzinfo=UTC)
Purchases = dict[str, list[dict[str, Any]]]


def draw(
    folder: Path, name: str, customers: int, days: int = 365, seed: int = 3, **options: Any
) -> tuple[SimulationCounts, Purchases]:
    counts = simulate(customers, days, seed, folder, population=POPULATIONS[name], **options)
    purchases = defaultdict(list)
    for line in gzip.decompress((folder / "purchases.jsonl.gz").read_bytes()).splitlines():
        record = json.loads(line)
        assert record["type"] == "order_completed"
        record["at"] = datetime.fromisoformat(record["occurred_at"])
        purchases[record["customer_id"]].append(record)
    return counts, dict(purchases)


def read_csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", POPULATIONS)
def test_same_seed_gives_identical_bytes_and_another_does_not(name: str, tmp_path: Path) -> None:
    digests = []
    for folder, seed in (("one", 3), ("two", 3), ("other", 4)):
        simulate(40, 200, seed, tmp_path / folder, population=POPULATIONS[name])
        digests.append(hashlib.sha256((tmp_path / folder / "purchases.jsonl.gz").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize(("customers", "days"), [(1, 1), (3, 2), (20, 45), (20, 200)])
def test_every_customer_has_phases_without_a_gap_up_to_the_end(
    name: str, customers: int, days: int, tmp_path: Path
) -> None:
    counts = simulate(customers, days, 1, tmp_path, population=POPULATIONS[name])
    lives = defaultdict(list)
    for phase in read_csv(tmp_path / "truth.csv.gz"):
        assert phase["type"] in POPULATIONS[name].types
        lives[int(phase["customer_id"])].append(phase)
    assert sorted(lives) == list(range(customers))
    for life in lives.values():
        assert all(before["t_to"] == after["t_from"] for before, after in pairwise(life))
        assert float(life[-1]["t_to"]) == days * 86_400
    assert sum(len(life) - 1 for life in lives.values()) == counts.changes
    assert all(float(row["ts"]) < days * 86_400 for row in read_csv(tmp_path / "events.csv.gz"))


def test_subscribers_pay_one_price_each_month_on_their_own_day(tmp_path: Path) -> None:
    counts, purchases = draw(tmp_path, "subscribers", 300)
    assert (counts.changes, counts.engagements, len(purchases)) == (0, 0, 300)
    for charges in purchases.values():
        assert (charges[0]["at"] - START).days < 60
        assert {charge["total"] for charge in charges} == {"29.90"}
        months = [charge["at"].year * 12 + charge["at"].month for charge in charges]
        assert months == list(range(months[0], months[0] + len(charges)))
        assert len(charges) >= 10
        later = {(charge["at"].day, charge["at"].time()) for charge in charges[1:]}
        assert later == {(min(charges[0]["at"].day, 28), charges[0]["at"].time())}


def test_subscribers_are_charged_by_the_calendar_of_the_start(tmp_path: Path) -> None:
    _, purchases = draw(tmp_path, "subscribers", 30, 120, start=date(2023, 1, 31))
    for charges in purchases.values():
        assert charges[0]["at"] >= datetime(2023, 1, 31, tzinfo=UTC)
        assert {charge["at"].day for charge in charges[1:]} == {min(charges[0]["at"].day, 28)}


def test_plans_are_charged_on_their_day_or_at_most_five_days_late(tmp_path: Path) -> None:
    _, purchases = draw(tmp_path, "plans", 400)
    plans: Counter[str] = Counter()
    late = charges_in_all = extras = 0
    for orders in purchases.values():
        price = orders[0]["total"]
        plans[price] += 1
        charges = [order for order in orders if order["total"] == price]
        extras += len(orders) - len(charges)
        day = min(charges[0]["at"].day, 28)
        for charge in charges[1:]:
            overdue = (charge["at"].date() - charge["at"].date().replace(day=day)).days
            overdue += 31 if overdue < 0 else 0
            assert overdue <= 8  # five days, and up to three where the months differ in length
            late += overdue > 0
        charges_in_all += len(charges) - 1
    assert set(plans) == {"9.90", "19.90", "49.90"}
    assert min(plans.values()) > 100
    assert late / charges_in_all == pytest.approx(0.3, abs=0.06)
    assert extras / charges_in_all == pytest.approx(0.05, abs=0.02)


def test_who_cancels_is_charged_no_more_and_the_truth_says_when(tmp_path: Path) -> None:
    counts, purchases = draw(tmp_path, "plans", 700)
    changes = read_csv(tmp_path / "changes.csv.gz")
    assert len(changes) == counts.changes
    assert counts.changes / 700 == pytest.approx(0.25, abs=0.05)
    for change in changes:
        assert (change["to"], change["kind"]) == ("cancelled", "lapse")
        last = (purchases[f"c{change['customer_id']}"][-1]["at"] - START).total_seconds()
        assert last < float(change["t"]) + 5 * 86_400
    gone = {int(change["customer_id"]) for change in changes}
    for customer, orders in purchases.items():
        if int(customer[1:]) not in gone:
            assert (datetime(2024, 12, 31, tzinfo=UTC) - orders[-1]["at"]).days <= 36


def test_one_off_customers_buy_once_and_months_before_the_end(tmp_path: Path) -> None:
    counts, purchases = draw(tmp_path, "one-off", 600)
    assert (counts.events, counts.changes) == (600, 0)
    assert {len(orders) for orders in purchases.values()} == {1}
    assert max((orders[0]["at"] - START).days for orders in purchases.values()) < 245


def test_identical_customers_differ_by_chance_alone(tmp_path: Path) -> None:
    counts, purchases = draw(tmp_path, "identical", 2_000)
    assert counts.changes == 0
    gaps = np.array(
        [(after["at"] - before["at"]).total_seconds() for o in purchases.values() for before, after in pairwise(o)]
    )
    assert gaps.mean() / 86_400 == pytest.approx(20, rel=0.07)  # less than 20 days, as the end cuts long ones off
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.06)
    orders = np.array([len(orders) - 1 for orders in purchases.values()])
    days = np.array([366 - (orders[0]["at"] - START).days - 1 for orders in purchases.values()])
    assert (orders - days / 20).var() / (days / 20).mean() == pytest.approx(1, abs=0.12)  # as of one Poisson rate


def test_shops_differ_in_rates_alone(tmp_path: Path) -> None:
    counted = {}
    for name in ("shop", "little-engagement", "no-engagement", "slow", "fast"):
        simulate(500, 300, 2, tmp_path / name, refund_rate=0.0, population=POPULATIONS[name])
        counted[name] = Counter(row["type"] for row in read_csv(tmp_path / name / "events.csv.gz"))
        assert read_csv(tmp_path / name / "truth.csv.gz") == read_csv(tmp_path / "shop" / "truth.csv.gz")
    shop = counted["shop"]
    assert counted["little-engagement"]["email_open"] == pytest.approx(shop["email_open"] / 5, rel=0.1)
    assert counted["no-engagement"]["email_open"] == counted["no-engagement"]["login"] == 0
    assert counted["no-engagement"]["cart"] == counted["no-engagement"]["purchase"] == shop["purchase"]
    repeated = {name: count["purchase"] - 500 for name, count in counted.items()}  # all but the order of arrival
    assert repeated["slow"] == pytest.approx(repeated["shop"] / 2, rel=0.1)
    assert repeated["fast"] == pytest.approx(repeated["shop"] * 2, rel=0.1)


def test_the_documentation_explains_each_population() -> None:
    rows = [line for line in (ROOT / "docs" / "commands.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    assert all(any(f"`{name}`" in row.split("|")[1] for row in rows) for name in POPULATIONS)


def test_refunds_are_refused_where_nothing_is_given_back(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"refund_rate: 0\.1, expected none for a population without refunds"):
        simulate(5, 30, 1, tmp_path, refund_rate=0.1, population=POPULATIONS["subscribers"])


def test_a_refund_rate_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"refund_rate: -1, expected a probability from 0 to 1"):
        simulate(1, 1, 1, tmp_path, refund_rate=-1)
