"""`segmenter demo --serve` on a few purchases in place of CDNOW's, and without the server that it ends in."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from stream_app.cli import main
from stream_app.commands import demo
from stream_app.sources import cdnow


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were served."""

    def write(path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("customer_id,date,items,amount\nc1,1997-01-01,1,5.00\nc2,1997-02-01,1,7.00\n", "utf-8")
        return 2

    folders: list[Path] = []
    monkeypatch.setattr(cdnow, "write_cdnow_csv", write)
    monkeypatch.setattr(demo, "serve_folder", lambda folder, _port: folders.append(folder))
    return folders


def run(folder: Path, *options: str) -> int:
    """Run the demo; return when its summary was written."""
    main(["demo", "--serve", "--port", "0", "--out", str(folder), *options])
    return (folder / "summary.json").stat().st_mtime_ns


def test_results_that_fit_are_served_again(
    tmp_path: Path, served: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(tmp_path)
    assert "none that fit; replaying" in capsys.readouterr().out
    assert run(tmp_path) == first
    told = capsys.readouterr().out
    assert told.splitlines() == [
        f"2 purchases are in {tmp_path / 'cdnow.csv'}; looking for results in {tmp_path}",
        f"{tmp_path} holds them; loading",
    ]
    assert served == [tmp_path, tmp_path]


@pytest.mark.parametrize("change", ["settings", "input", "output", "interrupted", "origin"])
def test_results_that_do_not_fit_are_made_anew(
    change: str, tmp_path: Path, served: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path)
    if change == "settings":
        monkeypatch.setenv("SEGMENTER_LEARNING__SEED", "9")
    elif change == "input":
        write = cdnow.write_cdnow_csv

        def write_more(path: Path) -> int:
            count = write(path)
            path.write_text(path.read_text("utf-8") + "c3,1997-03-01,1,9.00\n", "utf-8")
            return count + 1

        monkeypatch.setattr(cdnow, "write_cdnow_csv", write_more)
    elif change == "output":
        (tmp_path / "models.jsonl").unlink()
    elif change == "interrupted":
        summary = json.loads((tmp_path / "summary.json").read_bytes())
        (tmp_path / "summary.json").write_text(json.dumps(summary | {"interrupted": True}), "utf-8")
    else:
        (tmp_path / "origin.txt").unlink()
    time.sleep(0.01)
    assert run(tmp_path) > first
    assert served == [tmp_path, tmp_path]


def test_demo_that_is_not_served_is_always_made(tmp_path: Path, served: list[Path]) -> None:
    first = run(tmp_path)
    time.sleep(0.01)
    main(["demo", "--out", str(tmp_path)])
    assert (tmp_path / "summary.json").stat().st_mtime_ns > first
    assert len(served) == 1
