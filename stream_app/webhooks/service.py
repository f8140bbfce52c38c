"""The process of `segmenter webhooks`: all subscriptions side by side, until a signal says stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from stream_app.adapters.health import HealthServer
from stream_app.adapters.metrics import Metrics
from stream_app.core.clock import SECOND_MS
from stream_app.webhooks.dead_letters import KafkaDeadLetters
from stream_app.webhooks.subscriber import Subscriber

logger = logging.getLogger(__name__)

EXIT_FAILED: Final = 70
"""EX_SOFTWARE of sysexits.h: a supervisor restarts the process, which loses nothing."""
STOP_SECONDS: Final = 10.0
"""For cutting everything off and committing; migrations not committed by then are delivered again."""


class WebhooksReadiness:
    """Judges the process, and knows its figures.

    Ready means that every subscription has its partitions; an endpoint that does not answer makes nothing unready,
    since a restart would not mend it.
    """

    def __init__(self, subscribers: Sequence[Subscriber], metrics: Metrics) -> None:
        self._subscribers = subscribers
        self._metrics = metrics

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, and which subscriptions have their partitions."""
        ready = {subscriber.name: subscriber.is_ready for subscriber in self._subscribers}
        waiting = sorted(name for name, is_ready in ready.items() if not is_ready)
        reason = f"no partitions yet: {', '.join(waiting)}" if waiting else ""
        return {"ready": not waiting, "subscriptions": ready, "reason": reason}

    def refresh(self) -> None:
        """Bring the figures up to date that are only looked up for a scrape."""
        metrics = self._metrics
        for subscriber in self._subscribers:
            metrics.webhook_pending_deliveries.labels(subscription=subscriber.name).set(subscriber.pending_count)
            oldest_ms = subscriber.oldest_pending_ms
            if oldest_ms is None:
                metrics.webhook_oldest_pending_timestamp_seconds.remove(subscription=subscriber.name)
            else:
                metrics.webhook_oldest_pending_timestamp_seconds.labels(subscription=subscriber.name).set(
                    oldest_ms / SECOND_MS
                )


def delivery_counter(metrics: Metrics, subscription: str) -> Callable[[str], None]:
    """Return a function that counts a subscription's attempts by outcome."""
    return lambda outcome: metrics.webhook_deliveries.labels(subscription=subscription, outcome=outcome).inc()


def latency_observer(metrics: Metrics) -> Callable[[int], None]:
    """Return a function that observes the age of a migration at its delivery."""
    sink = metrics.end_to_end_latency_seconds.labels(sink="webhook")
    return lambda published_ms: sink.observe(max(0.0, time.time() - published_ms / SECOND_MS))


async def run_webhooks(
    subscribers: Sequence[Subscriber], dead_letters: KafkaDeadLetters, metrics: Metrics, host: str, port: int
) -> None:
    """Deliver until SIGTERM or SIGINT; a part that fails ends the process with `EXIT_FAILED`."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    health = WebhooksReadiness(subscribers, metrics)
    await dead_letters.start()
    tasks = [asyncio.create_task(subscriber.run(), name=subscriber.name) for subscriber in subscribers]
    for task in tasks:
        task.add_done_callback(_end_with)
    async with HealthServer(health, host, port, metrics, health.refresh):
        logger.info("delivering to %s", ", ".join(subscriber.name for subscriber in subscribers))
        await stopping.wait()
        for task in tasks:  # what ends from now on ends as it should
            task.remove_done_callback(_end_with)
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        if late:
            logger.warning("stopped before all offsets were committed; some migrations will be delivered again")
        await dead_letters.stop()
    logging.shutdown()
    os._exit(0)  # a thread may still wait for a name server, and nothing is left to be done


def _end_with(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _give_up(f"subscription {task.get_name()}: {type(error).__name__}: {error}")


def _give_up(reason: str) -> NoReturn:
    """End the process at once and say why."""
    os.write(2, f"FATAL {reason}\n".encode())
    os._exit(EXIT_FAILED)
