"""The example of docs/segmentations.md, as its readers copy it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from stream_app.segmentations.rules.definition import Figure
from stream_app.settings.loading import load_settings
from tests.support.replays import ROOT

GUIDE = (ROOT / "docs" / "segmentations.md").read_text("utf-8")


def test_the_example_is_accepted_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    path = tmp_path / "segmentations.toml"
    path.write_text(example, encoding="utf-8")
    settings = load_settings(path)
    assert [(entry.kind, entry.name) for entry in settings.segmentations] == [
        ("learned", "value"),
        ("learned", "eager"),
        ("rules", "lifecycle"),
    ]


def test_the_guide_lists_every_figure_that_rules_may_compare() -> None:
    listed = {
        name for row in re.findall(r"^\| (`[^|]*`) \|", GUIDE, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    assert listed == set(get_args(Figure))
