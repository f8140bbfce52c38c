"""Deliveries of one partition: those of one customer one after the other, those of different customers side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from stream_app.webhooks.progress import Progress

Item = TypeVar("Item")


class PartitionDeliveries(Generic[Item]):
    """Works on the items it is given.

    Parameters
    ----------
    progress
        Of the partition.
    work
        Settles one item; an exception ends everything.
    failed
        Is called with exceptions of `work`.
    """

    def __init__(
        self, progress: Progress, work: Callable[[Item], Awaitable[None]], failed: Callable[[BaseException], None]
    ) -> None:
        self.progress = progress
        self._work = work
        self._failed = failed
        self._queues: dict[bytes | None, deque[tuple[int, Item]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_of: dict[bytes | None, asyncio.Task[None]] = {}

    def put(self, customer: bytes | None, offset: int, item: Item) -> None:
        """Work on an item, which `progress` has taken, once the customer's earlier ones are settled."""
        queue = self._queues.get(customer)
        if queue is not None:
            queue.append((offset, item))
            return
        self._begin(customer, deque([(offset, item)]))

    def _begin(self, customer: bytes | None, queue: deque[tuple[int, Item]]) -> None:
        self._queues[customer] = queue
        task = self._task_of[customer] = asyncio.create_task(self._work_off(customer))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def drop(self, customer: bytes | None, is_kept: Callable[[Item], bool]) -> int:
        """Settle a customer's items without working on them, but for those that are kept; return how many that was.

        What is in flight is cut off, and may have been done.
        """
        task = self._task_of.get(customer)
        if task is None or all(is_kept(item) for _, item in self._queues[customer]):
            return 0
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        queue = self._queues.pop(customer, deque())
        self._task_of.pop(customer, None)
        kept = deque(each for each in queue if is_kept(each[1]))
        for offset in [offset for offset, item in queue if not is_kept(item)]:
            self.progress.settle(offset)
        if kept:
            self._begin(customer, kept)
        return len(queue) - len(kept)

    def pending(self) -> Iterator[Item]:
        """Give each customer's first item: the oldest is among them."""
        return (queue[0][1] for queue in self._queues.values() if queue)

    async def close(self) -> None:
        """Cut off everything in flight; items that are not settled stay open."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work_off(self, customer: bytes | None) -> None:
        queue = self._queues[customer]
        while queue:
            offset, item = queue[0]
            await self._work(item)
            queue.popleft()
            self.progress.settle(offset)
        del self._queues[customer], self._task_of[customer]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
