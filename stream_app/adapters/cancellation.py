"""Cancellations that a library loses: its caller would run on without end, cancelled and unaware of it.

redis-py waits for what it sends by `asyncio.wait_for`, which before Python 3.12 returns in spite of a cancellation if
what it waits for is done in the same turn of the event loop (gh-86296). aiokafka, while it closes, takes a cancellation
of its caller for that of its own tasks. A task counts the requests to cancel it, so a lost one can be recognised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raise `asyncio.CancelledError` at the end if the task was cancelled meanwhile and nothing was raised."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
