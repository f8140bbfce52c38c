"""Deliveries of one partition: those of one customer one after the other, those of different customers side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
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

    def put(self, customer: bytes | None, offset: int, item: Item) -> None:
        """Work on an item, which `progress` has taken, once the customer's earlier ones are settled."""
        queue = self._queues.get(customer)
        if queue is not None:
            queue.append((offset, item))
            return
        self._queues[customer] = deque([(offset, item)])
        task = asyncio.create_task(self._work_off(customer))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

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
        del self._queues[customer]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
