"""A year of a shop whose customers seldom come: what costs here is the passing of time, not events.

Customers are drawn by a power law (exponent .8), events are evenly spaced, a quarter of them purchases.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from stream_app.core.clock import DAY_MS, format_instant

FIRST_MS = 1_700_000_000_000
DAYS = 365
TYPES = ("product_viewed", "search", "add_to_cart", "email_opened", "session_started")


def write_sparse_year(folder: Path, events: int = 200_000, customers: int = 20_000, seed: int = 7) -> list[Path]:
    """Write `purchases.jsonl` and `engagements.jsonl`; return their paths."""
    generator = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, customers + 1) ** 0.8
    who = generator.permutation(customers)[generator.choice(customers, events, p=weights / weights.sum())].tolist()
    bought = (generator.random(events) < 0.25).tolist()
    amounts = generator.lognormal(3.0, 1.0, events).tolist()
    kinds = generator.integers(len(TYPES), size=events).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "purchases.jsonl", folder / "engagements.jsonl"]
    with paths[0].open("w") as purchases, paths[1].open("w") as engagements:
        for number in range(events):
            at = format_instant(FIRST_MS + number * DAYS * DAY_MS // events)
            event = {"event_id": f"e{number}", "customer_id": f"c{who[number]}", "occurred_at": at}
            if bought[number]:
                event |= {"type": "order_completed", "order_id": f"o{number}", "currency": "EUR"}
                purchases.write(json.dumps(event | {"total": f"{amounts[number]:.2f}"}) + "\n")
            else:
                engagements.write(json.dumps(event | {"type": TYPES[kinds[number]]}) + "\n")
    return paths
