"""What a machine lacks is named, and skipped or failed as CONTRIBUTING has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Final

import pytest

from tests.support import programs
from tests.support.processes import PORTS, ServerUnavailable, free_port

ROOT: Final = Path(__file__).parents[2]
REDIS_TEST: Final = "tests/integration/test_servers.py::test_redis_comes_up_and_ends"
TAKE_A_PORT: Final = "from tests.support.processes import free_port; print(free_port(), flush=True); input()"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a folder for PATH in which nothing is but what every system has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env", "sed", "id"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def run(*command: object, path: Path, status: int) -> str:
    """Run a command with another PATH; return what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=environment | {"PATH": str(path), "COLUMNS": "250"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_page_for_contributors_lists_the_programs_and_their_packages() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \| [^|]* \|$", section("What the tests need"), re.MULTILINE)
    named = [(re.findall("`([^`]+)`", names), re.findall("`([^`]+)`", packages)) for names, packages in rows]
    listed = {name: package for names, packages in named for name, package in zip_longest(names, packages)}
    unpackaged = programs.STAND_INS.keys() - programs.PACKAGES.keys()
    assert listed == programs.PACKAGES | dict.fromkeys(unpackaged)


def section(title: str) -> str:
    (text,) = re.findall(
        rf"^## {title}\n(.*?)(?=^#)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(text)


@pytest.mark.parametrize(("options", "status", "outcome"), [((), 1, "FAILED"), (("--skip-missing",), 0, "SKIPPED")])
def test_test_without_its_program_says_so(options: tuple[str, ...], status: int, outcome: str, bare: Path) -> None:
    said = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, REDIS_TEST, path=bare, status=status)
    (line,) = [line for line in said.splitlines() if line.startswith(outcome)]
    assert line.endswith("no redis-server: install Debian's package redis-server")


def test_make_names_what_is_missing_where_it_may_not_install(bare: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    for stamp in (".runtime", ".dev"):
        (environment / stamp).touch()
    make = shutil.which("make")
    said = run(make, f"VENV={environment}", "MAY_INSTALL=", "programs", path=bare, status=0)
    assert set(programs.PACKAGES.values()) <= set(said.split())


def test_port_is_nobody_else_s_until_its_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", TAKE_A_PORT]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        assert taken in PORTS
        monkeypatch.setattr("tests.support.processes.PORTS", range(taken, taken + 1))
        with pytest.raises(ServerUnavailable):
            free_port()
        other.communicate("\n")
    assert free_port() == taken
