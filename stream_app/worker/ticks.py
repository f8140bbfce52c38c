"""What partitions and trainers tell each other of ticks, on the topic of the models.

A *tick* is an instant at which models are learned. Each partition stands still there: it sends its sample, and goes on
under what the trainers publish for that instant. So a model takes over at one instant in all partitions, whatever they
lag behind, and the same events give the same models and migrations, loaded at once or live.

- `decided` says that a tick is learned from and which versions are in force from its instant on. It is written in one
  transaction with the models, and where there are none.
- `awaited` says that others have come to a tick and wait. A partition that has nothing to fold then lets its time pass
  up to it: events are one stream, and elsewhere it has come that far.

Each has a key of its own, so that compaction keeps the newest of both. Instants are compared, and not numbers: those
mean something else once `learning.tick_days` is changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.adapters.logs import Interval
from stream_app.contracts.readers import TICK_AWAITED_KEY, TICK_DECIDED_KEY
from stream_app.core.clock import NO_TIME, SECOND_MS, format_instant
from stream_app.worker.counters import PartitionCounters

logger = logging.getLogger(__name__)

WARNING_SECONDS: Final = 60.0
"""Least time between two lines that say that a partition continues without a decision."""
KEYS: Final = {"decided": TICK_DECIDED_KEY, "awaited": TICK_AWAITED_KEY}


class TickDocument(msgspec.Struct, tag_field="kind", tag="tick"):
    """The `Tick` contract.

    Parameters
    ----------
    tick, as_of
        Number of the tick since the epoch, and its instant.
    status
        See the module.
    versions
        By segmentation, what is in force from the instant on; of an awaited tick, none.
    sample_share
        Of a decided one, the share of all hashes that customers are drawn from at the next tick.
    """

    tick: int
    as_of: str
    status: Literal["awaited", "decided"]
    versions: dict[str, int]
    sample_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0  # an earlier release says nothing of it


_decode = msgspec.json.Decoder(TickDocument).decode


def tick_record(
    status: Literal["awaited", "decided"],
    tick: int,
    as_of_ms: int,
    versions: Mapping[str, int],
    sample_share: float = 1.0,
) -> OutgoingRecord:
    """Return a tick as its record in `segment-models`."""
    document = TickDocument(tick, format_instant(as_of_ms), status, dict(versions), sample_share)
    return OutgoingRecord(KEYS[status], msgspec.json.encode(document))


class Ticks:
    """What is known of ticks, shared by all partitions of a worker.

    Attributes
    ----------
    decided_ms, awaited_ms
        Instant of the newest tick that is decided, and of the newest that others wait at; `NO_TIME` for none.
    awaited_since
        When the latter was heard, by the event loop's clock.
    sample_share
        What the former says of the next sample.
    """

    def __init__(self) -> None:
        self.decided_ms = NO_TIME
        self.awaited_ms = NO_TIME
        self.awaited_since = 0.0
        self.sample_share = 1.0
        self._followers: list[Callable[[], None]] = []
        self._renewed = asyncio.Event()
        self._may_warn = Interval(WARNING_SECONDS)

    def subscribe(self, follower: Callable[[], None]) -> None:
        """Have a function called whenever something new is heard."""
        self._followers.append(follower)

    def read(self, value: bytes) -> None:
        """Take in a record.

        Raises
        ------
        msgspec.DecodeError
            If it says nothing of a tick.
        """
        document = _decode(value)
        as_of_ms = int(np.datetime64(document.as_of[:-1], "ms").astype(np.int64))
        if document.status == "decided":
            if as_of_ms >= self.decided_ms:
                self.decided_ms, self.sample_share = as_of_ms, document.sample_share
        elif as_of_ms > self.awaited_ms:
            self.awaited_ms, self.awaited_since = as_of_ms, asyncio.get_running_loop().time()
        self._renewed.set()
        self._renewed = asyncio.Event()
        for follower in self._followers:
            follower()

    async def reach(self, at_ms: int, seconds: float) -> bool:
        """Wait for the decision on a tick; return whether it was taken in time."""
        try:
            async with asyncio.timeout(seconds):
                while self.decided_ms < at_ms:
                    await self._renewed.wait()
        except TimeoutError:
            return False
        return True

    def warn(self, partition: int, at_ms: int, waited_ms: int) -> None:
        """Log that a partition continues without a decision, unless that was logged a moment ago."""
        if self._may_warn.is_over(asyncio.get_running_loop().time()):
            logger.warning(
                "partition %d: the trainers have not decided on the tick of %s within %.1f s; time goes on, and models "
                "of that tick will take over late",
                partition,
                format_instant(at_ms),
                waited_ms / SECOND_MS,
            )


class TickWait:
    """One partition's waits. After one that expired there is none again until something is decided.

    Parameters
    ----------
    ticks
        What is known.
    partition
        Its number.
    figures
        Where waits are counted.

    Attributes
    ----------
    is_under_way
        Whether there is one now.
    """

    def __init__(self, ticks: Ticks, partition: int, figures: PartitionCounters) -> None:
        self.is_under_way = False
        self._ticks = ticks
        self._partition = partition
        self._figures = figures
        self._went_on_after_ms: int | None = None

    async def for_decision(self, at_ms: int, wait_ms: int) -> None:
        """Return once the tick of an instant is decided, or so much time has passed."""
        ticks, figures = self._ticks, self._figures
        if not wait_ms or ticks.decided_ms >= at_ms or ticks.decided_ms == self._went_on_after_ms:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.is_under_way = True
        try:
            is_decided = await ticks.reach(at_ms, wait_ms / SECOND_MS)
        finally:
            self.is_under_way = False
        figures.tick_wait_seconds.observe(loop.time() - started)
        if not is_decided:
            self._went_on_after_ms = ticks.decided_ms
            figures.waits_expired += 1
            ticks.warn(self._partition, at_ms, wait_ms)
