"""Customers of the view drawn by chance, with where they are and what led there, and what the view keeps for figures.

Theory. Every customer is in one segment of a learned segmentation, and of one by rules. Its segments are sorted
sets, so every k-th of each set, in the order in which members came, is a sample in which each segment and each length
of stay has its part (systematic sampling in strata): it is fairer than one by lot, and the same as long as nothing
changes. Where there are no more customers than are wanted, everybody is in it, and what is counted is exact.

Each call of Redis looks at so few customers that nobody else waits for longer than a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stream_app.adapters.redis_client import REDIS_FAILURES, RedisConnection, RedisScript
from stream_app.adapters.view_schema import Buyers, RefusedExample, ViewKeys
from stream_app.api import sampling_scripts
from stream_app.api.store import StoreUnavailable

CALL_PLACES: Final = 200
"""Customers whose segments are read in one call: a millisecond or two."""
CALL_HISTORIES: Final = 50
"""Customers whose histories are read in one call; each may have some dozen moves."""
PAUSE_SECONDS: Final = 0.01
"""Between two calls, for others."""

_decode_buyers: Final = msgspec.json.Decoder(Buyers).decode
_decode_refused: Final = msgspec.json.Decoder(RefusedExample).decode


class Move(NamedTuple):
    """A move in a customer's history: when it became true (ms), the segment entered, None for none, and the cause."""

    segmentation: str
    at_ms: int
    segment: str | None
    cause: str


class Refused(NamedTuple):
    """Records that were refused.

    Attributes
    ----------
    by_day
        By day of the shop, how many for each reason; days without any are left out.
    examples
        By reason, the newest of them.
    """

    by_day: Mapping[str, Mapping[str, int]]
    examples: Mapping[str, Sequence[RefusedExample]]


class ViewSampler:
    """Reads the view in Redis for figures that are worth more than one call.

    Parameters
    ----------
    connection
        Where Redis is.
    keys
        Names of the view's keys.
    """

    def __init__(self, connection: RedisConnection, keys: ViewKeys) -> None:
        self._client = connection.create_client(max_connections=2)
        self._prefix = keys.prefix
        self._draw = RedisScript(sampling_scripts.DRAW, reads_only=True)
        self._places = RedisScript(sampling_scripts.PLACES, reads_only=True)
        self._histories = RedisScript(sampling_scripts.HISTORIES, reads_only=True)
        self._since = RedisScript(sampling_scripts.SINCE, reads_only=True)
        self._buyers = RedisScript(sampling_scripts.BUYERS, reads_only=True)
        self._refused = RedisScript(sampling_scripts.REFUSED, reads_only=True)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def draw(self, segmentation: str, sizes: Mapping[str, int], wanted: int) -> list[str]:
        """Return up to `wanted` of the customers in a segmentation, every k-th of each segment.

        Parameters
        ----------
        segmentation, sizes
            Its name, and how many are in each of its segments.
        wanted
            Everybody, if there are no more.
        """
        step = max(sum(sizes.values()) / wanted, 1.0)
        drawn: list[str] = []
        offset = step / 2
        for segment, size in sizes.items():
            ranks = []
            while offset < size:
                ranks.append(int(offset))
                offset += step
            offset -= size  # the step continues in the next segment, so that small ones have their part, too
            for start in range(0, len(ranks), CALL_PLACES):
                part = ranks[start : start + CALL_PLACES]
                drawn += [each.decode() for each in await self._call(self._draw, segmentation, segment, *part)]
        return drawn

    async def places(self, customer_ids: Sequence[str], segmentations: Sequence[str]) -> list[list[str | None]]:
        """Return in which segment each customer is, of each of the segmentations."""
        found: list[list[str | None]] = []
        for start in range(0, len(customer_ids), CALL_PLACES):
            part = customer_ids[start : start + CALL_PLACES]
            rows = await self._call(self._places, len(segmentations), *segmentations, *part)
            found += [[each.decode() if each else None for each in row] for row in rows]
        return found

    async def histories(self, customer_ids: Sequence[str]) -> list[list[Move]]:
        """Return the moves of each customer that are kept, in their order."""
        found: list[list[Move]] = []
        for start in range(0, len(customer_ids), CALL_HISTORIES):
            rows = await self._call(self._histories, *customer_ids[start : start + CALL_HISTORIES])
            found += [_moves(row) for row in rows]
        return found

    async def since(self, segmentation: str, segments: Sequence[str], shares: Sequence[float]) -> dict[str, list[int]]:
        """Return, of each segment that has members, the instants (ms) by which these shares of them had come."""
        answer = await self._call(self._since, segmentation, len(shares), *map(str, shares), *segments)
        return {
            segment: [int(float(instant)) for instant in instants]
            for segment, instants in zip(segments, answer, strict=True)
            if instants
        }

    async def buyers(self) -> list[Buyers]:
        """Return the newest sample of each partition."""
        return [_decode_buyers(each) for each in await self._call(self._buyers)]

    async def refused(self, days: Sequence[str], reasons: Sequence[str]) -> Refused:
        """Return what was refused on some days, and the newest records that were refused for some reasons."""
        by_day, examples = await self._call(self._refused, len(days), *days, *reasons)
        return Refused(
            {day: _counts(flat) for day, flat in zip(days, by_day, strict=True) if flat},
            {reason: list(map(_decode_refused, each)) for reason, each in zip(reasons, examples, strict=True) if each},
        )

    async def _call(self, script: RedisScript, *arguments: str | int) -> Any:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            answer = await script.run(self._client, self._prefix, *arguments)
        except REDIS_FAILURES as error:
            raise StoreUnavailable("the view does not answer") from error
        if answer is None:
            raise StoreUnavailable("the view is being built")
        return answer


def _counts(flat: Sequence[bytes]) -> dict[str, int]:
    return {reason.decode(): int(count) for reason, count in zip(flat[::2], flat[1::2], strict=True)}


def _moves(flat: Sequence[bytes]) -> list[Move]:
    texts = [each.decode() for each in flat]
    moves = [
        Move(segmentation, int(at_ms), None if segment in ("", "null") else segment, cause)
        for segmentation, segment, at_ms, cause in zip(texts[::4], texts[1::4], texts[2::4], texts[3::4], strict=True)
    ]
    moves.reverse()  # the newest stands first
    moves.sort(key=lambda move: move.at_ms)
    return moves
