from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import DAY_MS
from stream_app.core.events import CANCELLATION, PURCHASE, REFUND, Event, pack_events
from stream_app.replay.acts import ActsSample
from stream_app.replay.history import DailyEvents
from stream_app.replay.spreads import TOP_CUSTOMERS
from tests.support.events import START_MS, cancellation, edit, engagement, purchase, refund
from tests.support.replays import Outputs, purchase_at, replay, write_lines


def day_of(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000) // DAY_MS


def instant(day: int) -> str:
    return datetime.fromtimestamp((19_800 + day) * 86_400 + 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Outputs]:
    """Purchases of 60 customers who grow silent one after the other, a tenth of the records sent twice."""
    draw = random.Random(3)
    records: list[dict[str, Any]] = []
    for customer in range(60):
        for day in range(draw.randrange(30), draw.randrange(60, 400), draw.randrange(9, 50)):
            amount = f"{draw.randrange(500, 9_000) / 100:.2f}"
            records.append(purchase_at(len(records), instant(day), f"c{customer}", total=amount))
    records.sort(key=lambda record: record["occurred_at"])
    sent = [record for number, record in enumerate(records) for _ in range(1 + (number % 10 == 0))]
    folder = tmp_path_factory.mktemp("bought")
    out = replay(folder / "out", "--purchases", write_lines(folder / "purchases.jsonl", sent))
    return records, out


def history(out: Outputs) -> dict[str, Any]:
    return dict(json.loads((out.folder / "history.json").read_bytes()))


def test_flows_by_day_are_the_migrations_counted(bought: tuple[list[dict[str, Any]], Outputs]) -> None:
    _, out = bought
    flows = history(out)["segmentations"]["value"]["flows"]
    expected: Counter[tuple[Any, ...]] = Counter()
    last = day_of(out.summary["as_of"])
    for migration in out.migrations:
        ends = [migration[end] and migration[end]["id"] for end in ("from_segment", "to_segment")]
        expected[
            min(day_of(migration["effective_at"]), last), *ends, migration["cause"]["kind"], migration["change"]
        ] += 1
    columns = [flows[name] for name in ("day", "from", "to", "cause", "change")]
    assert dict(zip(zip(*columns, strict=True), flows["customers"], strict=True)) == expected
    assert flows["day"] == sorted(flows["day"])


def test_a_move_carries_what_the_customer_had_spent_before(bought: tuple[list[dict[str, Any]], Outputs]) -> None:
    records, out = bought
    expected: Counter[int] = Counter()
    for migration in out.migrations:
        cause = migration["cause"]["event_id"]
        expected[min(day_of(migration["effective_at"]), day_of(out.summary["as_of"]))] += sum(
            round(float(record["total"]) * 100)
            for record in records
            if record["customer_id"] == migration["customer_id"]
            and record["occurred_at"] <= migration["effective_at"]
            and record["event_id"] != cause
        )
    flows = history(out)["segmentations"]["value"]["flows"]
    carried: Counter[int] = Counter()
    for day, minor in zip(flows["day"], flows["revenue_minor"], strict=True):
        carried[day] += minor
    assert carried == expected


def test_days_add_up_to_what_came_once(bought: tuple[list[dict[str, Any]], Outputs]) -> None:
    records, out = bought
    days = history(out)["days"]
    assert sum(days["revenue_minor"]) == sum(round(float(record["total"]) * 100) for record in records)
    last = day_of(out.summary["as_of"])  # what lies far ahead of it is in doubt
    assert set(days["day"]) == {min(day_of(record["occurred_at"]), last) for record in records}


def test_members_are_compared_with_everybody(bought: tuple[list[dict[str, Any]], Outputs]) -> None:
    _, out = bought
    members = history(out)["segmentations"]["value"]["members"]
    assert set(members) == {"", *(segment["id"] for segment in out.summary["segments"])}
    assert members[""]["rank"]["revenue"] == 0.5
    ids = {m["customer_id"]: m["segment"]["id"] for m in out.memberships}
    for segment in out.summary["segments"]:
        own = members[segment["id"]]
        assert own["quantiles"]["revenue"] == sorted(own["quantiles"]["revenue"])
        assert len(own["top"]) == min(segment["customers"], TOP_CUSTOMERS)
        assert {ids[row["customer_id"]] for row in own["top"]} == {segment["id"]}
        revenue = [row["revenue"] for row in own["top"]]
        assert revenue == sorted(revenue, reverse=True)
        if segment["customers"] <= TOP_CUSTOMERS:
            assert sum(revenue) == pytest.approx(segment["revenue"])


def test_whoever_is_sampled_is_there_with_all_events() -> None:
    events = [purchase(number % 97, customer_id=f"c{number % 50}", event_id=f"e{number}") for number in range(1_000)]
    sample = ActsSample(kept_max=300)
    for start in range(0, len(events), 90):
        part = events[start : start + 90]
        sample.observe(records_of(part))
    told = read(sample)
    expected = Counter(h for e in events if (h := xxh3_64_intdigest(e.customer_id.encode())) < told["customers_below"])
    assert Counter(told["customer"]) == expected
    assert 0 < len(told["customer"]) <= 300


