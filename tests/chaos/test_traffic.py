"""The input of a chaos run leaves nothing open: how often each event must be counted is known without any order."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from tests.chaos.traffic import PROFILES, PURCHASES, Record, Totals, Traffic
from tests.reference.ids import ENGAGEMENT_LIMIT

RECORDS = 60_000


@pytest.fixture(scope="module", params=[1, 11])
def drawn(request: pytest.FixtureRequest) -> tuple[Traffic, list[Record]]:
    traffic = Traffic(request.param, malformed_rate=0.0)
    return traffic, [record for record in traffic.take(RECORDS) if record.topic != PROFILES]


def test_only_customers_whose_records_all_fit_into_a_row_repeat_events(drawn: tuple[Traffic, list[Record]]) -> None:
    _, records = drawn
    times = Counter((record.key, json.loads(record.value or b"")["event_id"]) for record in records)
    per_customer = Counter(record.key for record in records)
    repeating = {key for (key, _), count in times.items() if count > 1}
    assert len(repeating) > 100
    assert max(per_customer[key] for key in repeating) <= ENGAGEMENT_LIMIT


def test_one_record_in_a_hundred_is_a_repetition_some_near_and_some_far(drawn: tuple[Traffic, list[Record]]) -> None:
    _, records = drawn
    seen: dict[Record, int] = {}
    distances = [index - seen[record] for index, record in enumerate(records) if seen.setdefault(record, index) < index]
    assert len(distances) == pytest.approx(RECORDS / 100, rel=0.2)
    assert min(distances) < 10
    assert max(distances) > 1_000


def test_some_records_are_dated_far_from_all_others(drawn: tuple[Traffic, list[Record]]) -> None:
    _, records = drawn
    years = [int(json.loads(record.value or b"")["occurred_at"][:4]) for record in records]
    assert years.count(1970) > 5
    assert sum(before == 2015 < year for before, year in pairwise(years)) > 10


def test_truth_counts_each_event_once(drawn: tuple[Traffic, list[Record]]) -> None:
    traffic, records = drawn
    counted: defaultdict[str, Totals] = defaultdict(Totals)
    for record in set(records):
        event = json.loads(record.value or b"")
        totals = counted[event["customer_id"]]
        if record.topic != PURCHASES:
            totals.engagements += 1
            continue
        is_refund = event["type"] == "order_refunded"
        totals.refunds += is_refund
        totals.purchases += not is_refund
        totals.revenue_minor += (-1 if is_refund else 1) * round(float(event["total"]) * 100)
    assert counted == traffic.truth
