"""What the contenders share: their arguments, their marks, and one simple rule of segments."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime

import msgspec

INPUT_TOPICS = ("purchases", "engagements")
RETURN_SECONDS = 30 * 86_400
LOYAL_ORDERS = 5
BIG_REVENUE_MINOR = 50_000


class Event(msgspec.Struct, gc=False):
    """What a contender reads of an event: no validation beyond these types."""

    event_id: str
    customer_id: str
    occurred_at: datetime
    total: str | None = None


def segment_of(orders: int, revenue_minor: int, gap_seconds: float) -> str:
    """Return the segment by recency, frequency and money: the simplest rule that uses all three."""
    if not orders:
        return "browsing"
    if gap_seconds > RETURN_SECONDS:
        return "returning"
    if revenue_minor >= BIG_REVENUE_MINOR:
        return "big"
    if orders >= LOYAL_ORDERS:
        return "loyal"
    return "repeating" if orders > 1 else "new"


def parse_arguments() -> argparse.Namespace:
    """Return the options that the benchmark starts a contender with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--inputs", required=True, help="prefix of the input topics")
    parser.add_argument("--outputs", required=True, help="prefix of the output topics, and name of the group")
    parser.add_argument("--events", type=int, required=True, help="how many there are to process")
    options = parser.parse_args()
    options.topics = [options.inputs + topic for topic in INPUT_TOPICS]
    return options


def take_flag(flag: str) -> bool:
    """Tell whether a contender's own flag was given, and leave the common options."""
    if flag not in sys.argv:
        return False
    sys.argv.remove(flag)
    return True


def mark(name: str, **fields: object) -> None:
    """Tell the benchmark where the contender is; Faust turns what is printed into a log."""
    line = json.dumps({"mark": name, "at_seconds": time.time(), **fields})
    os.write(1, f"\n{line}\n".encode())  # not after a spinner of Faust's, on the same line