def test_engagement_and_refunds_are_told_apart() -> None:
    daily = DailyEvents()
    events = [purchase(0, 3_000), refund(0, 1_000, "order c1 0"), engagement(1), engagement(1)]
    daily.observe(pack_events(events, range(len(events)), 0).records)
    day = START_MS // DAY_MS
    assert daily.document() == {
        "day": [day, day + 1],
        "revenue_minor": [2_000, 0],
        "orders": [1, 0],
        "engagements": [0, 2],
    }


def test_a_difference_is_taken_out_of_the_days_since_the_last_settling() -> None:
    daily = DailyEvents()
    daily.observe(pack_events([purchase(0, 3_000)], range(1), 0).records)
    daily.settle(3_000, 1)
    daily.observe(pack_events([purchase(1, 1_000), purchase(2, 3_000)], range(2), 0).records)
    daily.settle(5_000, 3)
    assert daily.document()["revenue_minor"] == [3_000, 500, 1_500]
    assert np.array_equal(daily.document()["orders"], [1, 1, 1])


def records_of(events: list[Event]) -> np.ndarray:
    return pack_events(events, range(len(events)), 0).records


def read(sample: ActsSample) -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(sample.document())))


def sampled(events: list[Event]) -> dict[str, Any]:
    sample = ActsSample()
    sample.observe(records_of(events))
    return read(sample)


def test_a_sample_of_nobody_is_empty() -> None:
    assert sampled([]) == {"customers_below": None, "customer": [], "at_ms": [], "kind": [], "amount_minor": []}


def test_a_sample_goes_on_from_its_state() -> None:
    events = [purchase(number, customer_id=f"c{number % 9}") for number in range(40)]
    whole, first, second = ActsSample(30), ActsSample(30), ActsSample(30)
    for part in (events[:25], events[25:35]):
        whole.observe(records_of(part))
        first.observe(records_of(part))
    second.load_state(json.loads(json.dumps(first.state())))
    for sample in (whole, second):
        sample.observe(records_of(events[35:]))
    assert read(second) == read(whole)
    assert read(whole)["customers_below"] is not None


def observed(events: list[Event], timezone: str = "UTC") -> DailyEvents:
    daily = DailyEvents()
    daily.observe(pack_events(events, range(len(events)), 0).records, timezone)
    return daily


def test_days_are_those_of_the_shop() -> None:
    daily = observed([purchase(0.1), purchase(0.9)], "Asia/Tokyo")
    day = START_MS // DAY_MS
    assert daily.document()["day"] == [day, day + 1]


def test_days_outside_of_the_span_count_at_its_ends() -> None:
    day = START_MS // DAY_MS
    days = observed([purchase(0, 100), purchase(5, 10), purchase(400, 1)]).document((day + 2, day + 9))
    assert (days["day"], days["revenue_minor"]) == ([day + 2, day + 5, day + 9], [100, 10, 1])


def test_an_order_is_told_once_by_its_latest_statement() -> None:
    first = purchase(0, 3_000, order_id="o1")
    sent = [edit(0, 2_000, "o1", 3), first, first, edit(0, 2_500, "o1", 1), purchase(4, 700, order_id="o2")]
    sample = sampled(sent)
    assert (sample["kind"], sample["amount_minor"]) == ([PURCHASE, PURCHASE], [2_000, 700])


def test_what_a_cancellation_takes_is_what_refunds_have_left() -> None:
    sent = [purchase(0, 3_000, order_id="o1"), refund(1, 1_000, "o1"), cancellation(2, "o1")]
    of_unknown = [cancellation(3, "o9"), refund(4, 500, "C-17")]
    sample = sampled(sent + of_unknown)
    assert sample["kind"] == [PURCHASE, REFUND, CANCELLATION, CANCELLATION, REFUND]
    assert sample["amount_minor"] == [3_000, 1_000, 2_000, 0, 500]


def test_words_in_place_of_an_amount_are_no_money() -> None:
    days = observed([purchase(0, 3_000, order_id="o1"), cancellation(0.2, "o1")]).document()
    assert (days["revenue_minor"], days["orders"]) == ([3_000], [1])


def test_orders_that_count_no_longer_leave_no_day_with_fewer_than_none() -> None:
    daily = observed([purchase(0), purchase(0.1), purchase(1)])
    daily.settle(15_000, 3)
    daily.observe(pack_events([purchase(8)], range(1), 0).records)
    daily.settle(5_000, 1)
    assert daily.document()["orders"] == [2, 1, 0]


def test_a_history_goes_on_from_its_state() -> None:
    whole, first, second = DailyEvents(), DailyEvents(), DailyEvents()
    parts = [
        [purchase(0, 3_000), engagement(1)],
        [purchase(1, 3_000, order_id="o2"), edit(1, 2_000, "o2", 2), refund(3, 500, "o2")],
    ]
    records = [pack_events(part, range(len(part)), 0).records for part in parts]
    for part in records:
        whole.observe(part)
    first.observe(records[0])
    second.load_state(json.loads(json.dumps(first.state())))
    second.observe(records[1])
    assert second.state() == whole.state()
    for each in (whole, second):
        each.settle(4_500, 2)
    assert second.document() == whole.document()
