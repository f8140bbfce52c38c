"""The report of a replay: for each segmentation an HTML file that opens offline and that a marketer understands.

Python decides what a page says and puts it there as one block of JSON; the scripts in `assets` write
the tables and draw the charts from it. Customer ids and names are untrusted: the block is escaped so that it
cannot end its own element, the scripts set text only as text, and the page's content policy forbids any request.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path, PurePath
from string import Template
from typing import Any, Final, TypeVar

import msgspec
from plotly.offline import get_plotlyjs

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.contracts.readers import MigrationRecord, SegmentReference
from stream_app.core.clock import DAY_MS, to_milliseconds
from stream_app.core.moves import CAUSE_KINDS
from stream_app.errors import ConfigurationError
from stream_app.report.timelines import TIMELINE_BYTES_MAX, TIMELINE_MIGRATIONS_MAX, TimelineSample
from stream_app.segmentations.learned.roles import KEYS, segments

SEGMENT_COLOURS: Final = (
    "#332288",
    "#88ccee",
    "#117733",
    "#ddcc77",
    "#44aa99",
    "#cc6677",
    "#882255",
    "#aa4499",
    "#999933",
    "#661100",
    "#6699cc",
    "#ee8866",
)
"""Paul Tol's "muted" scheme and three more, distinct with any colour vision; neighbours differ in lightness too.

There are as many as learned segments.
"""
WHOLE_SAMPLES: Final = 4
"""So many segmentations may show as many customers as one alone; with more, all together show as many as these."""
FORMER_SEGMENT_COLOURS: Final = ("#9aa0a6", "#c4c7cc", "#6b7075")
"""Greys, for segments that no longer exist."""

AUDIENCE: Final = "audience"
_SEGMENT_IDS: Final = {key: segment.segment_id for key, segment in zip(KEYS, segments(), strict=True)}
_SCRIPTS: Final = ("text.js", "tables.js", "charts.js", "timeline.js", "page.js")
_SCRIPT_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})

T = TypeVar("T")


class Membership(msgspec.Struct, gc=False):
    """What the report reads of a membership: where a customer is, and since when."""

    customer_id: str
    segmentation: str
    segment: SegmentReference
    since: str


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
            self._days[membership.segment.id] += max(self._until_ms - _milliseconds(membership.since), 0)

    @property
    def customers(self) -> int:
        """How many there are."""
        return self._customers.total()

    @property
    def mean_days(self) -> dict[str, float]:
        """Return for how many days on average the customers of each segment have been in it."""
        return {key: self._days[key] / DAY_MS / self._customers[key] for key in sorted(self._customers)}

    @property
    def mean_days_of_all(self) -> float | None:
        """Return the same for everybody; None where nobody is in a segment."""
        return self._days.total() / DAY_MS / self.customers if self.customers else None


def write_report(folder: Path, first: Path | None = None) -> Path:
    """Write a page for each segmentation from the other outputs in `folder`; return the path of the first one's.

    The first page is `report.html` in that folder, or the path that is given; the others stand beside it, as
    `report-<segmentation>.html`; each names all of them. The same outputs give the same bytes. Memory is bounded by
    `TIMELINE_BYTES_MAX` a segmentation, whatever the number of migrations.

    Raises
    ------
    ConfigurationError
        If an output is missing or cannot be read; the message names file and line.
    """
    summaries = _read_summaries(folder / "summary.json")
    parts = max(1.0, len(summaries) / WHOLE_SAMPLES)
    samples = {
        name: TimelineSample(
            {example["customer_id"] for example in summary["examples"]},
            int(TIMELINE_MIGRATIONS_MAX / parts),
            int(TIMELINE_BYTES_MAX / parts),
        )
        for name, summary in summaries.items()
    }
    for migration in _read_lines(folder / "migrations.jsonl", MigrationRecord):
        if (sample := samples.get(migration.segmentation)) is not None:
            sample.add(migration)
    versions: dict[str, list[dict[str, Any]]] = {name: [] for name in summaries}
    for version in _read_lines(folder / "models.jsonl", dict[str, Any]):
        versions.get(version["segmentation"], []).append(version)
    stays = {
        name: Stays(_milliseconds(summary["period"]["to"]) if summary["period"]["to"] else None)
        for name, summary in summaries.items()
    }
    for membership in _read_lines(folder / "memberships.jsonl", Membership):
        if (stay := stays.get(membership.segmentation)) is not None:
            stay.add(membership)
    first = first or folder / "report.html"
    files = {
        name: first.name if index == 0 else f"{first.stem}-{name}{first.suffix}" for index, name in enumerate(summaries)
    }
    everybody = next((each["all_segments"] for each in summaries.values() if each["kind"] != AUDIENCE), None)
    pages = [_page(summary, files[name]) for name, summary in summaries.items()]
    for name, summary in summaries.items():
        content = _describe(_among_all(summary, everybody), versions[name], stays[name])
        content["timelines"] = samples[name].encode(stays[name].customers)
        content["pages"] = pages
        _write_page(first.with_name(files[name]), content)
    return first


def _page(summary: dict[str, Any], file: str) -> dict[str, Any]:
    """Return what the list of all segmentations says of one."""
    members = summary["all_segments"]["customers"]
    names, segments = summary["segment_names"], summary["segments"]
    title = next(iter(names.values()), None) if summary["kind"] == AUDIENCE else None
    return {
        "segmentation": summary["segmentation"],
        "title": title or summary["segmentation"],
        "kind": summary["kind"],
        "file": file,
        "segments": len(segments),
        "customers": members,
        "share": members / summary["customers"] if summary["customers"] else 0.0,
        "monthly": summary["migrations"]["own_moves"]["per_customer_month"],
    }


def _among_all(summary: dict[str, Any], everybody: dict[str, Any] | None) -> dict[str, Any]:
    """Return an audience's summary with shares of all customers: out of it is no segment, but they are customers."""
    if summary["kind"] != AUDIENCE or not summary["customers"]:
        return summary
    revenue = everybody["revenue"] if everybody else None
    segments = [
        segment
        | {
            "share": segment["customers"] / summary["customers"],
            "revenue_share": segment["revenue"] / revenue if revenue else 0.0,
        }
        for segment in summary["segments"]
    ]
    return summary | {"segments": segments, "all_segments": everybody or summary["all_segments"]}


