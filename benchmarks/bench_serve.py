"""Measures look-ups, view writes and the live stream beside what the libraries cost by themselves, in one run.

Real Redis, Kafka, uvicorn and processes; contenders take turns, and the best round of each counts, for both alike.
Ends with status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.kafka.report import Goal, table
from benchmarks.serve.load import get, measure
from benchmarks.serve.streaming import measure_stream
from benchmarks.serve.writing import draw, fill, write_bare, write_view
from stream_app.api.access import SCOPES, create_token, hash_token
from tests.support.kafka import KafkaBroker
from tests.support.output_records import PARTITIONS, OutputTopics, drawn_model
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch

PREFIX = "bench-api:"
LOOK_UP_RATIO = 2.0
WRITE_RATIO = 0.5
STREAM_SECONDS = 0.25


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of look-ups, and of the stream")
    parser.add_argument("--requests-per-second", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--memberships", type=int, default=60_000, help="written in each round")
    parser.add_argument("--migrations-per-second", type=int, default=20)
    parser.add_argument("--skip-stream", action="store_true", help="needs no Kafka")
    return parser.parse_args()


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def p99_ms(latencies: np.ndarray) -> float:
    return float(np.percentile(latencies, 99) * 1_000)


def bench_look_ups(
    options: argparse.Namespace, customers: Sequence[str], api_port: int, bare_port: int, token: str
) -> list[Goal]:
    requests = [get(f"/v1/customers/{name}/segments", token) for name in customers]
    contenders = {"constant": (bare_port, [get("/constant", token)]), "look-up": (api_port, requests)}
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, (port, wanted) in contenders.items():
            found = uvloop.run(measure("127.0.0.1", port, wanted, options.requests_per_second, options.seconds))
            tell(f"{name}: p50 {np.percentile(found, 50) * 1e3:.2f} ms, p99 {p99_ms(found):.2f} ms")
            best[name] = min(best.get(name, np.inf), p99_ms(found))
    ratio = best["look-up"] / best["constant"]
    what = f"look-up p99 at {options.requests_per_second:,}/s : constant endpoint's"
    return [
        Goal("constant endpoint p99", "", best["constant"], True, " ms"),
        Goal("look-up p99", "", best["look-up"], True, " ms"),
        Goal(what, f"≤ {LOOK_UP_RATIO:g} ×", ratio, ratio <= LOOK_UP_RATIO, " ×"),
    ]


def bench_writes(options: argparse.Namespace, redis_port: int) -> list[Goal]:
    documents = draw(options.customers, options.memberships)
    best = {"bare": 0.0, "view": 0.0}
    for _ in range(options.rounds):
        for name, write in (("bare", write_bare), ("view", write_view)):
            rate = uvloop.run(write(redis_port, documents))
            tell(f"{name} writer: {rate:,.0f} memberships/s")
            best[name] = max(best[name], rate)
    ratio = best["view"] / best["bare"]
    return [
        Goal("bare pipelined writer", "", best["bare"], True, "/s"),
        Goal("view's writer", "", best["view"], True, "/s"),
        Goal("view's writes : bare pipelined writer's", f"≥ {WRITE_RATIO:g}", ratio, ratio >= WRITE_RATIO, " ×"),
    ]


def bench_stream(options: argparse.Namespace, kafka: str, address: str, token: str) -> list[Goal]:
    async def run() -> np.ndarray:
        async with OutputTopics(kafka, "bench-") as topics:
            return await measure_stream(topics, address, token, options.migrations_per_second, options.seconds)

    found = asyncio.run(run())
    tell(f"stream: p50 {np.percentile(found, 50) * 1e3:.0f} ms, p99 {p99_ms(found):.0f} ms")
    goal = STREAM_SECONDS * 1_000
    return [
        Goal("migration's append to SSE client, p99", f"≤ {goal:.0f} ms", p99_ms(found), p99_ms(found) <= goal, " ms")
    ]


def main() -> int:
    options = parse_options()
    token = create_token()
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name, ExitStack() as running:
        folder = Path(name)
        redis = running.enter_context(RedisServer(folder / "redis"))
        customers = asyncio.run(fill(redis.port, PREFIX, options.customers))
        api_port, bare_port, view_port = free_port(), free_port(), free_port()
        scopes = ", ".join(f'"{scope}"' for scope in SCOPES)
        settings = {
            "SEGMENTER_REDIS__URL": f"redis://127.0.0.1:{redis.port}/0",
            "SEGMENTER_API__TOKENS": f'[{{"name": "bench", "sha256": "{hash_token(token)}", "scopes": [{scopes}]}}]',
            "SEGMENTER_API__REQUESTS_PER_SECOND": "100000",
            "SEGMENTER_API__BURST_REQUESTS": "100000",
            "SEGMENTER_API__PORT": str(api_port),
            "SEGMENTER_API__HEALTH_PORT": "0",
            "SEGMENTER_VIEW__HEALTH_PORT": str(view_port),
            "SEGMENTER_KAFKA__TOPIC_PREFIX": "bench-",
            "SEGMENTER_KAFKA__PARTITIONS": str(PARTITIONS),
        }
        bare = ServerProcess(
            [sys.executable, Path(__file__).parent / "serve" / "bare_api.py", str(bare_port)], folder / "bare.log"
        )
        bare.start()
        running.callback(bare.discard)
        with Service(folder, "api", ["api"], settings | {"SEGMENTER_REDIS__KEY_PREFIX": PREFIX}):
            wait_for(lambda: fetch(f"http://127.0.0.1:{api_port}/ready")[0] == 200, 60, "the API")
            wait_for(lambda: fetch(f"http://127.0.0.1:{bare_port}/constant")[0] == 200, 60, "the bare API")
            goals += bench_look_ups(options, customers, api_port, bare_port, token)
        bare.kill()
        goals += bench_writes(options, redis.port)
        if not options.skip_stream:
            broker = running.enter_context(KafkaBroker(folder / "kafka"))
            settings["SEGMENTER_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers

            async def prepare() -> None:
                async with OutputTopics(broker.bootstrap_servers, "bench-") as topics:
                    await topics.write_model(drawn_model())

            asyncio.run(prepare())
            with Service(folder, "view", ["view"], settings), Service(folder, "api-live", ["api"], settings):
                wait_for(lambda: fetch(f"http://127.0.0.1:{view_port}/ready")[0] == 200, 60, "the view")
                wait_for(lambda: fetch(f"http://127.0.0.1:{api_port}/ready")[0] == 200, 60, "the API")
                goals += bench_stream(options, broker.bootstrap_servers, f"http://127.0.0.1:{api_port}", token)
    print(
        table(
            ["what", "goal", "measured", ""], [goal.row() if goal.wanted else [*goal.row()[:3], ""] for goal in goals]
        )
    )
    return 0 if all(goal.is_met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
