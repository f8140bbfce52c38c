"""What is asked of the product itself while it replays: are its names true, and what does it expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from benchmarks.quality.calibration import Forecast, act_probability
from stream_app.core.arrays import Flags, Floats
from stream_app.core.clock import DAY_MS, WEEK_MS, format_instant
from stream_app.core.columns import CustomerColumns
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.rhythm import rhythm_of

FORECAST_INTERVAL_MS: Final = 4 * WEEK_MS
FIRST_FORECAST_DAYS: Final = 120
"""Nothing is asked of what was learned from less."""

Untrue: TypeAlias = Callable[[Any, CustomerColumns, Held], Flags]
"""Of a segmentation, customers at an instant and where they are: whose segment's name is not true of them."""
Expect: TypeAlias = Callable[[Any, CustomerColumns], tuple[Floats, Floats]]
"""Of a segmentation and customers at an instant: their usual gaps in days, and the probability of an act in as many."""


class Watch:
    """Looks at a partition at every multiple of the sweep interval.

    Parameters
    ----------
    ask_untrue, ask_expect
        How to ask; None to leave it.
    """

    def __init__(self, ask_untrue: Untrue | None, ask_expect: Expect | None) -> None:
        self.forecasts: list[Forecast] = []
        self._ask_untrue = ask_untrue
        self._ask_expect = ask_expect
        self._named: Counter[str] = Counter()
        self._untrue: Counter[str] = Counter()
        self._first_ms: int | None = None

    def observe(self, partition: Partition, at_ms: int) -> None:
        """Ask what can be asked."""
        if not len(partition.table):
            return
        self._first_ms = self._first_ms or at_ms
        (segmentation,) = partition.segmentations
        columns = CustomerColumns(partition.table.activity, np.full(len(partition.table), at_ms))
        if self._ask_untrue is not None:
            held = Held.of(partition.table.memberships[0])
            named, month = held.segment != NO_SEGMENT, format_instant(at_ms)[:7]
            self._named[month] += int(named.sum())
            self._untrue[month] += int((self._ask_untrue(segmentation, columns, held) & named).sum())
        is_due = at_ms % FORECAST_INTERVAL_MS == 0 and at_ms - self._first_ms >= FIRST_FORECAST_DAYS * DAY_MS
        if self._ask_expect is not None and is_due:
            gap_days, probability = self._ask_expect(segmentation, columns)
            self.forecasts.append(Forecast(at_ms, list(partition.table.customer_ids), gap_days, probability))

    @property
    def untrue_names(self) -> float | None:
        """Share of customer-days with an untrue name in the worst month; None if it was not asked."""
        return max((self._untrue[month] / days for month, days in self._named.items() if days), default=None)


def create_watch() -> Watch:
    """Return a watch that asks the product."""
    return Watch(lambda segmentation, columns, held: segmentation.untrue(columns, held), _expect)


def _expect(segmentation: Any, columns: CustomerColumns) -> tuple[Floats, Floats]:
    own = rhythm_of(columns.quantities, segmentation.model.frame.rhythm)
    now = columns.quantities.recency_days
    probabilities = own.probability_active(now), own.probability_active(now + own.usual_gap_days)
    return own.usual_gap_days, act_probability(*probabilities)
