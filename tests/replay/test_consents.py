"""Consents on files: who withdraws is forgotten, and what is not folded is counted and shows up nowhere else."""

from __future__ import annotations

from pathlib import Path

from stream_app.commands.replay import run_replay
from stream_app.sources.files import SourceFile
from tests.support.one_segmentation import value_settings
from tests.support.replays import Outputs, purchase_at, write_lines


def at(day: int) -> str:
    return f"2024-05-{day:02}T12:00:00.000Z"


def test_withdrawal_in_a_file_is_followed_and_what_comes_then_is_counted_alone(tmp_path: Path) -> None:
    bought = [purchase_at(day, at(day), customer_id=customer_id) for day in (1, 2, 5, 6) for customer_id in ("c1",)]
    bought.append(purchase_at(9, at(9), customer_id="c2"))
    said = [
        {"customer_id": "c1", "purpose": "segmentation", "decision": "withdrawn", "observed_at": at(3)},
        {"customer_id": "c2", "purpose": "telepathy", "decision": "granted", "observed_at": at(4)},
    ]
    files = [
        SourceFile(write_lines(tmp_path / "p.jsonl", bought), "purchases", {}, {}, None),
        SourceFile(write_lines(tmp_path / "c.jsonl", said), "consents", {}, {}, None),
    ]
    run_replay(value_settings(), files, tmp_path / "out", 2**42, None)
    outputs = Outputs(tmp_path / "out")
    assert outputs.summary["counts"] == {
        "in": 7, "applied": 4, "duplicate": 0, "late_applied": 0, "rejected": 1, "not_profiled": 2
    }  # fmt: skip
    assert outputs.summary["customers"] == 1
    left = [each for each in outputs.migrations if each["customer_id"] == "c1"][-1]
    assert (left["cause"]["kind"], left["to_segment"], left["effective_at"]) == ("consent", None, at(3))
    assert left["consents"] == {"segmentation": False}
    assert all("consents" not in each for each in outputs.migrations if each["customer_id"] == "c2")
    (letter,) = outputs.dead_letters
    assert letter["message"].startswith('purpose: "telepathy", expected one of segmentation, ')
