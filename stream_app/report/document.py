"""The document that the pages draw from, made of what a replay has written.

Python says what is true, in numbers, ids and sentences; how it looks is the pages' own. A list of as many values as
there are moves or days is a column: columns of like numbers compress to a fraction of rows. Amounts are in minor units
where they are columns, days are counted from 1970-01-01, and segments are named by their place in the list of their
segmentation, −1 for none. What the document holds, and where it is made:

    describe_run
        format, currency, moneyDigits, timezone, period, asOfMs, lastDay, customers, interrupted
        counts, tooOld, withoutCustomer, doubts, inputs, refused        what became of the records
        causes, changes        the names that columns of flows and moves are places in
        days {day, revenue, orders, engagements}
    describe_segmentation, for each of `segmentations`
        name, title, description, kind, version, segments, models, versions, moves
        members, everyone        figures of those in each segment, how they spread, the best of them
        flows {day, from, to, cause, change, customers, revenue}        moves by day
        trade {day, segment, revenue, orders}        what came of those in a segment, by day
        sinceDays        quartiles of how long present members have been there, by segment's id
        stays {customers, segments}        how long members stay, see `stream_app.web.staying`
        newest {version, moves, recent}        everybody's moves of the last days, see `stream_app.report.newest`
    `stream_app.web.document.describe_rfm`
        rfm {withoutOrder, recencyDays, orders, cells, segments}        see `stream_app.replay.rfm`
    `stream_app.web.document.describe_overlaps`
        overlaps [{of, with, segment, other, customers}]        who is in segments of two segmentations
    `stream_app.report.listing`
        listed {isComplete, id, orders, revenue, cell, lastDay, segments}        customers, in the order of ids
    `stream_app.report.timelines`
        people {ids, counts, moves, events, next, …}        a sample of customers with every move

A report has all of it in its file; where pages are served, `people` and `listed` may be without those whom the API
knows. `FORMAT` is raised when pages of an earlier release could not read the document.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import DAY_MS
from stream_app.core.local_days import local_day
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.report.reading import Membership, Refused, milliseconds, read_lines
from stream_app.segmentations.learned.document import HELD
from stream_app.web.document import (
    AUDIENCE,
    FORMAT,
    LEARNED,
    FlowRow,
    describe_segments,
    describe_version,
    flow_columns,
    order_by_life_cycle,
    title_of,
)

REFUSED_EXAMPLES: Final = 5
"""Refused records that are shown for each reason."""
MESSAGE_CHARACTERS: Final = 300
DAILY_DAYS: Final = 800
"""For this many days before the end, flows are by day; earlier ones are by week, at the week's last day."""

_FLOW_KEYS: Final = ("day", "from", "to", "cause", "change")
_TRADE_KEYS: Final = ("day", "segment")
QUARTILES: Final = (0.25, 0.5, 0.75)
_SUNDAY: Final = 3
"""Of days since the epoch, the remainder by 7 that Sundays have."""


class Since:
    """Who is in the segments of a segmentation at the end, and for how long.

    Parameters
    ----------
    until_ms
        The end; None where there were no events.
    """

    def __init__(self, until_ms: int | None) -> None:
        self._until_ms = until_ms
        self._days: dict[str, array[float]] = {}

    def add(self, membership: Membership) -> None:
        """Count a customer."""
        if self._until_ms is not None:
            days = max(self._until_ms - milliseconds(membership.since), 0) / DAY_MS
            self._days.setdefault(membership.segment.id, array("f")).append(days)

    @property
    def quartiles(self) -> dict[str, list[float]]:
        """Return quartiles of the days for which the customers of each segment have been in it."""
        return {
            key: [round(float(days), 1) for days in np.quantile(self._days[key], QUARTILES)]
            for key in sorted(self._days)
        }


