"""A worker process: from its start to its graceful stop, or to the line that says why it cannot continue.

There is one answer to every doubt about what has been written: end the process. A restart shuts the old process out,
reads the state from the log, and continues from there. So a supervisor has to restart a worker that ends with
`ExitCode.DOUBT`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import faust

from stream_app.adapters.faust_bridge import has_crashed, log_ends
from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import WORKER, Metrics
from stream_app.adapters.service import Service, end_now, give_up
from stream_app.errors import ConfigurationError
from stream_app.exits import ExitCode
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.journal import Journal
from stream_app.worker.lag import records_waiting
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.readiness import WorkerReadiness
from stream_app.worker.telemetry import Telemetry
from stream_app.worker.watchdog import Offsets, Watchdog

logger = logging.getLogger(__name__)

COLLECT_AFTER: Final = (100_000, 50, 50)
"""Thresholds of Python's cycle collector: rows are no garbage, and looking through them costs a third of the time."""
ASK_SECONDS: Final = 15
"""Time between two looks at where the inputs end."""
STOP_SECONDS: Final = 4.5
"""A graceful stop takes no longer; what is not written by then is folded again after the restart."""


AskEnds = Callable[[Sequence[str], Sequence[int]], Awaitable[Offsets]]
"""Asks the brokers where partitions of topics end; the mapping is empty if none answers."""


class Parts(NamedTuple):
    """What a worker consists of.

    Attributes
    ----------
    app
        Faust's application.
    owned
        The partitions.
    follower, identities
        What reads versions, and statements on ids if they are followed.
    """

    app: faust.App
    owned: OwnedPartitions
    follower: DefinitionFollower
    identities: IdentityFollower | None = None


class Starter(Protocol):
    """Builds the application inside the running event loop, as Faust wants it."""

    def __call__(self, failed: Callable[[BaseException], None]) -> Parts:
        """Return what the worker runs; `failed` ends the process."""
        ...


async def run_worker(create: Starter, ask_ends: AskEnds, health: Address) -> None:
    """Work until SIGTERM or SIGINT."""
    app, owned, follower, identities = create(_give_up)
    metrics = Metrics(WORKER)
    metrics.read_from(Telemetry(owned, follower, lambda: log_ends(app), identities).readings)

    def waiting() -> Mapping[tuple[str, int], int]:
        return records_waiting(owned, *log_ends(app))

    async with Service(WorkerReadiness(owned, follower), health, metrics) as service:
        service.supervise(follower.run(), "following the model")
        if identities is not None:
            service.supervise(identities.run(), "following statements on ids")
        service.supervise(_watch(app, owned, ask_ends), "watching")
        service.supervise(app.start(), "Faust")
        journal = Journal(owned, lambda: follower.newest, waiting, lambda: follower.pinned)
        service.supervise(journal.run(), "writing the log")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        await service.stop_requested()
        service.cancel_parts()
        await _stop(app, owned)
        journal.end()
        end_now()  # Faust's threads may outlive its services


def _give_up(error: BaseException) -> None:
    """End the process; a restart does not help against what is wrong in the configuration."""
    exit_code = error.exit_code if isinstance(error, ConfigurationError) else ExitCode.DOUBT
    give_up(f"{type(error).__name__}: {error}", exit_code)


async def _stop(app: faust.App, owned: OwnedPartitions) -> None:
    """Write what is folded, commit the group's offsets, leave the group."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await owned.release()
            await app.stop()
    except TimeoutError:
        logger.warning("stopped without leaving the group: Faust had not ended after %s s", STOP_SECONDS)
    logger.info("stopped after %.1f s", time.monotonic() - started)


async def _watch(app: faust.App, owned: OwnedPartitions, ask_ends: AskEnds) -> None:
    """End the process if it makes no progress."""
    watchdog, asked_at = Watchdog(owned), time.monotonic()
    ends: Offsets = {}
    while True:
        await asyncio.sleep(1)
        if has_crashed(app):
            give_up("a part of Faust has crashed")
        if time.monotonic() - asked_at > ASK_SECONDS:
            ends, asked_at = await ask_ends(owned.inputs, sorted(owned.lanes)), time.monotonic()
        if reason := watchdog.look(time.monotonic(), ends, log_ends(app)[1]):
            give_up(reason)
