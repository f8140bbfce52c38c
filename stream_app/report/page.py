"""The report of a replay: one HTML file that opens offline and that a marketer understands.

Python decides what is told and puts it into the page as one block of JSON; the scripts in `assets` write
the tables and draw the charts from it. Customer ids and names are untrusted: the block is escaped so that it
cannot end its own element, the scripts set text only as text, and the page's content policy forbids any request.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path, PurePath
from string import Template
from typing import Any, Final, TypeVar

import msgspec
from plotly.offline import get_plotlyjs
from xxhash import xxh3_64_intdigest

from stream_app.contracts.readers import MigrationRecord, SegmentReference, margin_of
from stream_app.core.clock import DAY_MS, to_milliseconds
from stream_app.core.moves import CAUSE_KINDS
from stream_app.errors import ConfigurationError

TIMELINE_MIGRATIONS_MAX: Final = 60_000
"""So many migrations are shown customer by customer; a page with them stays quick on a phone."""
TIMELINE_BYTES_MAX: Final = 8_500_000
"""Size of their encoding: with plotly.js (4.8 MB) and the other figures the page stays below 15 MB."""
SENTENCE_PATTERNS_MAX: Final = 2_000
"""Sentences differ in their numbers; past so many patterns they are no longer patterns and are written out."""

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
)
"""Paul Tol's "muted" scheme and two more, told apart with any colour vision; neighbours differ in lightness too."""
FORMER_SEGMENT_COLOURS: Final = ("#9aa0a6", "#c4c7cc", "#6b7075")
"""Greys, for segments that no longer exist."""

_SCRIPTS: Final = ("text.js", "tables.js", "charts.js", "timeline.js", "page.js")
_NUMBER: Final = re.compile(r"[\d.,]*\d")
_NUMBER_MARK: Final = "\x01"
_SCRIPT_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})

T = TypeVar("T")


class Membership(msgspec.Struct, gc=False):
    """What the report reads of a membership: where a customer is, and since when."""

    customer_id: str
    segmentation: str
    segment: SegmentReference
    since: str


