"""The pages' modules by themselves: what a linter and a type checker find, and what the tests of `units` say."""

from __future__ import annotations

import json
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
    shutil.copy(ASSETS.with_name("reference") / "reference.js", folder / "assets")  # served beside what it imports
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


def test_a_linter_and_a_type_checker_find_what_is_wrong_and_nothing_else(folder: Path) -> None:
    installed = done(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    assert installed.returncode == 0, installed.stderr
    wrong = 'import { count } from "./format.js";\nconst unused = nothing;\ncount(1).naught();\n'
    (folder / "assets" / "wrong.js").write_text(wrong)
    linted = done(folder, "node", "node_modules/eslint/bin/eslint.js", "--format", "json", "assets", "browser", "units")
    findings = {
        (Path(file["filePath"]).name, each["ruleId"]) for file in json.loads(linted.stdout) for each in file["messages"]
    }
    assert findings == {("wrong.js", "no-unused-vars"), ("wrong.js", "no-undef")}, linted.stdout
    checked = done(folder, "node", "node_modules/typescript/bin/tsc", "--project", ".")
    assert [line.partition(": ")[2] for line in checked.stdout.splitlines() if line.startswith("assets/wrong.js")] == [
        "error TS2304: Cannot find name 'nothing'.",
        "error TS2339: Property 'naught' does not exist on type 'string'.",
    ]
    assert checked.stdout.count("\n") == 2, checked.stdout
