"""The library is built by whatever compiler there is, when it must be, and ends up in wheels."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from native import build
from tests.support.programs import ProgramMissing
from tests.support.wild_arguments import FUNCTIONS, digest

ROOT: Final = Path(__file__).parents[2]
NEEDED: Final = ("MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "native", "stream_app")
OLD: Final = 1_000_000_000
ELF_MACHINES: Final = {"x86_64": 62, "aarch64": 183}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the sources, without a library."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "libsegmenter.*", "corpus")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture
def without_compilers(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which no program is found."""
    return {"PATH": str(tmp_path / "nothing"), "HOME": str(tmp_path)}


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose compiler optimises nothing: for when a library is built, whatever is in it."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        raise ProgramMissing(
            "no C compiler: when the library is built is looked at where there is one", is_packaged=False
        )
    compiler = tmp_path / "quick"
    compiler.write_text(f'#!/bin/sh\nexec {found} "$@" -O0 -U_FORTIFY_SOURCE\n', "ascii")
    compiler.chmod(0o755)
    return os.environ | {"CC": str(compiler)}


def run_build(tree: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, tree / "native" / "build.py"]
    own = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
    return subprocess.run(
        command, env=environment or own, capture_output=True, text=True, check=False, timeout=600, cwd=tree
    )


def library_of(tree: Path) -> Path:
    return tree / "stream_app" / "native" / "libsegmenter.so"


def test_second_build_has_nothing_to_do(tree: Path, quick: dict[str, str]) -> None:
    assert run_build(tree, quick).stdout == f"built {library_of(tree)}\n"
    before = library_of(tree).stat().st_ino
    again = run_build(tree, quick)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert library_of(tree).stat().st_ino == before


@pytest.mark.parametrize("name", ["segmenter.h", "abi.c", "vendor/xxhash.h", "build.py"])
def test_changed_source_is_built_anew_however_old_it_looks(name: str, tree: Path, quick: dict[str, str]) -> None:
    run_build(tree, quick)
    source = tree / "native" / name
    source.write_text(source.read_text("utf-8") + "\n", "utf-8")
    os.utime(source, (OLD, OLD))
    assert run_build(tree, quick).stdout


def test_touched_but_unchanged_source_is_not_built_anew(tree: Path, quick: dict[str, str]) -> None:
    run_build(tree, quick)
    for source in (tree / "native").rglob("*.c"):
        source.touch()
        source.chmod(0o444)
    assert not run_build(tree, quick).stdout


def test_builds_at_once_leave_one_whole_library_and_nothing_else(tree: Path) -> None:
    command = [sys.executable, tree / "native" / "build.py"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [each.wait(timeout=600) for each in running] == [0, 0, 0]
    library = library_of(tree)
    assert [path.name for path in library.parent.glob("libsegmenter*")] == [library.name]
    assert digest(library, 0) == digest(build.LIBRARY, 0)
    assert stat.S_IMODE(library.stat().st_mode) == 0o755


def test_broken_source_leaves_the_library_as_it_was(tree: Path, quick: dict[str, str]) -> None:
    run_build(tree, quick)
    before = library_of(tree).read_bytes()
    (tree / "native" / "abi.c").write_text("this is not C", "ascii")
    failed = run_build(tree, quick)
    assert failed.returncode == 1
    assert "abi.c" in failed.stderr
    assert library_of(tree).read_bytes() == before


def test_what_nobody_may_write_is_said_in_a_line(tree: Path) -> None:
    shutil.rmtree(library_of(tree).parent)
    failed = run_build(tree)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "cannot be written (No such file or directory)" in failed.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sources_compile_without_a_warning(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(compiler) is None:
        raise ProgramMissing(f"no {compiler}: its warnings are looked at where it is installed", is_packaged=False)
    monkeypatch.setenv("CC", compiler)
    assert build.build(tmp_path / "strict.so", flags=["-Werror"])


def test_sum_that_leaves_its_range_ends_the_process(tree: Path) -> None:
    source = tree / "native" / "abi.c"
    planted = "\nSEG_API int32_t seg_next(int32_t x);\nint32_t seg_next(int32_t x) { return x + 1; }\n"
    source.write_text(source.read_text("utf-8") + planted, "utf-8")
    run_build(tree)
    ask = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).seg_next(int(sys.argv[2])))"
    fine, ended = (
        subprocess.run(
            [sys.executable, "-c", ask, library_of(tree), str(number)], capture_output=True, text=True, check=False
        )
        for number in (2**31 - 2, 2**31 - 1)
    )
    assert (fine.returncode, fine.stdout) == (0, f"{2**31 - 1}\n")
    assert ended.returncode in (-signal.SIGILL, -signal.SIGTRAP)


