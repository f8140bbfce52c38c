"""The notebook, and what docstrings and the guide show, are run."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

import stream_app
from stream_app.notebook import answers, configuration, events, frames, segmenter, tables
from tests.support.replays import ROOT

NOTEBOOK = ROOT / "examples" / "segmenting.ipynb"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def cells(kind: str) -> list[str]:
    """Return the texts of a notebook's cells of a kind."""
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


@pytest.mark.real_data
def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    asked = "\nprint('asked', [type(each).__name__ for each in (segmenter.segments(), segmenter)], sep=':')"
    code = "\n\n".join(cells("code")) + asked
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout
    assert told.startswith("69,659 purchases\n")
    assert "now in value: " in told
    assert "moves by silence alone" in told
    (folder,) = tmp_path.iterdir()
    assert {"report.html", "cdnow.segmenter"} <= {path.name for path in folder.iterdir()}


def test_the_notebook_is_kept_without_outputs() -> None:
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    assert document["nbformat"] == 4
    assert [cell["outputs"] for cell in document["cells"] if cell["cell_type"] == "code"] == [[]] * len(cells("code"))


def test_what_docstrings_show_is_what_happens() -> None:
    attempted = 0
    for module in (stream_app, answers, configuration, events, frames, segmenter, tables):
        result = doctest.testmod(module, optionflags=OPTIONS)
        assert result.failed == 0, module.__name__
        attempted += result.attempted
    assert attempted > 10


def test_what_the_guide_shows_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False, optionflags=OPTIONS)
    assert result.failed == 0
    assert result.attempted > 20
