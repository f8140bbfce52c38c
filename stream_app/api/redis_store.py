"""Answers from the view in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import redis.asyncio as redis

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import REDIS_ERRORS
from stream_app.adapters.redis_client import REDIS_FAILURES, RedisConnection, RedisScript
from stream_app.adapters.view_moves import PastMove
from stream_app.adapters.view_schema import FollowerCondition, TotalsValue, ViewKeys, path_ends
from stream_app.adapters.wall_clock import now_ms
from stream_app.api import scripts
from stream_app.api.actions import ActionsInRedis
from stream_app.api.customer_answers import migration_of, segments_of
from stream_app.api.feed import FeedEntry, MigrationFeed, id_order
from stream_app.api.figures import add_up
from stream_app.api.segment_lists import (
    flows_of,
    money_by_field,
    most_first,
    newest_first,
    page_of_leavers,
    segment_list,
    trade_by_day,
)
from stream_app.api.sign_outs import SignOuts, SignOutsInRedis
from stream_app.api.store import (
    Ahead,
    CustomerMigration,
    CustomerSegment,
    Daily,
    FiguresOrigin,
    Flow,
    Leaver,
    LeaverPage,
    MemberPage,
    MemberQuery,
    SegmentList,
    StoreUnavailable,
    ViewCondition,
)
from stream_app.contracts.readers import read_figures, read_model
from stream_app.contracts.segment_index import SegmentIndex

logger = logging.getLogger(__name__)

MODEL_SECONDS: Final = 1.0
"""Between two looks at the newest models."""
BLOCK_MS: Final = 1_000
"""Without a migration the feed's reader returns this often, to see whether the stream is still the one it knows."""
FEED_ENTRIES: Final = 500
"""Read from the feed at once."""
PAUSE_SECONDS: Final = 0.5
LOOK_UP_CUSTOMERS: Final = 500
"""In one call of Redis, which answers nobody else meanwhile: about a millisecond."""
LOOK_UPS_IN_FLIGHT: Final = 2
UNAVAILABLE: Final = "the view does not answer; try again"
NO_GENERATION: Final = "the view is being built; try again"

Items = Any
"""Of a stream: id and fields each. redis-py's own type allows for options that are not used here."""

_decode_past: Final = msgspec.json.Decoder(PastMove).decode
_decode_condition: Final = msgspec.json.Decoder(FollowerCondition).decode
_decode_model: Final = msgspec.json.Decoder(dict[str, Any]).decode


