from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_app.bootstrap.segmentation import create_partition
from stream_app.contracts.outputs.migrations import SegmentMembership
from stream_app.errors import ConfigurationError
from stream_app.replay import outputs
from stream_app.replay.outputs import FILES, UNFINISHED, OutputFolder
from tests.support.events import instant, purchase
from tests.support.one_segmentation import value_settings
from tests.support.playing import play
from tests.support.replays import Outputs, purchase_at, replay, write_lines


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_have_their_names_only_once_all_are_complete(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "a" / "b")
    folder.write_model({"version": 0})
    assert names(folder.path) == {UNFINISHED}
    assert names(folder.path / UNFINISHED) == set(FILES)
    folder.complete({"customers": 0}, {})
    assert names(folder.path) == set(FILES)
    assert Outputs(folder.path).models == [{"version": 0}]
    assert (folder.path / "summary.json").read_bytes() == b'{\n  "customers": 0\n}\n'


def test_discarded_outputs_leave_earlier_ones_as_they_were(tmp_path: Path) -> None:
    earlier = OutputFolder(tmp_path)
    earlier.write_dead_letter("{}")
    earlier.complete({}, {})
    later = OutputFolder(tmp_path)
    later.write_dead_letter("{}" * 100_000)
    later.discard()
    assert names(tmp_path) == set(FILES)
    assert Outputs(tmp_path).dead_letters == [{}]


def test_what_is_added_takes_its_place_with_the_rest(tmp_path: Path) -> None:
    earlier = OutputFolder(tmp_path)
    earlier.complete({"customers": 1}, {})
    seen: list[set[str]] = []

    def add(folder: Path) -> None:
        seen.append(names(folder))
        assert Outputs(tmp_path).summary == {"customers": 1}
        (folder / "report.html").write_text("report", "utf-8")

    later = OutputFolder(tmp_path, add)
    (tmp_path / UNFINISHED / "left.html").touch()  # by a run that was killed
    later.complete({"customers": 2}, {})
    assert seen == [set(FILES)]
    assert names(tmp_path) == {*FILES, "report.html"}
    assert Outputs(tmp_path).summary == {"customers": 2}


def test_full_disk_ends_in_an_error_and_no_stray_files(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full")
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "models.jsonl").symlink_to(full)
    folder = OutputFolder(tmp_path)
    folder.write_model({"version": 0})
    with pytest.raises(OSError, match="No space left"):
        folder.complete({}, {})
    folder.discard()
    assert names(tmp_path) == set()


def test_folder_that_cannot_be_written_is_refused_without_stray_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be written .*name another folder with --out"):
        OutputFolder(tmp_path / "file" / "below")
    (tmp_path / "out" / UNFINISHED / "summary.json").mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        OutputFolder(tmp_path / "out")
    assert names(tmp_path / "out" / UNFINISHED) == {"summary.json"}


def test_memberships_are_written_block_by_block_in_order_of_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "BLOCK_CUSTOMERS", 3)
    partition = create_partition(value_settings())
    play(partition, [purchase(0, customer_id=f"c{number}") for number in range(8, 0, -1)])
    folder = OutputFolder(tmp_path)
    folder.write_memberships(partition, instant(1))
    folder.complete({}, {})
    found = Outputs(tmp_path).memberships
    assert [membership["customer_id"] for membership in found] == [f"c{number}" for number in range(8, 0, -1)]
    assert {membership["as_of"] for membership in found} == {"2024-01-02T00:00:00.000Z"}
    assert {membership["since"] for membership in found} == {"2024-01-01T00:00:00.000Z"}


def test_membership_names_the_move_that_silence_makes_next(tmp_path: Path) -> None:
    partition = create_partition(value_settings())
    acts = [purchase(day) for day in (0, 10, 20, 30)]
    play(partition, [*acts, instant(31)])
    folder = OutputFolder(tmp_path)
    folder.write_memberships(partition, instant(31))
    folder.complete({}, {})
    (membership,) = Outputs(tmp_path).memberships
    SegmentMembership.model_validate(membership)
    following, *_ = play(partition, [instant(500)])
    assert following.to_segment is not None
    reference = {"id": following.to_segment.id, "name": following.to_segment.name}
    assert membership["next_move"] == {"at": following.effective_at, "to_segment": reference}


def test_membership_that_silence_never_ends_names_no_next_move(tmp_path: Path) -> None:
    partition = create_partition(value_settings())
    play(partition, [purchase(0), purchase(1), instant(900)])
    folder = OutputFolder(tmp_path)
    folder.write_memberships(partition, instant(900))
    folder.complete({}, {})
    (membership,) = Outputs(tmp_path).memberships
    assert (membership["segment"]["name"], membership["next_move"]) == ("Lost", None)


def test_what_silence_will_do_is_told_ahead_where_that_is_asked_for(tmp_path: Path) -> None:
    when = {"event": "order_completed", "last": "10d"}
    audience = {"kind": "audience", "name": "buyers", "when": when, "warn_before": "3d"}
    definitions = tmp_path / "segmentations.json"
    definitions.write_text(json.dumps({"version": 1, "segmentations": [audience]}), "utf-8")
    orders = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    written = replay(
        *(tmp_path / "out", "--purchases", orders, "--segmentations", definitions, "--until", "2024-05-10T00:00:00Z")
    )
    (notice,) = written.lines("upcoming.jsonl")
    assert (notice["customer_id"], notice["segmentation"]) == ("c1", "buyers")
    assert notice["next_move"]["at"] == "2024-05-11T12:00:00.000Z"
