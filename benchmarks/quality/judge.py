"""The yardstick's judge: migrations against the known truth of a shop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.quality.history import History
from benchmarks.quality.rivals import NOWHERE
from stream_app.core.clock import format_instant

YARDSTICK = Path(os.environ.get("YARDSTICK", Path(__file__).resolve().parents[3] / "shared"))
"""Simulator, judge and real data: the folder beside the project, or the one that the environment names."""


def judge(folder: Path, migrations: Path) -> dict[str, float]:
    """Return the figures for migrations in the contract's form, of the population in a folder."""
    score = subprocess.run(
        [sys.executable, str(YARDSTICK / "quality" / "score.py"), str(folder), str(migrations)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures = json.loads(score.stdout)
    return {
        "agreement with the latent types (ARI)": figures["ari_published"],
        "spurious moves a customer-month": figures["spur_cm"],
        "taken back within 14 days": figures["flap"],
        "changes found in 90 days, less placebo": figures["rec90"] - figures["plac90"],
        "lapses found in 90 days": figures["r90_lapse"],
        "lapses: median days": figures["md_lapse"],
        "lapses: placebo": figures["plac90_lapse"],
        "win-backs found in 90 days": figures["r90_winback"],
        "rises found in 90 days": figures["r90_up"],
        "declines found in 90 days": figures["r90_down"],
    }


def judge_places(folder: Path, places: np.ndarray, history: History) -> dict[str, float]:
    """Return the same figures of a rival, given where it has every customer at the end of every day."""
    before = np.vstack((np.full((1, places.shape[1]), NOWHERE, places.dtype), places[:-1]))
    path = folder / "rival.jsonl"
    with path.open("w") as file:
        for day, customer in np.argwhere((places != before) & (places != NOWHERE)).tolist():
            record = {"customer_id": history.customer_ids[customer], "segmentation": "value"}
            at = {"effective_at": format_instant(history.night_ms(day)), "to_segment": str(places[day, customer])}
            file.write(json.dumps(record | at) + "\n")
    return judge(folder, path)
