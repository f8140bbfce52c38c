"""Numbers of things in messages: one function says them, and no module has a plural of its own making."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from stream_app.plurals import counted

PACKAGE: Final = Path(__file__).parents[1] / "stream_app"
BY_HAND: Final = re.compile(
    r"""(['"])s\1 (if|else)|else (['"])s\3|(['"])\w+\4 if \S+ == 1 else (['"])\w+(s|es|ies)\5"""
)


@pytest.mark.parametrize(
    ("count", "words", "expected"),
    [
        (0, ("record",), "0 records"),
        (1, ("record",), "1 record"),
        (12_345, ("record",), "12,345 records"),
        (1, ("entry", "entries"), "1 entry"),
        (2, ("entry", "entries"), "2 entries"),
    ],
)
def test_one_is_one_and_all_else_many(count: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(count, *words) == expected


@pytest.mark.parametrize(
    "line",
    [
        "f\"{count} mistake{'s' if count > 1 else ''}\"",
        "f\"{count} file{'' if count == 1 else 's'}\"",
        "f\"{len(ids)} {'id' if len(ids) == 1 else 'ids'}\"",
    ],
)
def test_a_plural_made_by_hand_is_seen(line: str) -> None:
    assert BY_HAND.search(line)


def test_no_module_makes_plurals_by_hand() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if BY_HAND.search(line) and path.name != "plurals.py"
    ]
    assert found == [], "stream_app.plurals.counted says it"
