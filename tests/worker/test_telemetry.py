"""What a worker exports: counted once whatever is scraped when, and of the partitions that it owns alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from stream_app.adapters.metrics import SERIES_MAX, WORKER, Metrics
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.segmentations.learned.document import Drift, ModelProposal
from stream_app.worker.counters import PartitionCounters
from stream_app.worker.decisions import model_record
from stream_app.worker.telemetry import SegmentationState, Telemetry
from tests.adapters.test_metrics import series
from tests.support.events import START_MS, engagement, purchase
from tests.support.models import learned_model
from tests.worker.memory import TOPICS, MemoryLog, Record
from tests.worker.test_owned import CUSTOMERS, ENGAGEMENTS, PURCHASES, Worker, both

NOW_MS = START_MS + 10**12


class Scraped:
    """A worker, and what is exported of it."""

    def __init__(self, partitions: int = 1, **settings: Any) -> None:
        self.worker = Worker(MemoryLog(), partitions, **settings)
        self.ends: dict[tuple[str, int], int] = {}
        self.metrics = Metrics(WORKER)
        telemetry = Telemetry(self.worker.owned, self.worker.follower, lambda: (self.ends, {}))
        self.metrics.read_from(telemetry.readings)

    def scrape(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Return by metric and labels."""
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
            self.worker.host.feed(PURCHASES, number, RecordBlock.of([Record(first, value, b"c0")]))
        await self.worker.work(*both(number))


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


VALUE = labels(segmentation="value")


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
        for segmentation in ("value", "visits"):
            figures.moves.update({(segmentation, f"s{n}", f"s{n + 1}", "model"): 1 for n in range(5_000)})
        figures.outcomes.update({(f"topic-{n}", "accepted"): 1 for n in range(500)})
        figures.dead_letters.update({(PURCHASES, f"reason-{n}"): 1 for n in range(500)})
        found = scraped.scrape()
        assert sum(map(len, found.values())) <= SERIES_MAX
        for segmentation in ("value", "visits"):
            moves = [n for key, n in found["migrations_total"].items() if dict(key)["segmentation"] == segmentation]
            assert sum(moves) == 5_000
        assert sum(found["consumer_lag_records"].values()) == 200 * len(TOPICS.inputs)
        assert found["assigned_partitions"] == {(): 200}
        await scraped.worker.owned.release()

    run(test)


def test_model_in_use_and_the_newest_that_was_learned_are_distinguished() -> None:
    scraped = Scraped()
    found = scraped.scrape()
    assert dict(next(iter(found["model_info"])))["version"] == "0"
    assert found["model_last_learned_timestamp_seconds"] == {VALUE: 0}
    assert "model_drift_score" not in found
    snapshot = learned_model()
    held = ModelProposal(replace(snapshot, version=5, as_of_ms=snapshot.as_of_ms + 86_400_000), held=True)
    drift = Drift({"recency": 0.3, "orders": 0.01}, {"loyal": 0.1})
    for proposal in (ModelProposal(snapshot, drift=drift), held):
        scraped.worker.follower._read(model_record(proposal).value)
        found = scraped.scrape()
        assert found["model_info"] == {labels(segmentation="value", kind="learned", version="4", segments="12"): 1}
        assert found["model_last_learned_timestamp_seconds"][VALUE] * 1000 == proposal.model.as_of_ms
        if proposal.drift:
            scores = {(*VALUE, ("axis", axis)): score for axis, score in proposal.drift.psi.items()}
            assert found["model_drift_score"] == {tuple(sorted(key)): score for key, score in scores.items()}
    names = {dict(each)["segment"]: dict(each)["name"] for each in found["segment_info"]}
    assert names == {each.segment_id: each.name for each in snapshot.roster.segments}
    assert {dict(each)["segment"] for each in found["customers"]} == set(names)