def describe_run(summary: dict[str, Any], history: dict[str, Any], refused: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the part of the document about the whole run."""
    days = history["days"]
    as_of_ms = milliseconds(summary["as_of"]) if summary["as_of"] else None
    return {
        "format": FORMAT,
        "currency": summary["currency"],
        "moneyDigits": MINOR_DIGITS[summary["currency"]],
        "period": summary["period"],
        "timezone": summary["timezone"],
        "asOfMs": as_of_ms,
        "lastDay": 0 if as_of_ms is None else local_day(as_of_ms, summary["timezone"]),
        "customers": summary["customers"],
        "counts": summary["counts"],
        "tooOld": summary["too_old"],
        "withoutCustomer": summary["without_customer"],
        "doubts": _without_folders(summary["times_in_doubt"]),
        "inputs": [entry | {"file": PurePath(entry["file"]).name} for entry in summary["inputs"]],
        "interrupted": summary["interrupted"],
        "refused": refused,
        "causes": CAUSE_KINDS,
        "changes": CHANGES,
        "days": {"day": days["day"], "revenue": days["revenue_minor"]}
        | {name: days[name] for name in ("orders", "engagements")},
    }


def _without_folders(doubts: dict[str, Any]) -> dict[str, Any]:
    examples = [each | {"file": PurePath(each["file"]).name} for each in doubts["examples"]]
    return doubts | {"examples": examples}


def describe_segmentation(
    summary: dict[str, Any],
    history: dict[str, Any],
    versions: list[dict[str, Any]],
    since: Since,
    stays: dict[str, Any],
) -> dict[str, Any]:
    """Return the part of the document about a segmentation.

    Parameters
    ----------
    summary
        Its part of `summary.json`, together with the part about the whole run.
    history
        Its part of `history.json`.
    versions
        Its documents in `models.jsonl`.
    since
        Who is in it.
    stays
        How long members stay, see `stream_app.web.staying`.
    """
    in_force = [version for version in versions if version.get("status") != HELD]
    present = in_force[-1] if in_force else {"segments": []}
    listed = _segments(summary, present["segments"])
    members, flows = history["members"], merge_old(history["flows"], _FLOW_KEYS)
    trade = merge_old(_of_members(history["trade"]) if summary["kind"] == AUDIENCE else history["trade"], _TRADE_KEYS)
    numbers = {segment["id"]: number for number, segment in enumerate(listed)}
    rows = [FlowRow(*row) for row in zip(*(flows[name] for name in (*_FLOW_KEYS, "customers")), strict=True)]
    return {
        "name": summary["segmentation"],
        "title": title_of(summary["segmentation"], present),
        "description": present.get("definition", {}).get("description"),
        "kind": summary["kind"],
        "version": summary["model_version"],
        "segments": listed,
        "members": {
            segment["id"]: segment | {key: each for key, each in members.get(segment["id"], {}).items() if key != "top"}
            for segment in summary["segments"]
        },
        "everyone": summary["all_segments"] | members.get("", {}),
        "sinceDays": since.quartiles,
        "stays": stays,
        "flows": flow_columns(listed, rows, flows["revenue_minor"]),
        "trade": {
            "day": trade["day"],
            "segment": [numbers.get(segment_id, -1) for segment_id in trade["segment"]],
            "revenue": trade["revenue_minor"],
            "orders": trade["orders"],
        },
        "moves": summary["migrations"],
        "models": _models(versions, summary) if summary["kind"] == LEARNED else [],
        "versions": [{"version": v["version"], "atMs": milliseconds(v["as_of"])} for v in in_force],
    }


def _of_members(trade: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what customers brought while in a segment; those outside an audience are not part of it."""
    rows = [row for row, segment_id in enumerate(trade["segment"]) if segment_id is not None]
    return {name: [column[row] for row in rows] for name, column in trade.items()}


def merge_old(
    columns: Mapping[str, list[Any]], keys: Sequence[str], daily_days: int = DAILY_DAYS
) -> Mapping[str, list[Any]]:
    """Return columns by day with the rows of each week that lies `daily_days` before the last day put together.

    Rows with the same `keys`, the first of which is the day, are added up in all other columns.
    """
    days = columns["day"]
    limit = days[-1] - daily_days if days else 0
    if not days or days[0] >= limit:
        return columns
    names = (*keys, *(name for name in columns if name not in keys))
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in zip(*(columns[name] for name in names), strict=True):
        day, *key = row[: len(keys)]
        values = row[len(keys) :]
        week_end = day + (_SUNDAY - day) % 7
        own = sums.setdefault((week_end if week_end < limit else day, *key), [0] * len(values))
        for place, value in enumerate(values):
            own[place] += value
    merged = [(*key, *own) for key, own in sums.items()]
    merged.sort(key=lambda row: int(row[0]))
    return dict(zip(names, map(list, zip(*merged, strict=True)), strict=True))


def read_refused(path: Path, by_reason: dict[str, int]) -> list[dict[str, Any]]:
    """Return the reasons for which records were refused, the commonest first, each with its first records."""
    examples: dict[str, list[dict[str, Any]]] = {reason: [] for reason in by_reason}
    if by_reason:
        for letter in read_lines(path, Refused):
            own = examples.get(letter.reason)
            if own is not None and len(own) < REFUSED_EXAMPLES:
                place = PurePath(letter.position.topic).name
                message = letter.message
                if len(message) > MESSAGE_CHARACTERS:
                    message = message[: MESSAGE_CHARACTERS - 1] + "…"
                own.append({"file": place, "line": letter.position.offset, "field": letter.field, "message": message})
    ordered = sorted(by_reason, key=lambda reason: (-by_reason[reason], reason))
    return [{"reason": reason, "records": by_reason[reason], "examples": examples[reason]} for reason in ordered]


def _segments(summary: dict[str, Any], present: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all segments that have ever existed; `present` are those of the newest version, empty ones included."""
    names, filled = summary["segment_names"], [segment["id"] for segment in summary["segments"]]
    empty = [segment["id"] for segment in present if segment["id"] in names and segment["id"] not in filled]
    return describe_segments(names, order_by_life_cycle(filled + empty, present), present)


def _models(versions: list[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the description of each model version."""
    taken_over = [row for row in summary["models"] if row["status"] == "published"]
    moved = {(row["version"], row["as_of"]): row["customers_moved"] for row in taken_over}
    instants = [size["at"] for size in summary["sizes"]]
    populations = [sum(size["customers"].values()) for size in summary["sizes"]]
    models: list[dict[str, Any]] = []
    for model in versions:
        row = describe_version(model)
        # Instants have one format, so they sort as text. The size taken last before the model is the base.
        base = populations[max(bisect_right(instants, model["as_of"]) - 1, 0)] if populations else 0
        if model["status"] != HELD and model["version"] != 0:
            row["moved"] = moved.get((model["version"], model["as_of"]))
        row["actual_churn"] = row["moved"] / base if row["moved"] is not None and base else None
        models.append(row)
    return models
