from __future__ import annotations

import asyncio

from stream_app.webhooks.partition import PartitionDeliveries
from stream_app.webhooks.progress import Progress


def offer(deliveries: PartitionDeliveries[str], customer: bytes, offset: int, item: str) -> None:
    assert deliveries.progress.take(offset)
    deliveries.put(customer, offset, item)


def test_customers_wait_for_themselves_alone() -> None:
    log: list[str] = []
    held = asyncio.Event()

    async def work(item: str) -> None:
        log.append(f"begin {item}")
        if item == "a1":
            await held.wait()
        log.append(f"end {item}")

    async def play() -> tuple[int, int, list[str]]:
        deliveries = PartitionDeliveries(Progress(0), work, failed=lambda _: None)
        for offset, item in enumerate(["a1", "a2", "b1", "b2"]):
            offer(deliveries, item[:1].encode(), offset, item)
        while "end b2" not in log:
            await asyncio.sleep(0)
        before, pending = deliveries.progress.position, list(deliveries.pending())
        held.set()
        while deliveries.progress.open_count:
            await asyncio.sleep(0)
        await deliveries.close()
        return before, deliveries.progress.position, pending

    assert asyncio.run(play()) == (0, 4, ["a1"])
    assert [line for line in log if " a" in line] == ["begin a1", "end a1", "begin a2", "end a2"]
    assert log.index("end b2") < log.index("end a1")


def test_what_is_broken_off_stays_open() -> None:
    async def work(_: str) -> None:
        await asyncio.Event().wait()

    async def play() -> int:
        deliveries = PartitionDeliveries(Progress(0), work, failed=lambda _: None)
        offer(deliveries, b"a", 0, "a1")
        await asyncio.sleep(0)
        await deliveries.close()
        return deliveries.progress.position

    assert asyncio.run(play()) == 0


def test_defect_is_reported_and_settles_nothing() -> None:
    failures: list[BaseException] = []

    async def work(item: str) -> None:
        raise ZeroDivisionError(item)

    async def play() -> int:
        deliveries = PartitionDeliveries(Progress(0), work, failures.append)
        offer(deliveries, b"a", 0, "a1")
        while not failures:
            await asyncio.sleep(0)
        await deliveries.close()
        return deliveries.progress.open_count

    assert asyncio.run(play()) == 1
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_what_waits_for_an_erased_customer_is_dropped_but_for_what_is_kept() -> None:
    done: list[str] = []
    held = asyncio.Event()

    async def work(item: str) -> None:
        if item == "a1":
            await held.wait()
        done.append(item)

    async def play() -> tuple[int, int, int]:
        deliveries = PartitionDeliveries(Progress(0), work, failed=lambda _: None)
        for offset, item in enumerate(["a1", "a2", "a-last", "b1"]):
            offer(deliveries, item[:1].encode(), offset, item)
        await asyncio.sleep(0)
        dropped = await deliveries.drop(b"a", lambda item: item == "a-last")
        none = await deliveries.drop(b"c", lambda _: False)
        while deliveries.progress.open_count:
            await asyncio.sleep(0)
        again = await deliveries.drop(b"a", lambda _: False)
        return dropped, none + again, deliveries.progress.position

    assert asyncio.run(play()) == (2, 0, 4)
    assert sorted(done) == ["a-last", "b1"]
