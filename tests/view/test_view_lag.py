"""What `segmenter view` says of its lag, as Prometheus reads it, against a real Kafka and a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.output_records import PARTITIONS, OutputTopics, drawn_migrations, drawn_model
from tests.support.processes import free_port
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch
from tests.view.following import environment_of, eventually

LAG = "segmenter_consumer_lag_records"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def lags(port: int) -> dict[tuple[str, int], int]:
    """Return what the view exports; nothing where nobody answers yet."""
    _, text = fetch(f"http://127.0.0.1:{port}/metrics")
    return {
        (sample.labels["topic"], int(sample.labels["partition"])): int(sample.value)
        for family in text_string_to_metric_families(text)
        if family.name == LAG
        for sample in family.samples
    }


def test_lag_grows_while_redis_is_away_and_is_none_once_the_view_is_complete(
    kafka: str, topic_prefix: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    health_port = free_port()
    environment = environment_of(kafka, topic_prefix, redis_server.port, health_port)
    moves = list(drawn_migrations(50, 900))

    async def run() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics:
            names = topics.names
            followed = {(names.models, 0), (names.samples, 0)}
            followed |= {
                (topic, p)
                for topic in (names.memberships, names.figures, names.migrations, names.upcoming, names.dead_letters)
                for p in range(PARTITIONS)
            }

            async def nothing_is_left() -> bool:
                found = await asyncio.to_thread(lags, health_port)
                return found.keys() == followed and not any(found.values())

            async def whole_lag() -> int:
                return sum((await asyncio.to_thread(lags, health_port)).values())

            await topics.write_model(drawn_model())
            await topics.write(moves[:300])
            with Service(tmp_path, "view", ["view"], environment):
                await eventually(nothing_is_left, "a lag of 0 behind the markers of transactions, for each partition")
                redis_server.process.kill()
                for end in (600, 900):  # it goes on growing, though nothing is read
                    await topics.write(moves[end - 300 : end])
                    expected = 2 * (end - 300)

                    async def is_told(expected: int = expected) -> bool:
                        return await whole_lag() >= expected

                    await eventually(is_told, f"a lag of {expected} and more")
                redis_server.start()
                await eventually(nothing_is_left, "a lag of 0 again")

    asyncio.run(run())
