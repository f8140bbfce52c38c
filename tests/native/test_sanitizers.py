"""The library under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer: nothing is read, written or
computed that C does not define.

The reference's comparisons run once more in a copy of the repository whose library is compiled so, Python having the
sanitizer loaded before it; and the fuzzers' corpus with mutants of it, as programs of C.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from native import build
from native.fuzz import run as fuzzing
from tests.support.programs import ProgramMissing

ROOT: Final = Path(__file__).parents[2]
MUTANTS: Final = 300
COMPARED: Final = (
    "tests/core/test_consent.py",
    "tests/core/test_unnamed.py",
    "tests/native/test_fold.py",
    "tests/native/test_rows.py",
    "tests/native/test_merging.py",
    "tests/native/test_step.py::test_step_is_the_references_over_random_logs[0]",
    "tests/native/test_learned.py::test_customers_of_nonsense_move_as_in_the_reference[True]",
    "tests/native/test_ledger.py",
    "tests/native/test_program.py",
    "tests/native/test_program_worlds.py::test_customers_are_where_the_definitions_say_at_every_instant[0]",
    "tests/native/test_outputs.py::test_rows_may_say_anything[100]",
    "tests/native/test_outputs.py::test_moves_by_rules_are_told_as_the_reference_tells_them[0-EUR]",
    "tests/native/test_notices.py",
    "--deselect=tests/native/test_fold.py::test_row_is_the_references_after_each_event[2]",
    "--deselect=tests/native/test_fold.py::test_row_is_the_references_after_each_event[3]",
    "--deselect=tests/native/test_fold.py::test_histories_to_compare_reach_the_bounds_of_the_memories",
)
"""Tests that lead through all that the library allocates, indexes and sums, with numbers of any size."""
PLANTED: Final = """
#include "segmenter.h"
#include <stdlib.h>
SEG_API int32_t seg_planted_sum(int32_t x);
SEG_API int32_t seg_planted_read(int32_t at);
int32_t seg_planted_sum(int32_t x) { return x + 1; }
int32_t seg_planted_read(int32_t at) {
  char *volatile bytes = calloc(8, 1);
  const int32_t found = bytes ? bytes[at] : -1;
  free(bytes);
  return found;
}
"""


def gcc() -> str:
    """Return the compiler, whose sanitizers come with it."""
    found = shutil.which("gcc")
    if found is None:
        raise ProgramMissing("no gcc: the library runs under its sanitizers where it is installed", is_packaged=False)
    return found


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the library, compiled with sanitizers."""
    return fuzzing.compile_library(tmp_path_factory.mktemp("objects"), [gcc()], fuzzing.SANITIZERS)


@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_corpus_and_mutants_of_it_do_nothing_undefined(target: str, objects: list[Path], tmp_path: Path) -> None:
    program = tmp_path / target
    fuzzing.compile_target(target, program, [gcc()], fuzzing.SANITIZERS, objects)
    files = sorted((Path(fuzzing.ROOT) / "corpus" / target).iterdir())
    assert files
    done = subprocess.run([program, f"-mutants={MUTANTS}", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository whose library has sanitizers, and two functions with a fault each."""
    folder = tmp_path_factory.mktemp("sanitized")
    for name in ("stream_app", "native", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "libsegmenter.*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "native" / "planted.c").write_text(PLANTED, "ascii")
    flags = (*fuzzing.SANITIZERS, "-fno-sanitize-undefined-trap-on-error", "-O1", "-g")
    # by the copy's own build.py, as sources are looked for beside it
    subprocess.run(
        [sys.executable, folder / "native" / "build.py"],
        env=os.environ | {"CC": gcc(), "CFLAGS": " ".join(flags)},
        capture_output=True,
        check=True,
        timeout=600,
    )
    return folder


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, with the sanitizers loaded before it."""
    runtimes = [
        subprocess.run([gcc(), f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    settings = {
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself frees little at its end
        "PYTHONMALLOC": "malloc",  # so that arrays, too, end where their memory does
        "PYTHONPATH": str(tree),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=own | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_200,
    )


def test_comparisons_with_the_reference_do_nothing_undefined(tree: Path) -> None:
    done = run(tree, "-m", "pytest", "-q", "-s", "-n", "0", "-p", "no:cacheprovider", "-x", *COMPARED)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("seg_planted_sum(2**31 - 1)", "signed integer overflow"),
        ("seg_planted_read(8)", "heap-buffer-overflow"),
    ],
)
def test_comparisons_would_end_at_what_is_undefined(call: str, complaint: str, tree: Path) -> None:
    ask = "from stream_app.native.library import library; print(library().{})"
    fine = run(tree, "-c", ask.format(call.replace("2**31 - 1", "1").replace("(8)", "(7)")))
    assert fine.returncode == 0, fine.stderr
    ended = run(tree, "-c", ask.format(call))
    assert ended.returncode != 0
    assert complaint in ended.stderr


def test_threads_with_tables_of_their_own_and_one_scanner_do_not_meet(tmp_path: Path) -> None:
    program = tmp_path / "threads"
    flags = ("-std=c11", "-O1", "-g", "-fno-math-errno", "-ffp-contract=off", "-fsanitize=thread", "-pthread")
    sources = (Path(__file__).with_name("threads.c"), *build.sources())
    subprocess.run([gcc(), *flags, "-o", program, *sources], check=True, timeout=600)
    # without randomised addresses, which older runtimes stumble over on newer kernels
    prefix = [setarch, "-R"] if (setarch := shutil.which("setarch")) else []
    done = subprocess.run([*prefix, program], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
