"""What a replay did, in figures: the content of `summary.json`.

Figures of a segment are those of the customers who are in it at the end (`stream_app.core.members`). A customer's first
entry is not a move, and moves by a new version are counted apart from those by what customers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import asdict

from stream_app.contracts.rejections import NOBODY_REASONS
from stream_app.core.clock import DAY_MS, MONTH_DAYS, NO_TIME, WEEK_MS, format_instant
from stream_app.core.local_days import day_start_ms, is_boundary, local_days
from stream_app.core.members import NO_MEMBERS, MemberSums, life_cycle_order, member_figures
from stream_app.core.moves import CAUSE_KINDS, CHANGES, VERSION_CAUSES
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, wanted
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import Roster
from stream_app.core.trust import Trust
from stream_app.replay.history import History, period
from stream_app.replay.move_keys import move_keys, read_move_key
from stream_app.segmentations.describing import Described

EXAMPLE_CHANGES: Final = ("lapsed", "returned", "moved")
"""One migration of each of these is shown to the user; of an audience, of those below."""
AUDIENCE: Final = "audience"
AUDIENCE_CHANGES: Final = ("entered", "left")
ENTERED: Final = "entered"
"""The change of a customer's first entry."""
_WEEK_DAYS: Final = WEEK_MS // DAY_MS
OWN_CAUSES: Final = tuple(kind for kind in CAUSE_KINDS if kind not in VERSION_CAUSES)


