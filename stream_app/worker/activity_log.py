"""Says in the log, at most once a minute, what a worker has done and refused; no customer is named."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from stream_app.worker.counters import REJECTED
from stream_app.worker.owned import OwnedPartitions

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 60
REASONS_MAX: Final = 3
"""The number of reasons for refusing records that are named, the commonest ones."""


class ActivityLog:
    """Remembers what was logged last.

    Parameters
    ----------
    owned
        Whose counters are read.
    now_seconds
        By a clock that never goes back.
    """

    def __init__(self, owned: OwnedPartitions, now_seconds: float) -> None:
        self._owned = owned
        self._logged_at = now_seconds
        self._records = 0
        self._migrations = 0
        self._dead_letters: Counter[tuple[str, str]] = Counter()

    def look(self, now_seconds: float) -> None:
        """Log what has happened since it was last logged, if anything has and that is long enough ago."""
        if now_seconds - self._logged_at < INTERVAL_SECONDS:
            return
        seconds, self._logged_at = now_seconds - self._logged_at, now_seconds
        counters = list(self._owned.figures.values())
        records = sum(each.outcomes.total() for each in counters)
        migrations = sum(each.moves.total() for each in counters)
        dead_letters: Counter[tuple[str, str]] = sum((each.dead_letters for each in counters), Counter())
        refused = dead_letters - self._dead_letters
        if records > self._records or migrations > self._migrations:
            logger.info(
                "in %.0f s: %d records read, %d of them %s, %d migrations",
                seconds,
                records - self._records,
                refused.total(),
                REJECTED,
                migrations - self._migrations,
            )
        if refused:
            commonest = ", ".join(
                f"{topic} {reason} {count}" for (topic, reason), count in refused.most_common(REASONS_MAX)
            )
            logger.warning("most of the rejected records: %s; see the topic of dead letters", commonest)
        self._records, self._migrations, self._dead_letters = records, migrations, dead_letters
