"""Refused records for the console: how many a day for which reason, and the newest of each, as the view counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from stream_app.adapters.view_schema import REFUSED_DAYS
from stream_app.adapters.wall_clock import now_ms as wall_now_ms
from stream_app.api.days import days_between
from stream_app.api.sampling import ViewSampler
from stream_app.contracts.rejections import REJECTION_REASONS
from stream_app.core.local_days import date_of


class Refusals:
    """Reads what was refused.

    Parameters
    ----------
    sampler
        Reads the view.
    timezone
        Of the shop, by whose days is counted.
    now_ms
        The wall clock: a record is refused when it is read, whatever time it tells.
    """

    def __init__(self, sampler: ViewSampler, timezone: str, now_ms: Callable[[], int] = wall_now_ms) -> None:
        self._sampler = sampler
        self._timezone = timezone
        self._now_ms = now_ms

    async def document(self, *, has_examples: bool) -> dict[str, Any]:
        """Return the days that are told, ascending, and by reason, the commonest first, how many on each.

        Raises
        ------
        StoreUnavailable
            If the view does not answer.
        """
        today = date_of(self._now_ms(), self._timezone)
        days = days_between(today - timedelta(days=REFUSED_DAYS - 1), today)
        found = await self._sampler.refused(days, REJECTION_REASONS if has_examples else ())
        totals: Counter[str] = Counter()
        for counts in found.by_day.values():
            totals.update(counts)
        return {
            "days": days,
            "has_examples": has_examples,
            "reasons": [
                {
                    "reason": reason,
                    "records": records,
                    "by_day": [found.by_day.get(day, {}).get(reason, 0) for day in days],
                    "examples": [
                        {name: getattr(each, name) for name in each.__struct_fields__}
                        for each in found.examples.get(reason, ())
                    ],
                }
                for reason, records in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
            ],
        }
