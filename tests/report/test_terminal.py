from __future__ import annotations

import io
import re
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from stream_app.core.clock import NO_TIME
from stream_app.report.progress import Progress as LineProgress
from stream_app.report.terminal import FLOWS_SHOWN, progress, render_summary
from tests.contracts.records import AT_MS
from tests.report.report_folder import SEGMENTS, ReportFolder
from tests.support.replays import Outputs


@pytest.fixture
def summary() -> dict[str, Any]:
    folder = ReportFolder()
    return folder.summary(folder.models())


def printed(summary: dict[str, Any], *, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render_summary(summary, "out/report.html", Console(file=stream, width=width, highlight=False))
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def test_every_segment_has_its_row_of_figures(summary: dict[str, Any]) -> None:
    lines = printed(summary).splitlines()
    for segment in summary["segments"]:
        (line,) = [line for line in lines if line.startswith(f"{segment['name']}  ")]
        assert f" {segment['customers']:,} " in line
        assert f"{segment['share']:.1%}" in line
        assert f"{segment['revenue_share']:.1%}" in line
        assert f" {segment['revenue_per_customer']:,.2f} " in line
    assert len(summary["segments"]) == len(SEGMENTS)


@pytest.mark.parametrize(("currency", "told"), [("JPY", "1,234 "), ("EUR", "1,234.00 "), ("KWD", "1,234.000 ")])
def test_revenue_has_as_many_decimals_as_its_currency(summary: dict[str, Any], currency: str, told: str) -> None:
    summary["currency"] = currency
    segment = summary["segments"][0]
    segment["revenue_per_customer"] = 1_234.0
    (line,) = [line for line in printed(summary).splitlines() if line.startswith(f"{segment['name']}  ")]
    assert f" {told}" in line


def test_customers_and_shares_add_up_as_they_are_printed(summary: dict[str, Any]) -> None:
    lines = printed(summary).splitlines()
    end = next(index for index, line in enumerate(lines) if line.startswith("All "))
    *rows, whole = [re.findall(r"[\d,.]+%?", line)[-6:] for line in lines[end - len(SEGMENTS) : end + 1]]
    for column, unit in ((0, 1), (1, 0.1), (5, 0.1)):
        told = [float(row[column].strip("%").replace(",", "")) for row in (*rows, whole)]
        assert round(sum(told[:-1]) / unit) == round(told[-1] / unit)


def test_the_period_is_named_with_its_days(summary: dict[str, Any]) -> None:
    assert "2024-01-01 to 2024-10-07 (281 days)" in printed(summary)


def test_nothing_is_wider_than_the_terminal_and_nothing_is_coloured(summary: dict[str, Any]) -> None:
    for segment in summary["segments"]:
        segment |= {
            "customers": 1_000_000,
            "revenue_per_customer": 123_456.78,
            "name": "A segment with a rather long name",
        }
    text = printed(summary)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "\x1b" not in text


def test_the_strongest_flows_come_first_and_only_so_many(summary: dict[str, Any]) -> None:
    text = printed(summary)
    flows = text[text.index("Strongest flows") : text.index("For example")]
    shown = [int(line.split()[-1]) for line in flows.splitlines() if "→" in line]
    assert shown == [flow["migrations"] - flow["by_new_version"] for flow in summary["flows"][:FLOWS_SHOWN]]


def test_each_example_is_told_in_a_sentence(summary: dict[str, Any]) -> None:
    text = " ".join(printed(summary, width=200).split())
    assert len(summary["examples"]) == 3
    for example in summary["examples"]:
        day, reason = example["effective_at"][:10], example["sentence"].split(";")[0]
        assert f"{example['customer_id']} on {day}, {example['from']} → {example['to']}: {reason}." in text


def test_records_add_up_and_rejections_have_reasons(summary: dict[str, Any]) -> None:
    text = printed(summary)
    assert "17,234 in = 17,190 applied + 20 duplicate + 15 late-applied + 9 rejected" in text
    assert "malformed 4, invalid time 3, no customer 1, placeholder id 1" in " ".join(text.split())
    assert "2 records without a customer: no id, or a placeholder such as guest" in " ".join(text.split())


def test_what_was_refused_comes_first(summary: dict[str, Any]) -> None:
    assert printed(summary).lstrip().startswith("9 of 17,234 records were refused (0.1%): malformed 4")
    summary["counts"] |= {"rejected": 0, "in": 17_225}
    assert "refused" not in printed(summary)


def test_times_in_doubt_are_named_in_one_line(summary: dict[str, Any]) -> None:
    text = " ".join(printed(summary, width=200).split())
    assert "3 times in doubt (2 far ahead of and 1 far behind all others): purchases.csv, row 1180, says 2026-" in text
    summary["times_in_doubt"] = {"ahead": 0, "behind": 0, "examples": []}
    assert "in doubt" not in printed(summary)


def test_migrations_are_told_by_cause(summary: dict[str, Any]) -> None:
    migrations = summary["migrations"]
    own, by_versions = migrations["own_moves"], migrations["moves_by_new_versions"]["total"]
    assert own["total"] + by_versions + migrations["entries"] == len(ReportFolder().migrations)
    text = printed(summary)
    assert f"{own['total']:,} moves of customers' own (" in text
    assert "per customer and month); 300 first entries" in text
    assert f"time passing {own['by_cause']['lapse'] / own['total']:.1%}" in text
    assert f"{by_versions:,} more by new versions" in text
    assert by_versions > 0


def test_further_segmentations_are_short_below_the_first(several: Outputs) -> None:
    lines = printed(several.summary, width=200).splitlines()
    assert lines[0].startswith("300 customers in ")
    assert " segments of value, " in lines[0]
    (other,) = several.summary["other_segmentations"]
    assert len(other["segments"]) > 1
    (at,) = [index for index, line in enumerate(lines) if " segments of lifecycle, " in line]
    moves = sum(flow["migrations"] - flow["by_new_version"] for flow in other["flows"] if flow["from"])
    assert f" {moves:,} moves of customers' own (" in lines[at]
    shares = ", ".join(f"{segment['name']} {segment['share']:.1%}" for segment in other["segments"])
    assert lines[at + 1].strip() == shares


def test_a_single_segmentation_needs_no_name(summary: dict[str, Any]) -> None:
    assert "value" not in printed(summary)


def test_the_report_is_named_in_one_piece(summary: dict[str, Any]) -> None:
    stream = io.StringIO()
    path = "a/" * 60 + "report.html"
    render_summary(summary, path, Console(file=stream, width=80))
    assert f"Report: {path}" in stream.getvalue()


def test_a_run_that_was_stopped_says_so(summary: dict[str, Any]) -> None:
    assert "Stopped early" not in printed(summary)
    assert "Stopped early" in printed(summary | {"interrupted": True})


@pytest.mark.parametrize("folder", [ReportFolder(with_migrations=False), ReportFolder(with_models=False)])
def test_little_is_printed_where_there_is_little(folder: ReportFolder) -> None:
    summary = folder.summary(folder.models()) | {"period": {"from": None, "to": None}}
    entries = summary["migrations"]["entries"]
    assert f"; {entries} first entries" in printed(summary)


def test_a_hostile_id_reaches_the_terminal_as_text_only(summary: dict[str, Any]) -> None:
    summary["examples"][0]["customer_id"] = "\x1b]0;owned\x07[bold]x[/nothing]\r"
    text = printed(summary)
    assert "\ufffd]0;owned\ufffd[bold]x[/nothing]\ufffd" in text
    assert "\x1b" not in text


def test_a_terminal_without_the_signs_gets_others(summary: dict[str, Any]) -> None:
    assert "? Regular" in printed(summary, encoding="ascii")


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 6.0, 7.0])
    monkeypatch.setattr("stream_app.report.terminal.LineProgress", partial(LineProgress, clock=lambda: next(seconds)))
    stream = io.StringIO()
    with progress(1_000, lambda: AT_MS, Console(file=stream)) as advance:
        advance(100, 7)
        advance(250, 1_200)
        advance(1_000, 4_800)
    assert stream.getvalue() == "1,200 records read, up to 2024-05-01, 200 a second, 25% done, about 18 s to go\n"


