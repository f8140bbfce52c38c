"""The metrics of one process, read at each scrape from what counts them.

What a process counts as it goes (a failed call, an answered request) is counted here; what another object counts or
knows anyway is read from that object when Prometheus asks. So nothing is copied between scrapes, and a figure of
something that is gone is no longer exported.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_app.adapters.metrics.declaration import (
    COUNTER,
    EVERY,
    GAUGE,
    HISTOGRAM,
    LABEL_CHARACTERS_MAX,
    OTHER,
    Declaration,
)
from stream_app.adapters.metrics.declared import BUILD_INFO, DECLARED
from stream_app.adapters.metrics.distribution import Distribution

DISTRIBUTION: Final = "stream-segmenter"
"""Name of the installed package."""
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

LabelSet = tuple[str, ...]
Values = dict[LabelSet, list[Any]]
"""By label set, all that was read: distributions of a histogram, else numbers."""


class Reading(NamedTuple):
    """One value of a metric; those of the same label set are added up (gauges: merged as declared).

    Attributes
    ----------
    labels
        Label values in the order declared.
    value
        Of a counter the total since the process began, of a gauge the present value.
    """

    metric: Declaration
    labels: LabelSet
    value: float | Distribution


Source = Callable[[], Iterable[Reading]]
"""Asked at each scrape."""


class Metrics(Collector):
    """All metrics of a process, in a registry of its own: two can live in one process.

    Use: `metrics.inc(EVENTS, topic=…, outcome=…)`, `metrics.set(READY, 1)`,
    `metrics.distribution(END_TO_END_LATENCY, sink="redis").observe(seconds)`, `metrics.read_from(source)`.

    Parameters
    ----------
    component
        The command that this process runs: only its metrics and those of every command are exported.
    """

    def __init__(self, component: str) -> None:
        self.registry = CollectorRegistry()
        self._metrics = [each for each in DECLARED if each.component in (EVERY, component)]
        self._numbers: defaultdict[Declaration, dict[LabelSet, float]] = defaultdict(dict)
        self._distributions: defaultdict[Declaration, dict[LabelSet, Distribution]] = defaultdict(dict)
        self._admitted: defaultdict[Declaration, set[LabelSet]] = defaultdict(set)
        self._sources: list[Source] = []
        ProcessCollector(namespace="segmenter", registry=self.registry)
        self.registry.register(self)
        self.set(BUILD_INFO, 1, version=package_version(), python=platform.python_version(), component=component)

    def inc(self, metric: Declaration, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        numbers, place = self._numbers[metric], _ordered(metric, labels)
        if place not in numbers:
            place = self._place(metric, place)
        numbers[place] = numbers.get(place, 0) + amount

    def set(self, metric: Declaration, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._numbers[metric][self._place(metric, _ordered(metric, labels))] = value

    def distribution(self, metric: Declaration, **labels: str) -> Distribution:
        """Return what counts the values of a histogram; it may be kept."""
        distributions, place = self._distributions[metric], _ordered(metric, labels)
        found = distributions.get(place)
        if found is None:
            found = distributions.setdefault(self._place(metric, place), Distribution(metric.bounds))
        return found

    def read_from(self, source: Source) -> None:
        """Have a source asked at each scrape; several may count for the same metric."""
        self._sources.append(source)

    def exposition(self) -> bytes:
        """Return everything in the text format that Prometheus reads, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads; a metric without labels is 0 until something is known."""
        found: dict[Declaration, Values] = {each: {} for each in self._metrics}
        for metric, labels, value in chain(self._own(), *(source() for source in self._sources)):
            values = found.get(metric)
            if values is None:
                continue
            if labels not in values:
                # What was once counted beyond the budget stays there; a gauge's budget is free again at each scrape.
                labels = _admit(metric, labels, values if metric.kind == GAUGE else self._admitted[metric])
                if metric.kind != GAUGE:
                    self._admitted[metric].add(labels)
            values.setdefault(labels, []).append(value)
        for metric, values in found.items():
            yield _family(metric, values if values or metric.labels else {(): []})

    def _own(self) -> Iterator[Reading]:
        for counted in (self._numbers, self._distributions):
            for metric, values in counted.items():
                for labels, value in values.items():
                    yield Reading(metric, labels, value)

    def _place(self, metric: Declaration, labels: LabelSet) -> LabelSet:
        """Return the label set that a value counts under, from now on."""
        admitted = self._admitted[metric]
        place = _admit(metric, labels, admitted)
        admitted.add(place)
        return place


def _ordered(metric: Declaration, labels: Mapping[str, str]) -> LabelSet:
    """Return label values in the order declared.

    Raises
    ------
    ValueError
        If a label is missing or not declared.
    """
    try:
        ordered = tuple([labels[name] for name in metric.labels])
    except KeyError:
        ordered = ()
    if len(ordered) != len(labels) or len(ordered) != len(metric.labels):
        raise ValueError(f"labels of {metric.name}: {sorted(labels)}, expected {sorted(metric.labels)}")
    return ordered


def _admit(metric: Declaration, labels: LabelSet, admitted: Collection[LabelSet]) -> LabelSet:
    """Return the label set itself, or the one that stands for what is beyond the metric's budget."""
    if labels in admitted:
        return labels
    labels = tuple(value[:LABEL_CHARACTERS_MAX] for value in labels)
    if labels in admitted or len(admitted) < metric.sets_max - metric.spare_sets:
        return labels
    rest = tuple(value if name in metric.lasting else OTHER for name, value in zip(metric.labels, labels, strict=True))
    if rest in admitted or len(admitted) < metric.sets_max - 1:
        return rest
    return (OTHER,) * len(metric.labels)


def _family(metric: Declaration, values: Values) -> Metric:
    if metric.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.documentation, labels=metric.labels)
        for labels, parts in values.items():
            histogram.add_metric(labels, *_cumulative(metric, parts))
        return histogram
    if metric.kind == COUNTER:
        counter = CounterMetricFamily(metric.name, metric.documentation, labels=metric.labels)
        for labels, parts in values.items():
            counter.add_metric(labels, sum(parts))
        return counter
    gauge = GaugeMetricFamily(metric.name, metric.documentation, labels=metric.labels)
    for labels, parts in values.items():
        gauge.add_metric(labels, metric.merge(parts) if parts else 0)
    return gauge


def _cumulative(metric: Declaration, parts: Iterable[Distribution]) -> tuple[list[tuple[str, float]], float]:
    """Return the number of values up to each bound, and the sum of all values."""
    counts, total = np.zeros(len(metric.bounds) + 1, np.int64), 0.0
    for part in parts:
        counts += part.counts
        total += part.sum
    bounds = [*map(str, metric.bounds), "+Inf"]
    return list(zip(bounds, counts.cumsum().tolist(), strict=True)), total


@cache
def package_version() -> str:
    """Return the version of the software."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
