"""Orders as shops tell them, replayed: edited, told again, delivered again, returned and cancelled."""

from __future__ import annotations

import json
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from stream_app.core.events import CANCELLATION, PURCHASE, REFUND
from stream_app.core.partition import Partition
from stream_app.simulator.simulation import Faults, simulate
from tests.replay.test_runtime import run
from tests.support.one_segmentation import value_settings
from tests.support.replays import Outputs, engagement_at, purchase_at, write_lines

CREATED = "2024-05-01T12:00:00Z"
DAY: dict[str, Any] = {"order_id": "o7", "customer_id": "eve"}


def replayed(
    folder: Path, purchases: list[dict[str, Any]], engagements: list[dict[str, Any]] | None = None
) -> tuple[Partition, Outputs]:
    """Replay records; return the table at the end, and the outputs."""
    files = {"purchases": write_lines(folder / "purchases.jsonl", purchases)}
    if engagements is not None:
        files["engagements"] = write_lines(folder / "engagements.jsonl", engagements)
    return run(value_settings(), folder / "out", files)


def figures(partition: Partition) -> list[tuple[int, int, int]]:
    """Return orders, refunds and revenue of each customer."""
    names = ("purchases", "refunds", "revenue_minor")
    return [tuple(record[name].item() for name in names) for record in partition.table.activity]


@pytest.mark.parametrize("event_ids", [("d1", "d2", "d3"), ("o7", "o7", "o7")])
@pytest.mark.parametrize("edit", ["order_completed", "order_updated"])
def test_edited_order_is_one_of_its_latest_total(event_ids: tuple[str, ...], edit: str, tmp_path: Path) -> None:
    told = [
        purchase_at(1, CREATED, **DAY, total="100.00"),
        purchase_at(2, "2024-05-01T12:05:00Z", **DAY, type=edit, total="100.00"),
        purchase_at(3, "2024-05-02T09:00:00Z", **DAY, type=edit, total="80.00"),
    ]
    records = [record | {"event_id": event_id} for record, event_id in zip(told, event_ids, strict=True)]
    partition, _ = replayed(tmp_path, records)
    assert figures(partition) == [(1, 0, 8_000)]


