"""The locks install as they stand, with the oldest pip that is supported and with the newest that the index has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = sorted((ROOT / "requirements").glob("*.txt"))
COMPILER: Final = "ziglang"
"""Installed only where there is no other compiler."""
NEEDED: Final = ("Makefile", "pyproject.toml", "README.md", "LICENSE", "native", "requirements", "stream_app")
PIPS: Final = {"oldest": "pip==23.0.1", "newest": "pip"}
"""The oldest is what Debian 12 puts into a virtual environment."""
PATIENCE_SECONDS: Final = 1_200
PINNED: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;]+) \\$", re.MULTILINE)


def run(*command: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON"))}
    environment |= {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(python: Path) -> dict[str, str]:
    lines = run(python, "-m", "pip", "list", "--format=freeze", "--exclude-editable", folder=python.parent).split()
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("age", PIPS)
def test_all_locks_install_into_an_empty_environment(age: str, tmp_path: Path) -> None:
    for name in NEEDED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", ".venv", folder=tmp_path)
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", PIPS[age], folder=tmp_path)
    assert age == "newest" or installed(python)["pip"] == PIPS[age].partition("==")[2]

    run("make", "setup", folder=tmp_path)

    locked = {name: version for lock in LOCKS for name, version in PINNED.findall(lock.read_text("utf-8"))}
    found = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed(python).items()}
    assert found == {name: version for name, version in locked.items() if name != COMPILER or COMPILER in found}
    assert (tmp_path / "stream_app" / "native" / "libsegmenter.so").is_file()
    assert run(".venv/bin/segmenter", "settings", folder=tmp_path)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_names_no_address_and_has_a_hash_of_everything(lock: Path) -> None:
    text = lock.read_text("utf-8")
    pins = PINNED.findall(text)
    assert pins
    assert "://" not in text
    assert not re.search(r"^ *-", text.replace("    --hash=sha256:", ""), re.MULTILINE)
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(pins) == sum(not line.startswith("    --hash=sha256:") for line in lines)
