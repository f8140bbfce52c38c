"""The pages' modules by themselves: what a linter finds in them, and what node's own test runner says of `units`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import find_program

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "stream_app" / "web" / "assets"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules, the scripts of their tests, and a package that says that they are modules."""
    folder = tmp_path_factory.mktemp("scripts") / "place"
    shutil.copytree(HERE / "scripts", folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ASSETS, folder / "assets")
    for name in ("browser", "units"):
        shutil.copytree(HERE / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "*.json"))
    return folder


def done(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [find_program(program), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_every_unit_does_what_it_says(folder: Path) -> None:
    units = sorted(path.relative_to(folder).as_posix() for path in folder.glob("units/*.test.mjs"))
    assert len(units) >= 4
    ran = done(folder, "node", "--test", *units)
    assert ran.returncode == 0, ran.stdout


def test_a_linter_finds_nothing_in_the_modules(folder: Path) -> None:
    installed = done(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    assert installed.returncode == 0, installed.stderr
    eslint = ("node_modules/eslint/bin/eslint.js", "--max-warnings", "0", "assets", "browser", "units")
    found = done(folder, "node", *eslint)
    assert found.returncode == 0, found.stdout + found.stderr
    (folder / "assets" / "wrong.js").write_text("const unused = nothing;\n")
    found = done(folder, "node", *eslint)
    assert "no-unused-vars" in found.stdout
    assert "no-undef" in found.stdout
