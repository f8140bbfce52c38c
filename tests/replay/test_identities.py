"""Statements on identities in a replay of files: in any order, refused ones in the dead letters, left out on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream_app.cli import segmenter

Document = dict[str, Any]
SEGMENTATIONS = """\
version: 1
segmentations:
  - kind: learned
    name: value
  - kind: audience
    name: busy
    when: {event: product_viewed, last: 7d, at_least: 2}
  - kind: audience
    name: seen
    when: {event: product_viewed}
"""


def visit(number: int, customer_id: str, day: int) -> Document:
    return {
        "event_id": f"e{number}",
        "customer_id": customer_id,
        "occurred_at": f"2024-01-{day:02}T10:00:00Z",
        "type": "product_viewed",
    }


def said(alias: str, customer_id: str, day: int, **more: str) -> Document:
    return {"customer_id": customer_id, "alias": alias, "observed_at": f"2024-01-{day:02}T10:00:00Z", **more}


EVENTS = [visit(1, "phone", 5), visit(2, "u1", 6), visit(3, "phone", 8)]


class Replayed:
    """What a replay of events and statements has written."""

    def __init__(self, folder: Path, events: Sequence[Document], statements: Sequence[Document], *options: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "segmentations.yaml").write_text(SEGMENTATIONS)
        for name, records in (("events", events), ("statements", statements)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        arguments = ["--engagements", f"{folder}/events.jsonl", "--identities", f"{folder}/statements.jsonl"]
        arguments += ["--segmentations", f"{folder}/segmentations.yaml", "--out", f"{folder}/out"]
        result = CliRunner().invoke(segmenter, ["replay", *arguments, "--until", "2024-01-20T00:00:00Z", *options])
        assert result.exit_code == 0, result.output
        self.migrations = self._read(folder / "out" / "migrations.jsonl")
        self.memberships = self._read(folder / "out" / "memberships.jsonl")
        self.dead_letters = self._read(folder / "out" / "dead_letters.jsonl")

    @staticmethod
    def _read(path: Path) -> list[Document]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def of(self, customer_id: str, segmentation: str) -> list[Document]:
        return [
            each
            for each in self.migrations
            if (each["customer_id"], each["segmentation"]) == (customer_id, segmentation)
        ]

    @property
    def members(self) -> set[tuple[str, str]]:
        return {(each["customer_id"], each["segmentation"]) for each in self.memberships}


def test_who_ends_leaves_by_one_move_that_names_who_goes_on(tmp_path: Path) -> None:
    replayed = Replayed(tmp_path, EVENTS, [said("phone", "u1", 7, namespace="device")])
    for segmentation in ("value", "seen"):
        entered, left = replayed.of("phone", segmentation)
        assert (entered["change"], left["change"], left["to_segment"]) == ("entered", "left", None)
        assert (left["cause"]["kind"], left["merged_into"], left["sequence"]) == ("merge", "u1", 2)
        assert left["effective_at"] == "2024-01-07T10:00:00.000Z"
        assert left["explanation"]["sentence"].startswith("Goes by the id u1 from now on; leaves")
    assert not any("merged_into" in each for each in replayed.migrations if each["customer_id"] == "u1")
    assert {customer_id for customer_id, _ in replayed.members} == {"u1"}


def test_who_goes_on_is_assessed_again_by_the_merge(tmp_path: Path) -> None:
    entered, *_ = Replayed(tmp_path, EVENTS, [said("phone", "u1", 7, type="merge")]).of("u1", "busy")
    assert (entered["cause"]["kind"], entered["change"], entered["sequence"]) == ("merge", "entered", 1)
    assert entered["cause"]["position"] == {"topic": "statements.jsonl", "partition": 0, "offset": 1}
    assert entered["explanation"]["sentence"].startswith(
        "Merge with another id: 2 events, was 1: 2 or more product_viewed"
    )
    assert entered["explanation"]["conditions"][0]["before"] == 1


@pytest.mark.parametrize("day", [1, 6, 7, 9])
def test_memberships_are_the_same_whenever_the_statement_is_made(tmp_path: Path, day: int) -> None:
    replayed = Replayed(tmp_path, EVENTS, [said("phone", "u1", day)])
    assert replayed.members == {("u1", "value"), ("u1", "seen")}
    assert all(
        [each["sequence"] for each in replayed.of(customer_id, name)]
        == list(range(1, len(replayed.of(customer_id, name)) + 1))
        for customer_id in ("phone", "u1")
        for name in ("value", "busy", "seen")
    )


def test_refused_statements_are_dead_letters_with_reasons_of_their_own(tmp_path: Path) -> None:
    statements = [
        said("phone", "u1", 7),
        said("phone", "u2", 8),
        said("Anonymous", "u1", 9),
        said("u1", "u1", 10),
        {"customer_id": "u1", "observed_at": "2024-01-11T10:00:00Z"},
    ]
    letters = Replayed(tmp_path, EVENTS, statements, "--max-rejected", "1").dead_letters
    letters.sort(key=lambda letter: letter["position"]["offset"])
    assert [(each["reason"], each["position"]["offset"]) for each in letters] == [
        ("shared_alias", 2),
        ("blocked_identity", 3),
        ("identity_cycle", 4),
        ("missing_field", 5),
    ]
    assert json.loads(letters[0]["payload"]) == {
        "type": "link",
        "customer_id": "u2",
        "alias": "phone",
        "observed_at": "2024-01-08T10:00:00.000Z",
    }


def test_replay_without_a_link_is_as_if_nobody_had_stated_it(tmp_path: Path) -> None:
    statements = [said("phone", "u1", 7), said("tablet", "u1", 7)]
    without = Replayed(tmp_path / "without", EVENTS, statements, "--without-link", "phone=u1")
    never = Replayed(tmp_path / "never", EVENTS, statements[1:])
    assert without.migrations == never.migrations
    assert without.members == never.members != Replayed(tmp_path / "with", EVENTS, statements).members
