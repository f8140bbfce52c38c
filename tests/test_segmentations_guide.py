"""The example of docs/segmentations.md, as its readers copy it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from stream_app.contracts.outputs.migrations import Change, Figures
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
    kinds, _, _ = GUIDE.partition("## An example")
    assert _first_column(kinds) == set(get_args(Figure))


def test_the_guide_lists_every_kind_of_change_and_every_figure_of_an_explanation() -> None:
    _, _, meaning = GUIDE.partition("## What a move means")
    changes, _, figures = meaning.partition("| figure |")
    assert _first_column(changes) == {"change", *get_args(Change)}
    assert _first_column(figures.partition("\n## ")[0]) == set(Figures.model_fields)


def _first_column(text: str) -> set[str]:
    """Return all words of code in the first columns of tables."""
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall("`(.*?)`", row)}
