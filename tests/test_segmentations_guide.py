"""The examples and templates of docs/segmentations.md, as its readers copy them."""

from __future__ import annotations

import re
from typing import Any, get_args

import jsonschema
import pytest

from stream_app.contracts.outputs.migrations import Change, Figures
from stream_app.contracts.schema_files import segmentations_schema
from stream_app.segmentations.documents import parse_document
from stream_app.segmentations.file import Checked, check_document
from stream_app.segmentations.rules.conditions import KEYS
from tests.support.replays import ROOT

GUIDE = (ROOT / "docs" / "segmentations.md").read_text("utf-8")
WAYS = (
    "Demographic",
    "Geographic",
    "Psychographic",
    "Behavioural",
    "Temporal",
    "Value-based",
    "Firmographic",
    "In layers",
)


def blocks(text: str) -> list[Any]:
    """Return the YAML in a part of the guide, parsed."""
    return [parse_document(block.encode()) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def part(title: str, level: str = "##") -> str:
    """Return what stands below a heading."""
    _, found, rest = GUIDE.partition(f"\n{level} {title}\n")
    assert found, title
    return re.split(rf"\n#{{2,{len(level)}}} ", rest)[0]


def checked(document: Any) -> Checked:
    result = check_document(document)
    assert [str(mistake) for mistake in result.mistakes] == []
    assert [str(warning) for warning in result.warnings] == []
    jsonschema.Draft202012Validator(segmentations_schema()).validate(document)
    return result


def test_the_example_is_accepted_as_it_stands() -> None:
    (example,) = blocks(part("Three kinds"))
    file = checked(example).file
    assert file is not None
    assert [(entry.kind, entry.name) for entry in file.segmentations] == [
        ("learned", "value"),
        ("learned", "eager"),
        ("rules", "lifecycle"),
        ("audience", "lapsed_but_browsing"),
    ]


def test_the_templates_are_accepted_together() -> None:
    templates = [block for title in WAYS for block in blocks(part(title, "###")) if isinstance(block, list)]
    assert len(templates) == len(WAYS)
    checked({"version": 1, "segmentations": [entry for block in templates for entry in block]})


def test_sensitive_traits_are_accepted_as_the_guide_says() -> None:
    (traits,) = (block for block in blocks(part("Demographic", "###")) if isinstance(block, dict))
    audience = {"kind": "audience", "name": "a", "when": {"trait": "religion", "exists": True}}
    checked({"version": 1, **traits, "segmentations": [audience]})


def conditions() -> list[str]:
    rows = re.findall(r"^\| [^|`]+ \| `(\{.*\})` \|$", part("Conditions"), re.MULTILINE)
    return [row.replace("\\|", "|") for row in rows]


@pytest.mark.parametrize("condition", conditions())
def test_each_condition_of_the_table_is_accepted(condition: str) -> None:
    (example,) = blocks(part("Three kinds"))
    audience = {"kind": "audience", "name": "a", "when": parse_document(condition.encode())}
    checked({**example, "segmentations": [*example["segmentations"], audience]})


def test_the_table_shows_every_form_of_a_leaf() -> None:
    shown = {key for condition in conditions() for key in parse_document(condition.encode())}
    assert shown >= set(KEYS) - {"all", "any", "not", "score", "list"}


def test_the_guide_lists_every_kind_of_change_and_every_figure_of_an_explanation() -> None:
    _, _, meaning = GUIDE.partition("## What a move means")
    changes, _, figures = meaning.partition("| figure |")
    assert _first_column(changes) == {"change", *get_args(Change)}
    assert _first_column(figures.partition("\n## ")[0]) == set(Figures.model_fields)


def _first_column(text: str) -> set[str]:
    """Return all words of code in the first columns of tables."""
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall("`(.*?)`", row)}