class RedisStore:
    """`SegmentStore` on the view.

    Parameters
    ----------
    connection
        Where Redis is.
    keys
        Names of the view's keys.
    metrics
        Where errors are counted.
    now
        Returns the instant from which moves lie ahead (ms).
    """

    def __init__(
        self, connection: RedisConnection, keys: ViewKeys, metrics: Metrics, now: Callable[[], int] = now_ms
    ) -> None:
        self._client: redis.Redis = connection.create_client(max_connections=64)
        waits = connection.timeout_seconds + BLOCK_MS / 1_000
        self._feed_client: redis.Redis = connection.create_client(max_connections=1, answer_seconds=waits)
        self._keys = keys
        self._metrics = metrics
        self._now = now
        self.index = SegmentIndex()
        self.sign_outs: SignOuts = SignOutsInRedis(self._client, keys, metrics)
        self.actions = ActionsInRedis(self._client, keys, metrics)
        self._newest_documents: list[bytes] = []
        self._unready = "the view has not been read yet"
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted: list[tuple[str, asyncio.Future[list[bytes]]]] = []
        self._in_flight = 0
        self._look_up = RedisScript(scripts.LOOK_UP, reads_only=True)
        self._newest = RedisScript(scripts.NEWEST_MODELS, reads_only=True)
        self._models = RedisScript(scripts.MODELS, reads_only=True)
        self._figures = RedisScript(scripts.FIGURES, reads_only=True)
        self._flows = RedisScript(scripts.FLOWS, reads_only=True)
        self._daily = RedisScript(scripts.DAILY, reads_only=True)
        self._flows_by_day = RedisScript(scripts.FLOWS_BY_DAY, reads_only=True)
        self._model = RedisScript(scripts.MODEL, reads_only=True)
        self._condition = RedisScript(scripts.CONDITION, reads_only=True)
        self._members = RedisScript(scripts.MEMBERS, reads_only=True)
        self._history_of = RedisScript(scripts.HISTORY, reads_only=True)
        self._ahead = RedisScript(scripts.AHEAD, reads_only=True)
        self._leavers = RedisScript(scripts.LEAVERS, reads_only=True)
        self.feed = MigrationFeed(self._history)

    async def start(self) -> None:
        """See `SegmentStore`."""
        self._tasks = [asyncio.create_task(self._follow_models()), asyncio.create_task(self._follow_feed())]

    async def close(self) -> None:
        """See `SegmentStore`."""
        self.feed.close()
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._client.aclose()
        await self._feed_client.aclose()

    def unready_reason(self) -> str:
        """See `SegmentStore`."""
        return self._unready

    async def look_up(self, customer_ids: Sequence[str]) -> list[list[CustomerSegment]]:
        """See `SegmentStore`.

        All look-ups of one turn of the event loop, or made while two calls are under way, go to Redis in one call, so
        that there are fewer calls per look-up as the load grows.
        """
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._send_wanted)
        futures: list[asyncio.Future[list[bytes]]] = [loop.create_future() for _ in customer_ids]
        self._wanted += zip(customer_ids, futures, strict=True)
        answers = [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
        return [segments_of(found, self.index) for found in answers]

    async def segments(self, segmentation: str) -> SegmentList:
        """See `SegmentStore`."""
        documents = await self._call(self._figures, segmentation)
        listed = segment_list(self.index.require(segmentation), add_up(map(read_figures, documents)))
        return self.actions.applied(listed)

    async def members(self, segmentation: str, segment: str, wanted: MemberQuery) -> MemberPage:
        """See `SegmentStore`."""
        since: str | int = "-inf" if wanted.since_ms is None else wanted.since_ms
        order = since, "newest" if wanted.newest_first else "longest"
        place = segmentation, segment, wanted.limit, *order, *(wanted.after or ())
        customers, flat = await self._call(self._members, *place)
        found = [(int(score), member.decode()) for member, score in _pairs(flat)]
        return MemberPage(customers, found[::-1] if wanted.newest_first else found)

    async def history(self, customer_id: str) -> Sequence[CustomerMigration]:
        """See `SegmentStore`."""
        pasts = await self._call(self._history_of, customer_id)
        return [migration_of(_decode_past(each), self.index) for each in pasts]

    def now_ms(self) -> int:
        """See `SegmentStore`."""
        return self._now()

    async def ahead(self, segmentations: Sequence[str], from_ms: int, to_ms: int) -> list[Ahead]:
        """See `SegmentStore`."""
        flat = await self._call(self._ahead, from_ms, to_ms, *segmentations)
        return most_first(
            Ahead(name.decode(), *path_ends(path.decode()), int(count))
            for name, path, count in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        )

    async def leavers(
        self, segmentation: str, segment: str, from_ms: int, to_ms: int, limit: int, after: tuple[int, str] | None
    ) -> LeaverPage:
        """See `SegmentStore`."""
        customers, found = await self._call(self._leavers, segmentation, segment, from_ms, to_ms, limit, *(after or ()))
        leavers = [Leaver(int(score), member.decode(), path_ends(path.decode())[1]) for path, member, score in found]
        return LeaverPage(customers, page_of_leavers(leavers, limit, after))

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow]:
        """See `SegmentStore`."""
        counts = _counts(await self._call(self._flows, segmentation, *days))
        return flows_of(counts, segmentation, self.index)

    async def daily(self, segmentation: str, days: Sequence[str], *, has_money: bool = False) -> Daily:
        """See `SegmentStore`."""
        ids = [reference.id for reference in self.index.require(segmentation).references]
        answer = await self._call(self._daily, segmentation, int(has_money), len(ids), *ids, *days)
        newest, sizes, flows, totals, known_from, money = answer
        by_field = {field.decode(): TotalsValue.decode(value) for field, value in _pairs(totals)}
        present = dict(zip(ids, sizes, strict=True))
        counts, amounts = list(map(_counts, flows)), [money_by_field(_counts(each)) for each in money]
        return Daily(newest.decode(), present, counts, amounts, trade_by_day(by_field), known_from.decode())

    async def flows_by_day(self, segmentation: str, days: Sequence[str]) -> Sequence[Mapping[str, int]]:
        """See `SegmentStore`."""
        return list(map(_counts, await self._call(self._flows_by_day, segmentation, *days)))

    async def newest(self, before: str | None, count: int) -> Sequence[FeedEntry]:
        """See `SegmentStore`."""
        return await self._read_feed(
            self._client.xrevrange(self._keys.feed, f"({before}" if before else "+", "-", count)
        )

    async def condition(self) -> ViewCondition:
        """See `SegmentStore`."""
        positions, newest, told = await self._call(self._condition)
        read = _counts(positions)
        written_at_ms = read.pop("at", None)
        read.pop("form", None)
        newest_at_ms = id_order(newest.decode())[0] if newest else None
        return ViewCondition(True, written_at_ms, newest_at_ms, _decode_condition(told) if told else None, read)

    async def figures_from(self, segmentation: str) -> Mapping[int, FiguresOrigin]:
        """See `SegmentStore`."""
        records = map(read_figures, await self._call(self._figures, segmentation))
        return {record.partition: FiguresOrigin(record.as_of, record.written_by) for record in records}

    async def models(self, segmentation: str) -> list[dict[str, Any]]:
        """See `SegmentStore`."""
        documents = [_decode_model(document) for document in await self._call(self._models, segmentation)]
        return newest_first(documents)

    async def model(self, segmentation: str, version: int) -> msgspec.Raw | None:
        """See `SegmentStore`."""
        document = await self._call(self._model, segmentation, version)
        return msgspec.Raw(document) if document else None

    # --- customers -----------------------------------------------------------------------------------------------

    def _send_wanted(self) -> None:
        while self._wanted and self._in_flight < LOOK_UPS_IN_FLIGHT:
            wanted, self._wanted = self._wanted[:LOOK_UP_CUSTOMERS], self._wanted[LOOK_UP_CUSTOMERS:]
            self._in_flight += 1
            task = asyncio.create_task(self._answer(wanted))
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    async def _answer(self, wanted: Sequence[tuple[str, asyncio.Future[list[bytes]]]]) -> None:
        try:
            found = await self._call(self._look_up, *(customer_id for customer_id, _ in wanted))
        except StoreUnavailable as error:
            for _, future in wanted:
                if not future.done():  # whose client has gone
                    future.set_exception(error)
        else:
            for (_, future), fields in zip(wanted, found, strict=True):
                if not future.done():
                    future.set_result(fields)
        finally:
            self._in_flight -= 1
            self._send_wanted()

    # --- following -----------------------------------------------------------------------------------------------

    async def _follow_models(self) -> None:
        while True:
            try:
                await self.actions.refresh()
                documents = await self._call(self._newest)
                if documents != self._newest_documents:
                    self._newest_documents, index = documents, SegmentIndex()
                    for document in documents:
                        index.add(read_model(document))
                    self.index = index  # a new one, as a segmentation may have been removed
                self._unready = "" if self.index.models else "the view holds no model yet"
            except StoreUnavailable as error:
                self._unready = str(error)
            await asyncio.sleep(MODEL_SECONDS)

    async def _follow_feed(self) -> None:
        last_id: str | None = None
        while True:
            try:
                if last_id is None:
                    last_id = await self._newest_id()
                    self.feed.begin(last_id)
                found: Any = await self._feed_client.xread({self._keys.feed: last_id}, FEED_ENTRIES, BLOCK_MS)
                entries = [entry for _, items in found or () for entry in _entries(items)]
                if entries:
                    last_id = entries[-1].entry_id
                    self.feed.publish(entries)
                elif id_order(await self._newest_id()) < id_order(last_id):
                    last_id = "0-0"  # another stream, by a server whose clock is slow
            except REDIS_FAILURES:
                self._metrics.inc(REDIS_ERRORS, operation="feed")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _newest_id(self) -> str:
        newest: Items = await self._feed_client.xrevrange(self._keys.feed, count=1)
        return newest[0][0].decode() if newest else "0-0"

    async def _history(self, last_id: str, count: int) -> list[FeedEntry]:
        return await self._read_feed(self._client.xrange(self._keys.feed, f"({last_id}", "+", count))

    async def _read_feed(self, reading: Awaitable[Items]) -> list[FeedEntry]:
        try:
            found = await reading
        except REDIS_FAILURES as error:
            raise self._unavailable("history") from error
        return _entries(found)

    async def _call(self, script: RedisScript, *arguments: str | bytes | int) -> Any:
        try:
            answer = await script.run(self._client, self._keys.prefix, *arguments)
        except REDIS_FAILURES as error:
            raise self._unavailable("look-up") from error
        if answer is None:
            raise StoreUnavailable(NO_GENERATION)
        return answer

    def _unavailable(self, operation: str) -> StoreUnavailable:
        self._metrics.inc(REDIS_ERRORS, operation=operation)
        return StoreUnavailable(UNAVAILABLE)


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _counts(flat: Sequence[bytes]) -> dict[str, int]:
    return {field.decode(): int(count) for field, count in _pairs(flat)}


def _entries(items: Items) -> list[FeedEntry]:
    return [FeedEntry.read(entry_id.decode(), fields[b"m"]) for entry_id, fields in items]
