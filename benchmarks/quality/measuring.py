"""One data set through the product and past its rivals: all figures of each."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.quality.calibration import calibration_error
from benchmarks.quality.datasets import DataSet, Files
from benchmarks.quality.explained import explained, looks
from benchmarks.quality.history import History, opened, read_history
from benchmarks.quality.judge import judge, judge_places
from benchmarks.quality.migrations import (
    LAPSED,
    OUTSIDE,
    Migrations,
    against_direction,
    customer_months,
    false_alarms,
    moved_per_publish,
    panel,
    read_migrations,
    unranked_names,
)
from benchmarks.quality.nights import nights
from benchmarks.quality.rivals import NOWHERE, Rival, let_compete
from benchmarks.quality.watch import create_watch
from stream_app.bootstrap.replay import create_replay
from stream_app.core.clock import MONTH_DAYS, to_milliseconds
from stream_app.settings.loading import load_settings

Figures = dict[str, float | None]
"""By name; None for what was not measured."""


@dataclass
class Measured:
    """What came of a data set."""

    ours: Figures
    rivals: Mapping[str, Figures]
    seconds: float
    notes: list[str] = field(default_factory=list)


def measure(data_set: DataSet, folder: Path, *, with_rivals: bool) -> Measured:
    """Lay out a data set in an empty folder, replay it with the shipped defaults, and measure."""
    began = time.monotonic()
    files = data_set.lay_out(folder)
    settings = load_settings(None)
    watch, out = create_watch(), folder / "out"
    with opened(settings, files.sources) as readers:
        create_replay(settings, out, files.end_ms, watch.observe).run(readers)
    history = read_history(files.sources, files.end_ms)
    migrations = read_migrations(out / "migrations.jsonl", history.customer_ids)
    ours = {
        **(judge(files.judged, out / "migrations.jsonl") if files.judged else {}),
        **_own_figures(migrations, history, _published(out / "models.jsonl")),
        **_wrongly_lapsed(migrations, history, files),
        "untrue names, worst month": watch.untrue_names,
        "calibration error of P(active)": calibration_error(watch.forecasts, history) if watch.forecasts else None,
    }
    rivals = {}
    if with_rivals:
        for rival in let_compete(nights(history), history.days, len(history.customer_ids)):
            judged = judge_places(files.judged, rival.places, history) if files.judged else {}
            rivals[rival.name] = {**judged, **_rival_figures(rival, history)}
        beaten = rivals["RFM rules"]["next 90 days' orders explained"]
        explained_by_us = ours["next 90 days' orders explained"]
        if beaten is not None and explained_by_us is not None:
            ours["orders explained beyond RFM rules"] = explained_by_us - beaten
    notes = [f"moves from and to {name!r} are not judged for direction" for name in unranked_names(migrations)]
    return Measured(ours, rivals, time.monotonic() - began, notes)


def _own_figures(migrations: Migrations, history: History, published: Mapping[int, int]) -> Figures:
    customers = len(history.customer_ids)
    by_acts, by_silence = against_direction(migrations)
    first, *later = moved_per_publish(migrations, published) or [0.0]
    moves = int(migrations.is_move.sum())
    places = panel(migrations, customers, [history.night_ms(day) for day in looks(history)])
    at_end = panel(migrations, customers, [history.end_ms])[0]
    by_orders, by_spend = explained(places, places != OUTSIDE, history)
    return {
        "moves against direction, by own acts": by_acts,
        "moves against direction, by silence": by_silence,
        "false lapse alarms a customer-month": false_alarms(migrations, history),
        "moved by the first publish": first,
        "moved by the worst later publish": max(later, default=0.0),
        "moves a customer": moves / customers,
        "moves a customer-month": moves / customer_months(migrations, history.end_ms),
        "segments in use at the end": len(set(at_end.tolist()) - {OUTSIDE}),
        "next 90 days' orders explained": by_orders,
        "next 90 days' spend explained": by_spend,
    }


def _wrongly_lapsed(migrations: Migrations, history: History, files: Files) -> Figures:
    if files.gone is None:
        return {}
    at_end = panel(migrations, len(history.customer_ids), [history.end_ms])[0]
    kept = np.array([customer_id not in files.gone for customer_id in history.customer_ids])
    return {"wrongly at risk or lapsed at the end": float(np.isin(at_end, list(LAPSED))[kept].mean())}


def _rival_figures(rival: Rival, history: History) -> Figures:
    places = rival.places
    moves = int(((places[1:] != places[:-1]) & (places[:-1] != NOWHERE)).sum())
    seen = places[looks(history)]
    by_orders, by_spend = explained(seen, seen != NOWHERE, history)
    return {
        "moved by the worst later publish": max(rival.moved_per_publish, default=None),
        "moves a customer": moves / places.shape[1],
        "moves a customer-month": moves / max((places != NOWHERE).sum() / MONTH_DAYS, 1e-9),
        "segments in use at the end": len(set(places[-1].tolist()) - {NOWHERE}),
        "next 90 days' orders explained": by_orders,
        "next 90 days' spend explained": by_spend,
    }


def _published(path: Path) -> dict[int, int]:
    """Return the instants at which models were published, by version, from the first that was learned."""
    models = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {
        model["version"]: to_milliseconds(datetime.fromisoformat(model["as_of"]))
        for model in models
        if model.get("status", "published") == "published" and model["version"] > 0
    }