@pytest.mark.parametrize("total", [1_000, None])
def test_progress_on_a_terminal_shows_the_day_of_the_events_with_rate_and_share(total: int | None) -> None:
    stream = io.StringIO()
    with progress(total, lambda: AT_MS, Console(file=stream, force_terminal=True, width=100)) as advance:
        advance(500, 7)
        advance(1_000, 14)
    assert "2024-05-01" in stream.getvalue()
    assert "events/s" in stream.getvalue()
    assert ("100%" in stream.getvalue()) == (total is not None)


def test_progress_on_a_terminal_has_no_day_before_the_first_event() -> None:
    stream = io.StringIO()
    with progress(None, lambda: NO_TIME, Console(file=stream, force_terminal=True, width=100)) as advance:
        advance(0, 0)
    assert "Reading" in stream.getvalue()


def test_each_audience_is_a_line(shipped: Outputs) -> None:
    lines = printed(shipped.summary).splitlines()
    audiences = [other for other in shipped.summary["other_segmentations"] if other["kind"] == "audience"]
    assert len(audiences) > 5
    for audience in audiences:
        (line,) = [line for line in lines if line.split()[:1] == [audience["segmentation"]]]
        changes, members = audience["migrations"]["by_change"], audience["all_segments"]["customers"]
        share = f"{members / shipped.summary['customers']:.1%}"
        assert line.split()[1:5] == [str(members), share, str(changes["entered"]), str(changes["left"])]


def test_an_audience_may_stand_first(shipped: Outputs) -> None:
    others = shipped.summary["other_segmentations"]
    first = next(other for other in others if other["segmentation"] == "cart_abandoners")
    shown = printed(shipped.summary | first | {"other_segmentations": []})
    assert "→ out of it" in shown
    assert "leaves Cart abandoners" in shown
