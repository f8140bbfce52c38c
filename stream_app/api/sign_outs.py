"""Sessions that people have signed out of, until they would have expired anyway.

A signed cookie says nothing of that, so it has to be kept: in Redis, where every API process that shares the view sees
it at the next request, and in memory where there is one process alone. An entry is the session's own number, which is
good for nothing without the signature.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import redis.asyncio as redis

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import REDIS_ERRORS
from stream_app.adapters.redis_client import REDIS_FAILURES
from stream_app.adapters.view_schema import ViewKeys

UNKNOWN: Final = "Redis does not answer, so nobody can say whether this session has ended; try again"

CLOCKS_DIFFER_SECONDS: Final = 3_600
"""Redis forgets by its own clock, so it keeps an entry for longer, lest a session outlive it."""


class SignOutsUnavailable(Exception):
    """Nobody can say at the moment who has signed out; the message may be shown."""


class SignOuts(Protocol):
    """Where sign-outs are kept. Every method may raise `SignOutsUnavailable`."""

    async def add(self, number: str, expires_at: int) -> None:
        """Keep that a session has ended, until the instant (in seconds) at which it would expire."""
        ...

    async def has(self, number: str) -> bool:
        """Return whether a session has ended by signing out."""
        ...


class SignOutsHere:
    """`SignOuts` of this process.

    Parameters
    ----------
    now
        In seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._ended: dict[str, int] = {}

    async def add(self, number: str, expires_at: int) -> None:
        """See `SignOuts`."""
        now = self._now()
        self._ended = {known: until for known, until in self._ended.items() if until > now}
        self._ended[number] = expires_at

    async def has(self, number: str) -> bool:
        """See `SignOuts`."""
        return number in self._ended


class SignOutsInRedis:
    """`SignOuts` that all processes see. A process remembers those that it handled, even where Redis has lost them.

    Parameters
    ----------
    client
        Of Redis; closed elsewhere.
    keys
        Names of the keys.
    metrics
        Where errors are counted.
    """

    def __init__(self, client: redis.Redis, keys: ViewKeys, metrics: Metrics) -> None:
        self._client = client
        self._keys = keys
        self._metrics = metrics
        self._here = SignOutsHere()

    async def add(self, number: str, expires_at: int) -> None:
        """See `SignOuts`."""
        try:
            await self._client.set(self._keys.signed_out(number), b"", exat=expires_at + CLOCKS_DIFFER_SECONDS)
        except REDIS_FAILURES as error:
            raise self._unavailable() from error
        await self._here.add(number, expires_at)

    async def has(self, number: str) -> bool:
        """See `SignOuts`."""
        if await self._here.has(number):
            return True
        try:
            return bool(await self._client.exists(self._keys.signed_out(number)))
        except REDIS_FAILURES as error:
            raise self._unavailable() from error

    def _unavailable(self) -> SignOutsUnavailable:
        self._metrics.inc(REDIS_ERRORS, operation="session")
        return SignOutsUnavailable(UNKNOWN)
