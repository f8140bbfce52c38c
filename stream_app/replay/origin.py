"""What a run's outputs were made from, so that they need not be made twice."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
from xxhash import xxh3_128

from stream_app.replay.outputs import FILES

ORIGIN: Final = "origin.txt"
"""Beside the outputs of a run that may be used again."""


SOURCES: Final = (".css", ".html", ".js", ".py", ".yaml")
"""What this software is made of."""


class _Ending(msgspec.Struct):
    interrupted: bool


def digest_origin(settings: str, inputs: Sequence[Path]) -> str:
    """Return a digest of all that a run's outputs depend on: this software, its settings and the input files."""
    package = resources.files("stream_app")
    digest = xxh3_128()
    with resources.as_file(package) as folder:
        for source in sorted(path for path in folder.rglob("*") if path.suffix in SOURCES):
            digest.update(source.read_bytes())
    digest.update(settings.encode())
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_origin(folder: Path, digest: str) -> None:
    """Note what the outputs in a folder were made from."""
    (folder / ORIGIN).write_text(f"{digest}\n", "utf-8")


def is_made_from(folder: Path, digest: str) -> bool:
    """Return whether a folder holds all outputs of a run from this origin that was not cut short."""
    try:
        if (folder / ORIGIN).read_text("utf-8") != f"{digest}\n":
            return False
        ending = msgspec.json.decode((folder / "summary.json").read_bytes(), type=_Ending)
    except (OSError, ValueError):
        return False
    return not ending.interrupted and all((folder / name).is_file() for name in FILES)
