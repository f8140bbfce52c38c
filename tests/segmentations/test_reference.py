"""The generated page and schema, and the shipped definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from stream_app.cli import main
from stream_app.contracts.schema_files import segmentations_schema
from stream_app.segmentations.file import (
    check_document,
    shipped_document,
    shipped_text,
)
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.rules.catalogue import FIGURES, FigureName
from stream_app.segmentations.rules.conditions import FORMS, KEYS
from stream_app.settings.definitions import read_definitions
from tests.support.replays import ROOT

PAGE = ROOT / "docs" / "segmentations-reference.md"
SHIPPED = [
    "value",
    "lifecycle",
    "value_tier",
    "rfm_cells",
    "region",
    "company_size",
    "life_moment",
    "cart_abandoners",
    "vip_slipping",
    "one_and_done",
    "lapsed_but_browsing",
    "price_sensitive",
    "brand_advocates",
    "vip_in_italy_slipping",
]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


def validator() -> jsonschema.Draft202012Validator:
    schema = segmentations_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_page_is_in_step_with_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    hint = f"make it anew: segmenter segmentations reference > {PAGE.relative_to(ROOT)}"
    assert PAGE.read_text("utf-8") == printed(capsys, "segmentations", "reference"), hint


def test_page_names_every_form_and_every_figure() -> None:
    page = PAGE.read_text("utf-8")
    for form in FORMS:
        assert f"\n### {form.tag}\n" in page  # type: ignore[attr-defined]
    for name in get_args(FigureName):
        assert f"| `{name}` |" in page
    assert len(KEYS) == len(FORMS) - 1  # a decayed sum begins like an event


def test_features_lists_every_figure_with_unit_meaning_and_what_changes_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "features").splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(FIGURES)
    assert all(row.count("|") == 5 and "|  |" not in row for row in rows)


def test_shipped_definitions_are_free_of_mistakes_and_warnings() -> None:
    checked = check_document(shipped_document())
    assert not checked.mistakes
    assert not checked.warnings
    assert checked.file is not None
    assert [entry.name for entry in checked.file.segmentations] == SHIPPED


def test_without_a_file_the_shipped_definitions_run() -> None:
    configured = read_definitions(None, None, "UTC").segmentations
    assert isinstance(configured[0], LearnedConfiguration)
    assert [each.name for each in configured] == SHIPPED


def test_each_shipped_definition_has_a_comment_that_says_what_it_is_for() -> None:
    lines = shipped_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("  - kind: ")]
    assert len(starts) == len(SHIPPED)
    for start in starts:
        assert lines[start - 1].startswith("  # "), lines[start]


def test_shipped_definitions_satisfy_the_schema() -> None:
    validator().validate(shipped_document())


@pytest.mark.parametrize(
    "when",
    [
        {"events": "x"},
        {"event": "x", "lasst": "30d"},
        {"event": "x", "last": None},
        {"event": "x", "last": "30"},
        {"figure": "purchase", "equals": 0},
        {"all": []},
        {"score": [{"when": {"event": "x"}}], "at_least": 1},
    ],
)
def test_schema_refuses_what_the_models_refuse(when: object) -> None:
    made = {"version": 1, "segmentations": [{"kind": "audience", "name": "a", "when": when}]}
    assert check_document(made).mistakes
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(made)


def test_committed_schema_is_that_of_the_models() -> None:
    committed = json.loads((ROOT / "schemas" / "segmentations.v1.json").read_text("utf-8"))
    assert committed == segmentations_schema()


def test_check_prints_each_definition_as_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "segmentations.yaml"
    path.write_text(printed(capsys, "segmentations", "shipped"), encoding="utf-8")
    lines = printed(capsys, "segmentations", "check", str(path)).splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == SHIPPED
    assert lines[-1] == f"{path}: {len(SHIPPED)} segmentations, no mistake"
    assert all(line.endswith(".") for line in lines[:-1])


def test_check_names_every_mistake_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "segmentations.yaml"
    path.write_text("version: 2\nsegmentations: [{kind: rule}]\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["segmentations", "check", str(path)])
    captured = capsys.readouterr()
    assert ended.value.code == 1
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "version: 2, expected 1",
        "segmentations[0].kind: 'rule', expected learned, rules, audience; did you mean 'rules'?",
        f"{path}: 2 mistakes",
    ]


def test_check_of_what_cannot_be_read_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["segmentations", "check", str(tmp_path / "none.yaml")])
    assert ended.value.code == 2
    assert "none.yaml: cannot be read (No such file or directory)" in capsys.readouterr().err
