"""Whatever stands in a file of definitions, checking it ends with mistakes in one line each, never with an error."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.segmentations.file import Checked, check_document
from tests.scenarios.worlds import draw_world

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "30d",
            "0d",
            "-1d",
            "99999999w",
            "Europe/Rome",
            "2026-13-01T00:00:00Z",
            "x*y*",
            "properties.",
            "amount",
            "\x00",
        ]
    )
)
KEYS = st.text(max_size=6) | st.sampled_from(
    [
        "all",
        "any",
        "not",
        "when",
        "event",
        "trait",
        "figure",
        "last",
        "at_least",
        "score",
        "segmentation",
        "kind",
        "name",
    ]
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def assert_told_in_lines(checked: Checked) -> None:
    for mistake in (*checked.mistakes, *checked.warnings, *checked.notes):
        assert str(mistake).isprintable(), "one line, and nothing that a terminal would obey"
    assert (checked.file is None) == bool(checked.mistakes)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all parts of a document."""
    found = [path]
    if isinstance(document, dict):
        for key, part in document.items():
            found += places(part, (*path, key))
    elif isinstance(document, list):
        for index, part in enumerate(document):
            found += places(part, (*path, index))
    return found


def changed(document: Any, path: tuple[Any, ...], change: Any) -> Any:
    """Return a document with one part changed by a function of its container and key."""
    document = copy.deepcopy(document)
    container = document
    for step in path[:-1]:
        container = container[step]
    change(container, path[-1])
    return document


@given(ANYTHING)
def test_anything_may_stand_in_a_file(document: Any) -> None:
    assert_told_in_lines(check_document(document))


@given(st.lists(ANYTHING, max_size=3), st.dictionaries(KEYS, ANYTHING, max_size=2))
def test_anything_may_stand_among_segmentations(entries: list[Any], others: dict[str, Any]) -> None:
    assert_told_in_lines(check_document({"version": 1, "segmentations": entries, **others}))


@settings(max_examples=400)
@given(st.data(), st.integers(0, 10_000))
def test_anything_may_stand_in_place_of_a_part(data: st.DataObject, seed: int) -> None:
    document: Any = {"version": 1, "segmentations": draw_world(seed).entries}
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(document)[1:]))
        value, key = data.draw(ANYTHING), data.draw(KEYS)

        def replace(container: Any, at: Any, value: Any = value) -> None:
            container[at] = value

        def remove(container: Any, at: Any) -> None:
            del container[at]

        def rename(container: Any, at: Any, key: str = key) -> None:
            if isinstance(container, dict):
                container[key] = container.pop(at)

        document = changed(document, path, data.draw(st.sampled_from([replace, remove, rename])))
    assert_told_in_lines(check_document(document))
