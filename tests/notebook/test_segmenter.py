"""The interface for notebooks: that it is the replay, however records come, and whatever is asked or saved between."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_app as seg
from stream_app.cli import main
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.segmentations.file import shipped_document
from stream_app.simulator.simulation import Faults, simulate
from tests.contracts.records import ENGAGEMENT, NOW_MS, PROFILE, PURCHASE
from tests.support.events import START_MS
from tests.support.replays import write_lines

NOW = format_instant(NOW_MS * 2)
TOPICS = ("purchases", "engagements")
CHOSEN = ("value", "lifecycle", "region", "cart_abandoners", "vip_slipping")
EVERY_KIND = shipped_document() | {
    "segmentations": [each for each in shipped_document()["segmentations"] if each["name"] in CHOSEN]
}
"""A learned segmentation, two by rules, and two audiences, of those that are shipped."""


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("population")
    simulate(120, 150, 7, folder, faults=Faults(duplicate_rate=0.02, malformed_rate=0.01, late_rate=0.05))
    return {topic: folder / f"{topic}.jsonl.gz" for topic in TOPICS}


@pytest.fixture(scope="module")
def segmenter(population: dict[str, Path]) -> seg.Segmenter:
    return every_kind().learn_many(population, max_rejected=0.1)


def every_kind(**options: Any) -> seg.Segmenter:
    return seg.Segmenter({"learning": {"tick_days": 14}}, segmentations=EVERY_KIND, now=NOW, **options)


few = settings(max_examples=20)


@st.composite
def events(draw: st.DrawFn, *, apart: bool = False, late: bool = True) -> list[dict[str, Any]]:
    """Draw records of a few customers, most in order of time, some late, some twice; all apart in time if asked."""
    at_ms, drawn = START_MS, []
    gaps = [1, 3_600_000, DAY_MS, 9 * DAY_MS, 50 * DAY_MS] + [-5 * DAY_MS] * late
    for number in range(draw(st.integers(1, 24))):
        at_ms += draw(st.sampled_from(gaps if apart else [0, *gaps]))
        common = {"event_id": f"e{number}", "customer_id": draw(st.sampled_from("abc"))}
        at = format_instant(at_ms)
        kind = draw(st.sampled_from(["purchase", "purchase", "refund", "view", "profile"]))
        if kind == "profile":
            drawn.append(
                PROFILE | common | {"observed_at": at, "traits": {"country": draw(st.sampled_from(["IT", "DE"]))}}
            )
        elif kind == "view":
            drawn.append(ENGAGEMENT | common | {"occurred_at": at})
        else:
            own = {"type": "order_completed" if kind == "purchase" else "order_refunded", "occurred_at": at}
            total = draw(st.sampled_from(["1.00", "60.00", "600.00"]))
            drawn.append(PURCHASE | common | own | {"order_id": f"o{number % 5}", "total": total})
        if draw(st.integers(0, 9)) == 0:
            drawn.append(drawn[-1])
    return drawn


def learn_each(segmenter: seg.Segmenter, records: Iterable[dict[str, Any]]) -> list[seg.Migration]:
    return [migration for record in records for migration in segmenter.learn_one(record)]


def moves(segmenter: seg.Segmenter) -> list[dict[str, Any]]:
    """Return all migrations but for the place that the causing record was read from."""
    found = [json.loads(line) for line in segmenter.migrations(as_="jsonl").splitlines()]
    return [move | {"cause": move["cause"] | {"position": None}} for move in found]


def topic_of(record: dict[str, Any]) -> str:
    return "profiles" if "traits" in record else "purchases" if "total" in record else "engagements"


# --- it is the replay -------------------------------------------------------------------------------------------


def test_a_load_gives_what_the_replay_of_the_same_files_gives(population: dict[str, Path], tmp_path: Path) -> None:
    definitions = tmp_path / "shipped.json"
    definitions.write_text(json.dumps(EVERY_KIND))
    config = tmp_path / "segmenter.toml"
    config.write_text("[learning]\ntick_days = 14\n")
    files = [word for topic, path in population.items() for word in (f"--{topic}", path)]
    options = ("--config", config, "--segmentations", definitions, "--now", NOW, "--max-rejected", "0.1")
    out = tmp_path / "out"
    main(["replay", *map(str, (*files, *options)), "--out", str(out)])
    loaded = seg.Segmenter(config, segmentations=definitions, now=NOW).learn_many(population, max_rejected=0.1)
    assert loaded.migrations(as_="jsonl") == (out / "migrations.jsonl").read_bytes()
    loaded.report(tmp_path / "again")
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert again.keys() == written.keys()
    assert [name for name in written if written[name] != again[name]] == []


@few
@given(records=events(apart=True, late=False))
def test_records_one_by_one_in_order_of_time_move_customers_as_a_file_of_them_does(
    records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    purchases = [record for record in records if topic_of(record) == "purchases"]
    whole, single = every_kind(), every_kind()
    if purchases:
        whole.learn_many(write_lines(tmp_path_factory.mktemp("one") / "purchases.jsonl", purchases))
    learn_each(single, purchases)
    assert moves(single) == moves(whole)


def test_a_population_one_by_one_moves_as_its_files_do(
    population: dict[str, Path], segmenter: seg.Segmenter, tmp_path: Path
) -> None:
    refused = {(row["source"], row["row"]) for row in segmenter.refused(as_="dicts")}
    apart: dict[tuple[str, str], str] = {}  # in a file, events of a customer at one instant are one instant
    files: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS}
    for place, record in merged(population):
        instant = record.get("customer_id", ""), record["occurred_at"]
        if place not in refused and apart.setdefault(instant, record["event_id"]) == record["event_id"]:
            files[topic_of(record)].append(record)
    written = {topic: write_lines(tmp_path / f"{topic}.jsonl.gz", records) for topic, records in files.items()}
    single, whole = every_kind(), every_kind().learn_many(written)
    learn_each(single, sorted((each for records in files.values() for each in records), key=at))
    assert len(moves(single)) > 500
    assert sorted(moves(single), key=place_of) == sorted(moves(whole), key=place_of)


def at(record: dict[str, Any]) -> str:
    return str(record["occurred_at"])


def place_of(move: dict[str, Any]) -> tuple[Any, ...]:
    return move["customer_id"], move["segmentation"], move["sequence"]


def merged(population: dict[str, Path]) -> list[tuple[tuple[str, int], dict[str, Any]]]:
    """Return the readable records of all files, with file and line, in the order in which the replay takes them."""
    keyed = []
    for number, path in enumerate(population.values()):
        latest = ""
        for row, line in enumerate(gzip.decompress(path.read_bytes()).splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if str(record["occurred_at"]).endswith("Z") and record.get("customer_id"):
                latest = max(latest, record["occurred_at"])
            keyed.append((latest, number, (path.name, row), record))
    return [(place, record) for _, _, place, record in sorted(keyed, key=lambda each: each[:2])]


@few
@given(records=events(apart=True, late=False), cut=st.integers(0, 24))
def test_two_loads_that_follow_one_another_are_one_load(
    records: list[dict[str, Any]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    purchases = [record for record in records if topic_of(record) == "purchases"]
    folder = tmp_path_factory.mktemp("two")
    whole, parts = every_kind(), every_kind()
    for number, part in enumerate((purchases[:cut], purchases[cut:])):
        if part:
            parts.learn_many(write_lines(folder / f"{number}.jsonl", part))
    if purchases:
        whole.learn_many(write_lines(folder / "whole.jsonl", purchases))
    assert moves(parts) == moves(whole)


# --- asking changes nothing -------------------------------------------------------------------------------------


@few
@given(records=events(late=False), data=st.data())
def test_asking_between_records_in_order_changes_no_move_and_no_instant_of_one(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    asked, left_alone = every_kind(), every_kind()
    told = []
    for record in records:
        told += asked.learn_one(record)
        if data.draw(st.booleans()):
            asked.segment_of(record["customer_id"])
            asked.summary()
    learn_each(left_alone, records)

    def facts(segmenter: seg.Segmenter) -> list[Any]:
        return sorted(
            (
                move["customer_id"],
                move["segmentation"],
                move["sequence"],
                move["effective_at"],
                move["to_segment"] and 1,
            )
            for move in moves(segmenter)
        )

    assert facts(asked) == facts(left_alone)


@few
@given(records=events())
def test_what_is_returned_is_what_is_kept(records: list[dict[str, Any]]) -> None:
    segmenter = every_kind()
    told = [*learn_each(segmenter, records), *segmenter.advance_to("2026-01-01T00:00:00Z")]
    assert [each.migration_id for each in told] == [each["migration_id"] for each in moves(segmenter)]


@few
@given(records=events())
def test_where_a_customer_stands_follows_from_its_moves(records: list[dict[str, Any]]) -> None:
    segmenter = every_kind()
    learn_each(segmenter, records)
    last: dict[tuple[str, str], Any] = {}
    for move in moves(segmenter):
        last[move["customer_id"], move["segmentation"]] = move["to_segment"], move["effective_at"]
    for customer_id in {record["customer_id"] for record in records}:
        standing = {
            name: ({"id": each.segment.id, "name": each.segment.name}, each.since)
            for name, each in segmenter.segment_of(customer_id).items()
        }
        assert standing == {
            name: (to, at) for (customer, name), (to, at) in last.items() if customer == customer_id and to
        }


# --- saving ------------------------------------------------------------------------------------------------------


@few
@given(records=events(), cut=st.integers(0, 24), pause=st.booleans())
def test_a_segmenter_that_was_saved_goes_on_as_if_it_had_not_been(
    records: list[dict[str, Any]], cut: int, pause: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("saved") / "shop.segmenter"
    never, saved = every_kind(seed=3), every_kind(seed=3)
    for segmenter in (never, saved):
        learn_each(segmenter, records[:cut])
        if pause:
            segmenter.advance_to("2024-09-01T00:00:00Z")
    saved.save(path)
    loaded = seg.Segmenter.load(path)
    for segmenter in (never, loaded):
        learn_each(segmenter, records[cut:])
        segmenter.advance_to("2025-06-01T00:00:00Z")
    assert loaded.migrations(as_="jsonl") == never.migrations(as_="jsonl")
    assert loaded.summary() == never.summary()
    assert loaded.memberships(as_="dicts") == never.memberships(as_="dicts")


def test_a_population_that_was_saved_in_the_middle_goes_on_as_if_it_had_not_been(
    population: dict[str, Path], tmp_path: Path
) -> None:
    records = [record for _, record in merged(population)]
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    engagements = [record for record in records if "total" not in record]
    half = len(engagements) // 2
    for path, part in zip(files, (engagements[:half], engagements[half:]), strict=True):
        write_lines(path, part)
    never, saved = every_kind(), every_kind()
    for each in (never, saved):
        each.learn_many(files[0], topic="engagements", max_rejected=0.1)
    saved.save(tmp_path / "saved")
    loaded = seg.Segmenter.load(tmp_path / "saved")
    for each in (never, loaded):
        each.learn_many(files[1], topic="engagements", max_rejected=0.1)
    assert loaded.migrations(as_="jsonl") == never.migrations(as_="jsonl")
    assert loaded.summary() == never.summary()
    for each, name in ((never, "a"), (loaded, "b")):
        each.save(tmp_path / name)
        each.report(tmp_path / f"report of {name}")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    reports = [tmp_path / f"report of {name}" for name in ("a", "b")]
    for name in ("history.json", "report.html"):
        assert (reports[0] / name).read_bytes() == (reports[1] / name).read_bytes()


def test_a_copy_and_a_pickled_one_go_their_own_way() -> None:
    segmenter = every_kind()
    segmenter.learn_one(PURCHASE)
    before = segmenter.migrations(as_="jsonl")
    for other in (segmenter.copy(), pickle.loads(pickle.dumps(segmenter))):
        assert other.migrations(as_="jsonl") == before
        assert other.advance_to("2026-01-01T00:00:00Z")
    assert segmenter.migrations(as_="jsonl") == before
