"""The shell of a service: what worker, view, API and webhooks are as processes.

A service works until SIGTERM or SIGINT and then ends with status 0. While it works it answers `/live`, `/ready` and
`/metrics`. A part of it that fails ends the whole process at once with `ExitCode.DOUBT` and one line `FATAL …`: a
restart finds out what was written, and continues from there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from stream_app.adapters.health import HealthServer, Readiness
from stream_app.adapters.listening import Address
from stream_app.adapters.logs import LogPolicy, last_words, log_to_stderr
from stream_app.adapters.metrics import Metrics
from stream_app.exits import ExitCode

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Run = Callable[[], Coroutine[Any, Any, None]]
"""A service, wired and not started."""


def run_service(
    run: Run,
    run_loop: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
    log: LogPolicy | None = None,
) -> None:
    """Run a service to its end, with its log on standard error.

    Parameters
    ----------
    run
        The service.
    run_loop
        Runs a coroutine in an event loop.
    log
        How it logs.
    """
    log_to_stderr(log)
    for number in STOP_SIGNALS:  # until the service listens for them itself, nothing is under way
        signal.signal(number, lambda *_: sys.exit(ExitCode.DONE))
    run_loop(run())


def give_up(reason: object, exit_code: ExitCode = ExitCode.DOUBT) -> NoReturn:
    """End the process at once and say why, past all buffers: Faust swallows what is printed."""
    os.write(2, last_words(str(reason)))
    os._exit(exit_code)


def end_now() -> NoReturn:
    """End the process where all is written, and threads may be left that would hold it up."""
    logging.shutdown()
    os._exit(ExitCode.DONE)


class Service:
    """A service that runs in the present event loop; an async context manager.

    Parameters
    ----------
    readiness
        Asked for `/ready`.
    health
        Where `/live`, `/ready` and `/metrics` are answered.
    metrics
        What is exported.

    Attributes
    ----------
    parts
        What must not fail while the service works.
    """

    def __init__(
        self,
        readiness: Readiness,
        health: Address,
        metrics: Metrics,
    ) -> None:
        self.parts: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._health = HealthServer(readiness, health.host, health.port, metrics)

    async def __aenter__(self) -> Self:
        """Begin to answer, and to listen for signals."""
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        await self._health.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop answering."""
        await self._health.__aexit__(kind, error, trace)

    def supervise(self, part: Coroutine[Any, Any, None], name: str) -> None:
        """Run a part of the service; the process ends if it fails."""
        task = asyncio.create_task(part, name=name)
        task.add_done_callback(_end_with)
        self.parts.append(task)

    async def stop_requested(self) -> None:
        """Return at SIGTERM or SIGINT; parts may end as they like from then on."""
        await self._stopping.wait()
        for task in self.parts:
            task.remove_done_callback(_end_with)

    def cancel_parts(self) -> None:
        """Have all parts end."""
        for task in self.parts:
            task.cancel()


def _end_with(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        give_up(f"{task.get_name()}: {type(error).__name__}: {error}")
