"""Whole runs, in this process: what they hold against a recount of their inputs and of their own outputs."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.core.clock import DAY_MS, NO_TIME, WEEK_MS, format_instant
from stream_app.core.partition import Partition
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.simulator.simulation import Faults, SimulationCounts, simulate
from stream_app.sources import files as sources
from stream_app.sources.files import SourceFile
from tests.contracts.records import AT_MS, NOW_MS
from tests.contracts.test_schema_examples import schema_validator
from tests.support.one_segmentation import value_settings
from tests.support.replays import Outputs, engagement_at, purchase_at, replay, write_lines
from tests.support.tables import row_of

FAULTS = Faults(duplicate_rate=0.02, malformed_rate=0.01, late_rate=0.05)
TOPICS = ("purchases", "engagements")


def run(settings: Settings, out: Path, files: dict[str, Path], **options: Any) -> tuple[Partition, Outputs]:
    """Replay through the library and return the table as it is at the end, and the outputs."""
    opened = [SourceFile(path, topic, {}, {}, None) for topic, path in files.items()]
    readers = create_readers(settings, opened, NOW_MS * 2)
    replaying = create_replay(settings, out, options.pop("until_ms", None), options.pop("watch", None))
    try:
        replaying.run(readers, **options)
    finally:
        for reader in readers:
            reader.close()
    return replaying.partition, Outputs(out)


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationCounts]:
    folder = tmp_path_factory.mktemp("population")
    return folder, simulate(250, 210, 5, folder, faults=FAULTS)


@pytest.fixture(scope="module")
def finished(
    population: tuple[Path, SimulationCounts], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Partition, Outputs]:
    files = {topic: population[0] / f"{topic}.jsonl.gz" for topic in TOPICS}
    return run(load_settings(None), tmp_path_factory.mktemp("finished"), files)


@pytest.fixture
def outputs(finished: tuple[Partition, Outputs]) -> Outputs:
    return finished[1]


def sound_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield each event once, from its first sound record."""
    seen = set()
    for topic in TOPICS:
        for line in gzip.decompress((folder / f"{topic}.jsonl.gz").read_bytes()).splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            customer_id = record.get("customer_id")
            if not isinstance(customer_id, str) or not customer_id or not record["occurred_at"].endswith("Z"):
                continue
            if record["event_id"] not in seen:
                seen.add(record["event_id"])
                yield record


class Totals:
    """What a customer's events add up to."""

    def __init__(self) -> None:
        self.completed: Counter[str] = Counter()
        self.refunded: Counter[str] = Counter()
        self.refunds = self.engagements = 0

    @property
    def revenue_minor(self) -> int:
        return self.completed.total() - self.refunded.total()

    @property
    def purchases(self) -> int:
        """Orders that were not refunded in full."""
        return sum(not 0 < total <= self.refunded[order] for order, total in self.completed.items())


def recount(folder: Path) -> dict[str, Totals]:
    totals: dict[str, Totals] = defaultdict(Totals)
    for record in sound_records(folder):
        own = totals[record["customer_id"]]
        if "total" not in record:
            own.engagements += 1
            continue
        minor = int(record["total"].replace(".", ""))
        if record["type"] == "order_refunded":
            own.refunds += 1
            own.refunded[record["order_id"]] += minor
        else:
            own.completed[record["order_id"]] += minor
    return totals


def in_order_of_time(path: Path) -> list[bytes]:
    """Return a file's lines by time, those without one first, those of one instant by their text."""

    def place(line: bytes) -> tuple[int, bytes]:
        try:
            return parse_instant(json.loads(line)["occurred_at"]), line
        except (ValueError, KeyError, TypeError):
            return NO_TIME, line

    return sorted(gzip.decompress(path.read_bytes()).splitlines(), key=place)


# --- against the inputs -------------------------------------------------------------------------------------------


