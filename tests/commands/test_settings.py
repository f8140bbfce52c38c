from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.cli import main
from stream_app.segmentations.registry import KINDS
from stream_app.settings.sections import Section, Settings
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
    page, segmentations = page.split("\n## segmentations\n")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    sections = [type(info.default) for info in Settings.model_fields.values() if isinstance(info.default, Section)]
    assert len(rows) == sum(len(section.model_fields) for section in sections)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    for name, kind in KINDS.items():
        assert f'### kind = "{name}"' in segmentations
        assert all(f"| `{field}` |" in segmentations for field in kind.configuration.model_fields)
    assert "| `partitions` | `SEGMENTER_KAFKA__PARTITIONS` | `4` | 1 to 1,024 | Partitions of every keyed topic" in page
    assert "| `instance_id` | `SEGMENTER_KAFKA__INSTANCE_ID` | not set | `^[a-zA-Z0-9._-]{1,80}$` |" in page
    assert "| `risk_probability` | `SEGMENTER_ASSIGNMENT__RISK_PROBABILITY` | `0.5` | above 0, below 1 |" in page
    assert "| `lost_days` | `SEGMENTER_ASSIGNMENT__LOST_DAYS` | `365.0` | above 0, up to 3,650 |" in page
    assert "| `names` | `{}` |" in segmentations
    assert '| `approval` | `SEGMENTER_LEARNING__APPROVAL` | `"automatic"` | `automatic`, `manual` |' in page
