"""The log in memory keeps Kafka's promises, or the simulation would prove nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine

import pytest

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.errors import DeliveryFailed
from tests.simulation.memory_log import (
    TRANSACTION_TIMEOUT_SECONDS,
    Concurrent,
    Fenced,
    Latencies,
    MemoryDelivery,
    MemoryLog,
    MemoryStateLog,
)
from tests.support.simulated_loop import Process, SimulatedLoop

AT = ("rows", 0)
ROWS = [OutgoingRecord(b"a", b"1"), OutgoingRecord(b"b", b"2")]


class Around:
    """No faults and no clock."""

    def __init__(self) -> None:
        self.drawn = random.Random(0)
        self.loop = SimulatedLoop(self.drawn)

    def now_ms(self) -> int:
        return 0

    def step(self, process: Process, what: str) -> None:
        pass

    def is_overtaken(self) -> bool:
        return False


def run(test: Callable[[MemoryLog], Coroutine[None, None, None]]) -> None:
    around = Around()
    log = MemoryLog(around, Latencies(slow_share=0.0))
    around.loop.run_until_complete(test(log))
    around.loop.close()


def delivery(log: MemoryLog) -> MemoryDelivery:
    return MemoryDelivery(log, log.around.loop.world, "id")


def values(log: MemoryLog) -> list[bytes | None]:
    return [record.value for record in log[AT].visible()]


async def settle() -> None:
    await asyncio.sleep(0.5)


def test_transaction_becomes_visible_at_once_and_its_marker_takes_an_offset() -> None:
    async def test(log: MemoryLog) -> None:
        owner = delivery(log)
        await owner.open()
        await owner.commit({AT: ROWS})
        await settle()
        assert values(log) == [b"1", b"2"]
        assert log[AT].end == 3
        assert log[AT].read(0, 1)[1] == 1
        assert log[AT].read(0, 9)[1] == 3

    run(test)


def test_open_transaction_holds_up_readers_and_not_writers() -> None:
    async def test(log: MemoryLog) -> None:
        _, epoch = log.open_producer("id")
        transaction = log.begin("id", epoch, [AT])
        log.produce("id", epoch, transaction, AT, ROWS)
        log[AT].append([OutgoingRecord(b"fence", b"")], 0)
        assert log[AT].read(0, 9) == ([], 0)
        log.end("id", epoch, transaction)
        assert log[AT].read(0, 9) == ([], 0), "the marker is not there yet"
        await settle()
        assert values(log) == [b"1", b"2", b""]

    run(test)


def test_new_owner_aborts_what_is_open_and_shuts_the_former_one_out() -> None:
    async def test(log: MemoryLog) -> None:
        former, new = delivery(log), delivery(log)
        await former.open()
        _, epoch = former.identity
        transaction = log.begin("id", epoch, [AT])
        log.produce("id", epoch, transaction, AT, ROWS)
        with pytest.raises(Concurrent):
            log.open_producer("id")
        await new.open()
        assert new.identity[1] == epoch + 2, "one for the abort, one for the opening"
        assert log[AT].stable_end == log[AT].end
        with pytest.raises(Fenced):
            log.end("id", epoch, transaction)
        with pytest.raises(DeliveryFailed):
            await former.commit({AT: ROWS})
        assert values(log) == []

    run(test)


def test_opening_again_raises_the_epoch_by_one() -> None:
    async def test(log: MemoryLog) -> None:
        identities = []
        for _ in range(3):
            owner = delivery(log)
            await owner.open()
            identities.append(owner.identity)
        assert identities == [(0, 0), (0, 1), (0, 2)]

    run(test)


def test_abandoned_transaction_is_aborted_in_time() -> None:
    async def test(log: MemoryLog) -> None:
        _, epoch = log.open_producer("id")
        transaction = log.begin("id", epoch, [AT])
        log.produce("id", epoch, transaction, AT, ROWS)
        await asyncio.sleep(TRANSACTION_TIMEOUT_SECONDS + 0.5)
        assert log[AT].read(0, 9) == ([], 3)

    run(test)


def test_compaction_keeps_last_rows_and_offsets() -> None:
    async def test(log: MemoryLog) -> None:
        owner = delivery(log)
        await owner.open()
        await owner.commit({AT: ROWS})
        await owner.commit({AT: [OutgoingRecord(b"a", b"3")]})
        await settle()
        log[AT].compact()
        assert [(record.offset, record.value) for record in log[AT].visible()] == [(1, b"2"), (3, b"3")]
        assert log[AT].end == 5

    run(test)


def test_state_is_read_back_up_to_the_fence() -> None:
    async def test(log: MemoryLog) -> None:
        owner = delivery(log)
        await owner.open()
        await owner.commit({AT: ROWS})
        state_log = MemoryStateLog(log, log.around.loop.world)
        read = [(number, record.value) async for number, some in state_log.read_back("rows", [0]) for record in some]
        assert read == [(0, b"1"), (0, b"2")]
        assert log[AT].visible()[-1].value == b"token"

    run(test)