def test_worker_exports_every_segmentation_that_is_configured() -> None:
    active = {"id": "active", "name": "Active", "when": {"figure": "recency_days", "less_than": 4}}
    configured = [
        {"name": "value", "kind": "learned"},
        {"name": "visits", "kind": "learned"},
        {"name": "offers", "kind": "rules", "segments": [active], "otherwise": {"id": "quiet", "name": "Quiet"}},
    ]
    names = [each["name"] for each in configured]

    async def test() -> None:
        scraped = Scraped(segmentations=configured)
        await scraped.worker.open(0)
        await scraped.work()
        found = scraped.scrape()
        for name in ("model_info", "customers", "segment_info", "migrations_total"):
            assert sorted({dict(key)["segmentation"] for key in found[name]}) == sorted(names), name
        for segmentation in names:
            sizes = [n for key, n in found["customers"].items() if dict(key)["segmentation"] == segmentation]
            assert sum(sizes) == len(CUSTOMERS)
            revenue = [n for key, n in found["segment_revenue"].items() if dict(key)["segmentation"] == segmentation]
            assert sum(revenue) == sum(purchase(0).amount_minor for _ in CUSTOMERS) / 100
            labels_of_entries = {("segmentation", segmentation), ("from", "")}
            entries = [n for key, n in found["migrations_total"].items() if labels_of_entries <= set(key)]
            assert sum(entries) == len(CUSTOMERS)
        offers = {dict(key)["segment"] for key in found["customers"] if ("segmentation", "offers") in key}
        assert offers == {"active", "quiet"}
        assert found["model_last_learned_timestamp_seconds"] == {labels(segmentation=name): 0 for name in names[:2]}
        assert found["table_entries"] == {labels(partition="0"): len(CUSTOMERS)}
        await scraped.worker.owned.release()

    run(test)


def test_segmentations_share_segment_ids_and_features_and_stay_apart() -> None:
    metrics = Metrics(WORKER)
    states = {
        "value": SegmentationState(
            "learned",
            7,
            {"s1": "Loyal", "s2": "Lost"},
            {"s1": 5, "s2": 0},
            {"s1": 70.5, "s2": 0.0},
            2_000,
            Drift({"recency": 0.3}, {}),
        ),
        "visits": SegmentationState(
            "learned", 0, {"s1": "Frequent"}, {"s1": 4, "s9": 1}, {"s9": -1.0}, 0, Drift({"recency": 0.1}, {})
        ),
        "offers": SegmentationState("rules", 2, {"vip": "Loyal"}, {"vip": 3}, {"vip": 9.0}, None),
    }
    counted = PartitionCounters()
    counted.moves.update({("value", "", "s1", "purchase"): 5, ("visits", "", "s1", "purchase"): 4})
    counted.moves["offers", "vip", "", "definition"] = 1
    metrics.read_from(counted.readings)
    metrics.read_from(lambda: (each for name, state in states.items() for each in state.readings(name)))
    found = series(metrics)

    def by(name: str, *wanted: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(dict(key)[label] for label in wanted): value
            for (metric, key), value in found.items()
            if metric == f"segmenter_{name}"
        }

    segments = ("segmentation", "segment")
    sizes = {("value", "s1"): 5, ("value", "s2"): 0, ("visits", "s1"): 4, ("visits", "s9"): 1, ("offers", "vip"): 3}
    assert by("customers", *segments) == sizes
    assert by("segment_revenue", *segments) == {
        ("value", "s1"): 70.5,
        ("value", "s2"): 0.0,
        ("visits", "s9"): -1.0,
        ("offers", "vip"): 9.0,
    }
    assert by("segment_info", *segments, "name").keys() == {
        ("value", "s1", "Loyal"),
        ("value", "s2", "Lost"),
        ("visits", "s1", "Frequent"),
        ("offers", "vip", "Loyal"),
    }
    assert by("model_info", "segmentation", "kind", "version", "segments").keys() == {
        ("value", "learned", "7", "2"),
        ("visits", "learned", "0", "1"),
        ("offers", "rules", "2", "1"),
    }
    assert by("model_last_learned_timestamp_seconds", "segmentation") == {("value",): 2, ("visits",): 0}
    assert by("model_drift_score", "segmentation", "axis") == {("value", "recency"): 0.3, ("visits", "recency"): 0.1}
    assert by("migrations_total", "segmentation", "from", "to", "cause") == {
        ("value", "", "s1", "purchase"): 5,
        ("visits", "", "s1", "purchase"): 4,
        ("offers", "vip", "", "definition"): 1,
    }
