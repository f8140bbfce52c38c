"""How long the live console takes to show figures of a million customers, and what its document costs.

A simulated shop's replay is written into a view in a real Redis; its customers are copied under other ids until there
are as many as wanted, and each day's flows get what the days around it have, as every kind of move happens every day in
a large shop. Then `Console` serves from it, and Chromium opens the overview, each time as a new person.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis.asyncio as redis

sys.path.insert(0, str(Path(__file__).parents[1]))
from stream_app import segmentations
from stream_app.adapters.metrics import API, Metrics
from stream_app.api.live_document import LiveDocument
from stream_app.api.live_parts import LiveParts
from stream_app.api.redis_store import RedisStore
from stream_app.api.sampling import ViewSampler
from stream_app.cli import main as run_command
from tests.support.servers import RedisServer
from tests.web.consoles import Consoles, wait_until_counted
from tests.web.driving import Driver, Visit
from tests.web.view_of_replay import KEYS, ViewOfReplay

COPY = """
local root, first, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 4, #ARGV do
  local fields, kept = redis.call('HGETALL', root .. 'c:' .. ARGV[i]), {}
  for j = 1, #fields, 2 do
    if string.sub(fields[j], 1, 1) ~= '?' then kept[#kept + 1] = fields[j]; kept[#kept + 1] = fields[j + 1] end
  end
  for copy = first, last do
    local name = ARGV[i] .. '-' .. copy
    redis.call('HSET', root .. 'c:' .. name, unpack(kept))
    for j = 1, #kept, 2 do
      local segment, since = string.match(kept[j + 1], '^%S+ (%S+) (%S+)')
      redis.call('ZADD', root .. 'm:' .. kept[j] .. ':' .. segment, since, name)
    end
  end
end
"""
"""Root of the keys, numbers of the first and the last copy, customers."""
AROUND_DAYS = 10
TIMES = """JSON.stringify(
  ["first-contentful-paint", "figures"].map((name) => performance.getEntriesByName(name)[0].startTime)
)"""


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--drawn", type=int, default=2_000, help="customers who are simulated and copied")
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--visits", type=int, default=7)
    return parser.parse_args()


def replay(folder: Path, options: argparse.Namespace) -> Path:
    population = folder / "population"
    size = ["--customers", str(options.drawn), "--days", str(options.days), "--seed", "3"]
    run_command(["simulate", *size, "--out", str(population)])
    files = [f"--{topic}={population / topic}.jsonl.gz" for topic in ("purchases", "engagements")]
    definitions = Path(segmentations.__file__).with_name("shipped.yaml")
    run_command(["replay", *files, "--segmentations", str(definitions), "--out", str(folder / "out")])
    return folder / "out"


async def enlarge(view: ViewOfReplay, customers: int) -> None:
    """Copy customers, and spread kinds of moves over the days around them."""
    client = redis.Redis(port=view.port, protocol=2, socket_timeout=600)
    root = KEYS.of((await client.get(KEYS.pointer)).decode())
    ids = [key.decode().removeprefix(f"{root}c:") async for key in client.scan_iter(f"{root}c:*", count=5_000)]
    generator = random.Random(1)
    copy, copies = await client.script_load(COPY), customers // len(ids) - 1
    for start in range(0, len(ids), 20):
        await client.evalsha(copy, 0, root, 1, copies, *ids[start : start + 20])
    for kind in ("f", "v"):
        days = sorted([key.decode() async for key in client.scan_iter(f"{root}{kind}:*", count=5_000)])
        found = [await client.hgetall(key) for key in days]
        for place, key in enumerate(days):
            name = key.rpartition(":")[0]
            near = range(max(place - AROUND_DAYS, 0), min(place + AROUND_DAYS + 1, len(days)))
            fields = {field for other in near if days[other].startswith(f"{name}:") for field in found[other]}
            if fields:
                await client.hset(key, mapping={field: generator.randrange(1, 10**4) for field in fields})
    await client.aclose()


async def measure_document(view: ViewOfReplay) -> dict[str, Any]:
    """Return what making documents costs this process: at first, and with what hardly changes at hand."""
    store = RedisStore(view.connection(), KEYS, Metrics(API), lambda: view.end_ms)
    sampler = ViewSampler(view.connection(), KEYS)
    counting, clock = LiveParts(store, sampler), [0.0]
    document = LiveDocument(store, "UTC", counting, lambda: clock[0])
    await store.start()
    while store.unready_reason():
        await asyncio.sleep(0.05)
    told: dict[str, Any] = {"load": os.getloadavg()[0]}
    before = cpu()
    task, started = asyncio.create_task(counting.run()), time.perf_counter()
    while not counting.parts.drawn:
        await asyncio.sleep(0.05)
    told["counting"] = {"cpu_s": round(cpu() - before, 3), "wall_s": round(time.perf_counter() - started, 3)}
    task.cancel()
    for name in ("first", "second", "third"):
        before, started = cpu(), time.perf_counter()
        clock[0] += 2
        asset = await document.get()
        told[name] = {"cpu_s": round(cpu() - before, 3), "wall_s": round(time.perf_counter() - started, 3)}
    told["compressed_bytes"] = len(asset.compressed)
    parts = json.loads(gzip.decompress(asset.compressed))["segmentations"]
    told["rows_of_flows"] = sum(len(each["flows"]["day"]) for each in parts)
    await store.close()
    await sampler.close()
    return told


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="bench-console-") as name:
        folder = Path(name)
        with RedisServer(folder / "redis") as server:
            view = ViewOfReplay(server.port, replay(folder, options))
            view.fill()
            asyncio.run(enlarge(view, options.customers))
            print(json.dumps(asyncio.run(measure_document(view)), indent=1))
            with Consoles(view).serving(is_open=True) as address:
                wait_until_counted(address)
                visits = [Visit(f"{address}/", actions=[{"evaluate": TIMES}]) for _ in range(options.visits)]
                found = [json.loads(each.raw["values"][0]) for each in Driver(folder / "browser").visit(*visits)]
    for place, what in enumerate(("first content", "figures")):
        times = [round(each[place]) for each in found]
        print(f"{what}: median {statistics.median(times):.0f} ms, by visit {times}")
    print(f"load {os.getloadavg()[0]:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
