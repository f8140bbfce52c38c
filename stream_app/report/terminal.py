"""What a replay says on the terminal: a bar while it runs, and its outcome on one screen when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import NO_TIME, to_milliseconds
from stream_app.core.local_days import date_of
from stream_app.plurals import counted
from stream_app.report.progress import Progress as LineProgress
from stream_app.report.progress import day_of
from stream_app.report.timelines import shorten_sentence

FLOWS_SHOWN: Final = 8
EXAMPLE_CHARACTERS: Final = 300
"""A refused record's message is cut here: it may quote much of the record."""
INDENT: Final = (0, 0, 0, 2)
"""Padding of the lines under a heading, in characters: top, right, bottom, left."""

_CAUSE_WORDS: Final = {"lapse": "time passing"}


def render_summary(summary: dict[str, Any], report_path: Path | str, console: Console | None = None) -> None:
    """Print the outcome of a replay; made for 80 columns, in colour only on a terminal.

    Parameters
    ----------
    summary
        The content of `summary.json`.
    report_path
        Where the report is.
    console
        Standard output if None.
    """
    out = console or Console(highlight=False)
    _render_refused(summary, out)
    _render_segments(summary, out)
    _render_migrations(summary, out)
    _render_examples(summary, out)
    others = summary["other_segmentations"]
    for other in others:
        if other["kind"] != "audience":
            _render_other(other, out)
    _render_audiences([other for other in others if other["kind"] == "audience"], summary["customers"], out)
    _render_counts(summary, out)
    if summary["interrupted"]:
        out.print(Text("Stopped early: the outputs are complete up to there.", "bold"))
    out.print(Text.assemble(("Report: ", "bold"), _printable(str(report_path), out)), soft_wrap=True)


def render_refusals(
    counts: Mapping[str, int], refusals: Sequence[tuple[str, int, str]], console: Console | None = None
) -> None:
    """Say that too many records were refused, and why.

    Parameters
    ----------
    counts
        `counts` of the summary.
    refusals
        The commonest reasons, with count and an example each.
    console
        Standard error if None.
    """
    out = console or Console(stderr=True, highlight=False)
    if not counts["in"]:
        out.print("segmenter: no record was accepted: the files contain no records", soft_wrap=True)
        return
    share = counts["rejected"] / counts["in"]
    outcome = f"segmenter: {counts['rejected']:,} of {counted(counts['in'], 'record')} were refused ({share:.1%})"
    out.print(Text(f"{outcome}; the commonest reasons, each with its first record:"), soft_wrap=True)
    for reason, count, example in refusals:
        line = shorten(f"{reason.replace('_', ' ')} {count:,}: {example}", EXAMPLE_CHARACTERS, placeholder=" …")
        out.print(Padding(_printable(line, out), INDENT), soft_wrap=True)


