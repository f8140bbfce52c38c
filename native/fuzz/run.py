"""Fuzzes the parts of the library that read what others wrote, under AddressSanitizer and UndefinedBehaviorSanitizer.

By libFuzzer where clang has it (Debian: clang and libclang-rt-14-dev), else by AFL++ (afl++). What they find anew is
kept in `build/fuzz/<target>`; an input that ends a target is a finding, is named at the end, and belongs into
`corpus/<target>` once it is mended: `make test` runs the corpus and mutants of it, with any compiler.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent
NATIVE: Final = ROOT.parent
TARGETS: Final = tuple(path.name for path in sorted((ROOT / "corpus").iterdir()))
SANITIZERS: Final = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_FLAGS: Final = ("-std=c11", "-O1", "-g", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra")
_INSTALL: Final = "no fuzzer: install Debian's clang and libclang-rt-14-dev (libFuzzer), or afl++"


def compile_library(folder: Path, compiler: Sequence[str], flags: Sequence[str]) -> list[Path]:
    """Compile the library's sources; return the objects, which any number of targets may be made with."""
    sources = [*NATIVE.glob("*.c"), *NATIVE.glob("vendor/*/*.c")]
    subprocess.run([*compiler, *_FLAGS, *flags, "-c", *map(str, sources)], cwd=folder, check=True)
    return sorted(folder.glob("*.o"))


def compile_target(
    target: str, output: Path, compiler: Sequence[str], flags: Sequence[str], objects: list[Path]
) -> None:
    """Make a program of a target, the driver and the library's objects."""
    sources = [ROOT / f"{target}.c", ROOT / "driver.c", *objects]
    subprocess.run([*compiler, *_FLAGS, *flags, "-o", str(output), *map(str, sources)], check=True)


def compile_guided(target: str, output: Path) -> bool:
    """Make a program of a target that libFuzzer drives; return whether clang has it."""
    sources = [ROOT / f"{target}.c", *NATIVE.glob("*.c"), *NATIVE.glob("vendor/*/*.c")]
    flags = ("-fsanitize=fuzzer,address,undefined", SANITIZERS[1])
    command = ["clang", *_FLAGS, *flags, "-o", str(output), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "libclang_rt" not in done.stderr:
        raise SystemExit(done.stderr)
    return done.returncode == 0


def fuzz(target: str, seconds: int, work: Path) -> bool:
    """Fuzz a target for a while; return whether nothing was found."""
    seeds, found, program = ROOT / "corpus" / target, work / target, work / f"{target}.program"
    found.mkdir(parents=True, exist_ok=True)
    if shutil.which("clang") and compile_guided(target, program):
        limits = (f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096")
        kept = (f"-artifact_prefix={found}-", str(found), str(seeds))
        command = [str(program), *limits, "-verbosity=0", "-print_final_stats=1", *kept]
        return subprocess.run(command, check=False).returncode == 0
    for compiler in ("afl-clang-fast", "afl-gcc-fast"):
        if shutil.which(compiler):
            objects = work / "objects"
            objects.mkdir(exist_ok=True)
            library = compile_library(objects, [compiler], SANITIZERS)
            compile_target(target, program, [compiler], SANITIZERS, library)
            command = ["afl-fuzz", "-V", str(seconds), "-i", str(seeds), "-o", str(found), "--", str(program), "@@"]
            settings = {"AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1"}
            subprocess.run(command, env=os.environ | settings, check=True)
            return not any((found / "default" / "crashes").glob("id*"))
    raise SystemExit(_INSTALL)


def main() -> int:
    """Fuzz the targets one after the other; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description="Fuzz what reads bytes of others.")
    parser.add_argument("--seconds", type=int, default=60, help="for how long each target, %(default)s if not given")
    parser.add_argument("--work", type=Path, default=NATIVE.parent / "build" / "fuzz", help="where findings are kept")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"which of {', '.join(TARGETS)}; all if none")
    options = parser.parse_args()
    broken = [name for name in options.targets or TARGETS if not fuzz(name, options.seconds, options.work)]
    for name in broken:
        print(f"{name}: a finding, see {options.work}/{name}*", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
