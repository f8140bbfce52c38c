"""Metrics stay within their budget of series, keep to their registry, and are named as Prometheus advises."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from stream_app.adapters.metric_families import OTHER, Distribution, Labelled
from stream_app.adapters.metrics import COMPONENTS, PREFIX, PROCESS_SERIES, SERIES_MAX, WORKER, Metrics

SEGMENTS = {"segmentation": "value", "cause": "lapse"}


def series(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return all time series as a scrape sees them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def labelled(metrics: Metrics) -> list[Labelled[object]]:
    return [each for each in vars(metrics).values() if isinstance(each, Labelled)]


def test_no_label_values_however_many_take_a_process_over_its_budget_of_series() -> None:
    metrics = Metrics()
    assert len(labelled(metrics)) == sum(bool(each.labels) for each in metrics.declarations)
    for family in labelled(metrics):
        for number in range(3_000):
            family.labels(**{name: f"{name}-{number}" for name in family.names})
    found = series(metrics)
    assert len(found) <= SERIES_MAX
    assert len(found) > SERIES_MAX / 2  # so the budget is what held
    assert any(OTHER in dict(labels).values() for _, labels in found)


def test_declared_budgets_add_up_to_the_limit_at_most() -> None:
    assert sum(each.series_max for each in Metrics().declarations) + PROCESS_SERIES <= SERIES_MAX


def test_values_beyond_the_budget_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(1_000):
        metrics.migrations.labels(**{"from": "s1", "to": f"s{number}"}, **SEGMENTS).inc()
    found = {labels: value for (name, labels), value in series(metrics).items() if name == "segmenter_migrations_total"}
    assert len(found) == metrics.migrations.sets_max
    assert sum(found.values()) == 1_000
    assert max(found.values()) == 1_000 - metrics.migrations.sets_max + 1


def test_gauges_beyond_the_budget_are_merged() -> None:
    metrics = Metrics()
    metrics.watermark_timestamp_seconds.replace({(str(n),): float(n) for n in range(1_000)}, min)
    metrics.table_entries.replace({(str(n),): 2 for n in range(1_000)})
    found = series(metrics)
    others = ("partition", OTHER)
    assert found["segmenter_watermark_timestamp_seconds", (others,)] == metrics.watermark_timestamp_seconds.sets_max - 1
    assert sum(value for (name, _), value in found.items() if name == "segmenter_table_entries") == 2_000


def test_series_of_what_is_gone_disappear_and_make_room() -> None:
    gauges = Metrics().table_entries
    for start in range(0, 10_000, 50):
        gauges.replace({(str(n),): 1 for n in range(start, start + 50)})
        gauges.member(("9999999",)).set(1)
    gauges.remove(partition="9999999")
    gauges.remove(partition="never there")
    metrics = Metrics()
    metrics.table_entries.replace({("0",): 1, ("1",): 1})
    metrics.table_entries.replace({("1",): 3})
    assert {k: v for k, v in series(metrics).items() if k[0] == "segmenter_table_entries"} == {
        ("segmenter_table_entries", (("partition", "1"),)): 3
    }


def test_long_label_values_are_cut_and_strange_ones_survive() -> None:
    metrics = Metrics()
    strange = 'a "quoted"\nline \\ and é'
    metrics.redis_errors.labels(operation="x" * 10_000).inc()
    metrics.redis_errors.labels(operation="x" * 10_000).inc()
    metrics.webhook_deliveries.labels(subscription=strange, outcome="dead").inc()
    found = series(metrics)
    assert found["segmenter_redis_errors_total", (("operation", "x" * 100),)] == 2
    assert found["segmenter_webhook_deliveries_total", (("outcome", "dead"), ("subscription", strange))] == 1


def test_label_that_is_missing_or_unknown_is_refused() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="expected"):
        metrics.redis_errors.labels()
    with pytest.raises(KeyError):
        metrics.redis_errors.labels(customer_id="c1")


def test_two_sets_of_metrics_live_in_one_process_and_none_in_the_default_registry() -> None:
    first, second = Metrics(), Metrics()
    first.rebalances.inc()
    assert series(first)["segmenter_rebalances_total", ()] == 1
    assert series(second)["segmenter_rebalances_total", ()] == 0
    assert not any(family.name.startswith(PREFIX) for family in REGISTRY.collect())


@pytest.mark.parametrize("component", COMPONENTS)
def test_command_exports_its_own_metrics_and_those_of_all(component: str) -> None:
    metrics = Metrics(component)
    for family in labelled(metrics):
        family.labels(**dict.fromkeys(family.names, "x"))
    exported = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    expected = {each.name.removesuffix("_total") for each in metrics.declarations if each.component in ("", component)}
    assert {name for name in exported if not name.startswith("segmenter_process_")} == expected


def test_names_units_and_explanations_keep_to_the_rules() -> None:
    labels_of_persons = {"customer", "customer_id", "event", "event_id", "message", "error", "exception", "path", "url"}
    for each in Metrics().declarations:
        assert each.name.startswith(PREFIX)
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert not each.name.endswith(("_ms", "_minutes", "_milliseconds"))
        assert not labels_of_persons & set(each.labels)
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
    assert math.isclose(many.sum, single.sum)
    total = Distribution(bounds)
    total.become_sum_of([many, single])
    assert total.counts.sum() == 1_000
    assert total.counts[0] == 2 * (values <= 0.1).sum()


def test_histogram_is_cumulative_and_ends_in_its_count() -> None:
    metrics = Metrics(WORKER)
    metrics.sweep_seconds.observe(0.004)
    metrics.sweep_seconds.observe(100, times=2)
    with metrics.sweep_seconds.time():
        pass
    found = series(metrics)
    buckets = [value for (name, _), value in found.items() if name == "segmenter_sweep_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert found["segmenter_sweep_seconds_count", ()] == buckets[-1] == 4
    numbers = count()
    for _ in range(40):
        metrics.end_to_end_latency_seconds.labels(sink=f"sink {next(numbers)}").observe(1)
    found = series(metrics)
    assert sum(v for (n, _), v in found.items() if n == "segmenter_end_to_end_latency_seconds_count") == 40
