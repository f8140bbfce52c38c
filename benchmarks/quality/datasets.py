"""The data sets, each with the bars that the product sets itself on it.

Shops with seeds are the yardstick's; other populations are `segmenter simulate`'s. CDNOW and Online Retail are real.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.quality.judge import YARDSTICK
from stream_app.core.clock import DAY_MS, to_milliseconds
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import DEFAULT_START, simulate
from stream_app.sources.files import SourceFile

START_MS: Final = to_milliseconds(datetime.combine(DEFAULT_START, time(), UTC))
YARDSTICK_DAYS: Final = 540


class Bar(NamedTuple):
    """What a figure has to keep to."""

    direction: str
    limit: float

    def is_met(self, figure: float) -> bool:
        """Return whether it does; what is no number does not."""
        match self.direction:
            case "≤":
                return figure <= self.limit
            case "≥":
                return figure >= self.limit
        return figure > self.limit


def at_most(limit: float) -> Bar:
    return Bar("≤", limit)


def at_least(limit: float) -> Bar:
    return Bar("≥", limit)


EVERYWHERE: Final[Mapping[str, Bar]] = {
    "moves against direction, by own acts": at_most(0),
    "moves against direction, by silence": at_most(0),
    "untrue names, worst month": at_most(0.001),
    "false lapse alarms a customer-month": at_most(0.03),
    "moved by the first publish": at_most(0.03),
    "moved by the worst later publish": at_most(0.03),
}
SEED_BARS: Final[Mapping[str, Bar]] = {
    "agreement with the latent types (ARI)": at_least(0.46),
    "spurious moves a customer-month": at_most(0.13),
    "changes found in 90 days, less placebo": at_least(0.69),
    "lapses found in 90 days": at_least(0.93),
    "lapses: median days": at_most(28),
    "lapses: placebo": at_most(0.13),
    "win-backs found in 90 days": at_least(0.93),
    "calibration error of P(active)": at_most(0.04),
}
ALIKE_BARS: Final[Mapping[str, Bar]] = {"moves a customer": at_most(1.1), "segments in use at the end": at_most(1)}


@dataclass(frozen=True)
class Files:
    """What a data set consists of once it lies on the disk.

    Parameters
    ----------
    sources
        Input files.
    end_ms
        Up to when time is to pass; None for the last event.
    judged
        Folder with the truth that the judge reads, or None.
    gone
        Ids of the customers who had left at the end, where that is all there is to know; or None.
    """

    sources: Sequence[SourceFile]
    end_ms: int | None = None
    judged: Path | None = None
    gone: frozenset[str] | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set: how to lay it out in a folder, and its bars beside those that hold everywhere."""

    lay_out: Callable[[Path], Files]
    bars: Mapping[str, Bar] = field(default_factory=dict)


def data_sets(seeds: Sequence[int], population_seed: int) -> dict[str, DataSet]:
    """Return all data sets by name.

    Parameters
    ----------
    seeds
        Of the yardstick's shops.
    population_seed
        Of the other simulated populations.
    """

    def simulated(name: str, bars: Mapping[str, Bar]) -> DataSet:
        return DataSet(partial(_simulated, name, population_seed), bars)

    return {
        **{f"seed-{seed}": DataSet(partial(_yardstick, seed), SEED_BARS) for seed in seeds},
        "slow": simulated("slow", {"agreement with the latent types (ARI)": at_least(0.40)}),
        "fast": simulated("fast", {"agreement with the latent types (ARI)": at_least(0.50)}),
        "little-engagement": simulated(
            "little-engagement", {"lapses found in 90 days": at_least(0.83), "lapses: placebo": at_most(0.15)}
        ),
        "no-engagement": simulated(
            "no-engagement", {"lapses found in 90 days": at_least(0.58), "lapses: placebo": at_most(0.20)}
        ),
        "subscribers": simulated("subscribers", ALIKE_BARS),
        "one-off": simulated("one-off", ALIKE_BARS),
        "identical": simulated("identical", {}),
        "plans": simulated("plans", {"wrongly at risk or lapsed at the end": at_most(0.02)}),
        "cdnow": DataSet(
            partial(_real, "cdnow_transactions.csv.gz", {"occurred_at": "date", "total": "amount"}),
            {
                "moves a customer-month": at_most(0.14),
                "next 90 days' orders explained": at_least(0.27),
                "orders explained beyond RFM rules": Bar(">", 0),
            },
        ),
        "online-retail": DataSet(
            partial(_real, "online_retail_orders.csv.gz", {"occurred_at": "ts", "total": "amount"}),
            {
                "moves a customer-month": at_most(0.28),
                "next 90 days' orders explained": at_least(0.29),
                "orders explained beyond RFM rules": Bar(">", 0),
                "calibration error of P(active)": at_most(0.07),
            },
        ),
    }


def _yardstick(seed: int, folder: Path) -> Files:
    for script, arguments in (("sim.py", ["--seed", str(seed)]), ("prepare.py", [])):
        command = [sys.executable, str(YARDSTICK / "quality" / script), str(folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Files(_inputs(folder), START_MS + YARDSTICK_DAYS * DAY_MS, judged=folder)


def _simulated(name: str, seed: int, folder: Path) -> Files:
    population = POPULATIONS[name]
    simulate(population.customers, population.days, seed, folder, population=population)
    end_ms = START_MS + population.days * DAY_MS
    if population.refund_rate is not None:
        return Files(_inputs(folder), end_ms, judged=folder)
    return Files(_inputs(folder), end_ms, gone=_gone(folder) if name == "plans" else None)


def _inputs(folder: Path) -> list[SourceFile]:
    topics = ("purchases", "engagements")
    return [SourceFile(folder / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in topics]


def _gone(folder: Path) -> frozenset[str]:
    with gzip.open(folder / "changes.csv.gz", "rt", newline="") as file:
        return frozenset(f"c{row['customer_id']}" for row in csv.DictReader(file) if row["to"] == "cancelled")


def _real(file: str, columns: Mapping[str, str], _: Path) -> Files:
    return Files([SourceFile(YARDSTICK / "data" / file, "purchases", columns, {"currency": "EUR"}, UTC)])
