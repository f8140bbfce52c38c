"""A view process: it follows the topics until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import Metrics, Reading
from stream_app.adapters.metrics.declared import CONSUMER_LAG, VIEW_STALENESS
from stream_app.adapters.service import Service
from stream_app.view.follower import ViewFollower
from stream_app.view.target import ViewTarget

READY_STALENESS_SECONDS: Final = 60.0
"""A view that lags by more is not ready."""


class ViewReadiness:
    """Says whether the view is up to date."""

    def __init__(self, follower: ViewFollower) -> None:
        self._follower = follower

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, its figures, and the reason if it is no."""
        staleness = self._follower.staleness_seconds
        is_ready = self._follower.has_been_current and staleness < READY_STALENESS_SECONDS
        return {
            "ready": is_ready,
            "staleness_seconds": round(staleness, 3),
            "reason": "" if is_ready else self._follower.state,
        }


async def run_view(follower: ViewFollower, target: ViewTarget, metrics: Metrics, health: Address) -> None:
    """Keep the view until SIGTERM or SIGINT; records not written by then are read again at the next start."""
    metrics.read_from(lambda: _readings(follower))
    async with Service(ViewReadiness(follower), health, metrics) as service:
        service.supervise(follower.run(), "following the topics")
        await service.stop_requested()
        service.cancel_parts()
        await asyncio.gather(*service.parts, return_exceptions=True)
        await target.close()


def _readings(follower: ViewFollower) -> Iterator[Reading]:
    yield Reading(VIEW_STALENESS, (), follower.staleness_seconds)
    # By partition, so that a budget of series cuts off the last partitions and not a whole topic.
    for (topic, number), lag in sorted(follower.lag.items(), key=lambda item: item[0][1]):
        yield Reading(CONSUMER_LAG, (topic, str(number)), lag)


async def run_rebuild(follower: ViewFollower, target: ViewTarget) -> None:
    """Build a new generation and put it in place."""
    try:
        await follower.rebuild()
    finally:
        await target.close()