def write_report(folder: Path) -> Path:
    """Write `report.html` from the other outputs in `folder` and return its path.

    The same outputs give the same bytes. Memory is bounded by `TIMELINE_BYTES_MAX`, whatever the number of
    migrations.

    Raises
    ------
    ConfigurationError
        If an output is missing or cannot be read; the message names file and line.
    """
    summary = _read_summary(folder / "summary.json")
    sample = TimelineSample(always={example["customer_id"] for example in summary["examples"]})
    for migration in _read_lines(folder / "migrations.jsonl", MigrationRecord):
        if migration.segmentation == summary["segmentation"]:
            sample.add(migration)
    models, profiles = _read_models(folder / "models.jsonl", summary)
    customers, days_in_segment = _read_memberships(folder / "memberships.jsonl", summary)
    inputs = [entry | {"file": PurePath(entry["file"]).name} for entry in summary["inputs"]]
    content = {
        "summary": summary | {"inputs": inputs},
        "segments": _colour_segments(summary, profiles),
        "causes": CAUSE_KINDS,
        "models": models,
        "profiles": profiles,
        "daysInSegment": days_in_segment,
        "timelines": sample.encode(customers),
    }
    assets = resources.files(__package__) / "assets"
    page = Template((assets / "report.html").read_text(encoding="utf-8")).substitute(
        style=(assets / "report.css").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        content=_encode_for_script(content),
        scripts="\n".join((assets / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


class TimelineSample:
    """Customers with all their migrations: everybody while they fit, else a fair sample of whole customers.

    Customers are kept in the order of a hash of their id (bottom-k sampling): when the sample outgrows its
    bounds, the one with the largest hash is dropped and nobody beyond that hash is taken again. So one pass
    suffices, nobody is kept in part, and the choice depends on neither the order of the lines nor chance.

    Parameters
    ----------
    always
        Customers who are kept whatever their hash, such as the examples a summary tells of.
    migrations_max, bytes_max
        Bounds of the sample; bytes are those of the encoded migrations and ids.
    """

    def __init__(
        self,
        always: Collection[str] = (),
        migrations_max: int = TIMELINE_MIGRATIONS_MAX,
        bytes_max: int = TIMELINE_BYTES_MAX,
    ) -> None:
        self._always = always
        self._migrations_max = migrations_max
        self._bytes_max = bytes_max
        self._moves: dict[str, list[bytes]] = {}
        self._largest: list[tuple[int, str]] = []
        self._threshold = 2**64
        self._bytes = 0
        self._kept = 0
        self._seen = 0
        self._segments: dict[SegmentReference, int] = {}
        self._patterns: dict[str, int] = {}

    def add(self, migration: MigrationRecord) -> None:
        """Take in a migration; those of one customer must come in their order."""
        self._seen += 1
        customer_id = migration.customer_id
        priority = xxh3_64_intdigest(customer_id.encode())
        if priority >= self._threshold and customer_id not in self._always:
            return
        moves = self._moves.get(customer_id)
        if moves is None:
            moves = self._moves[customer_id] = []
            self._bytes += len(customer_id.encode())
            if customer_id not in self._always:
                heapq.heappush(self._largest, (-priority, customer_id))
        encoded = self._encode_move(migration)
        moves.append(encoded)
        self._kept += 1
        self._bytes += len(encoded)
        while self._largest and (self._kept > self._migrations_max or self._bytes > self._bytes_max):
            self._drop_largest()

    def encode(self, customers: int) -> dict[str, Any]:
        """Return the sample for the page: tables of segments and sentence patterns, and rows that point into them."""
        return {
            "segments": list(self._segments),
            "patterns": list(self._patterns),
            "customers": [
                (customer_id, [msgspec.Raw(move) for move in self._moves[customer_id]])
                for customer_id in sorted(self._moves)
            ],
            "customersTotal": max(customers, len(self._moves)),
            "migrations": self._kept,
            "migrationsTotal": self._seen,
        }

    def _drop_largest(self) -> None:
        negative, customer_id = heapq.heappop(self._largest)
        self._threshold = -negative
        dropped = self._moves.pop(customer_id)
        self._kept -= len(dropped)
        self._bytes -= len(customer_id.encode()) + sum(map(len, dropped))

    def _encode_move(self, migration: MigrationRecord) -> bytes:
        """Return the row `[at_ms, from, to, cause, version, margin, pattern, numbers, event id]`."""
        origin = migration.from_segment
        target = migration.to_segment
        sentence = shorten_sentence(
            migration.explanation.sentence, origin.name if origin else None, target.name if target else None
        )
        sentence = sentence.replace(_NUMBER_MARK, "\ufffd")
        pattern = self._pattern_index(_NUMBER.sub(_NUMBER_MARK, sentence))
        return msgspec.json.encode(
            (
                _milliseconds(migration.effective_at),
                None if origin is None else self._segments.setdefault(origin, len(self._segments)),
                None if target is None else self._segments.setdefault(target, len(self._segments)),
                CAUSE_KINDS.index(migration.cause.kind),
                migration.model_version,
                margin_of(migration.explanation),
                sentence if pattern is None else pattern,
                "" if pattern is None else " ".join(_NUMBER.findall(sentence)),
                migration.cause.event_id or "",
            )
        )

    def _pattern_index(self, pattern: str) -> int | None:
        index = self._patterns.get(pattern)
        if index is None and len(self._patterns) < SENTENCE_PATTERNS_MAX:
            index = self._patterns[pattern] = len(self._patterns)
            self._bytes += len(pattern.encode())
        return index


def shorten_sentence(sentence: str, origin: str | None, target: str | None) -> str:
    """Return `sentence` without its closing "; origin → target", for places that show the move beside it."""
    path = f"; {origin} → {target}."
    return f"{sentence.removesuffix(path)}." if sentence.endswith(path) else sentence


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}, expected the output of a replay") from error


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


def _read_models(path: Path, summary: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what is told of each model version, and the profile of each segment in the newest one that has any."""
    taken_over = [row for row in summary["models"] if row["status"] == "published"]
    moved = {(row["version"], row["as_of"]): row["customers_moved"] for row in taken_over}
    instants = [size["at"] for size in summary["sizes"]]
    populations = [sum(size["customers"].values()) for size in summary["sizes"]]
    models: list[dict[str, Any]] = []
    profiles: dict[str, Any] = {}
    for model in _read_lines(path, dict[str, Any]):
        if model["segmentation"] != summary["segmentation"]:
            continue
        row = {key: model.get(key) for key in ("version", "as_of", "status", "expected_churn")}
        held = model["status"] == "held"
        # Instants have one format, so they sort as text. The size taken last before the model is the base.
        base = populations[max(bisect_right(instants, model["as_of"]) - 1, 0)] if populations else 0
        row["moved"] = None if held or model["version"] == 0 else moved.get((model["version"], model["as_of"]))
        row["actual_churn"] = row["moved"] / base if row["moved"] is not None and base else None
        drift = model.get("drift") or {"centroid_shift": None, "psi": {}}
        row["centroid_shift"] = drift["centroid_shift"]
        row["psi_feature"], row["psi"] = max(drift["psi"].items(), key=lambda item: item[1], default=(None, None))
        models.append(row)
        if not held and any(segment.get("profile") for segment in model["segments"]):
            profiles = {segment["id"]: segment["profile"] for segment in model["segments"]}
    return models, profiles


def _read_memberships(path: Path, summary: dict[str, Any]) -> tuple[int, dict[str, float]]:
    """Return the number of customers and, by segment, for how many days on average its customers have been in it."""
    days: Counter[str] = Counter()
    customers: Counter[str] = Counter()
    period_end: str | None = summary["period"]["to"]
    for membership in _read_lines(path, Membership):
        if membership.segmentation != summary["segmentation"]:
            continue
        segment_id = membership.segment.id
        customers[segment_id] += 1
        if period_end is not None:
            days[segment_id] += max(_milliseconds(period_end) - _milliseconds(membership.since), 0)
    return customers.total(), {key: days[key] / DAY_MS / customers[key] for key in sorted(customers)}


def _colour_segments(summary: dict[str, Any], profiles: Collection[str]) -> list[dict[str, str]]:
    """Return all segments that ever were, by revenue, each with its colour; former ones come last, in grey."""
    names = summary["segment_names"]
    filled = [segment["id"] for segment in summary["segments"]]
    current = filled + [segment_id for segment_id in profiles if segment_id in names and segment_id not in filled]
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
