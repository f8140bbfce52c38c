from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.cli import main
from stream_app.settings.sections import Settings
from tests.support.replays import ROOT

PAGE = ROOT / "docs" / "settings.md"


def table(capsys: pytest.CaptureFixture[str]) -> str:
    main(["settings"])
    return capsys.readouterr().out


def test_page_is_in_step_with_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    hint = f"make it anew: segmenter settings > {PAGE.relative_to(ROOT)}"
    assert Path(PAGE).read_text("utf-8") == table(capsys), hint


def test_every_setting_is_a_row_with_its_default_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    page = table(capsys)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(type(info.default).model_fields) for info in Settings.model_fields.values())
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "| `partitions` | `SEGMENTER_KAFKA__PARTITIONS` | `4` | 1 to 1,024 | Partitions of every keyed topic" in page
    assert "| `clusters` | `SEGMENTER_LEARNING__CLUSTERS` | not set | 2 to 64 |" in page
    assert '| `feature_set` | `SEGMENTER_LEARNING__FEATURE_SET` | `"auto"` | `auto`, `activity`, `plain` |' in page
