"""Commands that need the compiled library end with a line where it is missing or another one; the others work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from native import build

ROOT: Final = Path(__file__).parents[2]
PURCHASE: Final = (
    '{"event_id":"e-1","customer_id":"c-1","order_id":"o-1","occurred_at":"2025-01-02T03:04:05Z",'
    '"currency":"EUR","total":"12.34"}\n'
)
COMMANDS: Final = {
    "demo": ("demo",),
    "replay": ("replay", "--purchases", "purchases.jsonl"),
    "worker": ("worker",),
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the package, without its library."""
    ignored = shutil.ignore_patterns("__pycache__", build.LIBRARY.name)
    shutil.copytree(ROOT / "stream_app", tmp_path / "stream_app", ignore=ignored)
    (tmp_path / "purchases.jsonl").write_text(PURCHASE, "utf-8")
    carry_purchases(tmp_path)
    return tmp_path


def carry_purchases(folder: Path) -> None:
    """Stand in for the package that carries the demo's purchases."""
    metadata = folder / "lifetimes-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lifetimes\nVersion: 0\n", "utf-8")
    (metadata / "RECORD").write_text("CDNOW_master.txt,,\n", "utf-8")
    (folder / "CDNOW_master.txt").write_text("id day items amount\n1 19970101 1 5.00\n", "utf-8")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the package in a folder."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SEGMENTER", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *arguments],
        cwd=folder,
        env=own | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def build_changed(folder: Path, name: str, old: str, new: str) -> None:
    """Put a library into the package that is built from other sources."""
    sources = folder / "native"
    shutil.copytree(ROOT / "native", sources, ignore=shutil.ignore_patterns("__pycache__", "fuzz"))
    source = sources / name
    text = source.read_text("utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), "utf-8")
    subprocess.run([sys.executable, sources / "build.py"], capture_output=True, check=True, timeout=600)


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_library_is_said_in_a_line(command: str, installed: Path) -> None:
    done = run(installed, *COMMANDS[command])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("segmenter: the compiled library cannot be loaded (")
    assert done.stderr.endswith("run `make setup`, or install a wheel for this platform\n")


def test_library_of_another_version_is_said_in_a_line(installed: Path) -> None:
    build_changed(installed, "segmenter.h", "#define SEG_ABI 1\n", "#define SEG_ABI 999\n")
    expected = "segmenter: libsegmenter.so: version 999, expected 1; run `make setup` to build it anew\n"
    for arguments in COMMANDS.values():
        done = run(installed, *arguments)
        assert (done.returncode, done.stderr) == (2, expected)


def test_library_that_shares_another_structure_is_said_in_a_line(installed: Path) -> None:
    build_changed(installed, "abi.c", "SIZED(seg_event), ", '{"seg_event", 1},')
    done = run(installed, *COMMANDS["replay"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("segmenter: libsegmenter.so: seg_event has 1 bytes, expected ")


def test_what_is_no_library_is_said_in_a_line(installed: Path) -> None:
    (installed / "stream_app" / "native" / build.LIBRARY.name).write_text("<html>not found</html>", "utf-8")
    done = run(installed, *COMMANDS["replay"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("segmenter: the compiled library cannot be loaded (")


@pytest.mark.parametrize("arguments", [("--help",), ("worker", "--help"), ("settings",)])
def test_help_and_settings_need_no_library(arguments: tuple[str, ...], installed: Path) -> None:
    done = run(installed, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