@contextmanager
def progress(
    total_bytes: int | None, reached_ms: Callable[[], int], console: Console | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Show in the events' own time how far a run is, with events per second and what remains.

    On a terminal that is a bar, and elsewhere a line every few seconds.

    Parameters
    ----------
    total_bytes
        Size of all inputs, None if it is not known.
    reached_ms
        Returns the instant that time has come to, `NO_TIME` before the first event.
    console
        Standard output if None.

    Yields
    ------
    Callable
        To be called now and then (every few thousand events) with the bytes and the events read so far.
    """
    out = console or Console()
    if not out.is_terminal:
        lines = LineProgress(total_bytes, lambda line: out.print(line, soft_wrap=True), "read")
        yield lambda bytes_read, events_read: lines.note(bytes_read, events_read, reached_ms())
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), EventRateColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=out) as bar:
        task = bar.add_task("Reading   ", total=total_bytes, events=0)

        def advance(bytes_read: int, events_read: int) -> None:
            at_ms = reached_ms()
            day = None if at_ms == NO_TIME else day_of(at_ms)
            bar.update(task, completed=bytes_read, events=events_read, description=day)

        yield advance


class EventRateColumn(ProgressColumn):
    """Events per second: the bar's own speed, which is in bytes, times events per byte so far."""

    def render(self, task: Task) -> Text:
        """Return such as `61,400 events/s`."""
        speed = task.finished_speed or task.speed
        if not speed or not task.completed:
            return Text("… events/s")
        return Text(f"{speed * task.fields['events'] / task.completed:,.0f} events/s")


def _render_refused(summary: dict[str, Any], out: Console) -> None:
    """Say first how many records the figures below leave out, if any."""
    counts = summary["counts"]
    if counts["rejected"]:
        share = counts["rejected"] / counts["in"]
        told = f"{counts['rejected']:,} of {counted(counts['in'], 'record')} were refused ({share:.1%})"
        out.print(Text(f"{told}: {_reasons(summary)}", "bold"))
        out.print()


def _reasons(summary: dict[str, Any]) -> str:
    reasons = sorted(summary["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons)


def _render_segments(summary: dict[str, Any], out: Console) -> None:
    period, zone = summary["period"], summary["timezone"]
    span = (
        f"{_day(period['from'], zone)} to {_day(period['to'], zone)} ({counted(period['days'], 'day')})"
        if period["from"]
        else "no events"
    )
    customers, segments = counted(summary["customers"], "customer"), counted(len(summary["segments"]), "segment")
    if summary["kind"] == "audience":
        segments = f"{counted(summary['all_segments']['customers'], 'customer')} of them in the audience"
    of_name = f" of {summary['segmentation']}" if summary["other_segmentations"] else ""
    heading = f"{customers} in {segments}{of_name}, {span}"
    table = Table(title=Text(heading, "bold"), title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("Segment", overflow="fold", max_width=20)
    for column in ("Customers", "Share", "Recency", "Orders", f"{summary['currency']} each", "Of revenue"):
        table.add_column(column, justify="right", no_wrap=True)
    digits = MINOR_DIGITS[summary["currency"]]
    for segment in summary["segments"]:
        table.add_row(_printable(segment["name"], out), *_figures(segment, digits))
    if len(summary["segments"]) > 1:
        table.add_row("All", *_figures(summary["all_segments"], digits), style="dim")
    out.print(table)
    out.print()


def _figures(members: dict[str, Any], money_digits: int) -> tuple[str, ...]:
    return (
        f"{members['customers']:,}",
        f"{members['share']:.1%}",
        f"{members['recency_days']:,.1f} d",
        f"{members['orders_per_customer']:,.2f}",
        f"{members['revenue_per_customer']:,.{money_digits}f}",
        f"{members['revenue_share']:.1%}",
    )


def _render_migrations(summary: dict[str, Any], out: Console) -> None:
    migrations = summary["migrations"]
    own = migrations["own_moves"]
    entries = counted(migrations["entries"], "first entry", "first entries")
    out.print(Text(f"{_moves(migrations)}; {entries}", "bold"))
    causes = sorted(own["by_cause"].items(), key=lambda item: (-item[1], item[0]))
    shares = ", ".join(f"{_CAUSE_WORDS.get(kind, kind)} {count / own['total']:.1%}" for kind, count in causes if count)
    if shares:
        out.print(Padding(Text(f"caused by {shares}"), INDENT))
    if by_versions := migrations["moves_by_new_versions"]["total"]:
        out.print(Padding(Text(f"{by_versions:,} more by new versions, which draw the lines elsewhere"), INDENT))
    out.print()
    flows = [(flow, moves) for flow in summary["flows"] if (moves := flow["migrations"] - flow["by_new_version"])]
    if not flows:
        return
    out.print(Text("Strongest flows of customers' own", "bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for flow, moves in flows[:FLOWS_SHOWN]:
        entered = "out of it" if summary["kind"] == "audience" else "first seen"
        origin = _printable(flow["from"]["name"], out) if flow["from"] else Text(entered, "dim")
        name = flow["to"]["name"] if flow["to"] else "out of it"
        target = Text.assemble(_printable("→ ", out), _printable(name, out))
        table.add_row(origin, target, f"{moves:,}")
    out.print(Padding(table, (0, 0, 1, 2)))


def _render_examples(summary: dict[str, Any], out: Console) -> None:
    if not summary["examples"]:
        return
    out.print(Text("For example", "bold"))
    for example in summary["examples"]:
        origin, target = example["from"], example["to"]
        move = f"{origin} → {target}" if origin and target else f"enters {target}" if target else f"leaves {origin}"
        sentence = shorten_sentence(example["sentence"], origin, target)
        line = f"{example['customer_id']} on {_day(example['effective_at'], summary['timezone'])}, {move}: {sentence}"
        out.print(Padding(_printable(line, out), INDENT))
    out.print()


def _render_other(summary: dict[str, Any], out: Console) -> None:
    """Print one segmentation of those after the first: its segments' shares, and how much moves."""
    segments = counted(len(summary["segments"]), "segment")
    out.print(Text(f"{segments} of {summary['segmentation']}, {_moves(summary['migrations'])}", "bold"))
    shares = ", ".join(f"{segment['name']} {segment['share']:.1%}" for segment in summary["segments"])
    if shares:
        out.print(Padding(_printable(shares, out), INDENT))
    out.print()


def _render_audiences(audiences: Sequence[dict[str, Any]], customers: int, out: Console) -> None:
    """Print a line for each audience: who is in it, and how much moves."""
    if not audiences:
        return
    out.print(Text(counted(len(audiences), "audience"), "bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Audience", overflow="fold", max_width=30)
    for column in ("Customers", "Share", "Entered", "Left", "Moves each month"):
        table.add_column(column, justify="right", no_wrap=True)
    for audience in audiences:
        members, migrations = audience["all_segments"]["customers"], audience["migrations"]
        table.add_row(
            _printable(audience["segmentation"], out),
            f"{members:,}",
            f"{members / customers:.1%}" if customers else "–",
            f"{migrations['by_change']['entered']:,}",
            f"{migrations['by_change']['left']:,}",
            f"{migrations['own_moves']['per_customer_month']:.2f}",
        )
    out.print(Padding(table, (0, 0, 1, 2)))


def _moves(migrations: dict[str, Any]) -> str:
    """Return such as `3,711 moves of customers' own (0.34 per customer and month)`."""
    own = migrations["own_moves"]
    return f"{counted(own['total'], 'move')} of customers' own ({own['per_customer_month']:.2f} per customer and month)"


def _render_counts(summary: dict[str, Any], out: Console) -> None:
    counts = summary["counts"]
    parts = " + ".join(
        f"{counts[key]:,} {word}"
        for key, word in (
            ("applied", "applied"),
            ("duplicate", "duplicate"),
            ("late_applied", "late-applied"),
            ("rejected", "rejected"),
            ("not_profiled", "not profiled for lack of consent"),
        )
        if key in counts
    )
    out.print(Text("Records", "bold"))
    out.print(Padding(Text(f"{counts['in']:,} in = {parts}"), INDENT))
    if nobodys := summary["without_customer"]:
        line = f"{counted(nobodys, 'record')} without a customer: no id, or a placeholder such as guest"
        out.print(Padding(Text(line), INDENT))
    if too_old := summary.get("too_old"):
        line = f"{too_old:,} of the duplicates were about orders too old to be changed; see docs/quality.md"
        out.print(Padding(Text(line), INDENT))
    if counts["rejected"]:
        out.print(Padding(Text(f"rejected as {_reasons(summary)}; each is in dead_letters.jsonl"), INDENT))
    doubts = summary["times_in_doubt"]
    if count := doubts["ahead"] + doubts["behind"]:
        words = {"ahead": "far ahead of", "behind": "far behind"}
        far = [f"{doubts[side]:,} {word}" for side, word in words.items() if doubts[side]]
        first = doubts["examples"][0]
        line = (
            f"{counted(count, 'time')} in doubt ({' and '.join(far)} all others): {first['file']}, row "
            f"{first['row']}, says {first['at']}; only the customer's own segments follow"
        )
        out.print(Padding(_printable(line, out), INDENT))
    out.print()


def _day(instant: str, timezone: str) -> str:
    return date_of(to_milliseconds(datetime.fromisoformat(instant)), timezone).isoformat()


def _printable(text: str, out: Console) -> Text:
    """Return `text` as it is, without markup, with marks for what a terminal would obey or cannot show."""
    visible = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return Text(visible.encode(out.encoding, "replace").decode(out.encoding))