def test_edit_counts_as_of_its_own_time_whenever_it_is_read(tmp_path: Path) -> None:
    told = [
        purchase_at(1, CREATED, **DAY, type="order_updated", total="80.00", updated_at="2024-05-03T00:00:00Z"),
        purchase_at(2, CREATED, **DAY, type="order_updated", total="90.00", updated_at="2024-05-02T00:00:00Z"),
    ]
    for number, order in enumerate(permutations(told)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert figures(replayed(folder, list(order))[0]) == [(1, 0, 8_000)]


def test_cancelled_order_is_gone_and_the_return_of_a_whole_order_too(tmp_path: Path) -> None:
    nothing = {"total": None, "currency": None}
    partition, _ = replayed(
        tmp_path,
        [
            purchase_at(1, CREATED, total="100.00"),
            purchase_at(2, CREATED, total="50.00"),
            purchase_at(3, CREATED, total="10.00"),
            purchase_at(9, "2024-05-02T09:00:00Z", order_id="o1", type="order_cancelled", **nothing),
            purchase_at(8, "2024-05-02T09:00:00Z", order_id="o2", type="order_refunded", **nothing),
        ],
    )
    assert figures(partition) == [(1, 1, 1_000)]


def test_return_of_an_order_older_than_the_file_makes_no_customer_new(tmp_path: Path) -> None:
    partition, outputs = replayed(
        tmp_path,
        [
            purchase_at(1, CREATED, "ann", order_id="900", type="order_refunded", total="40.00"),
            purchase_at(2, CREATED, "bob", order_id="901", total="40.00"),
        ],
    )
    assert {move["customer_id"] for move in outputs.migrations} == {"bob"}
    assert figures(partition) == [(0, 1, -4_000), (1, 0, 4_000)]
    assert outputs.summary["customers"] == 1


def test_orders_delivered_again_after_more_than_the_ledger_holds_count_once(tmp_path: Path) -> None:
    orders = [purchase_at(number, f"2024-05-01T{number // 60:02d}:{number % 60:02d}:00Z") for number in range(40)]
    partition, outputs = replayed(tmp_path, [*orders, *orders[:5], *orders[30:33]])
    assert figures(partition) == [(40, 0, 40 * 1_999)]
    assert outputs.summary["counts"]["duplicate"] == 8


def test_page_views_do_not_push_an_order_out_of_memory(tmp_path: Path) -> None:
    bought = purchase_at(1, CREATED, total="50.00")
    views = [engagement_at(number, f"2024-05-01T12:{number:02d}:00Z") for number in range(1, 50)]
    partition, outputs = replayed(tmp_path, [bought, bought | {"event_id": "again"}], views)
    assert figures(partition) == [(1, 0, 5_000)]
    assert outputs.summary["counts"]["rejected"] == 0


def test_orders_that_are_told_again_edited_and_cancelled_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    ends = []
    for name, faults in (("clean", Faults(late_rate=0.1)), ("again", Faults(late_rate=0.1, restated_rate=0.5))):
        simulate(60, 200, 5, tmp_path / name, refund_rate=0.2, faults=faults)
        files = {topic: tmp_path / name / f"{topic}.jsonl.gz" for topic in ("purchases", "engagements")}
        table = run(value_settings(), tmp_path / name / "out", files)[0].table
        rows = {customer: table.activity[table.find(customer)] for customer in table.customer_ids}
        exact = ("purchases", "refunds", "engagements", "revenue_minor", "purchased_at_ms", "first_at_ms", "gaps")
        ends.append({customer: [row[field].item() for field in exact] for customer, row in rows.items()})
        decayed = {customer: row["revenue_decayed"].item() for customer, row in rows.items()}
        ends[-1] |= {f"{customer} decayed": pytest.approx(value, abs=1e-6) for customer, value in decayed.items()}
    assert ends[0] == {name: getattr(value, "expected", value) for name, value in ends[1].items()}


def test_what_is_said_of_an_order_of_which_only_the_id_is_left_is_counted_as_too_old(tmp_path: Path) -> None:
    orders = [purchase_at(number, f"2024-05-{number + 1:02d}T12:00:00Z") for number in range(20)]
    late = purchase_at(99, "2024-05-28T12:00:00Z", order_id="o0", type="order_updated", total="1.00")
    partition, outputs = replayed(tmp_path, [*orders, orders[19], late])
    assert figures(partition) == [(20, 0, 20 * 1_999)]
    assert outputs.summary["counts"]["duplicate"] == 2
    assert outputs.summary["too_old"] == 1


def test_return_that_names_its_order_alone_is_that_of_its_customer(tmp_path: Path) -> None:
    told = [
        purchase_at(1, CREATED, "ann", total="100.00"),
        purchase_at(2, "2024-05-02T12:00:00Z", "bob", total="50.00"),
        purchase_at(3, "2024-05-03T12:00:00Z", order_id="o1", type="order_refunded", total="30.00"),
        purchase_at(4, "2024-05-03T12:00:01Z", order_id="o2", type="order_cancelled"),
        purchase_at(5, "2024-05-03T12:00:02Z", order_id="o77", type="order_refunded", total="1.00"),
        purchase_at(6, "2024-05-04T12:00:00Z", "ann", total="1.00"),
    ]
    for number in (2, 3, 4):
        del told[number]["customer_id"]
    partition, outputs = replayed(tmp_path, told)
    assert figures(partition) == [(2, 1, 7_100), (0, 0, 0)]
    (letter,) = outputs.lines("dead_letters.jsonl")
    assert (letter["reason"], letter["field"], letter["position"]["offset"]) == ("unknown_order", "order_id", 5)
    assert outputs.summary["counts"]["rejected"] == 1
    acts = json.loads((tmp_path / "out" / "history.json").read_bytes())["events"]
    assert Counter(zip(acts["kind"], acts["amount_minor"], strict=True)) == Counter(
        [(PURCHASE, 10_000), (PURCHASE, 5_000), (PURCHASE, 100), (REFUND, 3_000), (CANCELLATION, 5_000)]
    )
    assert len(set(acts["customer"])) == 2
