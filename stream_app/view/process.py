"""A view process: it follows until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

from stream_app.adapters.health import HealthServer
from stream_app.adapters.metrics import Metrics
from stream_app.view.follower import ViewFollower
from stream_app.view.target import ViewTarget

READY_STALENESS_SECONDS: Final = 60.0
"""A view that lags further is not ready."""


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


async def run_view(
    follower: ViewFollower, target: ViewTarget, metrics: Metrics, health_host: str, health_port: int
) -> None:
    """Keep the view until a signal says stop; records not written by then are read again at the next start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def refresh() -> None:
        metrics.view_staleness_seconds.set(follower.staleness_seconds)
        # by partition, so that a budget of series cuts off the last partitions and not a whole topic
        lags = sorted(follower.lag.items(), key=lambda item: item[0][1])
        metrics.consumer_lag_records.replace({(topic, str(number)): lag for (topic, number), lag in lags})

    async with HealthServer(ViewReadiness(follower), health_host, health_port, metrics, refresh):
        following = asyncio.create_task(follower.run())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait((following, waiting), return_when=asyncio.FIRST_COMPLETED)
        try:
            if following.done():
                following.result()  # it never returns, so this raises
        finally:
            for task in (following, waiting):
                task.cancel()
            await asyncio.gather(following, waiting, return_exceptions=True)
            await target.close()


async def run_rebuild(follower: ViewFollower, target: ViewTarget) -> None:
    """Build a new generation and put it in place."""
    try:
        await follower.rebuild()
    finally:
        await target.close()
