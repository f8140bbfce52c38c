"""Saying in the log which records of a partition are dated far from all others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from stream_app.adapters.logs import Interval
from stream_app.core.clock import format_instant
from stream_app.core.trust import Trust
from stream_app.plurals import counted

logger = logging.getLogger(__name__)

WARNING_SECONDS: Final = 60.0
"""Least time between two lines about a partition's records."""


class DoubtLog:
    """Warns of a partition's records that are in doubt, see `stream_app.core.trust`.

    Parameters
    ----------
    partition
        Its number.
    topics
        Of its inputs, by their numbers.
    trust
        What is known already.
    """

    def __init__(self, partition: int, topics: Sequence[str], trust: Trust) -> None:
        self._partition = partition
        self._topics = topics
        self._doubted = trust.doubted
        self._may_warn = Interval(WARNING_SECONDS)

    def note(self, trust: Trust) -> None:
        """Take notice of what holds behind the records that were folded last."""
        if trust.doubted == self._doubted:
            return
        if trust.listed and self._may_warn.is_over(asyncio.get_running_loop().time()):
            newest, count = trust.listed[-1], trust.doubted - self._doubted
            logger.warning(
                "partition %d: %s dated far from all others since the last such line; the newest, %s, offset %d, says "
                "%s: time does not pass by it until others get there",
                self._partition,
                counted(count, "record is", "records are"),
                self._topics[newest.source],
                newest.offset,
                format_instant(newest.at_ms),
            )
            self._doubted = trust.doubted
