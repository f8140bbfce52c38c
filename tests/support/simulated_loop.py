"""An asyncio event loop in which several processes live, time is a number, and a seed decides what happens next.

A process is all tasks that carry its name in their context. Within a process callbacks run in the order in which
asyncio promises to run them; which process runs next is drawn. A process can be killed, which drops all it was about
to do, or paused. Time stands still while anything can run and then leaps to the next timer. Nothing here reads a
clock, starts a thread or opens a file, so the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

THREAD_SECONDS_MAX = 0.02
"""What is handed to a thread takes up to so long."""


class ProcessEnded(BaseException):
    """The running process has ended itself: nothing after the line that ended it is run."""


class Process:
    """What can be killed and paused."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return self.name


WORLD = Process("world")
CURRENT: ContextVar[Process] = ContextVar("process", default=WORLD)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs processes; see the module.

    Parameters
    ----------
    drawn
        The source of every decision.

    Attributes
    ----------
    errors
        Exceptions that callbacks of living processes have raised and nobody has caught.
    """

    def __init__(self, drawn: random.Random) -> None:
        self.errors: list[BaseException] = []
        self.world = Process("world")
        self._drawn = drawn
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._timer_count = 0
        self._runnable: list[Process] = []
        self._processes = [self.world]
        self._world_context = copy_context()
        self._world_context.run(CURRENT.set, self.world)
        self._is_closed = False

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self, name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> Process:
        """Return a new process that runs `main`."""
        process = Process(name)
        self._processes.append(process)
        self.run_in(process, main)
        return process

    def run_in(self, process: Process, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something more in a process."""
        context = copy_context()
        context.run(CURRENT.set, process)
        context.run(self.create_task, context.run(main))

    def kill(self, process: Process) -> None:
        """End a process at once: none of its `finally` blocks is run."""
        process.is_dead = True
        process.ready.clear()
        if process in self._runnable:
            self._runnable.remove(process)

    def pause(self, process: Process) -> None:
        """Stop a process as SIGSTOP does."""
        process.is_paused = True
        if process in self._runnable:
            self._runnable.remove(process)

    def resume(self, process: Process) -> None:
        """Let a paused process go on."""
        process.is_paused = False
        if process.ready and process not in self._runnable:
            self._runnable.append(process)

    def in_world(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call something later, whatever becomes of the process that asks for it."""
        return self.call_at(self._now + delay, callback, *args, context=self._world_context)

    # --- the loop -------------------------------------------------------------------------------------------------

    def run_until_complete(self, future: Any) -> Any:
        asyncio._set_running_loop(self)
        try:
            task = self._world_context.run(asyncio.ensure_future, future, loop=self)
            while not task.done():
                self._run_one()
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def _run_one(self) -> None:
        runnable = self._runnable
        while not runnable:
            self._leap()
        count = len(runnable)
        index = int(self._drawn.random() * count) if count > 1 else 0
        process = runnable[index]
        handle = process.ready.popleft()
        if not process.ready:
            del runnable[index]
        if not handle._cancelled:
            handle._run()

    def _leap(self) -> None:
        timers = self._timers
        while timers:
            when, _, handle, process = heapq.heappop(timers)
            if not handle._cancelled and not process.is_dead:
                self._now = max(self._now, when)
                self._enqueue(process, handle)
                return
        raise RuntimeError("nothing is left to run, and nothing to wait for")

    def _enqueue(self, process: Process, handle: asyncio.Handle) -> None:
        if process.is_dead:
            return
        if not process.ready and not process.is_paused:
            self._runnable.append(process)
        process.ready.append(handle)

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(self._process(context), handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle, self._process(context)))
        return handle

    def _process(self, context: Context) -> Process:
        process = context.get(CURRENT, WORLD)
        return self.world if process is WORLD else process

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        context = options.setdefault("context", copy_context())
        task = asyncio.Task(coro, loop=self, **options)
        self._process(context).tasks.append(task)  # also keeps what a kill left behind from being collected half-way
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # noqa: ARG002
        future = self.create_future()

        def run() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self._drawn.random() * THREAD_SECONDS_MAX, run)
        return future

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by every timer that is cancelled; it is passed over when its time comes."""

    def is_running(self) -> bool:
        return not self._is_closed

    def is_closed(self) -> bool:
        return self._is_closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None and not isinstance(error, ProcessEnded):
            self.errors.append(error)

    def close(self) -> None:
        """End all processes, and leave nothing to the garbage collector that could still run."""
        self._is_closed = True
        for process in self._processes:
            self.kill(process)
        self._timers.clear()
        for process in self._processes:
            for task in process.tasks:
                if not task.done():
                    with suppress(RuntimeError, ProcessEnded):  # a finally block that awaits
                        task.get_coro().close()  # type: ignore[union-attr]
            process.tasks.clear()
