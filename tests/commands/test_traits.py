from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.cli import main
from tests.support.replays import purchase_at, write_lines


def traits_of(folder: Path, capsys: pytest.CaptureFixture[str], summary: dict[str, Any] | None = None) -> str:
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    main(["traits", str(folder)])
    return capsys.readouterr().out


def test_traits_are_told_with_their_customers_most_of_them_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"b": 5, "vip": 1_234, "a": 5, "x\ny": 1}
    assert traits_of(tmp_path, capsys, {"customers": 2_000, "traits": counts, "seed": 1}) == (
        "trait  customers  share\n"
        "vip        1,234  61.7%\n"
        "a              5   0.2%\n"
        "b              5   0.2%\n"
        "x·y            1   0.1%\n"
    )


def test_replay_without_profiles_says_that_there_are_no_traits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    purchases = write_lines(tmp_path / "purchases.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    main(["replay", "--purchases", str(purchases), "--out", str(tmp_path)])
    capsys.readouterr()
    assert traits_of(tmp_path, capsys) == "no traits: no profile says any of the 1 customers\n"


@pytest.mark.parametrize(
    ("summary", "message"),
    [
        (None, "cannot be read"),
        ({"customers": 3}, "missing required field `traits`"),
        ([], "Expected `object`"),
    ],
)
def test_folder_of_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], summary: Any, message: str
) -> None:
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary), "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["traits", str(tmp_path)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "segmenter replay --out" in error
