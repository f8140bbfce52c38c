"""Builds the folder a replay leaves behind, small but consistent: every figure follows from the same random walk."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import DAY_MS, HOUR_MS, WEEK_MS, format_instant
from stream_app.core.members import MemberSums, life_cycle_order, member_figures
from stream_app.core.moves import CAUSE_KINDS, VERSION_CAUSES
from stream_app.replay.statistics import OWN_CAUSES
from stream_app.segmentations.learned.roles import KINDS

START_MS = 1_704_067_200_000  # 2024-01-01, a Monday
FIRST_MODEL_WEEK = 6
HELD_WEEK = 20
RETIRED = ("s9", "Newcomers (rules)")

SEGMENTS = {
    "s1": ("Champions", 4.0, 11.8, 912.0, 7.4, 210.0),
    "s2": ("Loyal", 12.0, 6.1, 388.5, 4.0, 190.0),
    "s101": ("Regular", 15.0, 2.6, 141.2, 3.1, 80.0),
    "s3": ("New", 7.0, 1.1, 61.9, 1.2, 9.0),
    "s4": ("Browsers", 10.0, 0.4, 18.0, 5.6, 120.0),
    "s5": ("At risk", 48.0, 1.9, 120.4, 0.4, 170.0),
    "s105": ("Hibernating", 95.0, 0.5, 24.1, 0.1, 150.0),
    "s6": ("Lost", 190.0, 0.1, 3.3, 0.0, 230.0),
}
"""Name, then recency, orders, revenue, engaged days, tenure."""
LEVELS = {f"s{kind.code}": kind.level for kind in KINDS}
CLOSED = "s4"
"""A segment that admits nobody."""

STEPS = {
    "s1": [("s1", 94, "purchase"), ("s2", 6, "lapse")],
    "s2": [("s2", 90, "purchase"), ("s1", 4, "purchase"), ("s5", 6, "lapse")],
    "s101": [("s101", 87, "purchase"), ("s2", 6, "purchase"), ("s5", 5, "lapse"), ("s4", 2, "engagement")],
    "s3": [("s3", 82, "purchase"), ("s101", 8, "purchase"), ("s105", 7, "lapse"), ("s4", 3, "engagement")],
    "s4": [("s4", 91, "engagement"), ("s101", 5, "purchase"), ("s105", 4, "lapse")],
    "s5": [("s5", 88, "lapse"), ("s2", 4, "purchase"), ("s105", 7, "lapse"), ("s101", 1, "refund")],
    "s105": [("s105", 92, "lapse"), ("s6", 6, "lapse"), ("s101", 2, "purchase")],
    "s6": [("s6", 98, "lapse"), ("s101", 1, "purchase"), ("s4", 1, "engagement")],
    "s9": [("s9", 93, "purchase"), ("s101", 4, "purchase"), ("s105", 3, "lapse")],
}
"""From a segment: where to, how often in a hundred weeks, and why."""


def ms_of(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1_000)


def day_of(instant: str) -> int:
    return ms_of(instant) // DAY_MS


REFUSED = {"malformed": 4, "invalid_time": 3, "no_customer": 1, "placeholder_id": 1}
"""Records by the reason for which they were refused."""


class ReportFolder:
    """One replay's outputs in the making; `write` puts them down.

    Parameters
    ----------
    weeks, seed
        Length of the period and seed of the walk.
    customer_ids
        Who exists; each enters in one of the first 30 weeks.
    with_models
        False leaves only version 0, from which nothing was learned.
    with_migrations
        False leaves nobody in any segment.
    """

    def __init__(
        self,
        *,
        weeks: int = 40,
        seed: int = 7,
        customer_ids: list[str] | None = None,
        with_models: bool = True,
        with_migrations: bool = True,
    ) -> None:
        self.random = random.Random(seed)
        self.weeks = weeks
        self.with_models = with_models
        self.names = {"s9": RETIRED[1], **{key: row[0] for key, row in SEGMENTS.items()}}
        self.migrations: list[dict[str, Any]] = []
        self.current: dict[str, str] = {}
        self.sequence: Counter[str] = Counter()
        self.since: dict[str, str] = {}
        self.sizes: list[dict[str, Any]] = []
        self.moved_by_version: Counter[int] = Counter()
        ids = customer_ids if customer_ids is not None else [f"c{number:05d}" for number in range(1, 301)]
        self.entry_week = {customer_id: self.random.randrange(min(30, weeks)) for customer_id in ids}
        for week in range(weeks if with_migrations else 0):
            self._live_through(week)

    def _version(self, week: int) -> int:
        if not self.with_models or week < FIRST_MODEL_WEEK:
            return 0
        return week - FIRST_MODEL_WEEK + 1 - (week >= HELD_WEEK)

    def _live_through(self, week: int) -> None:
        for customer_id, entry_week in self.entry_week.items():
            at_ms = START_MS + week * WEEK_MS + self.random.randrange(6 * DAY_MS) + HOUR_MS
            here = self.current.get(customer_id)
            if here is None:
                if entry_week == week:
                    first = "s3" if week >= FIRST_MODEL_WEEK and self.with_models else "s9"
                    self._move(customer_id, first, at_ms, "purchase", week)
                continue
            if here == RETIRED[0] and self._version(week):
                self._move(customer_id, "s3", at_ms, "model", week)
                continue
            targets, chances, causes = zip(*STEPS[here], strict=True)
            choice = self.random.choices(range(len(targets)), chances)[0]
            if targets[choice] != here:
                by_model = self._version(week) and self.random.random() < 0.08
                self._move(customer_id, targets[choice], at_ms, "model" if by_model else causes[choice], week)
        at = format_instant(START_MS + (week + 1) * WEEK_MS)
        self.sizes.append({"at": at, "customers": dict(sorted(Counter(self.current.values()).items()))})

    def _move(self, customer_id: str, target: str, at_ms: int, cause: str, week: int) -> None:
        here = self.current.get(customer_id)
        self.sequence[customer_id] += 1
        self.current[customer_id] = target
        self.since[customer_id] = format_instant(at_ms)
        version = self._version(week)
        self.moved_by_version[version] += cause == "model"
        silent, usual = self.random.randint(15, 90), self.random.randint(3, 12)
        active = self.random.uniform(0.1, 0.5)
        orders = self.random.uniform(0.5, 6.0)
        path = f"{self.names[here]} → {self.names[target]}" if here else f"enters {self.names[target]}"
        reason = {
            "lapse": f"Silent for {silent} days, usually active every {usual} days",
            "purchase": f"Purchase of {orders * 31:.2f} EUR: {usual} days after the last one",
            "refund": f"Refund of {orders * 31:.2f} EUR: {round(orders)} orders",
            "engagement": f"Engagement (product_viewed): comes about every {usual} days",
            "model": f"Model {version} expects customers of this rhythm back within {usual} days",
        }[cause]
        by_event = cause in ("purchase", "refund", "engagement")
        topic = "engagements" if cause == "engagement" else "purchases"
        position = {"topic": topic, "partition": 0, "offset": len(self.migrations) + 1}
        change = "entered" if here is None else "lapsed" if target in ("s105", "s6") else "moved"
        self.migrations.append(
            {
                "migration_id": f"{len(self.migrations):032x}",
                "sequence": self.sequence[customer_id],
                "customer_id": customer_id,
                "segmentation": "value",
                "from_segment": None if here is None else {"id": here, "name": self.names[here]},
                "to_segment": {"id": target, "name": self.names[target]},
                "change": "returned" if here == "s6" else change,
                "effective_at": format_instant(at_ms),
                "decided_at": format_instant(at_ms + HOUR_MS),
                "cause": {
                    "kind": cause,
                    "event_id": f"e-{len(self.migrations):06d}" if by_event else None,
                    "position": position if by_event else None,
                },
                "model_version": version,
                "explanation": {
                    "kind": "learned",
                    "before": None,
                    "after": {
                        "recency_days": float(silent),
                        "tenure_days": 100.0,
                        "usual_gap_days": float(usual),
                        "probability_active": active,
                        "orders": round(orders),
                        "order_recency_days": float(silent),
                        "order_tenure_days": 100.0,
                        "order_interval_days": 100 / orders,
                        "order_value": 31.0,
                        "engagement_recency_days": None,
                        "engagement_interval_days": 30.0,
                    },
                    "decisive": None if here is None else "silence" if cause == "lapse" else "order_rate",
                    "margin": None if here is None else round(self.random.uniform(0.5, 2.5), 4),
                    "statement": "orders at least once in 31 days",
                    "sentence": f"{reason}; {path}.",
                },
                "holdout": {"bucket": 5, "held_out": False},
            }
        )

    @property
    def end_ms(self) -> int:
        """Last instant of the period."""
        return START_MS + self.weeks * WEEK_MS

    @property
    def end(self) -> str:
        """The same as text."""
        return format_instant(self.end_ms)

    def memberships(self) -> list[dict[str, Any]]:
        """Return one line a customer."""
        return [
            {
                "customer_id": customer_id,
                "segmentation": "value",
                "segment": {"id": segment_id, "name": self.names[segment_id]},
                "since": self.since[customer_id],
                "sequence": self.sequence[customer_id],
                "model_version": self._version(self.weeks - 1),
                "as_of": self.end,
                "next_move": None
                if segment_id == "s6"
                else {
                    "at": format_instant(self.end_ms + DAY_MS),
                    "to_segment": {"id": "s6", "name": SEGMENTS["s6"][0]},
                },
            }
            for customer_id, segment_id in self.current.items()
        ]

    def models(self) -> list[dict[str, Any]]:
        """Return version 0, one a week from the first on, and one held proposal."""
        models = [self._model(0, START_MS, "published")]
        for week in range(FIRST_MODEL_WEEK, self.weeks if self.with_models else 0):
            as_of_ms = START_MS + week * WEEK_MS
            models.append(self._model(self._version(week) + (week == HELD_WEEK), as_of_ms, "published"))
            if week == HELD_WEEK:
                models[-1] |= {"status": "held", "expected_churn": 0.31}
        return models

    def _model(self, version: int, as_of_ms: int, status: str) -> dict[str, Any]:
        draw = random.Random(as_of_ms).uniform  # so that asking twice gives the same models
        learned = version > 0
        listed = SEGMENTS if learned else {"s9": (RETIRED[1], 0, 0, 0, 0, 0), **SEGMENTS}
        psi = {name: round(draw(0, 0.12), 4) for name in ("order_rate", "silence")}
        return {
            "kind": "learned",
            "segmentation": "value",
            "version": version,
            "status": status,
            "as_of": format_instant(as_of_ms),
            "segments": [
                {
                    "id": segment_id,
                    "name": row[0],
                    "level": LEVELS.get(segment_id, 0),
                    "action": f"Do what {row[0]} need.",
                    "statement": f"orders about {row[2]} times",
                    "open": segment_id != CLOSED,
                    "centre": [-3.5, -2.5, 0.0],
                }
                for segment_id, row in listed.items()
            ],
            "expected_churn": round(draw(0.005, 0.04), 4) if version > 1 else None,
            "training": {"algorithm": "role-centres", "sample_size": 300} if learned else None,
            "drift": {"psi": psi, "roles": {"loyal": round(draw(0.01, 0.2), 4)}} if version > 1 else None,
        }

    def summary(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what `summary.json` says of the rest."""
        members = Counter(self.current.values())
        at_seconds = self.end_ms // 1_000
        sums = {
            key: MemberSums(
                customers=members[key],
                purchases=round(members[key] * row[2] * 1.5),
                revenue_minor=round(members[key] * row[2] * row[3] * 25),
                first_at_seconds=round(members[key] * (at_seconds - row[5] * 86_400)),
                active_at_seconds=round(members[key] * (at_seconds - row[1] * 86_400)),
            )
            for key, row in SEGMENTS.items()
            if members[key]
        }
        figures = member_figures(sums, self.end_ms, 100)
        segments = [
            {"id": key, "name": SEGMENTS[key][0], **asdict(figures[key])}
            for key in sorted(sums, key=lambda key: life_cycle_order(LEVELS[key], figures[key], key))
        ]
        everybody = member_figures({"all": reduce(MemberSums.plus, sums.values(), MemberSums())}, self.end_ms, 100)
        flows = Counter((m["from_segment"] and m["from_segment"]["id"], m["to_segment"]["id"]) for m in self.migrations)
        starts = [format_instant(START_MS + week * WEEK_MS) for week in range(len(self.sizes))]
        by_model = Counter(
            (m["from_segment"] and m["from_segment"]["id"], m["to_segment"]["id"])
            for m in self.migrations
            if m["cause"]["kind"] == "model"
        )
        weeks: dict[str, Counter[str]] = {at: Counter() for at in starts}
        for migration in self.migrations:
            what = "entered" if migration["change"] == "entered" else migration["cause"]["kind"]
            weeks[max(at for at in starts if at <= migration["effective_at"])][what] += 1
        causes = sum(weeks.values(), Counter())
        told = [m for m in self.migrations if m["change"] in ("moved", "lapsed")][-3:]
        customer_months = max(len(self.current), 1) * self.weeks * 7 / 30.4 * 0.7

        def moves(*kinds: str) -> dict[str, Any]:
            by_cause = {kind: causes[kind] for kind in kinds}
            total = sum(by_cause.values())
            return {"total": total, "by_cause": by_cause, "per_customer_month": total / customer_months}

        return {
            "segmentation": "value",
            "kind": "learned",
            "inputs": [
                {"file": "purchases.csv", "topic": "purchases", "records": 6_200},
                {"file": "engagements.jsonl.gz", "topic": "engagements", "records": 11_034},
            ],
            "period": {"from": format_instant(START_MS), "to": self.end, "days": self.weeks * 7 + 1},
            "as_of": self.end,
            "counts": {"in": 17_234, "applied": 17_190, "duplicate": 20, "late_applied": 15, "rejected": 9},
            "too_old": 3,
            "without_customer": 2,
            "rejected_by_reason": dict(REFUSED),
            "times_in_doubt": {
                "ahead": 2,
                "behind": 1,
                "examples": [{"file": "purchases.csv", "row": 1_180, "at": "2026-02-10T08:00:00.000Z"}],
            },
            "customers": len(self.current),
            "timezone": "UTC",
            "currency": "EUR",
            "seed": 7,
            "interrupted": False,
            "model_version": self._version(self.weeks - 1),
            "segments": segments,
            "all_segments": asdict(everybody["all"]),
            "flows": [
                {
                    "from": {"id": here, "name": self.names[here]} if here else None,
                    "to": {"id": target, "name": self.names[target]},
                    "migrations": count,
                    "by_new_version": by_model[here, target],
                }
                for (here, target), count in sorted(flows.items(), key=lambda flow: by_model[flow[0]] - flow[1])
            ],
            "migrations": {
                "total": len(self.migrations),
                "entries": causes["entered"],
                "own_moves": moves(*OWN_CAUSES),
                "moves_by_new_versions": moves(*VERSION_CAUSES),
                "by_change": dict(Counter(m["change"] for m in self.migrations)),
            },
            "examples": [
                {
                    "customer_id": m["customer_id"],
                    "effective_at": m["effective_at"],
                    "from": m["from_segment"]["name"],
                    "to": m["to_segment"]["name"],
                    "sentence": m["explanation"]["sentence"],
                }
                for m in told
            ],
            "sizes": self.sizes,
            "weeks": [
                {
                    "at": at,
                    "entries": counts["entered"],
                    "moves_by_cause": {kind: counts[kind] for kind in CAUSE_KINDS},
                }
                for at, counts in weeks.items()
            ],
            "models": [
                {key: model[key] for key in ("version", "as_of", "status", "expected_churn")}
                | {"customers_moved": 0 if model["status"] == "held" else self.moved_by_version[model["version"]]}
                for model in models
            ],
            "segment_names": self.names,
            "other_segmentations": [],
        }

    def history(self) -> dict[str, Any]:
        """Return what `history.json` says: a purchase of 31 each at every move that one caused, and no other."""
        flows: Counter[tuple[Any, ...]] = Counter()
        for migration in self.migrations:
            day = day_of(migration["effective_at"])
            ends = [migration[end] and migration[end]["id"] for end in ("from_segment", "to_segment")]
            flows[(day, *ends, migration["cause"]["kind"], migration["change"])] += 1
        listed = sorted(flows, key=str)
        listed.sort(key=lambda key: int(key[0]))
        columns = dict(
            zip(("day", "from", "to", "cause", "change"), map(list, zip(*listed, strict=True)), strict=False)
        )
        bought = [m for m in self.migrations if m["cause"]["kind"] == "purchase"]
        by_day = Counter(day_of(m["effective_at"]) for m in bought)
        acts = sorted((xxh3_64_intdigest(m["customer_id"].encode()), ms_of(m["effective_at"])) for m in bought)
        spread = {"quantiles": {"orders": [1, 2, 3, 4, 5], "revenue": [10, 20, 30, 40, 50]}}
        top = {key: [c for c, here in sorted(self.current.items()) if here == key][:25] for key in SEGMENTS}
        return {
            "days": {
                "day": sorted(by_day),
                "revenue_minor": [3_100 * by_day[day] for day in sorted(by_day)],
                "orders": [by_day[day] for day in sorted(by_day)],
                "engagements": [0] * len(by_day),
            },
            "events": {
                "customers_below": None,
                "customer": [customer for customer, _ in acts],
                "at_ms": [at_ms for _, at_ms in acts],
                "kind": [0] * len(acts),
                "amount_minor": [3_100] * len(acts),
            },
            "customers": self._listing(),
            "rfm": self._rfm(),
            "overlaps": [],
            "segmentations": {
                "value": {
                    "trade": self._trade(bought),
                    "flows": {name: columns.get(name, []) for name in ("day", "from", "to", "cause", "change")}
                    | {
                        "customers": [flows[key] for key in listed],
                        "revenue_minor": [3_100 * flows[key] for key in listed],
                    },
                    "members": {"": spread | {"rank": {"orders": 0.5, "revenue": 0.5}}}
                    | {
                        key: spread
                        | {
                            "rank": {"orders": 0.62, "revenue": 0.4},
                            "top": [
                                {"customer_id": each, "orders": 2, "revenue": 62.0, "last_at_ms": START_MS}
                                for each in top[key]
                            ],
                        }
                        for key in SEGMENTS
                        if top[key]
                    },
                }
            },
        }

    def _trade(self, bought: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """Return what each segment brought: a purchase counts where its customer came from."""
        orders = Counter(
            (day_of(m["effective_at"]), m["from_segment"]["id"] if m["from_segment"] else None) for m in bought
        )
        keys = sorted(orders, key=str)
        return {
            "day": [day for day, _ in keys],
            "segment": [segment_id for _, segment_id in keys],
            "revenue_minor": [3_100 * orders[key] for key in keys],
            "orders": [orders[key] for key in keys],
        }

    def _listing(self) -> dict[str, Any]:
        """Return everybody: each has ordered once for 31 and twice for 62 in turn."""
        ids = sorted(self.current)
        return {
            "id": ids,
            "orders": [1 + number % 2 for number in range(len(ids))],
            "revenue_minor": [3_100 * (1 + number % 2) for number in range(len(ids))],
            "last_at_s": [None if number == 3 else START_MS // 1_000 for number in range(len(ids))],
            "cell": [None if number < 3 else 0 if number % 3 else 24 for number in range(len(ids))],
            "rank": list(range(len(ids))),
            "segments": {"value": [self.current[each] for each in ids]},
        }

    def _rfm(self) -> dict[str, Any]:
        """Return a grid of two cells, one with a third of the customers and one with the others but for three."""
        sizes = [len(self.current) // 3, len(self.current) - len(self.current) // 3 - 3]
        if sizes[1] <= 0:
            return {"without_order": len(self.current), "recency_days": [], "orders": [], "cells": [], "segments": {}}
        return {
            "without_order": 3,
            "recency_days": [10.0, 30.5, 60.0, 90.0],
            "orders": [1, 1, 2, 4],
            "cells": [
                {
                    "recency": score,
                    "frequency": score,
                    "name": name,
                    "customers": size,
                    "orders": size * score,
                    "revenue_minor": 3_100 * size * score,
                }
                for score, name, size in zip((1, 5), ("hibernating", "champions"), sizes, strict=True)
            ],
            "segments": {"value": {"cell": [0, 1], "segment": ["s6", "s1"], "customers": sizes}},
        }

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return the refused records that the summary counts."""
        return [
            {
                "reason": reason,
                "field": "occurred_at",
                "message": f"{number} <b>bold</b>, expected a time",
                "position": {"topic": "/srv/shop/purchases.csv", "partition": 0, "offset": number},
            }
            for reason, count in REFUSED.items()
            for number in range(1, count + 1)
        ]

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the files into `folder` and return the summary."""
        models = self.models()
        summary = self.summary(models)
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        (folder / "history.json").write_text(json.dumps(self.history()), encoding="utf-8")
        for name, lines in (
            ("migrations.jsonl", self.migrations),
            ("memberships.jsonl", self.memberships()),
            ("models.jsonl", models),
            ("dead_letters.jsonl", self.dead_letters()),
        ):
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        return summary