def _describe(summary: dict[str, Any], versions: list[dict[str, Any]], stays: Stays) -> dict[str, Any]:
    """Return what a segmentation's page shows, but for the customers."""
    kind = summary["kind"]
    is_learned = kind == "learned"
    in_force = [version for version in versions if version.get("status") != "held"]
    present = in_force[-1]["segments"] if in_force else []
    inputs = [entry | {"file": PurePath(entry["file"]).name} for entry in summary["inputs"]]
    return {
        "summary": summary | {"inputs": inputs},
        "segments": _colour_segments(summary, present),
        "causes": CAUSE_KINDS,
        "moneyDigits": MINOR_DIGITS[summary["currency"]],
        "kind": kind,
        "models": _models(versions, summary) if is_learned else [],
        "versions": [{key: version[key] for key in ("version", "as_of")} for version in in_force],
        "meanings": _meanings(present) if is_learned else {},
        "conditions": {} if is_learned else {segment["id"]: segment["sentence"] for segment in present},
        "daysInSegment": stays.mean_days,
        "daysInAnySegment": stays.mean_days_of_all,
    }


def _write_page(path: Path, content: Mapping[str, Any]) -> None:
    assets = resources.files(__package__) / "assets"
    page = Template((assets / "report.html").read_text(encoding="utf-8")).substitute(
        style=(assets / "report.css").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        content=_encode_for_script(content),
        scripts="\n".join((assets / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    )
    path.write_text(page, encoding="utf-8", newline="\n")


def _read_summaries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the summary of each segmentation by its name, with what is said of the whole run in each."""
    try:
        whole = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}, expected the output of a replay") from error
    others = whole.pop("other_segmentations")
    return {summary["segmentation"]: summary for summary in (whole, *(whole | other for other in others))}


def _read_lines(path: Path, line_type: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(line_type).decode
    count = 0
    try:
        with path.open("rb") as lines:
            for line in lines:
                count += 1
                yield decode(line)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path.name}, line {count}: {error}, expected the output of a replay") from error


def _models(versions: list[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is said of each model version."""
    taken_over = [row for row in summary["models"] if row["status"] == "published"]
    moved = {(row["version"], row["as_of"]): row["customers_moved"] for row in taken_over}
    instants = [size["at"] for size in summary["sizes"]]
    populations = [sum(size["customers"].values()) for size in summary["sizes"]]
    models: list[dict[str, Any]] = []
    for model in versions:
        row = {key: model.get(key) for key in ("version", "as_of", "status", "expected_churn")}
        # Instants have one format, so they sort as text. The size taken last before the model is the base.
        base = populations[max(bisect_right(instants, model["as_of"]) - 1, 0)] if populations else 0
        unknown = model["status"] == "held" or model["version"] == 0
        row["moved"] = None if unknown else moved.get((model["version"], model["as_of"]))
        row["actual_churn"] = row["moved"] / base if row["moved"] is not None and base else None
        drift = model.get("drift") or {"roles": {}, "psi": {}}
        role, row["role_drift"] = max(drift["roles"].items(), key=lambda item: item[1], default=(None, None))
        row["role"] = None if role is None else _SEGMENT_IDS[role]
        row["psi_axis"], row["psi"] = max(drift["psi"].items(), key=lambda item: item[1], default=(None, None))
        models.append(row)
    return models


def _meanings(present: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what is true of everybody in each learned segment, and what to do with them."""
    return {segment["id"]: {key: segment[key] for key in ("statement", "action", "open")} for segment in present}


def _colour_segments(summary: dict[str, Any], present: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return all segments that ever were, in the summary's order, each with its colour; former ones last, in grey.

    `present` are those of the newest version, also where nobody is in them: these come last of their level.
    """
    names = summary["segment_names"]
    filled = [segment["id"] for segment in summary["segments"]]
    empty = [segment["id"] for segment in present if segment["id"] in names and segment["id"] not in filled]
    levels = {segment["id"]: segment.get("level") or 0 for segment in present}
    current = sorted(filled + empty, key=lambda segment_id: -levels.get(segment_id, 0))
    former = [segment_id for segment_id in sorted(names) if segment_id not in current]
    return [
        {"id": segment_id, "name": names[segment_id], "colour": palette[index % len(palette)]}
        for palette, segment_ids in ((SEGMENT_COLOURS, current), (FORMER_SEGMENT_COLOURS, former))
        for index, segment_id in enumerate(segment_ids)
    ]


def _milliseconds(instant: str) -> int:
    return to_milliseconds(datetime.fromisoformat(instant))


def _encode_for_script(content: object) -> str:
    """Return JSON that is safe inside a `<script>` element; the escaped characters occur in strings only."""
    return msgspec.json.encode(content).decode().translate(_SCRIPT_ESCAPES)
