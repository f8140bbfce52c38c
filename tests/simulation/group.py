"""The consumer group: who owns which partitions.

As Faust's groups do, it rebalances eagerly: everyone gives up everything, joins again, and gets a new assignment. A
member that is silent for a session, or does not join again in time, is left out, and learns of it when it asks next.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aiokafka.errors import IllegalGenerationError

from tests.simulation.memory_log import MemoryLog, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION_SECONDS = 1.0
HEARTBEAT_SECONDS = 0.25
REBALANCE_SECONDS = 1.5
STICKY_SHARE = 0.7

Answer = Literal["stable", "rebalancing", "unknown"]


@dataclass(frozen=True)
class Assignment:
    """What a member got."""

    generation: int
    partitions: tuple[int, ...]
    with_trainer: bool


@dataclass
class _Member:
    seen: float
    joined: asyncio.Future[Assignment | None] | None = None
    owned: tuple[int, ...] = ()


@dataclass
class Group:
    """The group's coordinator.

    Parameters
    ----------
    around
        The world.
    partitions
        To be assigned, with their trainer.
    """

    around: Surroundings
    partitions: int
    generation: int = 0
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    _members: dict[str, _Member] = field(default_factory=dict)
    _is_stable: bool = True

    @property
    def is_stable(self) -> bool:
        """Whether everyone who is alive has an assignment."""
        return self._is_stable and bool(self._members)

    async def join(self, name: str, log: MemoryLog) -> Assignment:
        """Become a member, or one of the next generation."""
        loop = self.around.loop
        while True:
            future: asyncio.Future[Assignment | None] = loop.create_future()
            loop.in_world(log.latencies.draw(self.around.drawn), self._join, name, future)
            assignment = await future
            if assignment is not None:  # or else it was left out meanwhile
                return assignment

    def heartbeat(self, name: str, generation: int) -> Answer:
        """Note that a member is alive."""
        member = self._members.get(name)
        if member is None:
            return "unknown"
        member.seen = self.around.loop.time()
        return "stable" if self._is_stable and generation == self.generation else "rebalancing"

    def leave(self, name: str) -> None:
        """Remove a member."""
        if self._members.pop(name, None) is not None:
            self._rebalance()

    def commit(self, name: str, generation: int, offsets: dict[tuple[str, int], int]) -> None:
        """Store offsets."""
        if name not in self._members or generation != self.generation:
            raise IllegalGenerationError
        self.committed.update(offsets)

    def watch(self) -> None:
        """Remove members that are silent, for ever."""
        now = self.around.loop.time()
        silent = [name for name, member in self._members.items() if now - member.seen > SESSION_SECONDS]
        for name in silent:
            joined = self._members.pop(name).joined
            if joined is not None and not joined.done():
                joined.set_result(None)
        if silent:
            self._rebalance()
        self.around.loop.in_world(HEARTBEAT_SECONDS, self.watch)

    def _join(self, name: str, future: asyncio.Future[Assignment | None]) -> None:
        member = self._members.setdefault(name, _Member(0.0))
        member.seen = self.around.loop.time()
        member.joined = future
        if self._is_stable:
            self._rebalance()
        self._assign_if(lambda: all(each.joined for each in self._members.values()))

    def _rebalance(self) -> None:
        if self._is_stable:
            self._is_stable = False
            self.around.loop.in_world(REBALANCE_SECONDS, self._give_up_waiting, self.generation)
        self._assign_if(lambda: all(each.joined for each in self._members.values()))

    def _give_up_waiting(self, generation: int) -> None:
        if not self._is_stable and generation == self.generation:
            self._members = {name: member for name, member in self._members.items() if member.joined}
            self._assign_if(lambda: True)

    def _assign_if(self, may_assign: Callable[[], bool]) -> None:
        if self._is_stable or not self._members:
            self._is_stable = self._is_stable or not self._members
            return
        if not may_assign():
            return
        self.generation += 1
        self._is_stable = True
        drawn = self.around.drawn
        names = sorted(self._members)
        drawn.shuffle(names)
        quota = -(-self.partitions // len(names))
        got: dict[str, list[int]] = {name: [] for name in names}
        left = []
        for number in range(self.partitions):
            former = [name for name in names if number in self._members[name].owned and len(got[name]) < quota]
            if former and drawn.random() < STICKY_SHARE:
                got[former[0]].append(number)
            else:
                left.append(number)
        for number in left:
            min(got.values(), key=len).append(number)
        trainer = drawn.choice(names)
        for name in names:
            member = self._members[name]
            member.seen = self.around.loop.time()
            member.owned = tuple(sorted(got[name]))
            future, member.joined = member.joined, None
            if future is not None and not future.done():
                future.set_result(Assignment(self.generation, member.owned, name == trainer))