def test_totals_of_every_customer_equal_a_plain_recount(
    population: tuple[Path, SimulationCounts], finished: tuple[Partition, Outputs]
) -> None:
    expected = recount(population[0])
    table = finished[0].table
    assert set(table.customer_ids) == set(expected)
    for name in ("revenue_minor", "refunds", "engagements", "purchases"):
        found = dict(zip(table.customer_ids, table.activity[name].tolist(), strict=True))
        assert found == {customer_id: getattr(own, name) for customer_id, own in expected.items()}, name


def test_every_fault_of_the_input_is_counted(population: tuple[Path, SimulationCounts], outputs: Outputs) -> None:
    truth, counts = population[1], outputs.summary["counts"]
    assert counts["in"] == truth.purchases + truth.engagements
    assert counts["duplicate"] == truth.duplicates > 0
    assert counts["rejected"] == truth.malformed == len(outputs.dead_letters) > 0
    assert counts["applied"] == truth.events
    assert counts["late_applied"] == 0, "files are sorted, though many of their records come late"
    records = {file["topic"]: file["records"] for file in outputs.summary["inputs"]}
    assert records == {"purchases": truth.purchases, "engagements": truth.engagements}


def test_revenue_of_segments_equals_a_plain_recount(
    population: tuple[Path, SimulationCounts], outputs: Outputs
) -> None:
    totals = recount(population[0])
    revenue_minor: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for membership in outputs.memberships:
        own = totals[membership["customer_id"]]
        segment_id = membership["segment"]["id"]
        sizes[segment_id] += 1
        revenue_minor[segment_id] += own.revenue_minor
        orders[segment_id] += own.purchases
    everything = revenue_minor.total()
    assert {segment["id"] for segment in outputs.summary["segments"]} == set(sizes)
    for segment in outputs.summary["segments"]:
        segment_id = segment["id"]
        assert segment["customers"] == sizes[segment_id]
        revenue = revenue_minor[segment_id] / 100
        assert segment["share"] == pytest.approx(sizes[segment_id] / len(totals), abs=1e-3)
        assert segment["orders_per_customer"] == pytest.approx(orders[segment_id] / sizes[segment_id], abs=0.01)
        assert segment["revenue"] == pytest.approx(revenue)
        assert segment["revenue_per_customer"] == pytest.approx(revenue / sizes[segment_id], abs=0.01)
        assert segment["average_order_value"] == pytest.approx(revenue / orders[segment_id], abs=0.01)
        assert segment["revenue_share"] == pytest.approx(revenue_minor[segment_id] / everything, abs=1e-3)


def test_segments_add_up_to_all_customers(outputs: Outputs) -> None:
    segments, everybody = outputs.summary["segments"], outputs.summary["all_segments"]
    assert sum(segment["customers"] for segment in segments) == everybody["customers"] == outputs.summary["customers"]
    assert round(sum(segment["revenue"] for segment in segments), 2) == everybody["revenue"]
    for name in ("share", "revenue_share"):
        assert sum(round(1_000 * segment[name]) for segment in segments) == 1_000
        assert everybody[name] == 1.0


# --- outputs against each other -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("migrations.jsonl", "segment-migrations"),
        ("memberships.jsonl", "segment-memberships"),
        ("models.jsonl", "segment-models"),
        ("dead_letters.jsonl", "dead-letters"),
    ],
)
def test_every_line_keeps_its_contract(outputs: Outputs, name: str, topic: str) -> None:
    validator = schema_validator(topic)
    lines = outputs.lines(name)
    assert lines
    for line in lines:
        OUTPUT_MODELS[topic].model_validate(line)
        validator.validate(line)