class SegmentationStatistics:
    """Counts of one segmentation."""

    def __init__(self) -> None:
        self._flows: Counter[tuple[str | None, str | None]] = Counter()
        self._version_flows: Counter[tuple[str | None, str | None]] = Counter()
        self._causes: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()
        self._examples: dict[str, bytes] = {}
        self._weeks: dict[int, Counter[str]] = {}
        self._sizes: list[dict[str, Any]] = []
        self._models: list[dict[str, Any]] = []

    def observe(
        self, moves: np.ndarray, roster: Roster, timezone: str, reached_ms: int, *, has_entries: bool = True
    ) -> None:
        """Count moves, `MOVE_DTYPE`, also among those of the week in which each was found.

        Parameters
        ----------
        moves, roster
            Of the segmentation.
        timezone
            Whose weeks.
        reached_ms
            How far time has come: moves of a customer whose time is in doubt may be dated later.
        has_entries
            Whether entering a segment from none is a first entry, and no move; into an audience it is one.
        """
        weeks = local_days(np.minimum(moves["decided_at_ms"], reached_ms), timezone) // _WEEK_DAYS
        keys = move_keys(weeks, moves["target"].astype(np.int64), moves)
        ids = roster.ids
        codes = roster.codes.tolist()
        found, counts = np.unique(keys, return_counts=True)
        for key, count in zip(found.tolist(), counts.tolist(), strict=True):
            week, from_code, target, kind, change = read_move_key(key)
            ends = ids.get(from_code), ids.get(codes[target])
            self._flows[ends] += count
            self._version_flows[ends] += count * (kind in VERSION_CAUSES)
            self._changes[change] += count
            is_entry = has_entries and change == ENTERED
            if not is_entry:
                self._causes[kind] += count
            week_ms = day_start_ms(week * _WEEK_DAYS, timezone)
            self._weeks.setdefault(week_ms, Counter())[ENTERED if is_entry else kind] += count

    def keep_example(self, change: str, migration: bytes) -> None:
        """Keep a migration, as it was written, as the one that is shown of its change."""
        self._examples[change] = migration

    def observe_sizes(self, sizes: Mapping[str, int], at_ms: int) -> None:
        """Note the segments' sizes at an instant; of those at the same one, the last count."""
        entry = {"at": format_instant(at_ms), "customers": dict(sizes)}
        if self._sizes and self._sizes[-1]["at"] == entry["at"]:
            self._sizes.pop()
        self._sizes.append(entry)

    def observe_model(self, document: Mapping[str, Any], customers_moved: int) -> None:
        """Note a version and how many customers it moved at once."""
        kept = {name: document.get(name) for name in ("version", "as_of", "status", "expected_churn")}
        self._models.append(kept | {"customers_moved": customers_moved})

    def summary(self, partition: Partition, number: int, months: float) -> dict[str, Any]:
        """Return the counts as a document of JSON values.

        Parameters
        ----------
        number
            Of the segmentation among the partition's.
        months
            Customer-months that the run covered.
        """
        segmentation = partition.segmentations[number]
        names: dict[str | None, str] = {
            segment.segment_id: segment.name for segment in segmentation.roster.by_code.values()
        }

        def reference(segment_id: str | None) -> dict[str, str] | None:
            return None if segment_id is None else {"id": segment_id, "name": names[segment_id]}

        flows = sorted(
            self._flows, key=lambda ends: (-self._own(ends), -self._flows[ends], ends[0] or "", ends[1] or "")
        )
        column = partition.column_of(segmentation.name)
        is_audience = segmentation.kind == AUDIENCE
        shown = AUDIENCE_CHANGES if is_audience else EXAMPLE_CHANGES
        entries = 0 if is_audience else self._changes[ENTERED]
        return {
            "segmentation": segmentation.name,
            "kind": segmentation.kind,
            "model_version": segmentation.version,
            "segments": _segments(partition, segmentation, column),
            "all_segments": _all_segments(partition, column),
            "flows": [
                {
                    "from": reference(origin),
                    "to": reference(target),
                    "migrations": self._flows[origin, target],
                    "by_new_version": self._version_flows[origin, target],
                }
                for origin, target in flows
            ],
            "migrations": {
                "total": self._changes.total(),
                "entries": entries,
                "own_moves": self._moves(OWN_CAUSES, months),
                "moves_by_new_versions": self._moves(VERSION_CAUSES, months),
                "by_change": {change: self._changes[change] for change in CHANGES},
            },
            "examples": [_example(self._examples[change]) for change in shown if change in self._examples],
            "sizes": self._sizes,
            "weeks": [
                {
                    "at": format_instant(week_ms),
                    "entries": counts[ENTERED],
                    "moves_by_cause": {kind: counts[kind] for kind in CAUSE_KINDS},
                }
                for week_ms, counts in sorted(self._weeks.items())
            ],
            "models": self._models,
            "segment_names": names,
        }

    def state(self) -> dict[str, Any]:
        """Return all counts as JSON values, for `load_state`."""
        return {
            "flows": [[*ends, count, self._version_flows[ends]] for ends, count in self._flows.items()],
            "causes": dict(self._causes),
            "changes": dict(self._changes),
            "examples": {change: example.decode() for change, example in self._examples.items()},
            "weeks": [[week_ms, dict(counts)] for week_ms, counts in self._weeks.items()],
            "sizes": self._sizes,
            "models": self._models,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        for origin, target, count, by_version in state["flows"]:
            self._flows[origin, target], self._version_flows[origin, target] = count, by_version
        self._causes, self._changes = Counter(state["causes"]), Counter(state["changes"])
        self._examples = {change: example.encode() for change, example in state["examples"].items()}
        self._weeks = {week_ms: Counter(counts) for week_ms, counts in state["weeks"]}
        self._sizes, self._models = list(state["sizes"]), list(state["models"])

    def _own(self, ends: tuple[str | None, str | None]) -> int:
        return self._flows[ends] - self._version_flows[ends]

    def _moves(self, causes: Sequence[str], months: float) -> dict[str, Any]:
        total = sum(self._causes[kind] for kind in causes)
        return {
            "total": total,
            "by_cause": {kind: self._causes[kind] for kind in causes},
            "per_customer_month": round(total / months, 4) if months else 0.0,
        }


class RunStatistics:
    """Counts of a replay. `summary` gives the document that `summary.json` holds.

    Parameters
    ----------
    names
        Of the segmentations.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.applied = self.late = self.duplicates = self.too_old = self.not_profiled = 0
        self.rejected: Counter[str] = Counter()
        self._of = {name: SegmentationStatistics() for name in names}
        self._history = History(names)
        self._customer_days = 0.0
        self._counted_to_ms = NO_TIME

    @property
    def events(self) -> int:
        """Records read so far, whatever became of them."""
        return self.applied + self.late + self.duplicates + self.not_profiled + self.rejected.total()

    def observe(self, partition: Partition, outcome: Outcome, described: Described) -> None:
        """Count what came of a chunk or sweep."""
        self.applied += outcome.applied
        self.late += outcome.late
        self.duplicates += outcome.duplicates
        self.too_old += outcome.too_old
        self.not_profiled += outcome.not_profiled
        self._history.observe_events(wanted(described.chunk.events, outcome), outcome, partition)
        if outcome.duplicates:
            self._history.settle(partition)
        for number, segmentation in enumerate(partition.segmentations):
            own = np.flatnonzero(outcome.moves["segmentation"] == number)
            if not len(own):
                continue
            statistics, moves = self._of[segmentation.name], outcome.moves[own]
            is_audience = segmentation.kind == AUDIENCE
            reached_ms, timezone = max(partition.clock), partition.table.timezone
            self._history.observe_moves(segmentation.name, moves, segmentation.roster, partition)
            statistics.observe(moves, segmentation.roster, timezone, reached_ms, has_entries=not is_audience)
            for change in AUDIENCE_CHANGES if is_audience else EXAMPLE_CHANGES:
                told = own[(moves["change"] == CHANGES.index(change)) & described.is_specific[own]]
                if len(told):
                    statistics.keep_example(change, described.migration(int(told[-1])))

    def count_customers(self, customers: int, at_ms: int) -> None:
        """Count the customer-days since the last call."""
        if self._counted_to_ms != NO_TIME:
            self._customer_days += customers * (at_ms - self._counted_to_ms) / DAY_MS
        self._counted_to_ms = at_ms

    def begin_anew(self, customers: int, at_ms: int) -> None:
        """Count customer-days from an instant on: nothing has passed before it."""
        self._customer_days, self._counted_to_ms = 0.0, NO_TIME
        self.count_customers(customers, at_ms)

    def observe_sizes(self, partition: Partition, at_ms: int) -> None:
        """Count customers, and once a week note the segments' sizes."""
        self.count_customers(len(partition.table), at_ms)
        self._history.settle(partition)
        if is_boundary(at_ms, WEEK_MS, partition.table.timezone):
            for segmentation in partition.segmentations:
                ids = segmentation.roster.ids
                counts = partition.table.segment_sizes(partition.column_of(segmentation.name))
                sizes = {ids[code]: count for code, count in counts.items()}
                self._of[segmentation.name].observe_sizes(sizes, at_ms)

    def observe_model(self, document: Mapping[str, Any], customers_moved: int) -> None:
        """Note a version of a segmentation and how many customers it moved at once."""
        self._of[document["segmentation"]].observe_model(document, customers_moved)

    def state(self) -> dict[str, Any]:
        """Return all counts as JSON values, for `load_state`."""
        return {
            "applied": self.applied,
            "late": self.late,
            "duplicates": self.duplicates,
            "too_old": self.too_old,
            "not_profiled": self.not_profiled,
            "rejected": dict(self.rejected),
            "customer_days": self._customer_days,
            "counted_to_ms": self._counted_to_ms,
            "history": self._history.state(),
            "of": {name: statistics.state() for name, statistics in self._of.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        self.applied, self.late, self.duplicates = state["applied"], state["late"], state["duplicates"]
        self.too_old, self.not_profiled = state["too_old"], state["not_profiled"]
        self.rejected = Counter(state["rejected"])
        self._customer_days, self._counted_to_ms = state["customer_days"], state["counted_to_ms"]
        self._history.load_state(state["history"])
        for name, statistics in self._of.items():
            statistics.load_state(state["of"][name])

    def history(self, partition: Partition) -> dict[str, Any]:
        """Return what happened day by day and who is in the segments: the document that `history.json` holds."""
        return self._history.document(partition)

    def summary(
        self, partition: Partition, inputs: Sequence[Mapping[str, Any]], seed: int, *, interrupted: bool
    ) -> dict[str, Any]:
        """Return the whole run as one document of JSON values; the first segmentation's counts stand at the top.

        Parameters
        ----------
        inputs
            The files, in the order of their numbers.
        """
        months = self._customer_days / MONTH_DAYS
        first, *others = (
            self._of[name].summary(partition, number, months) for number, name in enumerate(partition.names)
        )
        return {
            "segmentation": first.pop("segmentation"),
            "inputs": list(inputs),
            "period": period(partition),
            "as_of": format_instant(max(partition.clock)) if len(partition.table) else None,
            "counts": {
                "in": self.events,
                "applied": self.applied,
                "duplicate": self.duplicates,
                "late_applied": self.late,
                "rejected": self.rejected.total(),
                **({"not_profiled": self.not_profiled} if self.not_profiled else {}),
            },
            "too_old": self.too_old,
            "without_customer": sum(self.rejected[reason] for reason in NOBODY_REASONS),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "times_in_doubt": _doubts(partition.trust, inputs),
            "customers": partition.table.count_known(),
            "traits": partition.table.count_traits(),
            "currency": partition.context.currency,
            "timezone": partition.table.timezone,
            "seed": seed,
            "interrupted": interrupted,
            **first,
            "other_segmentations": others,
        }


def _example(migration: bytes) -> dict[str, Any]:
    """Return what is shown of a migration."""
    told = msgspec.json.decode(migration)
    return {
        "customer_id": told["customer_id"],
        "effective_at": told["effective_at"],
        "from": told["from_segment"] and told["from_segment"]["name"],
        "to": told["to_segment"] and told["to_segment"]["name"],
        "sentence": told["explanation"]["sentence"],
    }


def _segments(partition: Partition, segmentation: Segmentation, column: int) -> list[dict[str, Any]]:
    """Return the figures of each segment that has members, by life cycle and value."""
    by_code = segmentation.roster.by_code
    figures = member_figures(partition.table.members(column), max(partition.clock), partition.context.minor_per_major)

    def place(code: int) -> tuple[int, float, str]:
        segment = by_code[code]
        return life_cycle_order(getattr(segment, "level", None), figures[code], segment.segment_id)

    return [
        {"id": by_code[code].segment_id, "name": by_code[code].name, **asdict(figures[code])}
        for code in sorted(figures, key=place)
    ]


def _all_segments(partition: Partition, column: int) -> dict[str, Any]:
    """Return the figures of all who are in a segment."""
    everybody = reduce(MemberSums.plus, partition.table.members(column).values(), NO_MEMBERS)
    figures = member_figures({"all": everybody}, max(partition.clock), partition.context.minor_per_major)
    return asdict(figures["all"])


def _doubts(trust: Trust, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many records are so far from their neighbours that nobody's time but their customer's follows them."""
    return {
        "ahead": trust.ahead_in_doubt,
        "behind": trust.behind_in_doubt,
        "examples": [
            {"file": inputs[each.source]["file"], "row": each.offset, "at": format_instant(each.at_ms)}
            for each in trust.listed
        ],
    }
