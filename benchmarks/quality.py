"""Measures what is learned and who is moved, against the bars the product sets itself.

Simulated populations with known truth, and the real CDNOW and Online Retail purchases, all through the replay with
its shipped defaults; beside it a nightly batch k-means and quantile RFM rules on the same data. Needs the yardstick
folder (simulator, judge, data) beside the project; see README. Ends with status 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
from learned import model_of
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans

sys.path.insert(0, str(Path(__file__).parent))
from rivals import BatchKMeans, QuantileRules, Rival

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.core.clock import MONTH_DAYS, WEEK_MS, format_instant
from stream_app.core.partition import Partition
from stream_app.core.quantities import quantities_at
from stream_app.segmentations.learned.features import FEATURE_WEIGHTS, extract_features
from stream_app.settings.loading import load_settings
from stream_app.sources.files import SourceFile

YARDSTICK = Path(__file__).resolve().parents[2] / "shared"
SEEDS = (7, 11, 13)
NOW_MS = 2**42
"""Later than every event of the data sets."""

SIMULATED_BARS: Sequence[tuple[str, str, float]] = (
    ("inertia ratio, mean", "<=", 1.02),
    ("inertia ratio, max", "<=", 1.04),
    ("ARI to the latent types", ">=", 0.42),
    ("spurious migrations per customer-month", "<=", 0.20),
    ("A→B→A within 14 days", "<=", 0.01),
    ("recall of changes in 90 days less placebo", ">=", 0.60),
    ("lapses found in 90 days", ">=", 0.90),
    ("lapses: median days", "<=", 35),
    ("win-backs found in 90 days", ">=", 0.85),
    ("moved per publish, mean", "<=", 0.04),
    ("moved per publish, max", "<=", 0.04),
)
REAL_BARS: Mapping[str, Sequence[tuple[str, str, float]]] = {
    "CDNOW": (
        ("inertia ratio, mean", "<=", 1.02),
        ("inertia ratio, max", "<=", 1.05),
        ("migrations per customer-month", "<=", 0.20),
    ),
    "Online Retail": (
        ("inertia ratio, mean", "<=", 1.02),
        ("inertia ratio, max", "<=", 1.05),
        ("migrations per customer-month", "<=", 0.30),
    ),
}


@dataclass
class Watch:
    """Compares every model with batch k-means on the whole population, at the instant it is published."""

    ratios: list[float] = field(default_factory=list)
    rivals: tuple[Rival, ...] = ()
    _version: int = 0

    def observe(self, partition: Partition, at_ms: int) -> None:
        """Look at the partition at a multiple of the sweep interval."""
        if at_ms % WEEK_MS == 0 and model_of(partition).version > 0:
            self.ratios.append(inertia_ratio(partition, at_ms))
            if not self.rivals:
                self.rivals = (BatchKMeans(len(model_of(partition).segments)), QuantileRules())
        for rival in self.rivals:
            rival.observe(partition, at_ms)


def inertia_ratio(partition: Partition, at_ms: int) -> float:
    """Return the inertia of the model in force over that of batch k-means, both in the population's own z-scores."""
    snapshot = model_of(partition)
    features = extract_features(quantities_at(partition.table.activity, at_ms), snapshot.parameters)
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    points = (features - mean) / scale * FEATURE_WEIGHTS
    centroids = (snapshot.centroids - mean) / scale * FEATURE_WEIGHTS
    ours = ((points[:, None] - centroids[None]) ** 2).sum(axis=2).min(axis=1).sum()
    return float(ours / KMeans(len(centroids), n_init=10, random_state=0).fit(points).inertia_)


def replay(sources: Sequence[SourceFile], out: Path) -> tuple[dict[str, Any], Watch, Partition]:
    """Replay files with the shipped defaults under a watch."""
    settings = load_settings(None)
    watch = Watch()
    run = create_replay(settings, out, watch=watch.observe)
    summary = run.run(create_readers(settings, sources, NOW_MS))
    return summary, watch, run.partition


def moved_per_publish(summary: Mapping[str, Any]) -> list[float]:
    """Return the share of customers each published model moved, the first learned one left out."""
    sizes = {entry["at"]: sum(entry["customers"].values()) for entry in summary["sizes"]}
    published = [model for model in summary["models"] if model["status"] == "published" and model["version"] > 1]
    return [model["customers_moved"] / sizes[model["as_of"]] for model in published]