def test_sequences_have_no_gaps_and_end_in_the_membership(outputs: Outputs) -> None:
    last: dict[str, dict[str, Any]] = {}
    for migration in outputs.migrations:
        before = last.get(migration["customer_id"])
        assert migration["sequence"] == (before["sequence"] + 1 if before else 1)
        assert migration["from_segment"] == (before and migration["from_segment"])
        assert (migration["change"] == "entered") == (before is None)
        if before:
            assert migration["from_segment"]["id"] == before["to_segment"]["id"] != migration["to_segment"]["id"]
            assert migration["effective_at"] >= before["effective_at"]
        assert migration["effective_at"] <= migration["decided_at"]
        last[migration["customer_id"]] = migration
    assert len({migration["migration_id"] for migration in outputs.migrations}) == len(outputs.migrations)
    assert set(last) == {membership["customer_id"] for membership in outputs.memberships}
    for membership in outputs.memberships:
        migration = last[membership["customer_id"]]
        assert membership["segment"]["id"] == migration["to_segment"]["id"]
        assert membership["sequence"] == migration["sequence"]
        assert membership["since"] == migration["effective_at"]
        assert membership["model_version"] == migration["model_version"]


def test_migrations_name_the_place_in_order_of_time_that_caused_them(
    population: tuple[Path, SimulationCounts], outputs: Outputs
) -> None:
    lines = {f"{topic}.jsonl.gz": in_order_of_time(population[0] / f"{topic}.jsonl.gz") for topic in TOPICS}
    for migration in outputs.migrations:
        cause = migration["cause"]
        if cause["kind"] in ("lapse", "model"):
            assert cause["event_id"] is cause["position"] is None
        else:
            record = json.loads(lines[cause["position"]["topic"]][cause["position"]["offset"] - 1])
            assert (record["event_id"], record["customer_id"]) == (cause["event_id"], migration["customer_id"])


