"""How often a caller may call: a bucket of calls that time refills, reported in every answer.

The headers are those of the IETF's draft on rate limits (draft-ietf-httpapi-ratelimit-headers): the policy says how
many calls a window has, and the other one how many are left and when all of them are back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

POLICY_NAME: Final = b'"token"'
Header = tuple[bytes, bytes]


class TokenBucket:
    """Lets through a burst of calls, and then as many as time refills.

    Parameters
    ----------
    per_second
        Calls that time gives back.
    burst
        Most that can be saved up.
    clock
        In seconds.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._counted_at = clock()

    def take(self) -> float:
        """Take one call and return 0; if none is left, return the seconds until the next one."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return (1 - self._left) / self._per_second
        self._left -= 1
        return 0.0

    def told(self) -> Header:
        """Return the header that says what is left."""
        seconds = math.ceil((self._burst - self._left) / self._per_second)
        return b"ratelimit", b"%s;r=%d;t=%d" % (POLICY_NAME, self._left, seconds)


class Quotas:
    """The buckets of all callers.

    Parameters
    ----------
    per_second, burst
        Of each caller.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}
        window_seconds = max(1, math.ceil(burst / per_second))
        self.policy: Header = b"ratelimit-policy", b"%s;q=%d;w=%d" % (POLICY_NAME, burst, window_seconds)
        """The header that says what the limit is."""

    def of(self, name: str) -> TokenBucket:
        """Return the bucket of a caller."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(self._per_second, self._burst)
        return bucket
