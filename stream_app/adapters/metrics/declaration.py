"""What is declared of a metric, and how many time series all of them may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "segmenter_"
SERIES_MAX: Final = 2_000
"""Most time series of one process."""
PROCESS_SERIES: Final = 6
"""Series that prometheus-client adds about the process."""
PARTITIONS_MAX: Final = 64
"""So many partitions of a replica have series of their own; the rest share one."""
SEGMENTATIONS_MAX: Final = 40
"""So many segmentations and audiences keep their names, also where a metric has used up its label sets; all others are
counted together."""
LEARNED_MAX: Final = 16
"""So many learned ones: all that can be configured, and as many that have ended."""
CAUSES: Final = 10
"""Kinds of causes of a migration."""
OTHER: Final = "other"
"""Label value of everything beyond a metric's budget."""
LABEL_CHARACTERS_MAX: Final = 100
"""Longer label values are cut: they are names, not messages."""
HISTOGRAM_EXTRA_SERIES: Final = 3
"""A histogram's series beside its bounds: the bucket without bound, the sum, the count."""

WORKER: Final = "worker"
VIEW: Final = "view"
API: Final = "api"
WEBHOOKS: Final = "webhooks"
COMPONENTS: Final = (WORKER, VIEW, API, WEBHOOKS)
EVERY: Final = ""
"""Component of a metric that all commands export."""

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

Merge = Callable[[Iterable[float]], float]


@dataclass(frozen=True, eq=False)
class Declaration:
    """All there is to know of a metric but its values.

    Parameters
    ----------
    name
        As Prometheus shows it.
    kind
        `counter`, `gauge` or `histogram`.
    component
        The command that exports it; `EVERY` if all do.
    documentation
        What it counts or measures.
    labels
        Their names.
    sets_max
        Most label sets of one process, those under `OTHER` included.
    bounds
        Of a histogram: ascending upper bounds of its buckets.
    merge
        Of a gauge: makes one value of those that share a label set.
    lasting
        Labels that keep their values beyond the budget.
    spare_sets
        How many of `sets_max` are for what is beyond the budget.
    """

    name: str
    kind: str
    component: str
    documentation: str
    labels: tuple[str, ...] = ()
    sets_max: int = 1
    bounds: tuple[float, ...] = ()
    merge: Merge = sum
    lasting: tuple[str, ...] = ()
    spare_sets: int = 0

    @property
    def series_max(self) -> int:
        """Most time series of one process."""
        return self.sets_max * (len(self.bounds) + HISTOGRAM_EXTRA_SERIES if self.kind == HISTOGRAM else 1)


def counter(
    name: str,
    component: str,
    documentation: str,
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
    *,
    lasting: tuple[str, ...] = (),
    spare_sets: int = 1,
) -> Declaration:
    """Declare a counter; its name ends in `_total`."""
    return Declaration(
        name=f"{PREFIX}{name}_total",
        kind=COUNTER,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        lasting=lasting,
        spare_sets=spare_sets if labels else 0,
    )


def gauge(
    name: str,
    component: str,
    documentation: str,
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
    merge: Merge = sum,
    *,
    lasting: tuple[str, ...] = (),
    spare_sets: int = 1,
) -> Declaration:
    """Declare a gauge."""
    return Declaration(
        name=PREFIX + name,
        kind=GAUGE,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        merge=merge,
        lasting=lasting,
        spare_sets=spare_sets if labels else 0,
    )


def histogram(
    name: str,
    component: str,
    documentation: str,
    bounds: tuple[float, ...],
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
) -> Declaration:
    """Declare a histogram."""
    return Declaration(
        name=PREFIX + name,
        kind=HISTOGRAM,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        bounds=bounds,
        spare_sets=1 if labels else 0,
    )
