"""What a run adds up to, gathered while it runs; its size grows with segments and weeks, never with events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_app.core.clock import DAY_MS, MONTH_DAYS, NO_TIME, WEEK_MS, format_instant
from stream_app.core.features import quantities_at
from stream_app.core.migration import CAUSE_KINDS, CHANGES, Migration
from stream_app.core.partition import Effects, Partition

EXAMPLE_CHANGES: Final = ("lapsed", "returned", "moved")
"""One migration of each of these is told to the user."""


class RunStatistics:
    """Counts of a replay. `summary` gives the document that `summary.json` holds."""

    def __init__(self) -> None:
        self.applied = self.late = self.duplicates = 0
        self.rejected: Counter[str] = Counter()
        self._flows: Counter[tuple[str | None, str]] = Counter()
        self._causes: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()
        self._examples: dict[str, Migration] = {}
        self._weeks: dict[int, Counter[str]] = {}
        self._sizes: list[dict[str, Any]] = []
        self._models: list[dict[str, Any]] = []
        self._customer_days = 0.0
        self._counted_to_ms = NO_TIME

    @property
    def events(self) -> int:
        """Records read so far, whatever became of them."""
        return self.applied + self.late + self.duplicates + self.rejected.total()

    def observe(self, effects: Effects) -> None:
        """Count the effects of a chunk or sweep."""
        self.applied += effects.applied
        self.late += effects.late
        self.duplicates += effects.duplicates
        if not effects.migrations:
            return
        week = self._weeks.setdefault(max(effects.clock) // WEEK_MS * WEEK_MS, Counter())
        for migration in effects.migrations:
            origin = migration.from_segment.id if migration.from_segment else None
            self._flows[origin, migration.to_segment.id] += 1
            self._causes[migration.cause.kind] += 1
            self._changes[migration.change] += 1
            week[migration.cause.kind] += 1
            if migration.explanation.decisive_feature:
                self._examples[migration.change] = migration

    def observe_sizes(self, partition: Partition, at_ms: int) -> None:
        """Note the segments' sizes once a week, and count the customer-days since the last call."""
        if self._counted_to_ms != NO_TIME:
            self._customer_days += len(partition.table) * (at_ms - self._counted_to_ms) / DAY_MS
        self._counted_to_ms = at_ms
        if at_ms % WEEK_MS == 0:
            sizes = {f"s{code}": count for code, count in partition.table.segment_sizes().items()}
            self._sizes.append({"at": format_instant(at_ms), "customers": sizes})

    def observe_model(self, document: Mapping[str, Any], customers_moved: int) -> None:
        """Note a version of the model and how many customers it moved at once."""
        kept = {name: document[name] for name in ("version", "as_of", "status", "expected_churn")}
        self._models.append(kept | {"customers_moved": customers_moved})

    def summary(
        self, partition: Partition, inputs: Sequence[Mapping[str, Any]], seed: int, *, interrupted: bool
    ) -> dict[str, Any]:
        """Return the whole run as one document of JSON values."""
        snapshot = partition.snapshot
        names = {segment.segment_id: segment.name for segment in snapshot.segment_by_code.values()}
        moves = self._causes.total() - self._changes["entered"]
        months = self._customer_days / MONTH_DAYS
        return {
            "segmentation": snapshot.segmentation,
            "inputs": list(inputs),
            "period": _period(partition),
            "counts": {
                "in": self.events,
                "applied": self.applied,
                "duplicate": self.duplicates,
                "late_applied": self.late,
                "rejected": self.rejected.total(),
            },
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "customers": len(partition.table),
            "currency": partition.rules.currency,
            "seed": seed,
            "interrupted": interrupted,
            "model_version": snapshot.version,
            "segments": self._segments(partition),
            "flows": [
                {
                    "from": None if origin is None else {"id": origin, "name": names[origin]},
                    "to": {"id": target, "name": names[target]},
                    "customers": count,
                }
                for (origin, target), count in sorted(
                    self._flows.items(), key=lambda flow: (-flow[1], flow[0][0] or "", flow[0][1])
                )
            ],
            "migrations": {
                "total": self._causes.total(),
                "by_cause": {kind: self._causes[kind] for kind in CAUSE_KINDS},
                "by_change": {change: self._changes[change] for change in CHANGES},
                "per_customer_month": round(moves / months, 4) if months else 0.0,
            },
            "examples": [
                {
                    "customer_id": migration.customer_id,
                    "effective_at": migration.effective_at,
                    "from": migration.from_segment.name if migration.from_segment else None,
                    "to": migration.to_segment.name,
                    "sentence": migration.explanation.sentence,
                }
                for change in EXAMPLE_CHANGES
                if (migration := self._examples.get(change))
            ],
            "sizes": self._sizes,
            "weeks": [
                {"at": format_instant(week_ms), "by_cause": {kind: causes[kind] for kind in CAUSE_KINDS}}
                for week_ms, causes in sorted(self._weeks.items())
            ],
            "models": self._models,
            "segment_names": names,
        }

    def _segments(self, partition: Partition) -> list[dict[str, Any]]:
        """Return each present segment with its size and means, the one with the most revenue first."""
        activity, codes = partition.table.activity, partition.table.membership["segment"]
        quantities = quantities_at(activity, max(partition.clock))
        revenue = activity["revenue_minor"] / partition.rules.minor_per_major
        total = float(revenue.sum())
        rows = []
        for code, count in partition.table.segment_sizes().items():
            members = codes == code
            segment = partition.snapshot.segment_by_code[code]
            segment_revenue = float(revenue[members].sum())
            rows.append(
                {
                    "id": segment.segment_id,
                    "name": segment.name,
                    "customers": count,
                    "share": round(count / len(codes), 4),
                    "recency_days": round(float(np.mean(quantities.recency_days[members])), 2),
                    "orders": round(float(np.mean(activity["purchases"][members])), 2),
                    "revenue": round(segment_revenue / count, 2),
                    "revenue_total": round(segment_revenue, 2),
                    "revenue_share": round(segment_revenue / total, 4) if total else 0.0,
                }
            )
        return sorted(rows, key=lambda row: (-row["revenue_total"], row["id"]))


def _period(partition: Partition) -> dict[str, str | None]:
    """Return the instants of the first and last accepted event."""
    if not len(partition.table):
        return {"from": None, "to": None}
    first_ms = int(partition.table.activity["first_at_ms"].min())
    return {"from": format_instant(first_ms), "to": format_instant(partition.clock.watermark_ms)}
