"""Ctrl-C as a request to finish in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to finish; a second one stops at once.

    Outside the main thread, which alone receives signals, nobody can ask.
    """
    requested = False

    def request(_signal: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        signal.signal(signal.SIGINT, previous)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, request)
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)
