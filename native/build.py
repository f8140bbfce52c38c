"""Builds the compiled library with whatever C compiler there is; the Makefile, the wheel and the image all call this.

Compiler: `$CC` if that is set; else the first of cc, gcc and clang that compiles and links a library of one function (a
compiler without libc's headers does not); else Zig's, which comes as the wheel `ziglang` and needs neither root nor
headers. Zig compiles for other platforms as well, and names the oldest libc that will do.

What is built is current if it carries the digest of what it was built from: sources, flags and target. Times of files
say nothing of that (a checkout, a copy and an archive each set them as they like), and a stamp beside the library could
contradict it. The library appears under its name only when complete, so that any number of builds may run at once.

Flags: nothing may be contracted into fused multiply-adds, or results would have other bits (see mathematics.c). Reads
and writes beyond an array whose size the compiler knows end the process instead of going on (`-fsanitize=bounds`,
`_FORTIFY_SOURCE`, stack protector), and so does a sum of signed integers that leaves its range: measured, 5 % of the
scanner's time for the first, at most 3 % of any part's for the second (clang: 6 %). What is meant to wrap is unsigned.
A newer x86-64 is not asked for: x86-64-v2 made the scanner no faster; the checksum looks for its instruction itself.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent
LIBRARY: Final = ROOT.parent / "stream_app" / "native" / "libsegmenter.so"
"""Named alike on macOS, as extension modules are."""
WITHOUT_COMPILER: Final = (
    "no C compiler that works: install one (Debian's gcc and libc6-dev), or run `make setup`, which brings its own"
)

_COMMON: Final = ("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno")
_WARNINGS: Final = ("-Wall", "-Wextra")
_HARDENED: Final = (
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=2",
    "-fstack-protector-strong",
    "-fsanitize=bounds,signed-integer-overflow",
    "-fsanitize-undefined-trap-on-error",
)
_MARK: Final = "stream-segmenter's library, built from "
_EXPORTED: Final = '__attribute__((visibility("default"), used))'
_PROBE: Final = (
    f"#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n{_EXPORTED} int probe(void) {{ return 0; }}\n"
)


class BuildFailed(Exception):
    """The library could not be built; the message says why."""


class CompilerMissing(BuildFailed):
    """No compiler works here."""


@dataclass(frozen=True)
class Target:
    """A platform to build for.

    Attributes
    ----------
    triple
        As Zig names it, with the oldest libc or system.
    wheel
        The tag of wheels for it.
    """

    triple: str
    wheel: str

    @property
    def is_macos(self) -> bool:
        """Whether its libraries are macOS's."""
        return "-macos" in self.triple


def _linux(machine: str) -> list[Target]:
    glibc = f"manylinux_2_17_{machine}.manylinux2014_{machine}"
    return [
        Target(f"{machine}-linux-gnu.2.17", glibc),
        Target(f"{machine}-linux-musl", f"musllinux_1_2_{machine}"),
    ]


TARGETS: Final = {
    target.triple: target
    for target in (
        *_linux("x86_64"),
        *_linux("aarch64"),
        Target("x86_64-macos.11.0", "macosx_11_0_x86_64"),
        Target("aarch64-macos.11.0", "macosx_11_0_arm64"),
    )
}
"""What wheels are made for."""


