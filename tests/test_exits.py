"""Each exit code is what docs/commands.md says it is, whichever command ends with it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from stream_app.exits import ExitCode
from tests.support.log_lines import last_words
from tests.support.processes import free_port
from tests.support.replays import ROOT

PATIENCE_SECONDS: Final = 300
SERVICES: Final = ("worker", "view", "api", "webhooks")
SUBSCRIPTIONS: Final = "subscriptions: [{name: one, url: 'https://example.com/hook', secret_file: secret}]"
SERVICE_THAT_DOUBTS: Final = "from stream_app.adapters.service import give_up; give_up('nobody knows what was written')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "webhooks.yaml").write_text(SUBSCRIPTIONS, "utf-8")
    (tmp_path / "secret").write_text("whsec_c2VjcmV0LW9mLTI0LWJ5dGVzLWxvbmchISE=", "utf-8")
    (tmp_path / "purchases.csv").write_text("when;who\n1;2\n", "utf-8")
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def begin(folder: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SEGMENTER_")}
    defaults: dict[str, object] = {
        "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "REDIS__URL": f"redis://127.0.0.1:{free_port()}/0",
        "API__ALLOW_ANONYMOUS": "true",
        "WEBHOOKS__SUBSCRIPTIONS_FILE": "webhooks.yaml",
        "WORKER__RECOVERY_TIMEOUT_SECONDS": 10,
    }
    named = {f"SEGMENTER_{name}": str(value) for name, value in (defaults | settings).items()}
    return subprocess.Popen(
        [sys.executable, "-m", "stream_app", *arguments],
        cwd=folder, env=own | named | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(folder: Path, *arguments: str, **settings: object) -> tuple[int, str]:
    """Return the status of a command, and the line that says why."""
    process = begin(folder, *arguments, **settings)
    _, error = process.communicate(timeout=PATIENCE_SECONDS)
    (line,) = [line for line in error.splitlines() if line.startswith("segmenter: ")]
    return process.returncode, line


@pytest.mark.parametrize("service", SERVICES)
def test_service_whose_port_is_taken_ends_with_failed_so_that_a_supervisor_restarts_it(
    service: str, folder: Path, taken: int
) -> None:
    setting = f"{service.upper()}__HEALTH_PORT"
    status, line = ended(folder, service, **{setting: taken})
    assert status == ExitCode.FAILED
    assert line.startswith(f"segmenter: setting {service}.health_port: cannot listen on 127.0.0.1:{taken} (")


def test_api_whose_own_port_is_taken_ends_with_failed(folder: Path, taken: int) -> None:
    status, line = ended(folder, "api", API__PORT=taken, API__HEALTH_PORT=free_port())
    assert (status, "setting api.port: cannot listen on" in line) == (ExitCode.FAILED, True)


@pytest.mark.parametrize(
    "arguments", [("worker",), ("view",), ("webhooks",), ("topics", "check"), ("verify",), ("model", "show")]
)
def test_command_without_a_broker_ends_with_failed(arguments: tuple[str, ...], folder: Path) -> None:
    ports = {f"{service.upper()}__HEALTH_PORT": 0 for service in SERVICES}
    status, line = ended(folder, *arguments, **ports)
    assert (status, "Kafka" in line) == (ExitCode.FAILED, True), line


@pytest.mark.parametrize("service", SERVICES)
def test_service_with_a_wrong_setting_is_refused(service: str, folder: Path) -> None:
    status, line = ended(folder, service, **{f"{service.upper()}__HEALTH_PORT": "high"})
    assert (status, f"setting {service}.health_port: 'high' is refused" in line) == (ExitCode.REFUSED, True)
    status, line = ended(folder, service, "--config", "gone.toml")
    assert (status, "gone.toml: cannot be read" in line) == (ExitCode.REFUSED, True)


@pytest.mark.parametrize("arguments", [("replay", "--purchases", "purchases.csv"), ("nothing",), ("api", "--nothing")])
def test_command_that_cannot_be_meant_is_refused(arguments: tuple[str, ...], folder: Path) -> None:
    assert ended(folder, *arguments)[0] == ExitCode.REFUSED


def test_service_that_is_asked_to_end_is_done(folder: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = begin(folder, "api", API__PORT=0, API__HEALTH_PORT=0)
        assert process.stderr is not None
        assert any("serving http" in line for line in process.stderr)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == ExitCode.DONE


def test_service_that_is_in_doubt_says_why_in_its_last_line() -> None:
    script = f"from stream_app.adapters.logs import log_to_stderr; log_to_stderr(); {SERVICE_THAT_DOUBTS}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.DOUBT
    assert last_words(done.stderr) == ["FATAL nobody knows what was written"]


def test_table_of_exit_codes_has_each_once_and_no_other_page_has_another_table() -> None:
    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert [int(code) for code in listed] == sorted(ExitCode)
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        assert page.name == "commands.md" or not re.search(r"^\| (70|130) \|", page.read_text("utf-8"), re.MULTILINE)


def test_supervisor_restarts_after_everything_but_a_refused_start() -> None:
    (snippet,) = re.findall(r"(?:^    .+\n)*^    Restart=.+\n(?:^    .+\n)*", kafka_page(), re.MULTILINE)
    options = dict(line.strip().split("=") for line in snippet.splitlines() if "=" in line)
    assert options["Restart"] == "on-failure"
    assert options["RestartPreventExitStatus"] == str(int(ExitCode.REFUSED))


def kafka_page() -> str:
    return (ROOT / "docs" / "kafka.md").read_text("utf-8")
