"""A role is installed with what it needs and nothing else; whatever is missing is named."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from typing import Final

import click
import grimp
import pytest

from stream_app import commands
from stream_app.cli import COMMANDS
from stream_app.commands.serve import FILES
from stream_app.extras import MODULES, missing_extra
from tests.support.replays import ROOT

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROLES: Final = ("worker", "view", "api", "webhooks", "replay")
EXTRAS: Final = PROJECT["optional-dependencies"]
FRAMES: Final = ("pandas", "polars", "pyarrow")
"""Libraries of data frames, taken as they come: a caller who has none hands none over."""
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


LATE: Final = (
    ("stream_app.commands.serving", "stream_app.bootstrap.api", "with --serve alone"),
    ("stream_app.commands.serving", "stream_app.adapters.service", "with --serve alone"),
    ("stream_app.commands.serving", "uvloop", "with --serve alone"),
    ("stream_app.adapters.kafka_security", "faust", "by workers alone"),
)
"""Imports inside functions that a command may do without: module, what it imports, and when."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """All imports of the package, those inside functions, too, but for those of `LATE`; import-linter builds it."""
    graph = grimp.build_graph("stream_app", include_external_packages=True, cache_dir=None)
    for importer, imported, _ in LATE:
        assert graph.direct_import_exists(importer=importer, imported=imported), (importer, imported)
        graph.remove_import(importer=importer, imported=imported)
    return graph


def brought_by(extras: tuple[str, ...]) -> set[str]:
    """Return the packages that are there whichever of some extras is installed."""
    return set.intersection(*(locked(extra) for extra in extras or ROLES))


def with_subcommands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        yield from with_subcommands(inner)


def test_every_command_is_in_the_list_with_extras_that_there_are() -> None:
    listed = [each for entry in COMMANDS.values() for each in with_subcommands(resolve_name(entry.place))]
    for module in iter_modules(commands.__path__, f"{commands.__name__}."):
        for name, value in vars(import_module(module.name)).items():
            assert not isinstance(value, click.Command) or value in listed, (
                f"{module.name}:{name} is a command that COMMANDS of stream_app/cli.py lacks: name its place, its "
                "summary and the extras that bring what it imports"
            )
    for name, entry in COMMANDS.items():
        assert set(entry.extras) <= set(ROLES), f"`segmenter {name}` names {entry.extras}, expected some of {ROLES}"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_imports_nothing_that_its_extras_do_not_bring(name: str, imports: grimp.ImportGraph) -> None:
    entry = COMMANDS[name]
    place, brought, distributions = entry.place.partition(":")[0], brought_by(entry.extras), packages_distributions()
    for module in sorted(imports.find_upstream_modules(place)):
        if module.startswith("stream_app") or module in sys.stdlib_module_names:
            continue
        packages = {normalized(package) for package in distributions.get(module, [module])}
        if packages & brought or module in FRAMES:
            continue
        way = " → ".join(imports.find_shortest_chain(importer=place, imported=module) or ())
        extras = ", ".join(MODULES.get(module, ())) or f"none; add {module} to MODULES of stream_app/extras.py"
        pytest.fail(
            f"`segmenter {name}` imports {module}, which its extras {entry.extras or '(none)'} do not bring: name "
            f"another in COMMANDS of stream_app/cli.py (those that bring it: {extras}), or import it in no module that "
            f"the command needs. The way: {way}"
        )


def test_a_module_that_is_not_brought_is_found(imports: grimp.ImportGraph) -> None:
    assert "river" in imports.find_upstream_modules("stream_app.commands.worker")
    assert "river" not in brought_by(COMMANDS["view"].extras)
    assert "redis" not in brought_by(COMMANDS["model"].extras), "only the view and the API bring it"
