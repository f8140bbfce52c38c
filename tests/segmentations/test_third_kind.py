"""What a further kind of segmentation costs: the file `third_kind`, and a line in the registry and in file's models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.bootstrap.segmentation import create_partition
from stream_app.segmentations.file import MODELS
from stream_app.segmentations.registry import KINDS, build_segmentation
from stream_app.settings.loading import load_settings
from stream_app.sources.files import SourceFile
from tests.contracts.records import NOW_MS
from tests.segmentations.examples import RULES
from tests.segmentations.third_kind import TIERS
from tests.support.replays import Outputs, engagement_at, purchase_at, write_lines


@pytest.fixture
def _third_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "tiers", TIERS)
    monkeypatch.setitem(cast(dict[str, Any], MODELS), "tiers", TIERS.configuration)


@pytest.fixture
def purchases(tmp_path: Path) -> dict[str, Path]:
    days = range(1, 9)
    records = [purchase_at(day, f"2024-04-0{day}T12:00:00Z", f"c{day % 3}") for day in days]
    visits = [engagement_at(day, f"2024-04-0{day}T18:00:00Z", f"c{day % 2}") for day in days]
    return {
        "purchases": write_lines(tmp_path / "p.jsonl", records),
        "engagements": write_lines(tmp_path / "e.jsonl", visits),
    }


@pytest.mark.usefixtures("_third_kind")
def test_a_third_kind_runs_from_the_settings_to_the_outputs(purchases: dict[str, Path], tmp_path: Path) -> None:
    tables = [
        {"kind": "learned", "name": "value"},
        {"kind": "tiers", "name": "loyalty", "purchases": [2, 3]},
        RULES,
    ]
    chosen = load_settings(None, {"segmentations": tables})
    assert create_partition(chosen).names == ("value", "loyalty", "service")
    sources = [SourceFile(path, topic, {}, {}, None) for topic, path in purchases.items()]
    replay = create_replay(chosen, tmp_path / "out")
    readers = create_readers(chosen, sources, NOW_MS)
    replay.run(readers)
    for reader in readers:
        reader.close()
    outputs = Outputs(tmp_path / "out")
    tiers = [m for m in outputs.migrations if m["segmentation"] == "loyalty"]
    told = [(m["customer_id"], m["sequence"], m["change"], m["to_segment"]["id"]) for m in tiers]
    assert [entry for entry in told if entry[0] == "c1"] == [
        ("c1", 1, "entered", "tier-0"),
        ("c1", 2, "moved", "tier-1"),
        ("c1", 3, "moved", "tier-2"),
    ]
    assert tiers[0]["explanation"] == {
        "kind": "tiers",
        "purchases": 1,
        "sentence": "1 purchases; enters Tier 0.",
    }
    assert {m["segmentation"] for m in outputs.memberships} == {"value", "loyalty", "service"}
    held = {m["customer_id"]: m["segment"]["name"] for m in outputs.memberships if m["segmentation"] == "loyalty"}
    assert held == {"c0": "Tier 1", "c1": "Tier 2", "c2": "Tier 2"}
    assert [model["segmentation"] for model in outputs.models[:3]] == ["value", "loyalty", "service"]
    assert [each["segmentation"] for each in outputs.summary["other_segmentations"]] == ["loyalty", "service"]


@pytest.mark.usefixtures("_third_kind")
def test_a_changed_definition_is_the_next_version_and_the_same_one_the_version_it_was() -> None:
    (first,) = load_settings(None, {"segmentations": [{"kind": "tiers", "name": "t", "purchases": [2]}]}).segmentations
    (other,) = load_settings(None, {"segmentations": [{"kind": "tiers", "name": "t", "purchases": [5]}]}).segmentations
    built = build_segmentation(first, {})
    assert build_segmentation(first, {}, built) is built
    assert build_segmentation(other, {}, built).version == built.version + 1
