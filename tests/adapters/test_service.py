"""The shell that all services share, as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from stream_app.exits import ExitCode
from tests.support.log_lines import last_words
from tests.support.processes import free_port
from tests.support.services import fetch

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180
"""Only ever waited for in full by a test that fails."""

SERVICE = """
import asyncio, sys
from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import VIEW, Metrics
from stream_app.adapters.service import Service, run_service

class Always:
    def readiness(self):
        return {"ready": True, "reason": ""}

async def part(name):
    print(name, flush=True)
    if name == "broken":
        raise ValueError("no more")
    await asyncio.sleep(600)

async def run():
    address = Address("127.0.0.1", int(sys.argv[1]), "--port")
    async with Service(Always(), address, Metrics(VIEW)) as service:
        for name in sys.argv[2:]:
            service.supervise(part(name), name)
        await service.stop_requested()
        service.cancel_parts()
        print("stopped", flush=True)

run_service(run)
"""


def begin(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_failing_part_ends_the_process_with_doubt_and_one_line() -> None:
    process = begin(0, "well", "broken")
    _, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, error.count("\n")) == (ExitCode.DOUBT, 1)
    assert last_words(error) == ["FATAL broken: ValueError: no more"]


def test_signal_ends_a_service_with_0_and_its_probes_with_it() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        port = free_port()
        process = begin(port, "well")
        assert process.stdout is not None
        assert process.stdout.readline() == "well\n"
        assert fetch(f"http://127.0.0.1:{port}/live")[0] == 200
        assert re.search(r"^segmenter_ready 1\.0$", fetch(f"http://127.0.0.1:{port}/metrics")[1], re.MULTILINE)
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE_SECONDS) == ("stopped\n", "")
        assert process.returncode == ExitCode.DONE
        assert fetch(f"http://127.0.0.1:{port}/live")[0] == 0
