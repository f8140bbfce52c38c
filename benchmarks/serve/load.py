"""Requests at a fixed rate over kept connections, each timed from the moment it was due.

Timed so, a server that stalls is charged for all requests that should have been sent meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

CONNECTIONS = 16
WARMUP_SECONDS = 2.0


class Connection(asyncio.Protocol):
    """Answers come in the order of the requests."""

    def __init__(self, latencies: list[float], failures: list[str]) -> None:
        self._latencies = latencies
        self._failures = failures
        self._due: list[float] = []
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport  # uvloop's own

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time of `time.perf_counter`."""
        self._due.append(due)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take answers apart."""
        data = self._rest + data
        while (head_end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:head_end].lower()
            start = head.index(b"content-length:") + 15
            end = head_end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            if len(data) < end:
                break
            self._latencies.append(time.perf_counter() - self._due.pop(0))
            if not head.startswith(b"http/1.1 200"):
                self._failures.append(head.decode())
            data = data[end:]
        self._rest = data

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is owed."""
        return bool(self._due)


async def measure(host: str, port: int, requests: Sequence[bytes], per_second: int, seconds: float) -> np.ndarray:
    """Return the latencies in seconds, without those of the warm-up.

    Raises
    ------
    RuntimeError
        If a request failed.
    """
    latencies: list[float] = []
    failures: list[str] = []
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(latencies, failures), host, port) for _ in range(CONNECTIONS)
    ]
    connections = [protocol for _, protocol in made]
    count, warm = int((seconds + WARMUP_SECONDS) * per_second), int(WARMUP_SECONDS * per_second)
    started = time.perf_counter()
    for number in range(count):
        due = started + number / per_second
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        connections[number % CONNECTIONS].send(requests[number % len(requests)], due)
    deadline = time.perf_counter() + 10
    while any(connection.is_waiting for connection in connections) and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    for connection in connections:
        connection.transport.close()
    if failures or len(latencies) < count:
        raise RuntimeError(f"{count - len(latencies)} requests unanswered, {len(failures)} failed: {failures[:1]}")
    return np.array(latencies[warm:])


def get(path: str, token: str) -> bytes:
    """Return a request."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
