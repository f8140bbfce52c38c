"""What happened in three shops, as plain tables: real purchases of two, a simulated third with profiles.

A shop is two frames. `events`: customer, at_ms, topic, type, order_id, amount_minor, coupon. `profiles`: customer,
at_ms, trait, value. They are in the order of time. `write` lays them out as the files that `segmenter replay` reads.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from stream_app.core.clock import DAY_MS, format_instant
from stream_app.simulator.simulation import simulate
from stream_app.sources import cdnow
from tests.support.replays import ROOT

SHARED_DATA: Final = ROOT.parent / "shared" / "data"
COLUMNS: Final = ["customer", "at_ms", "topic", "type", "order_id", "amount_minor", "coupon"]
COUNTRIES: Final = {"United Kingdom": "GB", "Germany": "DE", "France": "FR", "Italy": "IT", "USA": "US", "EIRE": "IE"}


@dataclass(frozen=True)
class Shop:
    """Inputs, and up to when time passes."""

    events: pd.DataFrame
    profiles: pd.DataFrame
    end_ms: int

    def write(self, folder: Path) -> dict[str, Path]:
        """Write the inputs, a file a topic; return the paths by topic."""
        paths = {topic: folder / f"{topic}.jsonl" for topic in ("purchases", "engagements", "profiles")}
        for topic in ("purchases", "engagements"):
            own = self.events[self.events["topic"] == topic]
            lines = [json.dumps(record) for record in _records(own)]
            paths[topic].write_text("".join(f"{line}\n" for line in lines))
        lines = [json.dumps(record) for record in _profiles(self.profiles)]
        paths["profiles"].write_text("".join(f"{line}\n" for line in lines))
        return paths


def _records(events: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for number, event in zip(events.index, events.itertuples(index=False), strict=True):
        record = {
            "event_id": f"e{number}",
            "customer_id": event.customer,
            "occurred_at": format_instant(event.at_ms),
            "type": event.type,
        }
        if event.topic == "purchases":
            total = f"{event.amount_minor // 100}.{event.amount_minor % 100:02d}"
            record |= {"order_id": event.order_id, "currency": "EUR", "total": total}
        if isinstance(event.coupon, str):
            record["properties"] = {"coupon": event.coupon}
        yield record


def _profiles(profiles: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for each in profiles.itertuples(index=False):
        traits = {each.trait: each.value}
        yield {"customer_id": each.customer, "observed_at": format_instant(each.at_ms), "traits": traits}


def shop(events: pd.DataFrame, profiles: pd.DataFrame, days: int = 400) -> Shop:
    """Return a shop whose inputs are in order, and whose customers are silent for so many days in the end."""
    in_order = {"kind": "stable", "ignore_index": True}
    events, profiles = (
        each.astype({"customer": str}).sort_values("at_ms", **in_order) for each in (events[COLUMNS], profiles)
    )
    return Shop(events, profiles, int(events["at_ms"].max()) + days * DAY_MS)


def no_profiles() -> pd.DataFrame:
    return pd.DataFrame({"customer": [], "at_ms": [], "trait": [], "value": []}).astype({"at_ms": "int64"})


def cdnow_shop(folder: Path, every: int = 12) -> Shop:
    """Return the real purchases of one CDNOW customer in so many."""
    path = folder / "cdnow.csv"
    cdnow.write_cdnow_csv(path)
    table = pd.read_csv(path, dtype={"customer_id": str})
    table = table[table["customer_id"].astype(int) % every == 0]
    events = pd.DataFrame(
        {
            "customer": table["customer_id"],
            "at_ms": pd.to_datetime(table["date"], utc=True).astype("datetime64[ms, UTC]").astype("int64"),
            "topic": "purchases",
            "type": "order_completed",
            "order_id": [f"o{number}" for number in range(len(table))],
            "amount_minor": (table["amount"] * 100).round().astype("int64"),
            "coupon": None,
        }
    )
    return shop(events, no_profiles())


def retail_shop() -> Shop:
    """Return the real orders and refunds of Online Retail, whose countries are traits; skip if it is not at hand."""
    path = SHARED_DATA / "online_retail_orders.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {SHARED_DATA.name}")
    table = pd.read_csv(path, dtype={"customer_id": str, "order_id": str})
    at_ms = pd.to_datetime(table["ts"], utc=True).astype("datetime64[ms, UTC]").astype("int64")
    is_refund = table["type"] == "refund"
    events = pd.DataFrame(
        {
            "customer": table["customer_id"],
            "at_ms": at_ms,
            "topic": "purchases",
            "type": np.where(is_refund, "order_refunded", "order_completed"),
            "order_id": table["order_id"],
            "amount_minor": (table["amount"].abs() * 100).round().astype("int64"),
            "coupon": None,
        }
    )
    first = table.assign(at_ms=at_ms).groupby("customer_id", sort=False).first().reset_index()
    profiles = pd.DataFrame(
        {
            "customer": first["customer_id"],
            "at_ms": first["at_ms"],
            "trait": "country",
            "value": first["country"].map(COUNTRIES).fillna("XX"),
        }
    )
    return shop(events, profiles)


def simulated_shop(folder: Path, customers: int = 250, days: int = 400, seed: int = 5) -> Shop:
    """Return a simulated population with refunds; coupons, referrals, reviews and profiles are drawn beside."""
    simulate(customers, days, seed, folder, refund_rate=0.12)
    rng = np.random.default_rng(seed)
    rows = [_row(topic, record, rng) for topic in ("purchases", "engagements") for record in _lines(folder, topic)]
    events = pd.DataFrame(rows, columns=COLUMNS)
    ids = events["customer"].unique()
    first_ms, last_ms = int(events["at_ms"].min()), int(events["at_ms"].max())
    words = rng.choice(["referral_made", "product_reviewed"], 3 * len(ids))
    said = pd.DataFrame(
        {
            "customer": rng.choice(ids, 3 * len(ids)),
            "at_ms": rng.integers(first_ms, last_ms, 3 * len(ids)),
            "topic": "engagements",
            "type": words,
            "order_id": None,
            "amount_minor": 0,
            "coupon": None,
        }
    )
    return shop(pd.concat([events, said]), _drawn_profiles(rng, ids, first_ms, last_ms))


def _lines(folder: Path, topic: str) -> Iterator[dict[str, Any]]:
    for line in gzip.decompress((folder / f"{topic}.jsonl.gz").read_bytes()).splitlines():
        yield json.loads(line)


def _row(topic: str, record: dict[str, Any], rng: np.random.Generator) -> tuple[Any, ...]:
    at_ms = int(pd.Timestamp(record["occurred_at"]).value // 1_000_000)
    amount_minor = round(float(record.get("total", 0)) * 100)
    coupon = "SPRING" if record["type"] == "order_completed" and rng.random() < 0.5 else None
    return record["customer_id"], at_ms, topic, record["type"], record.get("order_id"), amount_minor, coupon


def _drawn_profiles(rng: np.random.Generator, ids: np.ndarray, first_ms: int, last_ms: int) -> pd.DataFrame:
    """Return what customers say of themselves, some of it twice and differently."""
    rows = []
    for customer in ids.tolist():
        for _ in range(int(rng.integers(0, 5))):
            at_ms = int(rng.integers(first_ms, last_ms))
            day = str(pd.Timestamp(at_ms + int(rng.integers(-300, 300)) * DAY_MS, unit="ms").date())
            born = f"{rng.integers(1950, 2005)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
            trait, value = (
                ("country", str(rng.choice(["IT", "DE", "FR", "GB", "SE", "US", "JP"]))),
                ("employees", int(rng.choice([0, 3, 20, 120, 5_000]))),
                ("birthday", born if rng.random() < 0.9 else "1984-02-29"),
                ("child_born_on", day),
                ("renewal_on", day),
            )[int(rng.integers(0, 5))]
            rows.append((customer, at_ms, trait, value))
    return pd.DataFrame(rows, columns=["customer", "at_ms", "trait", "value"])
