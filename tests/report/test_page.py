from __future__ import annotations

import json
import random
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.contracts.readers import MigrationRecord
from stream_app.core.moves import CAUSE_KINDS
from stream_app.errors import ConfigurationError
from stream_app.report.page import FORMER_SEGMENT_COLOURS, SEGMENT_COLOURS, write_report
from stream_app.report.timelines import SENTENCE_PATTERNS_MAX, TimelineSample, shorten_sentence
from stream_app.segmentations.learned.roles import KINDS
from tests.report.report_folder import RETIRED, SEGMENTS, ReportFolder
from tests.support.replays import Outputs

HOSTILE_IDS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "line\u2028separator\u2029",
    "<!--<script>",
    "&lt;already&gt; \\u003c",
    "${plotly} $content",
    "__proto__",
    "42",
]


def content_of(page: str) -> dict[str, Any]:
    """The block of figures, read as a browser does: up to the first end tag."""
    (block,) = re.findall(r'<script type="application/json" id="report-content">(.*?)</script', page, re.DOTALL)
    return json.loads(block)


def told_moves(timelines: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of a timeline sample, unpacked as timeline.js does."""
    told: dict[str, list[dict[str, Any]]] = {}
    for customer_id, rows in timelines["customers"]:
        for at_ms, origin, target, cause, version, margin, pattern, numbers, event_id in rows:
            sentence = pattern
            if isinstance(pattern, int):
                first, *rest = timelines["patterns"][pattern].split("\x01")
                sentence = first + "".join(n + part for n, part in zip(numbers.split(" "), rest, strict=bool(rest)))
            told.setdefault(customer_id, []).append(
                {
                    "at_ms": at_ms,
                    "from": None if origin is None else timelines["segments"][origin],
                    "to": None if target is None else timelines["segments"][target],
                    "cause": CAUSE_KINDS[cause],
                    "version": version,
                    "margin": margin,
                    "sentence": sentence,
                    "event_id": event_id or None,
                }
            )
    return told


def expected_moves(migrations: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    expected: dict[str, list[dict[str, Any]]] = {}
    for migration in migrations:
        origin, target = migration["from_segment"], migration["to_segment"]
        sentence = migration["explanation"]["sentence"]
        expected.setdefault(migration["customer_id"], []).append(
            {
                "at_ms": round(datetime.fromisoformat(migration["effective_at"]).timestamp() * 1000),
                "from": origin,
                "to": target,
                "cause": migration["cause"]["kind"],
                "version": migration["model_version"],
                "margin": migration["explanation"]["margin"],
                "sentence": shorten_sentence(sentence, origin and origin["name"], target["name"]),
                "event_id": migration["cause"]["event_id"],
            }
        )
    return expected


def as_migrations(folder: ReportFolder) -> list[MigrationRecord]:
    return msgspec.convert(folder.migrations, list[MigrationRecord])


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


def test_every_segment_has_a_name_and_a_colour_of_its_own(content: dict[str, Any]) -> None:
    current = content["segments"][: len(SEGMENTS)]
    assert {segment["name"] for segment in current} == {row[0] for row in SEGMENTS.values()}
    assert [segment["id"] for segment in current] == [segment["id"] for segment in content["summary"]["segments"]]
    assert [segment["colour"] for segment in current] == list(SEGMENT_COLOURS[: len(SEGMENTS)])
    assert len({segment["colour"] for segment in content["segments"]}) == len(content["segments"])


def test_a_former_segment_is_named_and_grey(content: dict[str, Any]) -> None:
    former = content["segments"][-1]
    assert (former["id"], former["name"]) == RETIRED
    assert former["colour"] in FORMER_SEGMENT_COLOURS


def test_an_empty_segment_of_the_newest_model_is_listed_by_its_level(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path)
    summary["segments"] = [segment for segment in summary["segments"] if segment["id"] != "s5"]
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    segments = content_of(write_report(tmp_path).read_text(encoding="utf-8"))["segments"]
    assert [segment["id"] for segment in segments][-4:] == ["s5", "s105", "s6", "s9"]
    assert segments[-4]["colour"] not in FORMER_SEGMENT_COLOURS


def test_every_learned_segment_has_a_colour_of_its_own() -> None:
    assert len(set(SEGMENT_COLOURS)) == len(SEGMENT_COLOURS) >= len(KINDS)


def test_what_segments_mean_is_said_by_the_newest_model_in_force(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    held = json.loads((tmp_path / "models.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    held |= {"version": held["version"] + 1, "status": "held"}
    held["segments"] = [segment | {"statement": "only proposed"} for segment in held["segments"]]
    with (tmp_path / "models.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(held) + "\n")
    meanings = content_of(write_report(tmp_path).read_text(encoding="utf-8"))["meanings"]
    assert set(meanings) == set(SEGMENTS)
    assert meanings["s1"] == {"statement": "orders about 11.8 times", "action": "Do what Champions need.", "open": True}


def test_flows_add_up_to_all_migrations(content: dict[str, Any], folder: ReportFolder) -> None:
    assert sum(flow["migrations"] for flow in content["summary"]["flows"]) == len(folder.migrations)


def test_timelines_tell_every_migration_of_every_customer(content: dict[str, Any], folder: ReportFolder) -> None:
    timelines = content["timelines"]
    assert told_moves(timelines) == expected_moves(folder.migrations)
    assert timelines["customersTotal"] == len(folder.current)
    assert timelines["migrations"] == timelines["migrationsTotal"] == len(folder.migrations)


def test_versions_that_took_over_are_told_with_their_instants(content: dict[str, Any], folder: ReportFolder) -> None:
    published = [model for model in folder.models() if model["status"] == "published"]
    assert content["versions"] == [{"version": model["version"], "as_of": model["as_of"]} for model in published]


def test_models_carry_actual_churn_next_to_the_forecast(content: dict[str, Any], folder: ReportFolder) -> None:
    published = {row["version"]: row for row in content["models"] if row["status"] == "published"}
    population = {size["at"]: sum(size["customers"].values()) for size in folder.sizes}
    second = published[2]
    assert second["moved"] == folder.moved_by_version[2]
    assert second["actual_churn"] == second["moved"] / population[second["as_of"]]
    assert second["expected_churn"] is not None
    assert second["psi"] is not None


def test_a_held_proposal_is_marked_and_moved_nobody(content: dict[str, Any]) -> None:
    (held,) = [row for row in content["models"] if row["status"] == "held"]
    assert held["expected_churn"] == 0.31
    assert held["moved"] is None
    assert held["actual_churn"] is None


def test_the_starting_rules_have_no_churn(content: dict[str, Any]) -> None:
    assert content["models"][0]["version"] == 0
    assert content["models"][0]["moved"] is None


def test_days_in_segment_are_the_mean_over_its_customers(content: dict[str, Any], folder: ReportFolder) -> None:
    since = [datetime.fromisoformat(at) for key, at in folder.since.items() if folder.current[key] == "s1"]
    end = datetime.fromisoformat(folder.end)
    mean = sum((end - at).total_seconds() for at in since) / 86_400 / len(since)
    assert content["daysInSegment"]["s1"] == pytest.approx(mean)


def test_the_same_outputs_give_the_same_bytes(folder: ReportFolder, page: str, tmp_path: Path) -> None:
    folder.write(tmp_path)
    assert write_report(tmp_path).read_bytes() == page.encode()
    assert write_report(tmp_path).read_bytes() == page.encode()


def test_the_page_forbids_and_holds_no_foreign_address(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:|#)", page)


def test_directories_of_input_files_are_left_out(folder: ReportFolder, tmp_path: Path) -> None:
    summary = folder.write(tmp_path)
    summary["inputs"][0]["file"] = "/srv/private/shop/purchases.csv"
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "/srv/private" not in page
    assert content_of(page)["summary"]["inputs"][0]["file"] == "purchases.csv"


def test_a_hostile_customer_id_stays_text(tmp_path: Path) -> None:
    folder = ReportFolder(customer_ids=HOSTILE_IDS, weeks=12)
    folder.write(tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert sorted(told_moves(content_of(page)["timelines"])) == sorted(HOSTILE_IDS)
    block = page[page.index('id="report-content">') + len('id="report-content">') :]
    assert not re.search("[<>&\u2028\u2029]", block[: block.index("</script>")])


@pytest.mark.parametrize(
    "folder",
    [ReportFolder(with_models=False), ReportFolder(with_migrations=False), ReportFolder(customer_ids=[])],
    ids=["no models", "no migrations", "no customers"],
)
def test_a_report_of_little_is_still_written(folder: ReportFolder, tmp_path: Path) -> None:
    folder.write(tmp_path)
    content = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert content["timelines"]["migrations"] == len(folder.migrations)
    assert len(content["models"]) == len(folder.models())


def test_no_models_and_no_period_are_no_error(tmp_path: Path) -> None:
    summary = ReportFolder(customer_ids=[]).write(tmp_path)
    summary |= {"period": {"from": None, "to": None}, "models": [], "sizes": [], "weeks": []}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (tmp_path / "models.jsonl").write_bytes(b"")
    content = content_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert content["models"] == []
    assert content["versions"] == []


@pytest.mark.parametrize("name", ["summary.json", "migrations.jsonl", "models.jsonl", "memberships.jsonl"])
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


# --- several segmentations ------------------------------------------------------------------------------------


def test_a_single_segmentation_has_one_page(folder: ReportFolder, content: dict[str, Any], tmp_path: Path) -> None:
    folder.write(tmp_path)
    write_report(tmp_path)
    assert [path.name for path in tmp_path.glob("*.html")] == ["report.html"]
    assert [(page["segmentation"], page["file"]) for page in content["pages"]] == [("value", "report.html")]


def test_each_segmentation_has_a_page_that_names_all(several: Outputs) -> None:
    assert sorted(path.name for path in several.folder.glob("*.html")) == ["report-lifecycle.html", "report.html"]
    for name, file in (("value", "report.html"), ("lifecycle", "report-lifecycle.html")):
        content = content_of((several.folder / file).read_text(encoding="utf-8"))
        assert content["summary"]["segmentation"] == name
        assert [(page["segmentation"], page["file"], page["kind"]) for page in content["pages"]] == [
            ("value", "report.html", "learned"),
            ("lifecycle", "report-lifecycle.html", "rules"),
        ]
        assert {page["customers"] for page in content["pages"]} == {several.summary["customers"]}


@pytest.mark.parametrize(("name", "file"), [("value", "report.html"), ("lifecycle", "report-lifecycle.html")])
def test_a_page_holds_the_figures_of_its_own_segmentation_alone(several: Outputs, name: str, file: str) -> None:
    content = content_of((several.folder / file).read_text(encoding="utf-8"))
    own = [migration for migration in several.migrations if migration["segmentation"] == name]
    members = Counter(m["segment"]["id"] for m in several.memberships if m["segmentation"] == name)
    assert content["timelines"]["migrations"] == len(own) == content["summary"]["migrations"]["total"] > 0
    assert content["timelines"]["customersTotal"] == several.summary["customers"] == members.total()
    assert {row["id"]: row["customers"] for row in content["summary"]["segments"]} == members
    assert set(content["daysInSegment"]) == set(members)
    assert content["summary"]["counts"] == several.summary["counts"]
    assert "other_segmentations" not in content["summary"]
    for customer_id, moves in told_moves(content["timelines"]).items():
        written = [m["to_segment"] for m in own if m["customer_id"] == customer_id]
        assert [move["to"] for move in moves] == written


def test_a_page_of_rules_has_the_conditions_and_nothing_that_is_learned(several: Outputs) -> None:
    content = content_of((several.folder / "report-lifecycle.html").read_text(encoding="utf-8"))
    assert content["kind"] == "rules"
    assert content["conditions"] == {
        "new": "tenure of less than 30 days",
        "vip": "1000 or more purchases",
        "active": "recency of less than 45 days",
        "lapsed": "otherwise",
    }
    assert list(content["conditions"]) == ["new", "vip", "active", "lapsed"], "in the order in which they are tried"
    assert (content["models"], content["meanings"]) == ([], {})
    colours = {segment["id"]: segment["colour"] for segment in content["segments"]}
    assert set(colours) == set(content["conditions"])
    assert colours["vip"] in SEGMENT_COLOURS, "nobody is in it, but it is no former segment"


def test_a_page_of_a_learned_segmentation_has_models_and_no_conditions(several: Outputs) -> None:
    content = content_of((several.folder / "report.html").read_text(encoding="utf-8"))
    assert (content["kind"], content["conditions"]) == ("learned", {})
    assert len(content["models"]) == sum(model["segmentation"] == "value" for model in several.models) > 1
    assert [version["version"] for version in content["versions"]] == sorted(
        model["version"] for model in several.models if model["segmentation"] == "value" and model["status"] != "held"
    )


def test_an_audience_is_told_among_all_customers(shipped: Outputs) -> None:
    content = content_of((shipped.folder / "report-cart_abandoners.html").read_text(encoding="utf-8"))
    (audience,), everybody = content["summary"]["segments"], content["summary"]["all_segments"]
    members = [m for m in shipped.memberships if m["segmentation"] == "cart_abandoners"]
    assert (content["kind"], audience["customers"]) == ("audience", len(members))
    assert audience["share"] == len(members) / shipped.summary["customers"] < 1
    assert everybody["customers"] == shipped.summary["customers"]
    assert audience["revenue_share"] == audience["revenue"] / everybody["revenue"]
    own = [m for m in shipped.migrations if m["segmentation"] == "cart_abandoners"]
    assert content["summary"]["migrations"]["entries"] == 0
    assert content["summary"]["migrations"]["own_moves"]["total"] == len(own) > 10
    for customer_id, moves in told_moves(content["timelines"]).items():
        written = [m["to_segment"] for m in own if m["customer_id"] == customer_id]
        assert [move["to"] for move in moves] == written
        assert None in written or len(written) == 1


def test_each_page_names_all_segmentations_with_their_sizes(shipped: Outputs) -> None:
    pages = content_of((shipped.folder / "report.html").read_text(encoding="utf-8"))["pages"]
    members = Counter(m["segmentation"] for m in shipped.memberships)
    assert len(pages) > 12
    assert {page["segmentation"]: page["customers"] for page in pages if page["customers"]} == members
    assert {page["segmentation"]: page["title"] for page in pages}["vip_slipping"] == "VIPs who slip"
    for page in pages:
        assert (shipped.folder / page["file"]).exists()
        assert page["share"] == page["customers"] / shipped.summary["customers"]


# --- the sample of customers ----------------------------------------------------------------------------------


def test_a_full_sample_holds_whole_customers_only(folder: ReportFolder) -> None:
    sample = TimelineSample(migrations_max=400)
    for migration in as_migrations(folder):
        sample.add(migration)
    encoded = json.loads(msgspec.json.encode(sample.encode(customers=300)))
    expected = expected_moves(folder.migrations)
    told = told_moves(encoded)
    assert told == {customer_id: expected[customer_id] for customer_id in told}
    assert 380 < encoded["migrations"] <= 400
    assert encoded["migrations"] == sum(map(len, told.values()))
    assert encoded["migrationsTotal"] == len(folder.migrations)
    assert encoded["customersTotal"] == 300


def test_the_choice_of_customers_does_not_depend_on_the_order_of_lines(folder: ReportFolder) -> None:
    by_customer: dict[str, list[MigrationRecord]] = {}
    for migration in as_migrations(folder):
        by_customer.setdefault(migration.customer_id, []).append(migration)
    chosen = []
    for seed in (1, 2, 3):
        customers = sorted(by_customer)
        random.Random(seed).shuffle(customers)
        sample = TimelineSample(migrations_max=200)
        for customer_id in customers:
            for migration in by_customer[customer_id]:
                sample.add(migration)
        chosen.append([customer_id for customer_id, _ in sample.encode(300)["customers"]])
    assert chosen[0] == chosen[1] == chosen[2]


def test_a_sample_keeps_within_its_bytes_and_keeps_the_examples(folder: ReportFolder) -> None:
    always = {"c00011", "c00222"}
    sample = TimelineSample(always=always, bytes_max=20_000)
    for migration in as_migrations(folder):
        sample.add(migration)
    encoded = sample.encode(300)
    assert len(msgspec.json.encode(encoded)) < 25_000
    assert always < {customer_id for customer_id, _ in encoded["customers"]}


def test_sentences_without_a_pattern_are_written_out() -> None:
    template = as_migrations(ReportFolder(customer_ids=["c1"]))[0]
    letters = [
        f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(SENTENCE_PATTERNS_MAX + 50)
    ]
    sample = TimelineSample()
    for word in letters:
        explanation = msgspec.structs.replace(template.explanation, sentence=f"{word} after 3 days, .5 → 1,234.50\x01.")
        sample.add(msgspec.structs.replace(template, explanation=explanation))
    encoded = json.loads(msgspec.json.encode(sample.encode(1)))
    assert len(encoded["patterns"]) == SENTENCE_PATTERNS_MAX
    told = [move["sentence"] for move in told_moves(encoded)["c1"]]
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
