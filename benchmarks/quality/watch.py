"""What is asked of the product itself while it replays: are its names true, and what does it expect.

Both questions need the learned kind by stage and role. Where it lacks the answer they stay unasked, and the tables say
"not measured".
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np

from benchmarks.quality.calibration import Forecast, act_probability
from stream_app.core.clock import DAY_MS, WEEK_MS, format_instant
from stream_app.core.columns import CustomerColumns
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT

FORECAST_INTERVAL_MS: Final = 4 * WEEK_MS
FIRST_FORECAST_DAYS: Final = 120


class Watch:
    """Looks at a partition at every multiple of the sweep interval."""

    def __init__(self) -> None:
        self.forecasts: list[Forecast] = []
        self._named: defaultdict[str, int] = defaultdict(int)
        self._untrue: defaultdict[str, int] = defaultdict(int)
        self._first_ms: int | None = None

    def observe(self, partition: Partition, at_ms: int) -> None:
        """Ask what can be asked."""
        if not len(partition.table):
            return
        if self._first_ms is None:
            self._first_ms = at_ms
        (segmentation,) = partition.segmentations
        columns = CustomerColumns(partition.table.activity, np.full(len(partition.table), at_ms))
        held = Held.of(partition.table.memberships[0])
        self._ask_names(segmentation, columns, held, at_ms)
        due = at_ms % FORECAST_INTERVAL_MS == 0 and at_ms - self._first_ms >= FIRST_FORECAST_DAYS * DAY_MS
        if due and (forecast := forecast_of(segmentation, columns, partition.table.customer_ids, at_ms)) is not None:
            self.forecasts.append(forecast)

    def _ask_names(self, segmentation: Any, columns: CustomerColumns, held: Held, at_ms: int) -> None:
        try:
            from stream_app.segmentations.learned.statements import untrue
        except ImportError:
            return
        month = format_instant(at_ms)[:7]
        named = held.segment != NO_SEGMENT
        self._named[month] += int(named.sum())
        self._untrue[month] += int((untrue(segmentation, columns, held) & named).sum())

    @property
    def untrue_names(self) -> float | None:
        """Share of customer-days with an untrue name in the worst month; None if it was not asked."""
        return max((self._untrue[month] / days for month, days in self._named.items() if days), default=None)


def forecast_of(segmentation: Any, columns: CustomerColumns, customer_ids: list[str], at_ms: int) -> Forecast | None:
    """Return what the segmentation expects of everybody; None if it cannot say."""
    try:
        from stream_app.segmentations.learned.rhythm import (
            probability_active,
            usual_gap_days,
        )
    except ImportError:
        return None
    rhythm, quantities = segmentation.model.frame.rhythm, columns.quantities
    gap_days = usual_gap_days(quantities, rhythm)
    later = quantities._replace(recency_days=quantities.recency_days + gap_days)
    probability = act_probability(probability_active(quantities, rhythm), probability_active(later, rhythm))
    return Forecast(at_ms, list(customer_ids), gap_days, probability)
