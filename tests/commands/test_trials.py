"""Definitions are tried on files of events: who would be where, who would move, and what would have moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stream_app.commands.segmentations import segmentations
from tests.support.replays import purchase_at, write_lines

BUYERS = """
version: 1
segmentations:
  - {kind: audience, name: buyers, when: {event: order_completed, last: 10d}}
  - kind: rules
    name: often
    segments: [{id: twice, name: Twice, when: {figure: purchases, at_least: 2}}]
    otherwise: {id: once, name: Once}
"""
STRICTER = BUYERS.replace("last: 10d", "last: 5d").replace("at_least: 2", "at_least: 3")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Return options for three customers: one buys three times, one twice, one once long ago."""
    days = {"c1": (1, 4, 20), "c2": (2, 14), "c3": (1,)}
    purchases = [
        purchase_at(number, f"2024-05-{day:02}T12:00:00Z", customer_id=customer, order_id=f"o{customer}{day}")
        for number, (day, customer) in enumerate(sorted((day, c) for c, each in days.items() for day in each))
    ]
    (tmp_path / "buyers.yaml").write_text(BUYERS)
    (tmp_path / "stricter.yaml").write_text(STRICTER)
    return ["--purchases", str(write_lines(tmp_path / "purchases.jsonl", purchases))]


def run(*arguments: Any) -> Result:
    result = CliRunner().invoke(segmentations, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_preview_shows_sizes_overlaps_changes_and_who_leaves(tmp_path: Path, files: list[str]) -> None:
    against = "--against", tmp_path / "stricter.yaml"
    found = json.loads(run("preview", tmp_path / "buyers.yaml", *files, *against, "--days", 6, "--json").stdout)
    sizes = {f"{each['segmentation']}/{each['segment']}": each["customers"] for each in found["sizes"]}
    assert found["customers"] == 3
    assert sizes == {"buyers/buyers": 2, "often/twice": 2, "often/once": 1}
    names, rows = found["overlap"]["segments"], found["overlap"]["customers"]
    both = {(one, other): rows[i][j] for i, one in enumerate(names) for j, other in enumerate(names)}
    assert both["buyers/buyers", "often/twice"] == 2
    assert both["often/twice", "often/once"] == 0
    assert {each["segmentation"]: each["customers"] for each in found["changes"]} == {"buyers": 1, "often": 1}
    assert [(each["segment"], each["customers"]) for each in found["leavers"]] == [("buyers", 1)]


def test_preview_as_text_names_everything_once(tmp_path: Path, files: list[str]) -> None:
    text = run("preview", tmp_path / "buyers.yaml", *files, "--against", tmp_path / "buyers.yaml").stdout
    assert "3 customers as of 2024-05-20T12:00:00.000Z" in text
    assert "Against the definitions in force" in text
    assert "Leave within 7 days" in text


def test_backtest_counts_moves_their_causes_and_those_taken_back(tmp_path: Path, files: list[str]) -> None:
    out = tmp_path / "kept"
    found = json.loads(run("backtest", tmp_path / "buyers.yaml", *files, "--out", out, "--json").stdout)
    buyers, often = found
    assert (buyers["segmentation"], buyers["moves"], buyers["causes"]) == ("buyers", 5, {"lapse": 3, "purchase": 2})
    assert (often["moves"], often["causes"]) == (2, {"purchase": 2})
    assert buyers["taken_back"] == pytest.approx(2 / 5)
    assert any("taken back within 14 days" in warning for warning in buyers["warnings"])
    assert (out / "migrations.jsonl").exists()


def test_backtest_as_text_warns_of_what_nobody_can_follow(tmp_path: Path, files: list[str]) -> None:
    text = run("backtest", tmp_path / "buyers.yaml", *files).stdout
    assert "warning: buyers:" in text
    assert "lapse 3, purchase 2" in text


@pytest.mark.usefixtures("files")
def test_files_that_are_refused_are_no_basis_for_a_trial(tmp_path: Path) -> None:
    refused = write_lines(tmp_path / "refused.jsonl", [{"event_id": f"e{number}"} for number in range(40)])
    result = CliRunner().invoke(segmentations, ["backtest", str(tmp_path / "buyers.yaml"), "--purchases", str(refused)])
    assert result.exit_code == 1
    assert "records are refused" in result.output
