from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.errors import ConfigurationError
from stream_app.report.document import merge_old
from stream_app.report.listing import encode_listing
from stream_app.report.page import write_report
from stream_app.report.reading import Explanation, Migration
from stream_app.report.timelines import SENTENCE_PATTERNS_MAX, TimelineSample, shorten_sentence
from tests.report.packed import content_of, told_moves
from tests.report.report_folder import RETIRED, SEGMENTS, ReportFolder, ms_of
from tests.support.replays import Outputs

FLOW_KEYS = ("day", "from", "to", "cause", "change")

READ = (
    "summary.json",
    "history.json",
    "migrations.jsonl",
    "models.jsonl",
    "memberships.jsonl",
    "dead_letters.jsonl",
)
HOSTILE_IDS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "line\u2028separator\u2029",
    "<!--<script>",
    "&lt;already&gt; \\u003c",
    "${library} $content",
    "__proto__",
    "42",
]


def expected_moves(migrations: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    expected: dict[str, list[dict[str, Any]]] = {}
    for migration in migrations:
        origin, target = migration["from_segment"], migration["to_segment"]
        sentence = migration["explanation"]["sentence"]
        expected.setdefault(migration["customer_id"], []).append(
            {
                "at_s": int(datetime.fromisoformat(migration["effective_at"]).timestamp()),
                "from": origin,
                "to": target,
                "cause": migration["cause"]["kind"],
                "change": migration["change"],
                "version": migration["model_version"],
                "sentence": shorten_sentence(sentence, origin and origin["name"], target["name"]),
            }
        )
    return expected


def as_migrations(folder: ReportFolder) -> list[Migration]:
    return msgspec.convert(folder.migrations, list[Migration])


def taken(migrations: Iterable[Migration], always: Collection[str] = (), **bounds: int) -> TimelineSample:
    sample = TimelineSample(["value"], always, **bounds)
    for migration in migrations:
        sample.add(migration)
    return sample


def encoded(sample: TimelineSample, customers: int = 300) -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(sample.encode(customers, {}, 2**64))))


@pytest.fixture(scope="module")
def folder() -> ReportFolder:
    return ReportFolder()