def judge(folder: Path, migrations: Path) -> dict[str, float]:
    """Return the yardstick's figures for migrations in the contract's form."""
    score = subprocess.run(
        [sys.executable, str(YARDSTICK / "quality" / "score.py"), str(folder), str(migrations)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures = json.loads(score.stdout)
    return {
        "ARI to the latent types": figures["ari_published"],
        "spurious migrations per customer-month": figures["spur_cm"],
        "A→B→A within 14 days": figures["flap"],
        "recall of changes in 90 days less placebo": figures["rec90"] - figures["plac90"],
        "lapses found in 90 days": figures["r90_lapse"],
        "lapses: median days": figures["md_lapse"],
        "win-backs found in 90 days": figures["r90_winback"],
    }


def judge_rival(folder: Path, rival: Rival, partition: Partition) -> dict[str, float]:
    """Return the same figures for a rival."""
    path = folder / "rival.jsonl"
    ids = partition.table.customer_ids
    with path.open("w") as file:
        for row, at_ms, segment in rival.moves:
            record = {"customer_id": ids[row], "segmentation": "value", "to_segment": str(segment)}
            file.write(json.dumps(record | {"effective_at": format_instant(at_ms)}) + "\n")
    return judge(folder, path)


def per_customer_month(rival: Rival, customers: int) -> float:
    """Return a rival's migrations per customer-month, first entries left out."""
    return (len(rival.moves) - customers) / (rival.customer_days / MONTH_DAYS)


def measure_simulated(seed: int, work: Path) -> list[dict[str, float]]:
    """Return the figures of ours, of batch k-means and of RFM rules for one simulated population."""
    folder = work / str(seed)
    folder.mkdir()
    for script, arguments in (("sim.py", ["--seed", str(seed)]), ("prepare.py", [])):
        command = [sys.executable, str(YARDSTICK / "quality" / script), str(folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    sources = [SourceFile(folder / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in ("purchases", "engagements")]
    out = folder / "out"
    summary, watch, partition = replay(sources, out)
    moved = moved_per_publish(summary)
    ours = {
        "inertia ratio, mean": float(np.mean(watch.ratios)),
        "inertia ratio, max": max(watch.ratios),
        **judge(folder, out / "migrations.jsonl"),
        "moved per publish, mean": float(np.mean(moved)),
        "moved per publish, max": max(moved),
    }
    return [ours, *(judge_rival(folder, rival, partition) for rival in watch.rivals)]


def moves_per_customer_month(summary: dict[str, Any]) -> float:
    """Return the rate of all moves; rivals know no other, since they assess everybody anew."""
    migrations = summary["migrations"]
    return sum(migrations[whose]["per_customer_month"] for whose in ("own_moves", "moves_by_new_versions"))


def measure_real(name: str, work: Path) -> list[dict[str, float]]:
    """Return the same for a real data set."""
    file, columns = {
        "CDNOW": ("cdnow_transactions.csv.gz", {"occurred_at": "date", "total": "amount"}),
        "Online Retail": ("online_retail_orders.csv.gz", {"occurred_at": "ts", "total": "amount"}),
    }[name]
    source = SourceFile(YARDSTICK / "data" / file, "purchases", columns, {"currency": "EUR"}, UTC)
    summary, watch, _ = replay([source], work / name)
    ours = {
        "inertia ratio, mean": float(np.mean(watch.ratios)),
        "inertia ratio, max": max(watch.ratios),
        "migrations per customer-month": moves_per_customer_month(summary),
    }
    rivals = [
        {"migrations per customer-month": per_customer_month(rival, summary["customers"])} for rival in watch.rivals
    ]
    return [ours, *rivals]


def report(
    console: Console, title: str, bars: Sequence[tuple[str, str, float]], figures: list[dict[str, float]]
) -> int:
    """Print one population's table; return the number of bars missed."""
    table = Table("figure", "bar", "ours", "", "batch k-means", "RFM rules", title=title, title_justify="left")
    missed = 0
    for name, direction, bar in bars:
        ours, *rivals = [figure.get(name) for figure in figures]
        assert ours is not None
        met = ours <= bar if direction == "<=" else ours >= bar
        missed += not met
        cells = ["" if value is None else f"{value:.3f}" for value in (ours, *rivals)]
        table.add_row(name, f"{direction} {bar:g}", cells[0], "met" if met else "MISSED", *cells[1:])
    console.print(table)
    return missed


def main() -> None:
    """Measure everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--real", nargs="*", default=list(REAL_BARS))
    options = parser.parse_args()
    if not YARDSTICK.is_dir():
        sys.exit("quality: the folder shared/ with simulator, judge and data is not beside the project")
    warnings.filterwarnings("ignore", category=FutureWarning)
    console = Console(width=110)
    missed = 0
    with tempfile.TemporaryDirectory() as work:
        jobs: list[tuple[str, Sequence[tuple[str, str, float]], Callable[[], list[dict[str, float]]]]] = [
            *(
                (f"simulated, seed {s}", SIMULATED_BARS, lambda s=s: measure_simulated(s, Path(work)))
                for s in options.seeds
            ),
            *((name, REAL_BARS[name], lambda n=name: measure_real(n, Path(work))) for name in options.real),
        ]
        for title, bars, job in jobs:
            missed += report(console, title, bars, job())
    print(f"{missed} bars missed" if missed else "all bars met")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
