"""Metrics stay within their budget of series, keep to their registry, and are named as Prometheus advises."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from stream_app.adapters.metrics import COMPONENTS, SERIES_MAX, VIEW, WEBHOOKS, WORKER, Distribution, Metrics, Reading
from stream_app.adapters.metrics.declaration import (
    CAUSES,
    COUNTER,
    EVERY,
    GAUGE,
    HISTOGRAM,
    LEARNED_MAX,
    OTHER,
    PREFIX,
    PROCESS_SERIES,
    SEGMENTATIONS_MAX,
    Declaration,
)
from stream_app.adapters.metrics.declared import (
    CUSTOMERS,
    DECLARED,
    END_TO_END_LATENCY,
    MIGRATIONS,
    REBALANCES,
    REDIS_ERRORS,
    STREAM_CLIENTS,
    SWEEP,
    TABLE_ENTRIES,
    WATERMARK,
    WEBHOOK_DELIVERIES,
)
from stream_app.segmentations.configuration import LEARNED_MAX as CONFIGURED_LEARNED_MAX
from stream_app.segmentations.configuration import SEGMENTATIONS_MAX as CONFIGURED_MAX

Labels = tuple[tuple[str, str], ...]


def series(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    """Return all time series as a scrape sees them, none of them twice."""
    samples = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    ]
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def of(metrics: Metrics, metric: Declaration) -> dict[Labels, float]:
    return {labels: value for (name, labels), value in series(metrics).items() if name == metric.name}


def exported_by(component: str) -> list[Declaration]:
    return [each for each in DECLARED if each.component in (EVERY, component)]


def reading(metric: Declaration, labels: Iterable[str]) -> Reading:
    value: float | Distribution = 1.0
    if metric.kind == HISTOGRAM:
        value = Distribution(metric.bounds)
        value.observe(1.0)
    return Reading(metric, tuple(labels), value)


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_label_values_however_many_take_a_process_over_its_budget_of_series(component: str) -> None:
    metrics = Metrics(component)
    declared = [each for each in exported_by(component) if each.labels]
    metrics.read_from(
        lambda: (reading(each, (f"{name}-{n}" for name in each.labels)) for each in declared for n in range(3_000))
    )
    for _ in range(2):
        found = series(metrics)
        assert len(found) <= SERIES_MAX
        for each in declared:
            sets = {labels for (name, labels), _ in found.items() if name in (each.name, f"{each.name}_sum")}
            assert len(sets) == each.sets_max, each.name  # so the budget is what held


@pytest.mark.parametrize("component", COMPONENTS)
def test_declared_budgets_add_up_to_the_limit_at_most(component: str) -> None:
    assert sum(each.series_max for each in exported_by(component)) + PROCESS_SERIES <= SERIES_MAX


def test_values_beyond_the_budget_are_counted_together_and_never_move() -> None:
    metrics = Metrics(WEBHOOKS)
    for number in range(1_000):
        metrics.inc(WEBHOOK_DELIVERIES, subscription=f"s{number}", outcome="dead")
    totals = {("new", "dead"): 5, **{(f"t{number}", "dead"): 1 for number in range(500)}}
    metrics.read_from(lambda: [Reading(WEBHOOK_DELIVERIES, labels, total) for labels, total in totals.items()])
    before = of(metrics, WEBHOOK_DELIVERIES)
    assert len(before) == WEBHOOK_DELIVERIES.sets_max
    assert sum(before.values()) == 1_505
    assert max(before.values()) == 1_505 - WEBHOOK_DELIVERIES.sets_max + 1
    totals["s0", "dead"] = 7  # one that has a series of its own
    after = of(metrics, WEBHOOK_DELIVERIES)
    assert Counter(after) - Counter(before) == {(("outcome", "dead"), ("subscription", "s0")): 7}


def test_counter_of_several_parts_never_falls_whatever_part_counts_first() -> None:
    metrics = Metrics(WORKER)
    parts: list[dict[tuple[str, ...], int]] = [{}, {("value", f"s{n}", "s1", "lapse"): 1 for n in range(2_000)}]
    metrics.read_from(lambda: [Reading(MIGRATIONS, labels, n) for part in parts for labels, n in part.items()])
    before = of(metrics, MIGRATIONS)
    parts[0] |= {("value", f"s{n}", "s2", "lapse"): 1 for n in range(2_000)}
    after = of(metrics, MIGRATIONS)
    assert before.keys() == after.keys()
    assert all(after[labels] >= value for labels, value in before.items())


def test_segmentation_and_cause_are_known_beyond_the_budget() -> None:
    metrics = Metrics(WORKER)
    causes = [f"cause-{n}" for n in range(CAUSES)]
    names = [f"name-{n}" for n in range(SEGMENTATIONS_MAX)]
    metrics.read_from(
        lambda: (
            Reading(MIGRATIONS, (name, f"s{n}", "s1", cause), 1)
            for name in names
            for n in range(100)
            for cause in causes
        )
    )
    metrics.read_from(lambda: (Reading(CUSTOMERS, (name, f"s{n}"), 2) for name in names for n in range(100)))
    moves: Counter[tuple[str, str]] = Counter()
    for labels, value in of(metrics, MIGRATIONS).items():
        moves[dict(labels)["segmentation"], dict(labels)["cause"]] += int(value)
    assert moves == {(name, cause): 100 for name in names for cause in causes}
    sizes: Counter[str] = Counter()
    for labels, value in of(metrics, CUSTOMERS).items():
        sizes[dict(labels)["segmentation"]] += int(value)
    assert sizes == dict.fromkeys(names, 200)


def test_gauges_beyond_the_budget_are_merged_as_declared() -> None:
    metrics = Metrics(WORKER)
    metrics.read_from(lambda: (Reading(WATERMARK, (str(n),), n) for n in range(1_000)))
    metrics.read_from(lambda: (Reading(TABLE_ENTRIES, (str(n),), 2) for n in range(1_000)))
    assert of(metrics, WATERMARK)[("partition", OTHER),] == WATERMARK.sets_max - 1
    assert sum(of(metrics, TABLE_ENTRIES).values()) == 2_000


def test_series_of_what_is_gone_disappear_and_make_room() -> None:
    metrics = Metrics(WORKER)
    present: list[str] = []
    metrics.read_from(lambda: (Reading(TABLE_ENTRIES, (number,), 1) for number in present))
    for start in range(0, 10_000, 50):
        present[:] = map(str, range(start, start + 50))
        assert {dict(labels)["partition"] for labels in of(metrics, TABLE_ENTRIES)} == set(present)


def test_long_label_values_are_cut_and_strange_ones_survive() -> None:
    metrics = Metrics(WEBHOOKS)
    strange = 'a "quoted"\nline \\ and é'
    metrics.inc(REDIS_ERRORS, operation="x" * 10_000)
    metrics.inc(REDIS_ERRORS, operation="x" * 10_001)
    metrics.inc(WEBHOOK_DELIVERIES, subscription=strange, outcome="dead")
    assert of(metrics, REDIS_ERRORS) == {(("operation", "x" * 100),): 2}
    assert of(metrics, WEBHOOK_DELIVERIES) == {(("outcome", "dead"), ("subscription", strange)): 1}


@pytest.mark.parametrize("labels", [{}, {"customer_id": "c1"}, {"operation": "x", "customer_id": "c1"}])
def test_label_that_is_missing_or_unknown_is_refused(labels: dict[str, str]) -> None:
    metrics = Metrics(VIEW)
    expected = r"labels of segmenter_redis_errors_total: .*, expected \['operation'\]"
    with pytest.raises(ValueError, match=expected):
        metrics.inc(REDIS_ERRORS, **labels)
    with pytest.raises(ValueError, match=expected):
        metrics.set(REDIS_ERRORS, 1, **labels)
    with pytest.raises(ValueError, match=expected):
        metrics.distribution(REDIS_ERRORS, **labels)


def test_two_sets_of_metrics_live_in_one_process_and_none_in_the_default_registry() -> None:
    first, second = Metrics(WORKER), Metrics(WORKER)
    first.inc(REBALANCES)
    assert series(first)["segmenter_rebalances_total", ()] == 1
    assert series(second)["segmenter_rebalances_total", ()] == 0
    assert not any(family.name.startswith(PREFIX) for family in REGISTRY.collect())


@pytest.mark.parametrize("component", COMPONENTS)
def test_command_exports_its_own_metrics_and_those_of_all(component: str) -> None:
    metrics = Metrics(component)
    metrics.read_from(lambda: (reading(each, each.labels) for each in DECLARED))
    families = text_string_to_metric_families(metrics.exposition().decode())
    exported = {family.name: family.type for family in families if not family.name.startswith("segmenter_process_")}
    assert exported == {each.name.removesuffix("_total"): each.kind for each in exported_by(component)}


def test_metric_without_labels_is_zero_until_something_is_known() -> None:
    found = series(Metrics("api")) | series(Metrics(WORKER))
    for each in DECLARED:
        if not each.labels and each.component in (EVERY, "api", WORKER):
            assert found[each.name if each.kind != HISTOGRAM else f"{each.name}_count", ()] == 0


def test_gauge_that_is_set_keeps_its_last_value() -> None:
    metrics = Metrics("api")
    for value in (3, 2):
        metrics.set(STREAM_CLIENTS, value)
    assert of(metrics, STREAM_CLIENTS) == {(): 2}


def test_names_units_and_explanations_keep_to_the_rules() -> None:
    labels_of_persons = {"customer", "customer_id", "event", "event_id", "message", "error", "exception", "path", "url"}
    of_a_segmentation = {"segment", "from", "to", "axis", "role", "version"}
    assert len({each.name for each in DECLARED}) == len(DECLARED) > 20
    for each in DECLARED:
        assert each.kind in (COUNTER, GAUGE, HISTOGRAM)
        assert each.component in (EVERY, *COMPONENTS)
        assert each.name.startswith(PREFIX)
        assert each.name.endswith("_total") == (each.kind == COUNTER)
        assert not each.name.endswith(("_ms", "_minutes", "_milliseconds"))
        assert not labels_of_persons & set(each.labels)
        assert (
            "segmentation" in each.labels
            or not of_a_segmentation & set(each.labels)
            or each.name.endswith("build_info")
        )
        assert set(each.lasting) <= set(each.labels)
        assert each.bounds == tuple(sorted(each.bounds))
        assert len(each.documentation) > 20
        assert each.documentation.endswith(".")
        assert "|" not in each.documentation


def test_distribution_counts_many_as_it_counts_one_by_one() -> None:
    bounds = (0.1, 1.0, 5.0)
    values = np.random.default_rng(1).exponential(2.0, 500).round(1)  # bounds are hit exactly, too
    many, single = Distribution(bounds), Distribution(bounds)
    many.observe_many(values)
    for value in values.tolist():
        single.observe(value)
    assert many.counts.tolist() == single.counts.tolist()
    assert many.counts[0] == (values <= 0.1).sum()
    assert math.isclose(many.sum, single.sum)


def test_histogram_adds_up_its_parts_is_cumulative_and_ends_in_its_count() -> None:
    metrics = Metrics(WORKER)
    elsewhere = Distribution(SWEEP.bounds)
    metrics.read_from(lambda: [Reading(SWEEP, (), elsewhere)])
    metrics.distribution(SWEEP).observe(0.004)
    metrics.distribution(SWEEP).observe(100, times=2)
    elsewhere.observe(0.004)
    found = series(metrics)
    buckets = [value for (name, _), value in found.items() if name == "segmenter_sweep_seconds_bucket"]
    assert buckets == [0] + [2] * (len(SWEEP.bounds) - 1) + [4]
    assert found["segmenter_sweep_seconds_count", ()] == 4
    assert math.isclose(found["segmenter_sweep_seconds_sum", ()], 200.008)
    for number in range(40):
        metrics.distribution(END_TO_END_LATENCY, sink=f"sink {number}").observe(1)
    found = series(metrics)
    assert sum(v for (n, _), v in found.items() if n == "segmenter_end_to_end_latency_seconds_count") == 40


def test_learned_segmentations_that_are_configured_and_as_many_that_have_ended_keep_their_names() -> None:
    assert LEARNED_MAX >= 2 * CONFIGURED_LEARNED_MAX


def test_series_stay_bounded_with_all_segmentations_that_can_be_configured() -> None:
    metrics = Metrics(WORKER)
    names = [f"name-{n}" for n in range(CONFIGURED_MAX)]
    causes = [f"cause-{n}" for n in range(CAUSES)]
    metrics.read_from(
        lambda: (
            Reading(MIGRATIONS, (name, f"s{n}", "s1", cause), 1)
            for name in names
            for n in range(20)
            for cause in causes
        )
    )
    metrics.read_from(lambda: (Reading(CUSTOMERS, (name, f"s{n}"), 2) for name in names for n in range(20)))
    moved, sizes = of(metrics, MIGRATIONS), of(metrics, CUSTOMERS)
    assert (len(moved), len(sizes)) == (MIGRATIONS.sets_max, CUSTOMERS.sets_max)
    assert sum(moved.values()) == CONFIGURED_MAX * 20 * CAUSES
    assert sum(sizes.values()) == CONFIGURED_MAX * 40
    told = {dict(labels)["segmentation"] for labels in moved}
    assert len(told) >= SEGMENTATIONS_MAX
    assert OTHER in told
