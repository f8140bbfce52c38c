"""Kinds of metrics that cannot outgrow their budget of time series, whatever their labels are fed with.

A label value that comes from outside (a segment's id, a subscription's name) may take any number of values, and every
combination is a time series for ever. So each family says how many label sets it has at most; what comes beyond that
is counted under `OTHER`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

OTHER: Final = "other"
"""Label value of everything beyond a family's budget."""
LABEL_CHARACTERS_MAX: Final = 100
"""Longer label values are cut: they are names, not messages."""
HISTOGRAM_EXTRA_SERIES: Final = 3
"""A histogram's series beside its bounds: the bucket without bound, the sum, the count."""

LabelSet = tuple[str, ...]


class Distribution:
    """How many values were at most as large as each bound.

    Parameters
    ----------
    bounds
        Ascending upper bounds of the buckets; one more bucket has none.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts: npt.NDArray[np.int64] = np.zeros(len(self.bounds) + 1, np.int64)
        self.sum = 0.0
        self._bounds_array = np.array(self.bounds)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as if it had been seen `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def observe_many(self, values: npt.NDArray[np.float64]) -> None:
        """Count many values at the cost of a few."""
        places = np.searchsorted(self._bounds_array, values, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.sum += float(values.sum())

    @contextmanager
    def time(self) -> Iterator[None]:
        """Count how long the block takes, in seconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - started)

    def become_sum_of(self, parts: Iterable[Distribution]) -> None:
        """Forget everything, and take over what was counted elsewhere under the same bounds."""
        counts, total = np.zeros_like(self.counts), 0.0
        for part in parts:
            counts += part.counts
            total += part.sum
        self.counts, self.sum = counts, total


class _Removable(Protocol):
    def remove(self, *labelvalues: Any) -> None: ...


M = TypeVar("M")


class Labelled(Generic[M]):
    """A family with labels: `family.labels(topic="purchases").inc()`.

    Parameters
    ----------
    names
        Of the labels.
    sets_max
        Most label sets, `OTHER` included.
    create
        Makes the member for a label set that is new.
    remove
        Takes it away.
    """

    def __init__(
        self,
        names: Sequence[str],
        sets_max: int,
        create: Callable[[LabelSet], M],
        remove: Callable[[LabelSet], None],
    ) -> None:
        self.names = tuple(names)
        self.sets_max = sets_max
        self._create = create
        self._remove = remove
        self._members: dict[LabelSet, M] = {}

    def labels(self, **values: object) -> M:
        """Return the member with these label values, or that of all others where the family is full."""
        if len(values) != len(self.names):
            raise ValueError(f"labels: {sorted(values)}, expected {self.names}")
        return self.member(tuple(str(values[name]) for name in self.names))

    def member(self, values: LabelSet) -> M:
        """Return the same for values in the order of the labels."""
        found = self._members.get(values)
        return self._new(values) if found is None else found

    def remove(self, **values: object) -> None:
        """Let a member and its series disappear, if it is there."""
        self._drop(_shortened(str(values[name]) for name in self.names))

    def keep_only(self, wanted: Iterable[LabelSet]) -> None:
        """Let all other members and their series disappear."""
        kept = {_shortened(values) for values in wanted}
        for values in [known for known in self._members if known not in kept]:
            self._drop(values)

    def _new(self, values: LabelSet) -> M:
        values = _shortened(values)
        if values not in self._members:
            others = (OTHER,) * len(self.names)
            is_full = len(self._members) >= self.sets_max - (others not in self._members)
            if is_full:
                values = others
        if values not in self._members:
            self._members[values] = self._create(values)
        return self._members[values]

    def _drop(self, values: LabelSet) -> None:
        if self._members.pop(values, None) is not None:
            self._remove(values)


class LabelledCounter(Labelled[Counter]):
    """Counters by label set."""

    def __init__(
        self, name: str, documentation: str, names: Sequence[str], sets_max: int, registry: CollectorRegistry | None
    ) -> None:
        family = Counter(name, documentation, names, registry=registry)
        super().__init__(names, sets_max, lambda values: family.labels(*values), _remover(family))


class LabelledGauge(Labelled[Gauge]):
    """Gauges by label set."""

    def __init__(
        self, name: str, documentation: str, names: Sequence[str], sets_max: int, registry: CollectorRegistry | None
    ) -> None:
        family = Gauge(name, documentation, names, registry=registry)
        super().__init__(names, sets_max, lambda values: family.labels(*values), _remover(family))

    def replace(self, values: Mapping[LabelSet, float], merge: Callable[[Iterable[float]], float] = sum) -> None:
        """Have exactly these members; those beyond the budget, in the order given, are merged into one."""
        kept = dict(values)
        if len(kept) > self.sets_max:
            ordered = list(kept.items())
            kept = dict(ordered[: self.sets_max - 1])
            kept[(OTHER,) * len(self.names)] = merge([value for _, value in ordered[self.sets_max - 1 :]])
        self.keep_only(kept)
        for labels, value in kept.items():
            self.member(labels).set(value)


class Histogram(Distribution, Collector):
    """A distribution without labels."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry | None
    ) -> None:
        super().__init__(bounds)
        self._name = name
        self._documentation = documentation
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], _cumulative(self), self.sum)
        yield family


class LabelledHistogram(Labelled[Distribution], Collector):
    """Distributions by label set."""

    def __init__(
        self,
        name: str,
        documentation: str,
        names: Sequence[str],
        sets_max: int,
        bounds: Sequence[float],
        registry: CollectorRegistry | None,
    ) -> None:
        super().__init__(names, sets_max, lambda _: Distribution(bounds), lambda _: None)
        self._name = name
        self._documentation = documentation
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self.names)
        for values, distribution in list(self._members.items()):
            family.add_metric(values, _cumulative(distribution), distribution.sum)
        yield family


def _shortened(values: Iterable[str]) -> LabelSet:
    return tuple(value[:LABEL_CHARACTERS_MAX] for value in values)


def _remover(family: _Removable) -> Callable[[LabelSet], None]:
    return lambda values: family.remove(*values)


def _cumulative(distribution: Distribution) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in distribution.bounds), "+Inf"]
    return list(zip(bounds, distribution.counts.cumsum().tolist(), strict=True))