def host() -> Target:
    """Return the platform that this runs on."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "darwin":
        triple = f"{machine}-macos.11.0"
    elif "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        triple = f"{machine}-linux-musl"
    else:
        triple = f"{machine}-linux-gnu.2.17"
    wheel = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return TARGETS.get(triple, Target(triple, wheel))


@dataclass(frozen=True)
class Compiler:
    """A compiler that works.

    Attributes
    ----------
    command
        What is called, arguments last.
    is_zig
        Whether it is Zig's, and so takes any target.
    flags
        What makes it compile for the target, and those of the flags for safety that it knows.
    """

    command: tuple[str, ...]
    is_zig: bool
    flags: tuple[str, ...]


def find_compiler(target: Target | None, folder: str) -> Compiler:
    """Return the first compiler that works: Zig's for a target that is named, as no other knows old versions of libc.

    Parameters
    ----------
    target
        The platform to compile for; this one if not given.
    folder
        Where it may write.

    Raises
    ------
    CompilerMissing
        If none works.
    BuildFailed
        If `$CC` names one that does not.
    """
    if target is None:
        if named := os.environ.get("CC"):
            found = _try(tuple(shlex.split(named)), host(), folder)
            if found is None:
                raise BuildFailed(f"CC={named}: cannot compile a library of one function; unset it, or name another")
            return found
        for name in ("cc", "gcc", "clang"):
            if shutil.which(name) and (found := _try((name,), host(), folder)):
                return found
    if importlib.util.find_spec("ziglang"):
        there = target or host()
        flags = (*_there(there, True), *_HARDENED)
        return Compiler((sys.executable, "-m", "ziglang", "cc"), True, flags)
    raise CompilerMissing(WITHOUT_COMPILER)


def _try(command: tuple[str, ...], target: Target, folder: str) -> Compiler | None:
    """Return a compiler with as many of the optional flags as it knows; none if it cannot make a library."""
    is_zig = any("zig" in word for word in command)
    source = Path(folder, "probe.c")
    source.write_text(_PROBE, "ascii")
    for optional in (_HARDENED, ()):
        flags = (*_there(target, is_zig), *optional)
        output = ("-o", str(Path(folder, "probe.so")))
        if _run([*command, *_COMMON, *flags, *_link(target), *output, str(source)], folder).returncode == 0:
            return Compiler(command, is_zig, flags)
    return None


def _there(target: Target, is_zig: bool) -> tuple[str, ...]:
    """Return flags that name the platform."""
    if is_zig:
        return ("-target", target.triple)
    return ("-mmacosx-version-min=11.0",) if target.is_macos else ()


def sources() -> list[Path]:
    """Return what is compiled."""
    return sorted([*ROOT.glob("*.c"), *ROOT.glob("vendor/*/*.c")])


def digest(target: Target | None = None, flags: Sequence[str] = ()) -> str:
    """Return the digest of all that a library is made from, but for the compiler."""
    found = hashlib.sha256()
    for path in sorted([*sources(), *ROOT.glob("*.h"), *ROOT.glob("vendor/**/*.h"), Path(__file__).resolve()]):
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    found.update(repr(((target or host()).triple, target is None, *flags)).encode())
    return found.hexdigest()


def is_current(library: Path, wanted: str) -> bool:
    """Return whether a library was built from what has a digest."""
    try:
        return f"{_MARK}{wanted}".encode() in library.read_bytes()
    except OSError:
        return False


def build(library: Path = LIBRARY, target: Target | None = None, flags: Sequence[str] = ()) -> bool:
    """Build the library unless it is current; return whether that was needed.

    Parameters
    ----------
    library
        Where to.
    target
        For which platform, with its oldest libc; this one as it is if not given.
    flags
        What the compiler is to be given besides, after the others; `$CFLAGS` if none are.

    Raises
    ------
    BuildFailed
        If the compiler reports an error, or the library cannot be written.
    """
    flags = tuple(flags) or _own_flags()
    wanted = digest(target, flags)
    if is_current(library, wanted):
        return False
    with tempfile.TemporaryDirectory(prefix="segmenter-") as folder:
        compiler = find_compiler(target, folder)
        mark, made = Path(folder, "mark.c"), Path(folder, library.name)
        mark.write_text(f'{_EXPORTED} const char seg_build[] = "{_MARK}{wanted}";\n', "ascii")
        command = [*compiler.command, *_COMMON, *_WARNINGS, *compiler.flags, *_link(target or host())]
        command += [*flags, "-o", str(made), *map(str, sources()), str(mark)]
        done = _run(command, folder)
        if done.returncode != 0:
            raise BuildFailed(f"{shlex.join(command)}\n{done.stderr.strip()}")
        _put(made, library)
    return True


def _own_flags() -> tuple[str, ...]:
    return tuple(shlex.split(os.environ.get("CFLAGS", "")))


def _link(target: Target) -> tuple[str, ...]:
    """Return flags for linking: everything must be found, addresses are fixed and then read-only."""
    return ("-shared",) if target.is_macos else ("-shared", "-s", "-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now")


def _put(made: Path, library: Path) -> None:
    """Have a complete file take its place at once, readable by everybody."""
    try:
        with tempfile.NamedTemporaryFile(
            dir=library.parent, prefix="libsegmenter.", suffix=".tmp", delete=False
        ) as file:
            complete = Path(file.name)
            try:
                file.write(made.read_bytes())
                file.close()
                complete.chmod(0o755)
                complete.replace(library)
            except BaseException:
                complete.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise BuildFailed(f"{library}: cannot be written ({error.strerror}); build it as a user who may") from error


def _run(command: Sequence[str], folder: str) -> subprocess.CompletedProcess[str]:
    """Run a compiler; Zig's caches are kept out of a home that may be read-only or missing."""
    caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), f"{folder}/zig")
    environment = caches | os.environ | {"LC_ALL": "C"}
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def lacks_compiler() -> bool:
    """Return whether the library is to be built and nothing here can."""
    if is_current(LIBRARY, digest(flags=_own_flags())):
        return False
    with tempfile.TemporaryDirectory(prefix="segmenter-") as folder:
        try:
            find_compiler(None, folder)
        except CompilerMissing:
            return True
        except BuildFailed:
            return False  # the build says so
    return False


def main() -> int:
    """Build the library and say so; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the compiled library, unless it is current.")
    parser.add_argument("--lacks-compiler", action="store_true", help="only exit with 0 if there is no compiler for it")
    parser.add_argument("--list-targets", action="store_true", help="only list the platforms that wheels are made for")
    options = parser.parse_args()
    if options.list_targets:
        print(*TARGETS, sep="\n")
        return 0
    if options.lacks_compiler:
        return 0 if lacks_compiler() else 1
    try:
        if build():
            print(f"built {LIBRARY}")
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
