"""What people read keeps to the house list, and the list finds what it is meant to find."""

from __future__ import annotations

import re

import pytest

from tests.prose.house import ALLOWED, TURNS, files, findings, findings_in
from tests.support.replays import ROOT


def test_pages_messages_and_docstrings_keep_to_the_house_list() -> None:
    assert [str(each) for each in findings()] == []


def test_what_is_looked_at_includes_pages_and_code() -> None:
    names = {str(path.relative_to(ROOT)) for path in files()}
    assert {"README.md", "docs/kafka.md", "stream_app/core/processor.py", "deploy/grafana/panels.py"} <= names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"""What is told of a customer."""\n', ["What is told", "told"]),
        ("# whoever asks\n", ["whoever"]),
        ('x = f"{told} is not held any more"\n', ["any more"]),
        ("told = whoever = 1\n", []),
        ('"""Given where there is none; `told` is a name."""\n', []),
    ],
)
def test_list_looks_at_prose_and_not_at_code(text: str, found: list[str]) -> None:
    assert sorted(each.found for each in findings_in("x.py", text)) == sorted(found)


def test_list_leaves_blocks_of_code_in_pages_alone() -> None:
    page = "It goes on as before.\n\n    told anew\n\n```\nwhoever\n```\nNobody waits for ever.\n"
    assert [(each.line, each.found) for each in findings_in("x.md", page)] == [(1, "goes on "), (8, "for ever")]


def test_every_turn_is_a_regular_expression_with_advice() -> None:
    for turn in TURNS:
        re.compile(turn.pattern)
        assert turn.instead


def test_what_is_allowed_is_still_there() -> None:
    for path, pieces in ALLOWED.items():
        text = (ROOT / path).read_text("utf-8")
        assert all(piece in text for piece in pieces), path
