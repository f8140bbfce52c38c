"""Input files, runs of the real command over them, and what it wrote, read back."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from stream_app.cli import main
from tests.contracts.records import ENGAGEMENT, PURCHASE
from tests.support.one_segmentation import FILE, VARIABLE

ROOT = Path(__file__).parents[2]
OUTPUTS = {
    "dead_letters.jsonl",
    "history.json",
    "memberships.jsonl",
    "migrations.jsonl",
    "models.jsonl",
    "report.html",
    "summary.json",
    "upcoming.jsonl",
}


def purchase_at(number: int, at: str, customer_id: str = "c1", **changes: Any) -> dict[str, Any]:
    own = {"event_id": f"p{number}", "order_id": f"o{number}", "occurred_at": at, "customer_id": customer_id}
    return PURCHASE | own | changes


def engagement_at(number: int, at: str, customer_id: str = "c1", **changes: Any) -> dict[str, Any]:
    return ENGAGEMENT | {"event_id": f"v{number}", "occurred_at": at, "customer_id": customer_id} | changes


def write_lines(path: Path, lines: Iterable[bytes | str | Mapping[str, Any]]) -> Path:
    """Write raw lines, or records as JSON; compressed if the name ends in `.gz`."""
    raw = (
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode()
        for line in lines
    )
    content = b"".join(line + b"\n" for line in raw)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


@dataclass(frozen=True)
class Outputs:
    """What a replay wrote."""

    folder: Path

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    @cached_property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "summary.json").read_bytes()))

    @cached_property
    def migrations(self) -> list[dict[str, Any]]:
        return self.lines("migrations.jsonl")

    @cached_property
    def memberships(self) -> list[dict[str, Any]]:
        return self.lines("memberships.jsonl")

    @cached_property
    def models(self) -> list[dict[str, Any]]:
        return self.lines("models.jsonl")

    @cached_property
    def dead_letters(self) -> list[dict[str, Any]]:
        return self.lines("dead_letters.jsonl")

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


def replay(out: Path, *args: object, status: int = 0) -> Outputs:
    """Run `segmenter replay` in this process and check what holds of every run that ends, and its exit status."""
    ended = 0
    try:
        main(["replay", *map(str, args), "--out", str(out)])
    except SystemExit as exit_:
        ended = int(exit_.code or 0)
    assert ended == status
    outputs = Outputs(out)
    assert set(outputs.contents()) == OUTPUTS
    counts = outputs.summary["counts"]
    assert counts["in"] == counts["applied"] + counts["duplicate"] + counts["late_applied"] + counts["rejected"]
    assert counts["in"] == sum(file["records"] for file in outputs.summary["inputs"])
    assert counts["rejected"] == len(outputs.dead_letters) == sum(outputs.summary["rejected_by_reason"].values())
    assert outputs.summary["customers"] == len(outputs.memberships)
    return outputs


def refused(capsys: pytest.CaptureFixture[str], *args: object, status: int = 2) -> str:
    """Run the command, which must refuse to start; return the one line that says why."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert exit_.value.code == status
    said = [line for line in captured.out.splitlines() if not line.endswith("…")]
    assert said == [], "nothing but what is being done"
    assert captured.err.endswith("\n")
    (line,) = [line for line in captured.err[:-1].split("\n") if line.startswith("segmenter: ") or line[-1:] != "…"]
    assert line.startswith("segmenter: ")
    assert line.isprintable(), "one line, and nothing that a terminal would obey"
    return line


def start(*args: object, hash_seed: str = "0", **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGMENTER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "stream_app", *map(str, args)],
        cwd=ROOT,
        env=environment | {VARIABLE: str(FILE), "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
