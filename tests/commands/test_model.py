"""`segmenter model show` tells of a replay what it tells of a deployment; decisions are in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.cli import main
from stream_app.commands.model_text import model_lines
from stream_app.contracts.model_shelf import ModelShelf
from stream_app.exits import ExitCode
from tests.support.replays import ROOT

EXAMPLES = ROOT / "schemas" / "examples" / "segment-models"


def example(name: str, **changes: Any) -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / f"{name}.pass.json").read_bytes())) | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a replay might have written."""
    documents = [
        example("published", version=6),
        example("held", version=7),
        example("published", version=7),
        example("held", version=8),
        example("rules", segmentation="lifecycle"),
        example("tick-decided"),
    ]
    (tmp_path / "models.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents), "utf-8")
    return tmp_path


def shelf_of(*documents: dict[str, Any]) -> ModelShelf:
    shelf = ModelShelf()
    for document in documents:
        shelf.add(json.dumps(document).encode())
    return shelf


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    status = 0
    try:
        main(["model", *map(str, args)])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    said = capsys.readouterr()
    return status, said.out + said.err


def test_replays_models_are_shown_with_roles_drift_and_what_waits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = run(capsys, "show", "--out", folder)
    assert status == ExitCode.DONE
    published, held = example("published"), example("held")
    assert "value: learned, version 7 is in force" in text
    for segment in published["segments"]:
        (line,) = (line for line in text.splitlines() if line.startswith(f"  {segment['id']} "))
        assert segment["name"] in line
        assert line.endswith(segment["statement"])
        assert f"  {segment['level']} " in line
        figures = segment["members"]
        (line,) = (line for line in text.splitlines() if line.split("  ")[1:2] == [segment["name"]])
        for value in (figures["customers"], figures["revenue"], f"{figures['share']:.1%}", figures["recency_days"]):
            assert ("–" if value is None else str(value)) in line.split()
    for document in (published, held):
        for axis, value in document["drift"]["psi"].items():
            assert f"{axis} {value:.2f}" in text
    assert f"held back: version 8, as of {held['as_of']}; moves {held['expected_churn']:.2%} of the customers" in text
    assert "lifecycle: rules, version" in text
    assert "segmenter model approve" not in text, "nobody can decide in a replay"


def test_members_of_version_0_are_unknown() -> None:
    lines = "\n".join(model_lines("value", shelf_of(example("prior")).models["value"], is_live=True))
    assert "who was in them as of 1970-01-01T00:00:00.000Z: unknown" in lines


def test_one_segmentation_can_be_shown_alone_and_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "value: " not in run(capsys, "show", "lifecycle", "--out", folder)[1]
    shown = json.loads(run(capsys, "show", "value", "--json", "--out", folder)[1])
    assert list(shown) == ["value"]
    assert shown["value"]["published"] == example("published", version=7)
    assert shown["value"]["waiting"] == example("held", version=8)
    assert (shown["value"]["pinned_version"], shown["value"]["last_decision"]) == (None, None)


def test_what_cannot_be_shown_is_named_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, reason in [
        (("vlue", "--out", folder), "there is no segmentation 'vlue'; there are: lifecycle, value"),
        (("--out", folder / "other"), "cannot be read (No such file or directory), expected a folder that"),
    ]:
        status, text = run(capsys, "show", *args)
        assert (status, text.count("\n"), reason in text) == (ExitCode.REFUSED, 1, True), text
    (folder / "models.jsonl").write_text('{"segmentation": "value"}\n', "utf-8")
    status, text = run(capsys, "show", "--out", folder)
    assert (status, text.count("\n"), "a line is no model" in text) == (ExitCode.REFUSED, 1, True), text


def test_what_waits_is_told_with_the_commands_that_decide_unless_a_version_is_pinned() -> None:
    shelf = shelf_of(example("published", version=7), example("held", version=8))
    lines = "\n".join(model_lines("value", shelf.models["value"], is_live=True))
    assert "segmenter model approve value 8" in lines
    assert "segmenter model reject value 8" in lines
    shelf.add(json.dumps(example("decision-done", version=7, pinned_version=7)).encode())
    lines = "\n".join(model_lines("value", shelf.models["value"], is_live=True))
    assert "pinned: version 7" in lines
    assert "approve" not in lines


def test_nothing_waits_that_was_rejected_or_whose_version_was_published() -> None:
    for documents in (
        [example("published", version=7), example("held", version=8), example("rejected", version=8)],
        [example("published", version=7), example("held", version=8), example("published", version=8)],
    ):
        model = shelf_of(*documents).models["value"]
        assert model.waiting is None
        assert "held back: nothing" in "\n".join(model_lines("value", model, is_live=True))
    shelf = shelf_of(example("held", version=8))
    assert list(model_lines("value", shelf.models["value"], is_live=True)) == ["value: nothing is published yet"]
    shelf.remove(b"value/held")
    assert shelf.models["value"].waiting is None
    shelf.remove(b"other/held")
    shelf.remove(b"value")
    assert shelf.models == {}
