"""The document that the pages draw from, made of what a replay has written.

Python says what is true, in numbers, ids and sentences; how it looks is the pages' own. A list of as many values as
there are moves or days is a column: columns of like numbers compress to a fraction of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from pathlib import Path, PurePath
from typing import Any, Final

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import DAY_MS
from stream_app.core.local_days import local_day
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.report.reading import Membership, Refused, milliseconds, read_lines
from stream_app.web.document import (
    FORMAT,
    HELD,
    LEARNED,
    FlowRow,
    describe_segments,
    describe_version,
    flow_columns,
    order_by_life_cycle,
    title_of,
)

REFUSED_EXAMPLES: Final = 5
"""So many refused records are shown of each reason."""
MESSAGE_CHARACTERS: Final = 300
DAILY_DAYS: Final = 800
"""Up to so many days before the end, flows are told day by day; before, week by week, at the week's last day."""

_FLOW_COLUMNS: Final = ("day", "from", "to", "cause", "change", "customers", "revenue_minor")
_SUNDAY: Final = 3
"""Of days since the epoch, the remainder by 7 that Sundays have."""


class Stays:
    """Who is in the segments of a segmentation at the end, and for how long.

    Parameters
    ----------
    until_ms
        The end; None where there were no events.
    """

    def __init__(self, until_ms: int | None) -> None:
        self._until_ms = until_ms
        self._customers: Counter[str] = Counter()
        self._days: Counter[str] = Counter()

    def add(self, membership: Membership) -> None:
        """Count a customer."""
        self._customers[membership.segment.id] += 1
        if self._until_ms is not None:
            self._days[membership.segment.id] += max(self._until_ms - milliseconds(membership.since), 0)

    @property
    def mean_days(self) -> dict[str, float]:
        """Return for how many days on average the customers of each segment have been in it."""
        return {key: round(self._days[key] / DAY_MS / self._customers[key], 1) for key in sorted(self._customers)}


def describe_run(summary: dict[str, Any], history: dict[str, Any], refused: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is said of the whole run."""
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
    summary: dict[str, Any], history: dict[str, Any], versions: list[dict[str, Any]], stays: Stays
) -> dict[str, Any]:
    """Return what is said of a segmentation.

    Parameters
    ----------
    summary
        Its part of `summary.json`, with what is said of the whole run.
    history
        Its part of `history.json`.
    versions
        Its documents in `models.jsonl`.
    stays
        Who is in it.
    """
    in_force = [version for version in versions if version.get("status") != HELD]
    present = in_force[-1] if in_force else {"segments": []}
    listed = _segments(summary, present["segments"])
    members, flows = history["members"], merge_old(history["flows"])
    columns = (flows[name] for name in _FLOW_COLUMNS if name != "revenue_minor")
    rows = [FlowRow(*row) for row in zip(*columns, strict=True)]
    return {
        "name": summary["segmentation"],
        "title": title_of(summary["segmentation"], present),
        "description": present.get("definition", {}).get("description"),
        "kind": summary["kind"],
        "version": summary["model_version"],
        "segments": listed,
        "members": {segment["id"]: segment | members.get(segment["id"], {}) for segment in summary["segments"]},
        "everyone": summary["all_segments"] | members.get("", {}),
        "meanDays": stays.mean_days,
        "flows": flow_columns(listed, rows, flows["revenue_minor"]),
        "moves": summary["migrations"],
        "models": _models(versions, summary) if summary["kind"] == LEARNED else [],
        "versions": [{"version": v["version"], "atMs": milliseconds(v["as_of"])} for v in in_force],
    }


def merge_old(flows: dict[str, list[Any]], daily_days: int = DAILY_DAYS) -> dict[str, list[Any]]:
    """Return flows with those of each week that lies `daily_days` before the last day put together."""
    days = flows["day"]
    limit = days[-1] - daily_days if days else 0
    if not days or days[0] >= limit:
        return flows
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in zip(*(flows[name] for name in _FLOW_COLUMNS), strict=True):
        day, *key, customers, revenue = row
        week_end = day + (_SUNDAY - day) % 7
        own = sums.setdefault((week_end if week_end < limit else day, *key), [0, 0])
        own[0] += customers
        own[1] += revenue
    merged = [(*key, *own) for key, own in sums.items()]
    merged.sort(key=lambda row: int(row[0]))
    return dict(zip(_FLOW_COLUMNS, map(list, zip(*merged, strict=True)), strict=True))


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
    """Return all segments that ever were; `present` are those of the newest version, also where nobody is in them."""
    names, filled = summary["segment_names"], [segment["id"] for segment in summary["segments"]]
    empty = [segment["id"] for segment in present if segment["id"] in names and segment["id"] not in filled]
    return describe_segments(names, order_by_life_cycle(filled + empty, present), present)


def _models(versions: list[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is said of each model version."""
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
