"""The scenarios through the embedded runtime: complete lists of moves, exact instants, members by moves and by rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.notation import DATA, NotSupported, read_scenarios
from tests.scenarios.playing import judge

SCENARIOS = read_scenarios(Path(os.environ.get("SCENARIOS") or DATA))


@pytest.mark.parametrize("document", SCENARIOS, ids=lambda document: document["id"])
def test_a_scenario_comes_out_as_expected(document: dict[str, Any]) -> None:
    try:
        verdict = judge(document)
    except NotSupported as reason:
        pytest.skip(str(reason))
    assert list(verdict.complaints) == []


def test_what_does_not_exist_is_skipped_with_the_reason() -> None:
    document = {"id": "C", "inputs": [{"kind": "consent", "user": "a", "at": "2026-01-01T00:00:00Z"}]}
    with pytest.raises(NotSupported, match="consent"):
        judge(document | {"definitions": {}})
