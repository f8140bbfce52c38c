from __future__ import annotations

import pytest

from stream_app.adapters.metrics.declared import DECLARED
from stream_app.cli import main
from tests.support.replays import ROOT

PAGE = ROOT / "docs" / "metrics.md"


def table(capsys: pytest.CaptureFixture[str]) -> str:
    main(["metrics"])
    return capsys.readouterr().out


def test_page_is_in_step_with_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    hint = f"make it anew: segmenter metrics > {PAGE.relative_to(ROOT)}"
    assert PAGE.read_text("utf-8") == table(capsys), hint


def test_every_metric_is_a_row_with_its_type_and_labels(capsys: pytest.CaptureFixture[str]) -> None:
    page = table(capsys)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(DECLARED)
    assert all(row.count("|") == 6 for row in rows)
    assert "| `segmenter_dead_letters_total` | counter | `topic`, `reason` | 40 |" in page