@pytest.fixture(scope="module")
def page(folder: ReportFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report")
    folder.write(path)
    return write_report(path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def content(page: str) -> dict[str, Any]:
    return content_of(page)


@pytest.fixture(scope="module")
def value(content: dict[str, Any]) -> dict[str, Any]:
    (segmentation,) = content["segmentations"]
    return dict(segmentation)


def test_every_segment_is_listed_in_the_order_of_the_life_cycle(value: dict[str, Any]) -> None:
    current = [segment for segment in value["segments"] if not segment["former"]]
    assert {segment["name"] for segment in current} == {row[0] for row in SEGMENTS.values()}
    levels = [segment["level"] for segment in current]
    assert levels == sorted(levels, reverse=True)
    assert list(value["members"]) == [segment["id"] for segment in current]


def test_a_former_segment_comes_last_and_says_so(value: dict[str, Any]) -> None:
    former = value["segments"][-1]
    assert (former["id"], former["name"], former["former"], former["means"]) == (*RETIRED, True, None)


def test_an_empty_segment_of_the_newest_model_is_listed_by_its_level(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path)
    summary["segments"] = [segment for segment in summary["segments"] if segment["id"] != "s5"]
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (value,) = content_of(write_report(tmp_path).read_text(encoding="utf-8"))["segmentations"]
    assert [segment["id"] for segment in value["segments"]][-4:] == ["s5", "s105", "s6", "s9"]
    assert not value["segments"][-4]["former"]


def test_what_segments_mean_is_said_by_the_newest_model_in_force(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    held = json.loads((tmp_path / "models.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    held |= {"version": held["version"] + 1, "status": "held"}
    held["segments"] = [segment | {"statement": "only proposed"} for segment in held["segments"]]
    with (tmp_path / "models.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(held) + "\n")
    (value,) = content_of(write_report(tmp_path).read_text(encoding="utf-8"))["segmentations"]
    (champions,) = [segment for segment in value["segments"] if segment["id"] == "s1"]
    told = {key: champions[key] for key in ("means", "action", "open")}
    assert told == {"means": "orders about 11.8 times", "action": "Do what Champions need.", "open": True}


def test_flows_add_up_to_all_migrations(value: dict[str, Any], folder: ReportFolder) -> None:
    assert sum(value["flows"]["customers"]) == len(folder.migrations)
    assert value["flows"]["day"] == sorted(value["flows"]["day"])
    named = [value["segments"][index]["id"] for index in value["flows"]["to"]]
    assert Counter(dict.fromkeys(named)).keys() <= {*SEGMENTS, RETIRED[0]}


def test_timelines_tell_every_migration_of_every_customer(content: dict[str, Any], folder: ReportFolder) -> None:
    people = content["people"]
    assert told_moves(people) == expected_moves(folder.migrations)
    assert people["customersTotal"] == len(folder.current)
    assert people["migrations"] == people["migrationsTotal"] == len(folder.migrations)


def test_customers_have_their_purchases_and_what_comes_next(content: dict[str, Any], folder: ReportFolder) -> None:
    people = content["people"]
    bought = Counter(m["customer_id"] for m in folder.migrations if m["cause"]["kind"] == "purchase")
    assert dict(zip(people["ids"], people["eventCounts"], strict=True)) == {key: bought[key] for key in people["ids"]}
    assert set(people["events"]["amount"]) == {3_100}
    lost = {customer for customer, segment in folder.current.items() if segment == "s6"}
    assert {
        customer for customer, following in zip(people["ids"], people["next"], strict=True) if not following
    } == lost


def test_versions_that_took_over_are_told_with_their_instants(value: dict[str, Any], folder: ReportFolder) -> None:
    published = [model for model in folder.models() if model["status"] == "published"]
    assert value["versions"] == [{"version": m["version"], "atMs": ms_of(m["as_of"])} for m in published]


def test_models_carry_actual_churn_next_to_the_forecast(value: dict[str, Any], folder: ReportFolder) -> None:
    published = {row["version"]: row for row in value["models"] if row["status"] == "published"}
    population = {ms_of(size["at"]): sum(size["customers"].values()) for size in folder.sizes}
    second = published[2]
    assert second["moved"] == folder.moved_by_version[2]
    assert second["actual_churn"] == second["moved"] / population[second["atMs"]]
    assert second["expected_churn"] is not None
    assert second["psi"] is not None


def test_a_held_proposal_is_marked_and_moved_nobody(value: dict[str, Any]) -> None:
    (held,) = [row for row in value["models"] if row["status"] == "held"]
    assert held["expected_churn"] == 0.31
    assert held["moved"] is None
    assert held["actual_churn"] is None


def test_the_starting_rules_have_no_churn(value: dict[str, Any]) -> None:
    assert value["models"][0]["version"] == 0
    assert value["models"][0]["moved"] is None


def test_days_in_segment_are_quartiles_over_its_customers(value: dict[str, Any], folder: ReportFolder) -> None:
    since = [datetime.fromisoformat(at) for key, at in folder.since.items() if folder.current[key] == "s1"]
    end = datetime.fromisoformat(folder.end)
    days = sorted((end - at).total_seconds() / 86_400 for at in since)
    quartiles = [days[(len(days) - 1) * part // 4] for part in (1, 2, 3)]
    assert value["sinceDays"]["s1"] == pytest.approx(quartiles, abs=max(b - a for a, b in pairwise(days)))


def test_how_long_members_stay_is_told_of_every_segment(value: dict[str, Any], folder: ReportFolder) -> None:
    entered = Counter(migration["to_segment"]["id"] for migration in folder.migrations)
    told = value["stays"]["segments"]
    assert {key: row["stays"] for key, row in told.items()} == entered
    assert value["stays"]["customers"] == len(folder.current)


def test_everybody_is_listed_with_the_present_segment(
    content: dict[str, Any], value: dict[str, Any], folder: ReportFolder
) -> None:
    listed = content["listed"]
    assert listed["isComplete"]
    ids = [value["segments"][place]["id"] for place in listed["segments"][0]]
    assert dict(zip(listed["id"], ids, strict=True)) == folder.current
    assert listed["lastDay"].count(None) == 1


def test_a_list_that_does_not_fit_begins_with_the_best_of_each_segment() -> None:
    count = 400
    listing = {
        "id": [f"c{number:03d}" for number in range(count)],
        "orders": [1] * count,
        "revenue_minor": list(range(count, 0, -1)),
        "last_at_s": [0] * count,
        "cell": [0] * count,
        "rank": [number // 2 for number in range(count)],
        "segments": {"value": [f"s{number % 2}" for number in range(count)]},
    }
    places = {"value": {"s0": 0, "s1": 1}}
    listed = encode_listing(listing, places, count, "UTC", lambda columns: len(columns["id"]) / 100)
    assert not listed["isComplete"]
    assert 80 <= len(listed["id"]) <= 100
    assert listed["id"] == [f"c{number:03d}" for number in range(len(listed["id"]))]
    assert encode_listing(listing, places, count, "UTC", lambda _: 2 if _["id"] else 0)["id"] == []


def test_segments_of_other_segmentations_are_told_apart_by_their_places(several: Outputs) -> None:
    content = content_of((several.folder / "report.html").read_text(encoding="utf-8"))
    (pair,) = content["overlaps"]
    assert sum(pair["customers"]) == content["customers"]
    for end, places in (("of", pair["segment"]), ("with", pair["other"])):
        of = content["segmentations"][pair[end]]
        sums: Counter[str] = Counter()
        for place, customers in zip(places, pair["customers"], strict=True):
            sums[of["segments"][place]["id"]] += customers
        assert sums == {key: row["customers"] for key, row in of["members"].items()}
    for found in content["rfm"]["segments"]:
        assert sum(found["customers"]) == sum(cell["customers"] for cell in content["rfm"]["cells"])


def test_the_same_outputs_give_the_same_bytes(folder: ReportFolder, page: str, tmp_path: Path) -> None:
    folder.write(tmp_path)
    assert write_report(tmp_path).read_bytes() == page.encode()
    assert write_report(tmp_path).read_bytes() == page.encode()


def test_directories_of_input_files_are_left_out(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path)
    summary["inputs"][0]["file"] = "/srv/private/shop/purchases.csv"
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "/srv/private" not in page
    content = content_of(page)
    assert content["inputs"][0]["file"] == "purchases.csv"
    assert "/srv" not in json.dumps(content)


def test_a_hostile_customer_id_stays_text(tmp_path: Path) -> None:
    folder = ReportFolder(customer_ids=HOSTILE_IDS, weeks=12)
    folder.write(tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert sorted(told_moves(content_of(page)["people"])) == sorted(HOSTILE_IDS)
    for customer_id in HOSTILE_IDS[:4]:
        assert customer_id not in page


def test_refused_records_are_told_by_reason_with_examples(content: dict[str, Any]) -> None:
    refused = content["refused"]
    assert [(each["reason"], each["records"]) for each in refused] == [
        ("malformed", 4),
        ("invalid_time", 3),
        ("no_customer", 1),
        ("placeholder_id", 1),
    ]
    assert refused[0]["examples"][0] == {
        "file": "purchases.csv",
        "line": 1,
        "field": "occurred_at",
        "message": "1 <b>bold</b>, expected a time",
    }
    assert [len(each["examples"]) for each in refused] == [4, 3, 1, 1]
    assert content["withoutCustomer"] == 2


def test_times_in_doubt_are_named_without_their_directories(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path)
    summary["times_in_doubt"]["examples"][0]["file"] = "/srv/private/shop/purchases.csv"
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    doubts = content_of(write_report(tmp_path).read_text(encoding="utf-8"))["doubts"]
    assert (doubts["ahead"], doubts["behind"]) == (2, 1)
    assert doubts["examples"] == [{"file": "purchases.csv", "row": 1_180, "at": "2026-02-10T08:00:00.000Z"}]


def test_the_last_day_is_the_one_of_the_shop(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path) | {"timezone": "America/New_York"}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    told = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert told["timezone"] == "America/New_York"
    assert told["lastDay"] == folder.end_ms // 86_400_000 - 1, "midnight of UTC is an evening there"


@pytest.mark.parametrize(
    "folder",
    [ReportFolder(with_models=False), ReportFolder(with_migrations=False), ReportFolder(customer_ids=[])],
    ids=["no models", "no migrations", "no customers"],
)
def test_a_report_of_little_is_still_written(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    content = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert content["people"]["migrations"] == len(folder.migrations)
    assert len(content["segmentations"][0]["models"]) == len(folder.models())


def test_no_models_and_no_period_are_no_error(tmp_path: Path) -> None:
    summary = ReportFolder(customer_ids=[]).write(tmp_path)
    summary |= {"period": {"from": None, "to": None}, "models": [], "sizes": [], "weeks": []}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (tmp_path / "models.jsonl").write_bytes(b"")
    content = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert content["segmentations"][0]["models"] == []
    assert content["segmentations"][0]["versions"] == []


@pytest.mark.parametrize("name", [*READ])
def test_a_missing_output_is_named(folder: ReportFolder, tmp_path: Path, name: str) -> None:
    folder.write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ConfigurationError, match=name):
        write_report(tmp_path)


def test_a_broken_line_is_named_with_its_number(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    with (tmp_path / "memberships.jsonl").open("a") as lines:
        lines.write("{\n")
    with pytest.raises(ConfigurationError, match=f"memberships.jsonl, line {len(folder.current) + 1}:"):
        write_report(tmp_path)


def test_flows_of_long_ago_are_told_week_by_week() -> None:
    sunday, last = 19_000 - (19_000 - 3) % 7, 20_000
    days = [sunday - 6, sunday - 1, sunday, sunday + 1, last - 1, last]
    flows = {
        "day": days,
        "from": [None, None, None, None, "s1", "s1"],
        "to": ["s1", "s1", "s2", "s1", "s2", "s2"],
        "cause": ["purchase"] * 6,
        "change": ["entered"] * 4 + ["moved"] * 2,
        "customers": [1, 2, 4, 8, 16, 32],
        "revenue_minor": [10, 20, 40, 80, 160, 320],
    }
    merged = merge_old(flows, FLOW_KEYS)
    assert list(zip(merged["day"], merged["to"], merged["customers"], merged["revenue_minor"], strict=True)) == [
        (sunday, "s1", 3, 30),
        (sunday, "s2", 4, 40),
        (sunday + 7, "s1", 8, 80),
        (last - 1, "s2", 16, 160),
        (last, "s2", 32, 320),
    ]
    assert merge_old(flows, FLOW_KEYS, daily_days=2_000) == flows


# --- several segmentations ------------------------------------------------------------------------------------


def segmentation_of(outputs: Outputs, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = content_of((outputs.folder / "report.html").read_text(encoding="utf-8"))
    (found,) = [each for each in content["segmentations"] if each["name"] == name]
    return content, found


def test_all_segmentations_are_in_one_file(several: Outputs) -> None:
    assert [path.name for path in several.folder.glob("*.html")] == ["report.html"]
    content, _ = segmentation_of(several, "value")
    assert [(each["name"], each["kind"]) for each in content["segmentations"]] == [
        ("value", "learned"),
        ("lifecycle", "rules"),
    ]


@pytest.mark.parametrize("name", ["value", "lifecycle"])
def test_a_segmentation_has_its_own_figures_alone(several: Outputs, name: str) -> None:
    content, found = segmentation_of(several, name)
    own = [migration for migration in several.migrations if migration["segmentation"] == name]
    members = Counter(m["segment"]["id"] for m in several.memberships if m["segmentation"] == name)
    assert sum(found["flows"]["customers"]) == len(own) == found["moves"]["total"] > 0
    assert {key: row["customers"] for key, row in found["members"].items()} == members
    assert set(found["sinceDays"]) == set(members)
    number = [each["name"] for each in content["segmentations"]].index(name)
    for customer_id, moves in told_moves(content["people"], number).items():
        written = [m["to_segment"] for m in own if m["customer_id"] == customer_id]
        assert [move["to"] for move in moves] == written


def test_rules_have_conditions_and_nothing_that_is_learned(several: Outputs) -> None:
    _, found = segmentation_of(several, "lifecycle")
    assert {segment["id"]: segment["means"] for segment in found["segments"]} == {
        "new": "tenure of less than 30 days",
        "vip": "1000 or more purchases",
        "active": "recency of less than 45 days",
        "lapsed": "otherwise",
    }
    assert found["models"] == []
    assert not any(segment["former"] for segment in found["segments"]), "nobody is a VIP, but it is no former segment"


def test_a_learned_segmentation_has_models(several: Outputs) -> None:
    _, found = segmentation_of(several, "value")
    own = [model for model in several.models if model["segmentation"] == "value"]
    assert len(found["models"]) == len(own) > 1
    assert [version["version"] for version in found["versions"]] == sorted(
        model["version"] for model in own if model["status"] != "held"
    )


def test_an_audience_is_told_among_all_customers(shipped: Outputs) -> None:
    content, found = segmentation_of(shipped, "cart_abandoners")
    (audience,), everybody = found["members"].values(), found["everyone"]
    members = [m for m in shipped.memberships if m["segmentation"] == "cart_abandoners"]
    assert (found["kind"], audience["customers"]) == ("audience", len(members))
    assert audience["share"] == len(members) / shipped.summary["customers"] < 1
    assert everybody["customers"] == shipped.summary["customers"]
    assert audience["revenue_share"] == audience["revenue"] / everybody["revenue"]
    own = [m for m in shipped.migrations if m["segmentation"] == "cart_abandoners"]
    assert found["moves"]["own_moves"]["total"] == len(own) > 10
    number = [each["name"] for each in content["segmentations"]].index("cart_abandoners")
    told = told_moves(content["people"], number)
    assert told
    for customer_id, moves in told.items():
        written = [m["to_segment"] for m in own if m["customer_id"] == customer_id]
        assert [move["to"] for move in moves] == written
        assert None in written or len(written) == 1


def test_every_segmentation_has_a_title(shipped: Outputs) -> None:
    content, _ = segmentation_of(shipped, "value")
    titles = {each["name"]: each["title"] for each in content["segmentations"]}
    assert len(titles) > 12
    assert (titles["vip_slipping"], titles["lifecycle"], titles["value"]) == ("VIPs who slip", "Lifecycle", "Value")


# --- the sample of customers ----------------------------------------------------------------------------------


def test_a_full_sample_holds_whole_customers_only(folder: ReportFolder) -> None:
    people = encoded(taken(as_migrations(folder), migrations_max=400))
    expected = expected_moves(folder.migrations)
    told = told_moves(people)
    assert told == {customer_id: expected[customer_id] for customer_id in told}
    assert 380 < people["migrations"] <= 400
    assert people["migrations"] == sum(map(len, told.values()))
    assert people["migrationsTotal"] == len(folder.migrations)
    assert people["customersTotal"] == 300


def test_the_choice_of_customers_does_not_depend_on_the_order_of_lines(folder: ReportFolder) -> None:
    by_customer: dict[str, list[Migration]] = {}
    for migration in as_migrations(folder):
        by_customer.setdefault(migration.customer_id, []).append(migration)
    chosen = []
    for seed in (1, 2, 3):
        customers = sorted(by_customer)
        random.Random(seed).shuffle(customers)
        migrations = [migration for customer_id in customers for migration in by_customer[customer_id]]
        chosen.append(encoded(taken(migrations, migrations_max=200))["ids"])
    assert chosen[0] == chosen[1] == chosen[2]


def test_a_report_keeps_within_its_bytes_and_keeps_the_best_customers(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    best = {row["customer_id"] for each in folder.history()["segmentations"]["value"]["members"].values()
            for row in each.get("top", ())}  # fmt: skip
    whole = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    size = len(gzip.compress(msgspec.json.encode(whole), mtime=0))
    fewer = content_of(write_report(tmp_path, bytes_max=size * 4 // 5).read_text(encoding="utf-8"))
    assert len(gzip.compress(msgspec.json.encode(fewer), mtime=0)) <= size * 4 // 5
    assert best <= set(fewer["people"]["ids"]) < set(whole["people"]["ids"])


def test_sentences_without_a_pattern_are_written_out() -> None:
    template = as_migrations(ReportFolder(customer_ids=["c1"]))[0]
    letters = [
        f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(SENTENCE_PATTERNS_MAX + 50)
    ]
    sentences = [f"{word} after 3 days, .5 → 1,234.50\x01." for word in letters]
    people = encoded(
        taken(msgspec.structs.replace(template, explanation=Explanation(sentence)) for sentence in sentences)
    )
    assert len(people["patterns"]) == SENTENCE_PATTERNS_MAX
    told = [move["sentence"] for move in told_moves(people)["c1"]]
    assert told == [f"{word} after 3 days, .5 → 1,234.50\ufffd." for word in letters]


def test_a_sentence_is_shortened_only_by_its_own_move() -> None:
    sentence = "Silent for 3 days; Loyal → At risk."
    assert shorten_sentence(sentence, "Loyal", "At risk") == "Silent for 3 days."
    assert shorten_sentence(sentence, "At risk", "Loyal") == sentence


def test_the_folder_builder_is_consistent(folder: ReportFolder) -> None:
    """The report is only as trustworthy as what it is developed against."""
    summary = folder.summary(folder.models())
    causes: Counter[str] = Counter()
    for week in summary["weeks"]:
        causes.update(week["moves_by_cause"])
    assert causes == {
        kind: count
        for whose in ("own_moves", "moves_by_new_versions")
        for kind, count in summary["migrations"][whose]["by_cause"].items()
    }
    assert sum(summary["sizes"][-1]["customers"].values()) == summary["customers"]
