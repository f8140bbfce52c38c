"""A role is installed with what it needs and nothing else; whatever is missing is named."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from stream_app.cli import COMMANDS
from stream_app.commands.serve import FILES
from stream_app.extras import MODULES, missing_extra
from tests.support.replays import ROOT

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROLES: Final = ("worker", "view", "api", "webhooks", "replay")
EXTRAS: Final = PROJECT["optional-dependencies"]
BASE_COMMANDS: Final = [name for name, entry in COMMANDS.items() if not entry.extras]
WITHOUT: Final = """
import sys
absent = set({absent!r})
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Hiding, sys.meta_path)
from stream_app.cli import main
main({arguments!r})
"""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of(requirements: list[str]) -> set[str]:
    return {normalized(re.split(r"[\[<>=]", requirement)[0]) for requirement in requirements}


def locked(lock: str) -> set[str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return {normalized(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def absent_beside(lock: str) -> set[str]:
    """Return what can be imported here and could not where only a lock is installed."""
    present = locked(lock) | {"stream-segmenter"}
    return {
        module
        for module, distributions in packages_distributions().items()
        if not present & {normalized(name) for name in distributions} and module not in sys.stdlib_module_names
    }


def run_without(absent: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    script = WITHOUT.format(absent=sorted(absent), arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_modules_are_brought_by_the_extras_that_are_said_to() -> None:
    distributions = packages_distributions()
    for module, extras in MODULES.items():
        wanted = {normalized(name) for name in distributions[module]}
        assert {role for role in ROLES if wanted & names_of(EXTRAS[role])} == set(extras), module
    brought = {normalized(name) for module in MODULES for name in distributions[module]}
    assert brought == set().union(*(names_of(EXTRAS[role]) for role in ROLES))


def test_all_is_every_role() -> None:
    assert EXTRAS["all"] == [f"{PROJECT['name']}[{','.join(ROLES)}]"]


@pytest.mark.parametrize("role", ROLES)
def test_lock_of_a_role_is_of_one_piece_with_the_one_of_all(role: str) -> None:
    def pins(lock: str) -> set[tuple[str, str]]:
        return set(
            re.findall(
                r"^([a-z0-9.-]+)==(\S+) ", (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8"), re.MULTILINE
            )
        )

    assert pins(role) <= pins("runtime")
    assert names_of(PROJECT["dependencies"]) | names_of(EXTRAS[role]) <= locked(role)
    others = set().union(*(names_of(EXTRAS[other]) for other in ROLES)) - names_of(EXTRAS[role])
    assert not others & locked(role)


@pytest.mark.parametrize("role", ROLES)
def test_commands_of_a_role_start_with_its_lock_alone(role: str) -> None:
    absent = absent_beside(role)
    assert "pytest" in absent
    for name in [name for name, entry in COMMANDS.items() if role in entry.extras]:
        run = run_without(absent, name, "--help")
        assert (run.returncode, run.stderr) == (0, ""), name


def test_commands_of_the_base_start_without_any_extra() -> None:
    absent = set.intersection(*(absent_beside(role) for role in ROLES)) | MODULES.keys()
    for name in BASE_COMMANDS:
        run = run_without(absent, name, "--help")
        assert (run.returncode, run.stderr) == (0, ""), name


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.extras])
def test_command_without_its_extra_says_in_a_line_which_one_it_is(name: str, tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file).touch()
    # these import what they need late
    late = {"serve": [str(tmp_path), "--port", "0"], "demo": ["--out", str(tmp_path)]}
    run = run_without(set(MODULES), name, *late.get(name, ["--help"]))
    assert (run.returncode, run.stderr.count("\n")) == (2, 1), run.stderr
    extra = COMMANDS[name].extras[0]
    assert f"`segmenter {name}` needs the package " in run.stderr
    assert f"pip install 'stream-segmenter[{extra}]'" in run.stderr


def test_python_interface_without_its_extra_says_which_one_it_is() -> None:
    script = WITHOUT.format(absent=sorted(MODULES), arguments=[]).replace(
        "from stream_app.cli import main\nmain([])", ""
    )
    run = subprocess.run(
        [sys.executable, "-c", f"{script}import stream_app\nstream_app.Segmenter"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stderr.splitlines()[-1].startswith("ImportError: stream_app.Segmenter needs the package ")
    assert "stream-segmenter[replay]" in run.stderr


def test_module_that_no_extra_brings_is_a_bug_and_not_a_missing_extra() -> None:
    assert missing_extra("stream_app.absent", ("worker",), "it") is None
    assert missing_extra(None, (), "it") is None


@pytest.mark.parametrize(
    ("wanted", "named"),
    [(("view",), "the extra view brings it"), ((), "the extra worker, view, api, webhooks or replay brings it")],
)
def test_the_extra_that_a_command_wants_is_named_first(wanted: tuple[str, ...], named: str) -> None:
    assert named in str(missing_extra("aiokafka.errors", wanted, "it"))
