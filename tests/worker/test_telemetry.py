"""What a worker exports: counted once whatever is scraped when, and of the partitions that it owns alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from stream_app.adapters.metrics import SERIES_MAX, WORKER, Metrics
from stream_app.segmentations.learned.document import Drift, ModelProposal
from stream_app.worker.telemetry import Telemetry
from stream_app.worker.training import model_record
from tests.adapters.test_metrics import series
from tests.support.events import START_MS, engagement, purchase
from tests.support.models import plain_snapshot
from tests.worker.memory import TOPICS, MemoryLog, Record
from tests.worker.test_owned import CUSTOMERS, ENGAGEMENTS, PURCHASES, Worker, both

NOW_MS = START_MS + 10**12


class Scraped:
    """A worker, and what is exported of it."""

    def __init__(self, partitions: int = 1) -> None:
        self.worker = Worker(MemoryLog(), partitions)
        self.ends: dict[tuple[str, int], int] = {}
        self.metrics = Metrics(WORKER)
        self._telemetry = Telemetry(self.metrics, self.worker.owned, self.worker.follower, lambda: (self.ends, {}))

    def scrape(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Return by metric and labels."""
        self._telemetry.refresh()
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for (name, labels), value in series(self.metrics).items():
            found.setdefault(name.removeprefix("segmenter_"), {})[labels] = value
        return found

    async def work(self, number: int = 0) -> None:
        """Fold a purchase and an engagement of each customer, one of each twice, and what cannot be folded."""
        purchases = [purchase(day, customer_id=customer) for day, customer in enumerate(CUSTOMERS)]
        engagements = [engagement(day, customer_id=customer) for day, customer in enumerate(CUSTOMERS)]
        self.worker.feed(PURCHASES, number, *purchases, purchases[-1])
        self.worker.feed(ENGAGEMENTS, number, *engagements, engagements[-1])
        for value in (b"no JSON", None):
            first = self.worker.host.expected_offset(PURCHASES, number) or 0
            self.worker.host.feed(PURCHASES, number, [Record(first, value, b"c0")])
        await self.worker.work(*both(number))


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def of_partition(found: Mapping[str, Mapping[tuple[tuple[str, str], ...], float]], name: str) -> set[str]:
    return {dict(each)["partition"] for each in found.get(name, {})}


def test_records_are_counted_by_topic_and_outcome_whatever_is_scraped_when() -> None:
    async def test() -> None:
        scraped = Scraped()
        scraped.scrape()
        await scraped.worker.open(0)
        for _ in range(2):
            await scraped.work()
            found = scraped.scrape()
            found = scraped.scrape()
        expected = {
            labels(topic=PURCHASES, outcome="accepted"): 18,
            labels(topic=PURCHASES, outcome="rejected"): 2,
            labels(topic=PURCHASES, outcome="tombstone"): 2,
            labels(topic=ENGAGEMENTS, outcome="accepted"): 18,
        }
        assert found["events_total"] == expected
        assert found["dead_letters_total"] == {labels(topic=PURCHASES, reason="malformed"): 2}
        assert found["duplicate_events_total"] == {(): 20}
        assert found["event_processing_seconds_count"] == found["event_age_seconds_count"] == {(): 36}
        assert found["end_to_end_latency_seconds_count"] == {labels(sink="kafka"): 40}
        moves = scraped.worker.owned.figures[0].moves.total()
        assert sum(found["migrations_total"].values()) == moves >= len(CUSTOMERS)
        entries = [value for key, value in found["migrations_total"].items() if dict(key)["from"] == ""]
        assert sum(entries) == len(CUSTOMERS) == sum(found["customers"].values())
        assert found["sweep_seconds_count"][()] > 0

    run(test)


def test_series_of_a_revoked_partition_disappear_and_what_was_counted_there_stays() -> None:
    async def test() -> None:
        scraped = Scraped(partitions=2)
        scraped.ends = {(topic, number): 30 for topic in TOPICS.inputs for number in range(2)}
        owned = scraped.worker.owned
        await scraped.worker.open(0, 1)

        await scraped.work()
        before = scraped.scrape()
        names = ("consumer_lag_records", "last_processed_timestamp_seconds", "table_entries")
        for name in names:
            assert of_partition(before, name) == {"0", "1"}
        assert of_partition(before, "watermark_timestamp_seconds") == {"0"}
        assert before["consumer_lag_records"][labels(topic=PURCHASES, partition="0")] == 30 - 11
        assert before["consumer_lag_records"][labels(topic=PURCHASES, partition="1")] == 30
        assert before["last_processed_timestamp_seconds"][labels(partition="0")] * 1000 == NOW_MS
        assert before["assigned_partitions"] == {(): 2}
        await scraped.worker.open(1)
        after = scraped.scrape()
        for name in names:
            assert of_partition(after, name) == {"1"}
        assert "watermark_timestamp_seconds" not in after
        assert after["events_total"] == before["events_total"]
        assert sum(after["customers"].values()) == 0
        assert after["assigned_partitions"] == {(): 1}
        assert after["rebalances_total"] == {(): 2}
        await owned.release()
        assert "table_entries" not in scraped.scrape()

    run(test)


def test_replica_that_sees_ever_more_of_everything_keeps_within_its_budget() -> None:
    async def test() -> None:
        scraped = Scraped(partitions=200)
        scraped.ends = {(topic, number): 1 for topic in TOPICS.inputs for number in range(200)}
        await scraped.worker.open(*range(200))
        figures = scraped.worker.owned.figures[0]
        figures.moves.update({("value", f"s{n}", f"s{n + 1}", "model"): 1 for n in range(5_000)})
        figures.outcomes.update({(f"topic-{n}", "accepted"): 1 for n in range(500)})
        figures.dead_letters.update({(PURCHASES, f"reason-{n}"): 1 for n in range(500)})
        found = scraped.scrape()
        assert sum(map(len, found.values())) <= SERIES_MAX
        assert sum(found["migrations_total"].values()) == 5_000
        assert sum(found["consumer_lag_records"].values()) == 400
        assert found["assigned_partitions"] == {(): 200}
        await scraped.worker.owned.release()

    run(test)


def test_model_in_use_and_the_newest_that_was_learned_are_told_apart() -> None:
    scraped = Scraped()
    found = scraped.scrape()
    assert dict(next(iter(found["model_info"])))["version"] == "0"
    assert found["model_last_learned_timestamp_seconds"] == {(): 0}
    assert "model_drift_score" not in found
    snapshot = plain_snapshot()
    held = ModelProposal(replace(snapshot, version=5, as_of_ms=snapshot.as_of_ms + 86_400_000), held=True)
    drift = Drift(0.1, {"recency": 0.3, "orders": 0.01})
    for proposal in (ModelProposal(snapshot, drift=drift), held):
        scraped.worker.follower._read(model_record(proposal).value)
        found = scraped.scrape()
        assert [dict(each)["version"] for each in found["model_info"]] == ["4"]
        assert found["model_last_learned_timestamp_seconds"][()] * 1000 == proposal.snapshot.as_of_ms
        if proposal.drift:
            assert found["model_drift_score"] == {labels(feature="recency"): 0.3, labels(feature="orders"): 0.01}
    names = {dict(each)["segment"]: dict(each)["name"] for each in found["segment_info"]}
    assert names == {each.segment_id: each.name for each in snapshot.segments}
    assert {dict(each)["segment"] for each in found["customers"]} == set(names)
