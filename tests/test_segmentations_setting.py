"""In what ways customers are divided: by a file, by tables of the settings, or by neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.segmentation import create_segmentations
from stream_app.bootstrap.worker import create_worker
from stream_app.cli import main
from stream_app.commands.groups import with_segmentations
from stream_app.contracts.policy import DecodingPolicy
from stream_app.errors import ConfigurationError, DefinitionsInvalid
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from stream_app.settings.loading import load_settings
from tests.contracts.records import PURCHASE
from tests.support.one_segmentation import VARIABLE

FILE = """
version: 1
timezone: Europe/Rome
lists: {staff: staff.csv}
traits: {country: string}
segmentations:
  - {kind: learned, name: value}
  - kind: audience
    name: guests
    when: {all: [{event: order_completed, calendar: {days: 7}}, {not: {list: staff}}]}
"""


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "staff.csv").write_text("c1\nc2\n")
    path = tmp_path / "segmentations.yaml"
    path.write_text(FILE)
    return path


def test_file_names_segmentations_lists_and_traits(file: Path) -> None:
    settings = load_settings(None, {"segmentations_file": file})
    value, guests = create_segmentations(settings)
    assert (value.name, guests.name) == ("value", "guests")
    assert isinstance(guests, AudienceSegmentation)
    assert {name: len(found) for name, found in guests.lists.items()} == {"staff": 2}
    assert '"timezone": "Europe/Rome"' in json.dumps(guests.definition.model_dump(mode="json", by_alias=True))
    policy: DecodingPolicy = create_decoders(settings)["profiles"].policy
    assert policy.traits == {"country": "string"}


def test_file_is_named_by_the_environment_and_by_the_settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = file.with_name("segmenter.toml")
    toml.write_text(f'segmentations_file = "{file}"')
    assert [each.name for each in load_settings(toml).definitions.segmentations] == ["value", "guests"]
    monkeypatch.setenv("SEGMENTER_SEGMENTATIONS_FILE", str(file))
    assert [each.name for each in load_settings(None).definitions.segmentations] == ["value", "guests"]


def test_option_takes_the_place_of_the_settings_tables(file: Path) -> None:
    toml = file.with_name("segmenter.toml")
    toml.write_text('[[segmentations]]\nkind = "learned"\nname = "other"')
    assert [each.name for each in load_settings(toml).definitions.segmentations] == ["other"]
    named = load_settings(toml, with_segmentations(file))
    assert [each.name for each in named.definitions.segmentations] == ["value", "guests"]


def test_file_and_tables_together_are_refused(file: Path) -> None:
    both = load_settings(None, {"segmentations_file": file, "segmentations": [{"kind": "learned", "name": "value"}]})
    with pytest.raises(ConfigurationError, match="both are given"):
        assert both.definitions


def test_list_that_no_record_has_room_for_is_refused_at_a_workers_start(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.bootstrap.worker.LISTED_MAX", 1)
    with pytest.raises(ConfigurationError, match=r"lists\.staff: 2 ids, expected at most 1"):
        create_worker(load_settings(None, {"segmentations_file": file}))


def test_file_is_read_once(file: Path) -> None:
    settings = load_settings(None, {"segmentations_file": file})
    before = settings.definitions
    file.write_text("nothing")
    assert settings.definitions is before


def test_list_that_changed_is_a_new_version_and_one_that_did_not_is_none(file: Path) -> None:
    earlier = {each.name: each for each in create_segmentations(load_settings(None, {"segmentations_file": file}))}
    staff = file.with_name("staff.csv")
    staff.write_text("c2\n\nc1\n")  # the same customers
    same = create_segmentations(load_settings(None, {"segmentations_file": file}), earlier)
    assert [each.version for each in same] == [0, 1]
    staff.write_text("c2\nc3\n")
    changed = create_segmentations(load_settings(None, {"segmentations_file": file}), earlier)
    assert [each.version for each in changed] == [0, 2]


def test_every_mistake_of_a_file_is_one_line(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("days: 7", "days: seven").replace("name: value", "nome: value"))
    events = tmp_path / "purchases.jsonl"
    events.write_text(json.dumps(PURCHASE))
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--purchases", str(events), "--segmentations", str(file), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"segmenter: {file}: segmentations[") for line in lines), lines


def test_mistakes_between_tables_of_the_settings_are_found() -> None:
    audience = {"kind": "audience", "name": "a", "when": {"segmentation": "b"}}
    with pytest.raises(DefinitionsInvalid, match="there is no segmentation 'b'"):
        assert load_settings(None, {"segmentations": [audience]}).definitions


def test_tables_of_the_settings_are_checked_as_a_file_is() -> None:
    tables = [{"kind": "learned", "name": f"l{number}"} for number in range(9)]
    with pytest.raises(DefinitionsInvalid, match="9 are learned, expected 8 at most"):
        assert load_settings(None, {"segmentations": tables}).definitions
