"""The project's `BridgeConsumer` over a consumer thread that reads the log in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faust.types import TP

from stream_app.adapters.bridge_host import BridgeHost
from stream_app.adapters.faust_bridge import BridgeConsumer, ChunkScheduler
from tests.simulation.memory_log import MemoryLog, StoredRecord
from tests.support.simulated_loop import Process

if TYPE_CHECKING:
    from tests.simulation.group import Group


@dataclass
class _State:
    """What the lane looks at of aiokafka's state of a partition."""

    position: int
    highwater: int | None = None
    has_valid_position: bool = True


class SimulatedThread:
    """Stands for Faust's consumer thread and the aiokafka consumer in it."""

    def __init__(self, log: MemoryLog, group: Group, process: Process) -> None:
        self.generation = -1
        self._log = log
        self._group = group
        self._process = process
        self._states: dict[TP, _State] = {}
        self._former: dict[TP, int] = {}
        self._news = asyncio.Event()

    def assign(self, tps: set[TP], generation: int) -> None:
        """Begin anew with an assignment, at the group's offsets.

        What was fetched before may still arrive once, though it is the answer to a question of the former generation.
        """
        self.generation = generation
        for tp, state in self._states.items():
            self._log[tp].watchers.remove(self._news)
            self._former[tp] = state.position
        self._states = {tp: _State(self._group.committed.get(tp, 0)) for tp in sorted(tps)}
        for tp in self._states:
            self._log[tp].watchers.append(self._news)

    def assignment(self) -> set[TP]:
        return set(self._states)

    def state_of(self, tp: TP) -> _State | None:
        return self._states.get(tp)

    async def seek_wait(self, positions: Mapping[TP, int]) -> None:
        await self._pause()
        for tp, offset in positions.items():
            if tp in self._states:
                self._states[tp].position = offset

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        await self._pause()
        return dict.fromkeys(tps, 0)

    async def getmany(self, wanted: set[TP], timeout: float) -> Mapping[TP, list[StoredRecord]]:
        """Return what is there of some partitions, or wait a little."""
        generation = self.generation
        await self._pause()
        fetched = self._fetch(wanted, generation)
        if not fetched:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                pass
            else:
                await self._pause()
            fetched = self._fetch(wanted, generation)
        return fetched

    def _fetch(self, wanted: set[TP], generation: int) -> dict[TP, list[StoredRecord]]:
        fetched: dict[TP, list[StoredRecord]] = {}
        if generation != self.generation:
            return fetched
        drawn = self._log.around.drawn
        for tp in sorted(wanted):
            state = self._states.get(tp)
            if state is None or drawn.random() < 0.15:
                continue
            partition = self._log[tp]
            limit = drawn.choice([1, 4, 16, 64])
            if (former := self._former.pop(tp, None)) is not None and self._log.around.is_overtaken():
                records, _ = partition.read(former, limit)
            else:
                records, state.position = partition.read(state.position, limit)
                state.highwater = partition.end
            if records:
                fetched[tp] = records
        return fetched

    async def call_thread(self, function: Any, *args: Any) -> Any:
        await self._pause()
        return await function(*args)

    def _ensure_consumer(self) -> SimulatedThread:
        return self

    async def commit(self, offsets: Mapping[Any, int]) -> None:
        """Commit group offsets, as the aiokafka consumer does."""
        self._group.commit(self._process.name, self.generation, {(tp[0], tp[1]): at for tp, at in offsets.items()})

    async def _pause(self) -> None:
        await asyncio.sleep(self._log.latencies.draw(self._log.around.drawn))


class SimulatedConsumer(BridgeConsumer):
    """The real lane; only the thread below it is simulated."""

    def __init__(self, thread: SimulatedThread, host: BridgeHost) -> None:
        # Faust's own constructor wants an application, and nothing of it is used here.
        self._thread = thread  # type: ignore[assignment]
        self.host = host
        self._asked = {}
        self._reread = set()
        self._read_offset = {}
        self._committed_offset = defaultdict(lambda: None)
        self.lane_scheduler = ChunkScheduler()
        self.lane_scheduler.consumer = self

    async def fetch(self, tps: set[TP], timeout: float) -> Mapping[TP, list[Any]]:
        """Fetch what may be delivered."""
        return await self._getmany(tps, timeout)
