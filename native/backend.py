"""How pip builds the package: setuptools', and the compiled library in the wheel.

A wheel holds the library of one platform and runs with every Python there, since the library knows nothing of Python:
its tag is `py3-none-<platform>`. Where a compiler is installed, the wheel is for this machine (`linux_x86_64`, as what
its libc and headers require of another is not known). Where none is, pip is asked for Zig's, which compiles against the
oldest libc that is supported: the tag says so (`manylinux_2_17_x86_64`). A target may be named: `pip wheel
--config-settings target=aarch64-linux-musl .`.

An editable installation asks for no compiler, so that `make locks` resolves the same on every machine; `make setup`
installs the lock's first.
"""

from __future__ import annotations

import shutil
import sysconfig
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import build
from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  (the hooks that stay as they are)
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
)
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

Settings = dict[str, Any] | None


class _Wanted:
    """What the wheel that is being built is for; a build has a process of its own."""

    target: build.Target | None = None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what pip must install for the build: Zig's compiler where no other will do."""
    requires: list[str] = build_meta.get_requires_for_build_wheel(config_settings)
    return requires if _finds_compiler(_target(config_settings)) else [*requires, *_compiler_wheel()]


def prepare_metadata_for_build_wheel(folder: str, config_settings: Settings = None) -> str:
    """Write the metadata of the wheel."""
    _Wanted.target = _target(config_settings)
    return str(build_meta.prepare_metadata_for_build_wheel(folder, config_settings))


def build_wheel(folder: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the wheel of a platform."""
    _Wanted.target = _target(config_settings)
    return str(build_meta.build_wheel(folder, config_settings, metadata_directory))


class BuildWithLibrary(build_py):
    """Has the library compiled, into the source tree or, for a named target, into the wheel alone."""

    def run(self) -> None:
        """Copy the modules, and put the library beside them."""
        super().run()
        try:
            if _Wanted.target is not None:
                build.build(self._place(), _Wanted.target)
            else:
                build.build()
                if not self.editable_mode:
                    shutil.copy(build.LIBRARY, self._place())
        except build.BuildFailed as error:
            raise SystemExit(f"error: {error}") from None

    def _place(self) -> Path:
        place = Path(self.build_lib, *build.LIBRARY.parts[-3:])
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python 3."""

    def finalize_options(self) -> None:
        """Take the package for what it is: not of Python alone."""
        self.distribution.has_ext_modules = lambda: True
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, ABI and platform."""
        if _Wanted.target is None and not build.host().is_macos:
            return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return "py3", "none", (_Wanted.target or build.host()).wheel


def _target(config_settings: Settings) -> build.Target | None:
    """Return the target that is asked for, or this machine's if only Zig can compile for it; else none."""
    named = (config_settings or {}).get("target")
    if named is None:
        return None if _finds_compiler(None) else build.host()
    if named not in build.TARGETS:
        raise SystemExit(f"error: target {named}: not known, expected one of {', '.join(build.TARGETS)}")
    return build.TARGETS[named]


def _finds_compiler(target: build.Target | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="segmenter-") as folder:
        try:
            compiler = build.find_compiler(target, folder)
        except build.CompilerMissing:
            return False
        except build.BuildFailed as error:
            raise SystemExit(f"error: {error}") from None
    return target is not None or not compiler.is_zig


def _compiler_wheel() -> list[str]:
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8")
    extras: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return extras["compiler"]
