"""Compilers that the tests of the library use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[2] / "requirements" / "compiler.txt"


@pytest.fixture(scope="session")
def ziglang(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder on whose path Zig's compiler is, as the lock has it: this environment's, or a temporary one."""
    found = importlib.util.find_spec("ziglang")
    if found is not None and found.origin is not None:
        return Path(found.origin).parents[1]
    folder = tmp_path_factory.mktemp("ziglang")
    options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", folder)
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "-r", LOCK], check=True, timeout=1_200)
    return folder
