"""The loop under the simulation: time, processes, kills and pauses."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.simulated_loop import SimulatedLoop


def test_time_leaps_to_the_next_timer() -> None:
    loop = SimulatedLoop(random.Random(0))

    async def main() -> list[float]:
        seen = []
        for seconds in (3_600, 0, 0.5):
            await asyncio.sleep(seconds)
            seen.append(loop.time())
        return seen

    assert loop.run_until_complete(main()) == [3_600, 3_600, 3_600.5]
    loop.close()


@pytest.mark.parametrize("stop", ["kill", "pause"])
def test_stopped_process_does_nothing_more(stop: str) -> None:
    loop = SimulatedLoop(random.Random(0))
    done: list[str] = []

    async def work() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                done.append("worked")
        finally:
            done.append("cleaned up")

    async def main() -> int:
        process = loop.start("worker", work)
        await asyncio.sleep(2.5)
        getattr(loop, stop)(process)
        await asyncio.sleep(10)
        loop.resume(process)
        await asyncio.sleep(1.5)
        return len(done)

    assert loop.run_until_complete(main()) == (2 if stop == "kill" else 4)
    assert "cleaned up" not in done
    loop.close()


def test_what_a_thread_does_takes_time_and_stays_in_its_process() -> None:
    loop = SimulatedLoop(random.Random(0))

    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 7), loop.time()

    result, seconds = loop.run_until_complete(main())
    assert result == 7
    assert seconds > 0
    loop.close()


def test_processes_take_turns_as_the_seed_says() -> None:
    def order(seed: int) -> str:
        loop = SimulatedLoop(random.Random(seed))
        turns = []

        async def work(name: str) -> None:
            for _ in range(10):
                turns.append(name)
                await asyncio.sleep(0)

        async def main() -> None:
            for name in "ab":
                loop.start(name, lambda name=name: work(name))  # type: ignore[misc]
            await asyncio.sleep(1)

        loop.run_until_complete(main())
        loop.close()
        return "".join(turns)

    orders = {order(seed) for seed in range(20)}
    assert len(orders) > 10
    assert order(3) == order(3)
