"""Programs that tests start and no Python package brings; CONTRIBUTING says what is skipped without them.

As a command it prints the Debian packages of those that are missing.
"""

from __future__ import annotations

import shutil
from typing import Final

from tests.support.processes import ServerUnavailable

PACKAGES: Final = {
    "chromium": "chromium",
    "java": "default-jre-headless",
    "kcat": "kcat",
    "mvn": "maven",
    "node": "nodejs",
    "npm": "npm",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
}
"""Debian's package by program."""
STAND_INS: Final = {"chromium": ("chromium-browser", "google-chrome"), "kubectl": ("kustomize",)}
"""Programs that do as well."""


class ProgramMissing(ServerUnavailable):
    """A program that a test needs is not installed; the message says how to get it.

    Parameters
    ----------
    message
        What is missing, and what to do.
    is_packaged
        Whether Debian has it, so that `make test` installs it where it may.
    """

    def __init__(self, message: str, *, is_packaged: bool = True) -> None:
        super().__init__(message)
        self.is_packaged = is_packaged


def find_program(name: str) -> str:
    """Return the path of a program or of one that does as well.

    Raises
    ------
    ProgramMissing
        If there is neither.
    """
    names = (name, *STAND_INS.get(name, ()))
    for path in map(shutil.which, names):
        if path is not None:
            return path
    remedy = f"install Debian's package {PACKAGES[name]}" if name in PACKAGES else "Debian has no package of it"
    raise ProgramMissing(f"no {' or '.join(names)}: {remedy}", is_packaged=name in PACKAGES)


def missing_packages() -> list[str]:
    """Return the Debian packages that would bring what is missing, each once."""

    def is_missing(name: str) -> bool:
        return not any(map(shutil.which, (name, *STAND_INS.get(name, ()))))

    return list(dict.fromkeys(package for name, package in PACKAGES.items() if is_missing(name)))


if __name__ == "__main__":
    print(*missing_packages())
