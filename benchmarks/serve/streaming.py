"""Time from a migration's append on Kafka until a client of the live stream has it: view and API as processes."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import numpy as np

from tests.support.output_records import OutputTopics, migration

PATIENCE_SECONDS = 60


async def measure_stream(topics: OutputTopics, address: str, token: str, per_second: int, seconds: float) -> np.ndarray:
    """Return latencies in seconds, from before the append and its transaction until the event is read."""
    count = int(per_second * seconds)
    appended: dict[str, float] = {}
    latencies: list[float] = []
    is_open = asyncio.Event()

    async def listen() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
            client.stream("GET", f"{address}/v1/migrations/stream", headers=headers) as answer,
        ):
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                is_open.set()
                if line.startswith("data: "):
                    now = time.perf_counter()
                    customer_id = json.loads(line.removeprefix("data: "))["customer_id"]
                    if customer_id in appended:
                        latencies.append(now - appended.pop(customer_id))
                        if len(latencies) == count:
                            return

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(is_open.wait(), PATIENCE_SECONDS)
    await asyncio.sleep(1)
    started = time.perf_counter()
    for number in range(count):
        if (wait := started + number / per_second - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        customer_id = f"live-{number}"
        appended[customer_id] = time.perf_counter()
        await topics.write([migration(customer_id, 1, None, number % 5)])
    await asyncio.wait_for(listening, PATIENCE_SECONDS)
    return np.array(latencies)
