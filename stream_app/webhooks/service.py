"""The process of `segmenter webhooks`: all subscriptions side by side, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import Metrics, Reading
from stream_app.adapters.metrics.declared import (
    END_TO_END_LATENCY,
    WEBHOOK_DELIVERIES,
    WEBHOOK_OLDEST_PENDING,
    WEBHOOK_PENDING,
)
from stream_app.adapters.service import Service, end_now
from stream_app.adapters.wall_clock import now_ms
from stream_app.core.clock import SECOND_MS
from stream_app.webhooks.dead_letters import KafkaDeadLetters
from stream_app.webhooks.filter_check import FilterCheck
from stream_app.webhooks.subscriber import Subscriber

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""For cutting everything off and committing; migrations not committed by then are delivered again."""


class WebhooksReadiness:
    """Judges the process, and knows its figures.

    Ready means that every subscription has its partitions; an endpoint that does not answer makes nothing unready,
    since a restart would not help.
    """

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = subscribers

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, and which subscriptions have their partitions."""
        ready = {subscriber.name: subscriber.is_ready for subscriber in self._subscribers}
        waiting = sorted(name for name, is_ready in ready.items() if not is_ready)
        reason = f"no partitions yet: {', '.join(waiting)}" if waiting else ""
        return {"ready": not waiting, "subscriptions": ready, "reason": reason}

    def readings(self) -> Iterator[Reading]:
        """Yield the deliveries that wait now."""
        for subscriber in self._subscribers:
            yield Reading(WEBHOOK_PENDING, (subscriber.name,), subscriber.pending_count)
            if (oldest_ms := subscriber.oldest_pending_ms) is not None:
                yield Reading(WEBHOOK_OLDEST_PENDING, (subscriber.name,), oldest_ms / SECOND_MS)


def delivery_counter(metrics: Metrics, subscription: str) -> Callable[[str], None]:
    """Return a function that counts a subscription's attempts by outcome."""
    return lambda outcome: metrics.inc(WEBHOOK_DELIVERIES, subscription=subscription, outcome=outcome)


def latency_observer(metrics: Metrics) -> Callable[[int], None]:
    """Return a function that observes the age of a migration at its delivery."""
    sink = metrics.distribution(END_TO_END_LATENCY, sink="webhook")
    return lambda published_ms: sink.observe(max(0, now_ms() - published_ms) / SECOND_MS)


async def run_webhooks(
    subscribers: Sequence[Subscriber],
    filters: FilterCheck,
    dead_letters: KafkaDeadLetters,
    metrics: Metrics,
    health: Address,
) -> None:
    """Deliver until SIGTERM or SIGINT."""
    readiness = WebhooksReadiness(subscribers)
    metrics.read_from(readiness.readings)
    await dead_letters.start()
    async with Service(readiness, health, metrics) as service:
        for subscriber in subscribers:
            service.supervise(subscriber.run(), f"subscription {subscriber.name}")
        service.supervise(filters.run(), "comparing filters with the models")
        logger.info("delivering to %s", ", ".join(subscriber.name for subscriber in subscribers))
        await service.stop_requested()
        service.cancel_parts()
        _, late = await asyncio.wait(service.parts, timeout=STOP_SECONDS)
        if late:
            logger.warning("stopped before all offsets were committed; some migrations will be delivered again")
        await dead_letters.stop()
        end_now()  # a thread may still wait for a name server