def test_summary_counts_migrations_as_a_plain_recount_does(outputs: Outputs) -> None:
    migrations, summary = outputs.migrations, outputs.summary
    told = summary["migrations"]
    assert told["total"] == len(migrations)
    moves = Counter(migration["cause"]["kind"] for migration in migrations if migration["change"] != "entered")
    by_versions = Counter({kind: moves.pop(kind, 0) for kind in ("model", "definition")})
    assert Counter(told["own_moves"]["by_cause"]) == moves
    assert Counter(told["moves_by_new_versions"]["by_cause"]) == by_versions
    assert (told["own_moves"]["total"], told["moves_by_new_versions"]["total"]) == (moves.total(), by_versions.total())
    assert told["entries"] == len(migrations) - moves.total() - by_versions.total()
    assert Counter(told["by_change"]) == Counter(migration["change"] for migration in migrations)
    flows = Counter(
        ((migration["from_segment"] or {"id": None})["id"], migration["to_segment"]["id"]) for migration in migrations
    )
    assert flows == {
        ((flow["from"] or {"id": None})["id"], flow["to"]["id"]): flow["migrations"] for flow in summary["flows"]
    }
    own = [flow["migrations"] - flow["by_new_version"] for flow in summary["flows"]]
    assert own == sorted(own, reverse=True)
    assert sum(flow["by_new_version"] for flow in summary["flows"] if flow["from"]) == by_versions.total()
    weeks: dict[str, Counter[str]] = defaultdict(Counter)
    for migration in migrations:
        decided_ms = int(np.datetime64(migration["decided_at"][:-1], "ms").astype(int))
        what = "entered" if migration["change"] == "entered" else migration["cause"]["kind"]
        weeks[format_instant(decided_ms // WEEK_MS * WEEK_MS)][what] += 1
    assert weeks == {
        week["at"]: Counter(week["moves_by_cause"]) + Counter(entered=week["entries"]) for week in summary["weeks"]
    }


def test_weekly_sizes_equal_a_plain_recount_of_the_migrations(outputs: Outputs) -> None:
    sizes: Counter[str] = Counter()
    migrations = iter(outputs.migrations)
    migration = next(migrations, None)
    assert len(outputs.summary["sizes"]) >= 29
    for size in outputs.summary["sizes"]:
        while migration is not None and migration["decided_at"] <= size["at"]:
            if migration["from_segment"]:
                sizes[migration["from_segment"]["id"]] -= 1
            sizes[migration["to_segment"]["id"]] += 1
            migration = next(migrations, None)
        assert Counter(size["customers"]) == sizes, size["at"]


def test_moves_per_customer_month_agree_with_a_plain_recount(outputs: Outputs) -> None:
    told = outputs.summary["migrations"]
    entered = {m["customer_id"]: m["decided_at"] for m in outputs.migrations if m["change"] == "entered"}
    end = np.datetime64(outputs.summary["period"]["to"][:-1])
    days = sum((end - np.datetime64(since[:-1])) / np.timedelta64(1, "D") for since in entered.values())
    for moves in (told["own_moves"], told["moves_by_new_versions"]):
        assert moves["per_customer_month"] == pytest.approx(moves["total"] / (days / 30.4), rel=0.02)


def test_summary_tells_of_every_model(outputs: Outputs) -> None:
    summary = outputs.summary
    assert [model["version"] for model in summary["models"]] == [model["version"] for model in outputs.models]
    assert summary["model_version"] == max(m["version"] for m in outputs.models if m["status"] == "published") > 0
    by_model = Counter(m["model_version"] for m in outputs.migrations if m["cause"]["kind"] == "model")
    for model in summary["models"]:
        if model["status"] == "held":
            assert model["customers_moved"] == 0
        else:  # a few are found only later, when they are next assessed
            assert abs(by_model[model["version"]] - model["customers_moved"]) <= 2, model
    used = {m["to_segment"]["id"] for m in outputs.migrations}
    assert used <= set(summary["segment_names"])
    newest = {segment["id"]: segment["name"] for segment in outputs.models[-1]["segments"]}
    assert newest.items() <= summary["segment_names"].items()


def test_members_of_a_model_are_those_whom_it_finds_at_its_tick(outputs: Outputs) -> None:
    assert {segment["members"] for segment in outputs.models[0]["segments"]} == {None}, "the prior numbers"
    assert len(outputs.models) > 20
    for model in outputs.models[1:]:
        where = {
            migration["customer_id"]: migration["to_segment"]["id"]
            for migration in outputs.migrations
            if migration["decided_at"] <= model["as_of"] and migration["model_version"] < model["version"]
        }
        found = {segment["id"]: segment["members"]["customers"] for segment in model["segments"]}
        assert Counter(where.values()) == Counter(found), model["version"]


def test_examples_are_migrations_that_happened(outputs: Outputs) -> None:
    assert len(outputs.summary["examples"]) == 3
    for example in outputs.summary["examples"]:
        assert any(
            migration["customer_id"] == example["customer_id"]
            and migration["effective_at"] == example["effective_at"]
            and migration["explanation"]["sentence"] == example["sentence"]
            for migration in outputs.migrations
        )


# --- time ---------------------------------------------------------------------------------------------------------


def test_single_event_enters_one_customer(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00.000Z")])
    outputs = replay(tmp_path / "out", "--purchases", path)
    (migration,) = outputs.migrations
    assert (migration["change"], migration["effective_at"]) == ("entered", "2024-05-01T12:00:00.000Z")
    assert outputs.summary["period"] == {
        "from": "2024-05-01T12:00:00.000Z",
        "to": "2024-05-01T12:00:00.000Z",
        "days": 1,
    }
    assert outputs.memberships[0]["as_of"] == "2024-05-01T12:00:00.000Z"


def test_days_and_weeks_are_those_of_the_shop(tmp_path: Path) -> None:
    records = [purchase_at(n, f"2024-{1 + n // 28:02}-{1 + n % 28:02}T23:30:00Z") for n in range(112)]
    records += [purchase_at(200 + n, f"2024-{1 + n // 28:02}-{1 + n % 28:02}T02:30:00Z") for n in range(112)]
    files = {"purchases": write_lines(tmp_path / "p.jsonl", sorted(records, key=itemgetter("occurred_at")))}
    days, starts = {}, {}
    for zone in ("UTC", "America/New_York", "Asia/Kolkata"):
        partition, outputs = run(
            load_settings(None, {"business": {"timezone": zone}}), tmp_path / zone.replace("/", "-"), files
        )
        row = row_of(partition.table, 0)
        instants = [datetime.fromisoformat(record["occurred_at"]).astimezone(ZoneInfo(zone)) for record in records]
        assert row.active_day_bits.bit_count() == len({instant.date() for instant in instants}) == row.gaps + 1
        assert outputs.summary["timezone"] == zone
        days[zone] = outputs.summary["period"]["days"]
        told = [size["at"] for size in outputs.summary["sizes"][1:-1]] + [w["at"] for w in outputs.summary["weeks"]]
        starts[zone] = {datetime.fromisoformat(at).astimezone(ZoneInfo(zone)).time().isoformat() for at in told}
    assert set().union(*starts.values()) == {"00:00:00"}
    assert days == {"UTC": 119, "America/New_York": 120, "Asia/Kolkata": 120}


def test_models_are_learned_at_midnights_of_the_shop(tmp_path: Path) -> None:
    simulate(120, 200, 5, tmp_path)
    files = {topic: tmp_path / f"{topic}.jsonl.gz" for topic in TOPICS}
    _, outputs = run(load_settings(None, {"business": {"timezone": "America/New_York"}}), tmp_path / "out", files)
    learned = [datetime.fromisoformat(model["as_of"]) for model in outputs.models if model["version"]]
    local = [instant.astimezone(ZoneInfo("America/New_York")) for instant in learned]
    assert {(instant.time().isoformat(), instant.weekday()) for instant in local} == {("00:00:00", 3)}
    assert len({instant.time() for instant in learned}) == 2  # winter and summer


def test_outputs_in_days_of_another_zone_than_those_before_them_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "settings.toml", tmp_path / "out"
    config.write_text('[business]\ntimezone = "Asia/Kolkata"\n')
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00.000Z")])
    told = []
    for options in ((), (), ("--config", config), ("--config", config)):
        replay(out, "--purchases", path, *options)
        told.append("count the days of" in capsys.readouterr().err)
    assert told == [False, False, True, False]


def test_times_without_a_zone_are_the_shops_unless_an_option_says_otherwise(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[business]\ntimezone = "Europe/Berlin"\n')
    table = "customer_id,order_id,occurred_at,total,currency\nc1,o1,2024-05-01 00:30:00,5,EUR\n"
    path = write_lines(tmp_path / "p.csv", [table.strip().encode()])
    of_shop = replay(tmp_path / "own", "--purchases", path, "--config", config)
    told = replay(tmp_path / "told", "--purchases", path, "--config", config, "--timezone", "UTC")
    instants = [outputs.migrations[0]["effective_at"] for outputs in (of_shop, told)]
    assert instants == ["2024-04-30T22:30:00.000Z", "2024-05-01T00:30:00.000Z"]


def test_all_events_at_one_instant_are_one_moment(tmp_path: Path) -> None:
    records = [purchase_at(n, "2024-05-02T00:00:00.000Z", f"c{n % 40}") for n in range(400)]
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", records))
    assert outputs.summary["counts"]["applied"] == 400
    assert {migration["effective_at"] for migration in outputs.migrations} == {"2024-05-02T00:00:00.000Z"}


def test_engagements_alone_are_enough(tmp_path: Path) -> None:
    records = [engagement_at(n, format_instant(AT_MS + n * DAY_MS // 8), f"c{n % 30}") for n in range(600)]
    outputs = replay(tmp_path / "out", "--engagements", write_lines(tmp_path / "v.jsonl", records))
    assert outputs.summary["counts"]["applied"] == 600
    assert all(segment["revenue"] == segment["revenue_share"] == 0 for segment in outputs.summary["segments"])


def test_gap_of_twenty_years_lapses_customers_at_their_own_instants(tmp_path: Path) -> None:
    records = [purchase_at(n, f"2003-05-{1 + n % 28:02}T12:00:00.000Z", f"c{n % 7}") for n in range(56)]
    records = sorted(records, key=lambda record: record["occurred_at"])
    records += [purchase_at(90 + n, "2023-05-01T12:00:00.000Z", f"c9{n}") for n in range(3)]
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", records))
    lapsed = [migration for migration in outputs.migrations if migration["change"] == "lapsed"]
    assert {migration["customer_id"] for migration in lapsed} == {f"c{number}" for number in range(7)}
    assert all("2003-05" < migration["effective_at"] < "2013" for migration in lapsed)
    assert all(migration["decided_at"][11:] == "00:00:00.000Z" for migration in lapsed)


SHOP = [purchase_at(n, format_instant(AT_MS + n * DAY_MS // 4), f"c{n % 40}") for n in range(400)]
"""A hundred days of forty customers."""


def moves_of(outputs: Outputs, without: str) -> list[tuple[Any, ...]]:
    return [
        (m["customer_id"], m["segmentation"], m["effective_at"], m["from_segment"], m["to_segment"])
        for m in outputs.migrations
        if m["customer_id"] != without
    ]


@pytest.mark.parametrize("is_sorted", [False, True], ids=["as it was written", "sorted"])
def test_mistyped_year_concerns_its_own_customer_alone(tmp_path: Path, is_sorted: bool) -> None:
    typo = [dict(record) for record in SHOP]
    typo[40]["occurred_at"] = format_instant(AT_MS + 375 * DAY_MS)
    if is_sorted:
        typo.sort(key=lambda record: record["occurred_at"])
    clean = replay(tmp_path / "clean", "--purchases", write_lines(tmp_path / "c.jsonl", SHOP))
    found = replay(tmp_path / "typo", "--purchases", write_lines(tmp_path / "t.jsonl", typo))
    assert found.summary["counts"] == clean.summary["counts"]
    assert (found.summary["as_of"], found.summary["period"]) == (clean.summary["as_of"], clean.summary["period"])
    assert [len(each["models"]) for each in (found.summary, clean.summary)] == [len(clean.summary["models"])] * 2
    segments = [{m["customer_id"]: m["segment"]["id"] for m in each.memberships} for each in (found, clean)]
    assert {key for key in segments[1] if segments[0][key] != segments[1][key]} <= {"c0"}
    row = 400 if is_sorted else 41
    named = {"file": "t.jsonl", "row": row, "at": format_instant(AT_MS + 375 * DAY_MS)}
    assert found.summary["times_in_doubt"] == {"ahead": 1, "behind": 0, "examples": [named]}
    assert clean.summary["times_in_doubt"] == {"ahead": 0, "behind": 0, "examples": []}


@pytest.mark.parametrize("wrong", [1, 5])
def test_dates_of_1970_start_nothing(tmp_path: Path, wrong: int) -> None:
    def swept(name: str, records: list[dict[str, Any]]) -> tuple[Outputs, list[int]]:
        instants: list[int] = []
        path = write_lines(tmp_path / f"{name}.jsonl", records)
        _, outputs = run(
            load_settings(None), tmp_path / name, {"purchases": path}, watch=lambda _, at_ms: instants.append(at_ms)
        )
        return outputs, instants

    epoch = [purchase_at(1_000 + n, f"1970-01-01T00:00:0{n}.000Z", f"w{n}") for n in range(wrong)]
    clean, clean_sweeps = swept("clean", SHOP)
    found, sweeps = swept("epoch", [*epoch, *SHOP])
    assert sweeps == clean_sweeps
    assert [m for m in moves_of(found, "") if not m[0].startswith("w")] == moves_of(clean, "")
    assert len(found.summary["models"]) == len(clean.summary["models"])
    assert found.summary["period"] == clean.summary["period"]
    doubts = found.summary["times_in_doubt"]
    assert (doubts["ahead"], doubts["behind"]) == (0, wrong)
    assert doubts["examples"][0] == {"file": "epoch.jsonl", "row": 1, "at": "1970-01-01T00:00:00.000Z"}


def test_until_lets_silent_customers_lapse(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(n, f"2024-01-{n + 1:02}T12:00:00.000Z") for n in range(20)])
    short = replay(tmp_path / "short", "--purchases", path)
    long = replay(tmp_path / "long", "--purchases", path, "--until", "2025-01-01T06:00:00Z")
    assert not short.summary["migrations"]["by_change"]["lapsed"]
    assert long.summary["migrations"]["by_change"]["lapsed"] >= 1
    assert long.memberships[0]["as_of"] == "2025-01-01T06:00:00.000Z"
    assert long.summary["period"] == short.summary["period"]
    assert long.migrations[: len(short.migrations)] == short.migrations
    earlier = replay(tmp_path / "earlier", "--purchases", path, "--until", "2020-01-01T00:00:00Z")
    assert earlier.contents() == short.contents(), "time does not run backwards"


def test_now_decides_what_is_in_the_future(tmp_path: Path) -> None:
    records = [purchase_at(1, "2024-05-01T12:05:00Z"), purchase_at(2, "2024-05-01T12:05:00.001Z")]
    path = write_lines(tmp_path / "p.jsonl", records)
    outputs = replay(tmp_path / "out", "--purchases", path, "--now", "2024-05-01T14:00:00+02:00")
    assert outputs.summary["rejected_by_reason"] == {"time_in_future": 1}
    assert outputs.dead_letters[0]["position"]["offset"] == 2


def test_watch_is_called_at_every_boundary(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(n, f"2024-05-0{n + 1}T12:00:00Z", f"c{n}") for n in range(4)])
    run(
        value_settings(),
        tmp_path / "out",
        {"purchases": path},
        watch=lambda part, at_ms: seen.append((at_ms, len(part.table))),
    )
    first_ms = AT_MS + DAY_MS // 2
    assert seen == [(first_ms, 1), (first_ms + DAY_MS, 2), (first_ms + 2 * DAY_MS, 3)]


# --- interruption, failure, bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [1, 5, 25])
def test_interrupted_run_is_complete_up_to_there(
    tmp_path: Path, population: tuple[Path, SimulationCounts], asked: int
) -> None:
    answers = iter([False] * asked)
    files = {topic: population[0] / f"{topic}.jsonl.gz" for topic in TOPICS}
    partition, outputs = run(value_settings(), tmp_path, files, interrupted=lambda: next(answers, True))
    summary = outputs.summary
    assert summary["interrupted"] is True
    assert 0 < summary["counts"]["in"] == sum(file["records"] for file in summary["inputs"])
    assert summary["counts"]["in"] < population[1].purchases + population[1].engagements
    assert len(outputs.memberships) == summary["customers"] == len(partition.table)
    test_sequences_have_no_gaps_and_end_in_the_membership(outputs)
    test_summary_counts_migrations_as_a_plain_recount_does(outputs)


def test_run_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(n, f"2024-05-0{n + 1}T12:00:00Z") for n in range(4)])

    def fail(_partition: Partition, _at_ms: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(value_settings(), tmp_path / "out", {"purchases": path}, watch=fail)
    assert list((tmp_path / "out").iterdir()) == []


def test_sweep_interval_must_divide_the_tick(tmp_path: Path) -> None:
    settings = load_settings(None, {"assignment": {"sweep_interval_seconds": 100_000}})
    with pytest.raises(ConfigurationError, match=r"divisor of learning\.tick_days"):
        create_replay(settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("code", ["XXX", "ZZZ"])
def test_base_currency_without_minor_units_is_refused(tmp_path: Path, code: str) -> None:
    settings = load_settings(None, {"money": {"base_currency": code}})
    with pytest.raises(ConfigurationError, match=r"money\.base_currency"):
        create_replay(settings, tmp_path / "out")


def test_memory_grows_with_customers_and_not_with_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 1 << 15)

    def peak_bytes(name: str, days: int) -> int:
        lines = (
            purchase_at(n, format_instant(AT_MS - 400 * DAY_MS + n * DAY_MS // 50), f"c{n % 50}", event_id=f"e{n}")
            for n in range(days * 50)
        )
        path = write_lines(tmp_path / f"{name}.jsonl", lines)
        tracemalloc.start()
        try:
            run(value_settings(), tmp_path / name, {"purchases": path})
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes("warm", 50)  # what is imported and cached at the first use is not counted
    assert peak_bytes("long", 240) <= 1.3 * peak_bytes("short", 60)