def test_only_the_interface_is_visible() -> None:
    nm = shutil.which("nm")
    if nm is None:
        raise ProgramMissing("no nm: what the library exports is looked at where it is installed", is_packaged=False)
    said = subprocess.run([nm, "-D", "--defined-only", build.LIBRARY], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in said.stdout.splitlines()}
    assert {"seg_abi", "seg_build", "seg_map"} <= names
    assert all(name.startswith("seg_") for name in names)
    assert not names & {"seg_exp", "seg_pow", "seg_exp_data"}


def test_compiler_without_a_libc_is_passed_over(tree: Path, without_compilers: dict[str, str]) -> None:
    folder = Path(without_compilers["PATH"])
    folder.mkdir()
    compiler = folder / "cc"
    compiler.write_text("#!/bin/sh\necho 'fatal error: stdint.h: No such file' >&2\nexit 1\n", "ascii")
    compiler.chmod(0o755)
    failed = run_build(tree, without_compilers)
    assert (failed.returncode, failed.stderr) == (1, f"{build.WITHOUT_COMPILER}\n")
    named = run_build(tree, without_compilers | {"CC": "cc"})
    assert (named.returncode, named.stderr.count("\n")) == (1, 1)
    assert named.stderr.startswith("CC=cc: cannot compile")


def test_zig_compiles_where_nothing_else_does(tree: Path, ziglang: Path, without_compilers: dict[str, str]) -> None:
    asked = [sys.executable, tree / "native" / "build.py", "--lacks-compiler"]
    assert subprocess.run(asked, env=without_compilers, check=False, timeout=600).returncode == 0
    without_compilers["PYTHONPATH"] = str(ziglang)
    assert subprocess.run(asked, env=without_compilers, check=False, timeout=600).returncode == 1
    built = run_build(tree, without_compilers)
    assert (built.returncode, built.stderr) == (0, "")
    for number in range(len(FUNCTIONS)):
        assert digest(library_of(tree), number) == digest(build.LIBRARY, number)


def wheel(tree: Path, environment: dict[str, str], *options: object) -> Path:
    """Build the wheel of a tree by this environment's setuptools; return where it is."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    folder = tree.parent / "dist"
    done = subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", folder, *options, tree],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.iterdir()
    return found


def packed_texts(path: Path) -> dict[str, bytes]:
    """Return the licences in a wheel, by where they stand in the sources."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
        return {name.partition("/licenses/")[2]: archive.read(name) for name in names}


def packed_library(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("stream_app/native/libsegmenter.so")


@pytest.mark.parametrize(
    ("target", "tag"),
    [
        ("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
        ("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    ],
)
def test_wheel_of_a_target_has_its_tag_and_its_library(target: str, tag: str, tree: Path, ziglang: Path) -> None:
    path = wheel(tree, os.environ | {"PYTHONPATH": str(ziglang)}, "--config-settings", f"target={target}")
    assert path.name.endswith(f"-py3-none-{tag}.whl")
    packed = packed_library(path)
    assert packed.startswith(b"\x7fELF")
    assert struct.unpack_from("<H", packed, 18) == (ELF_MACHINES[target.partition("-")[0]],)
    assert not library_of(tree).exists(), "the tree's library is this machine's, never another's"


def test_wheel_by_an_installed_compiler_is_for_this_machine_alone(tree: Path, tmp_path: Path) -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        raise ProgramMissing("no C compiler: its wheels are looked at where there is one", is_packaged=False)
    path = wheel(tree, dict(os.environ))
    assert "-py3-none-" in path.name
    assert "manylinux" not in path.name
    (tmp_path / "unpacked.so").write_bytes(packed_library(path))
    assert digest(tmp_path / "unpacked.so", 0) == digest(build.LIBRARY, 0)
    others = [source.relative_to(ROOT) for source in (ROOT / "native" / "vendor").rglob("*COPY*")]
    assert len(others) == 3
    assert packed_texts(path) == {str(name): (ROOT / name).read_bytes() for name in (Path("LICENSE"), *others)}
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".c", ".h"))], "sources are the archive's"


def test_pip_installs_from_source_without_a_compiler(tree: Path, without_compilers: dict[str, str]) -> None:
    environment = tree.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=600)
    python = environment / "bin" / "python"
    settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "XDG_"))}
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", tree],
        env=settings | without_compilers | {"HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
        timeout=1_200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (library,) = environment.glob("lib/python*/site-packages/stream_app/native/libsegmenter.so")
    assert digest(library, 0) == digest(build.LIBRARY, 0)
