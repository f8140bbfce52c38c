"""What rules cost an event: the same log with and without them, through whole steps.

`python -m tests.native.rules_speed --definitions 20 --chunk 1000`
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.core.events import Event, Events, pack_events
from stream_app.core.partition import NO_SWEEPS, Partition, Sweeps
from stream_app.core.processor import process_events
from stream_app.core.segmentation import Segmentation
from tests.native.subjects import audience, kept, segmentation

_TYPES: Final = ("visit", "view", "search", "cart_add", "open", "click", "review")
_DAYS: Final = 90


class Cost(NamedTuple):
    """What a log has cost.

    Attributes
    ----------
    microseconds
        Of an event.
    moves
        An event.
    """

    microseconds: float
    moves: float


def definitions(count: int) -> list[dict[str, Any]]:
    """Return audiences of three leaves each: counts of all sorts of windows, sums, a sequence, traits."""
    rng = np.random.default_rng(1)
    days = (1, 3, 7, 14, 30, 60, 90)

    def windowed(number: int) -> dict[str, Any]:
        event = str(rng.choice(_TYPES))
        length = int(rng.choice(days))
        if number % 29 == 7:
            return {"event": event, "between_ago": [f"{length}d", f"{2 * length}d"]}
        if number % 15 == 3:
            return {"event": event, "calendar": {"days": length}, "at_least": int(rng.integers(1, 4))}
        if number % 31 == 11:
            return {"event": event, "sum": "value", "last": f"{length}d", "at_least": 50}
        if number == 13:
            return {"sequence": ["view", "cart_add"], "within": "3d", "last": f"{length}d"}
        if number == 17:
            return {"first_event": event, "last": f"{length}d"}
        if number == 23:
            return {"event": event, "decayed_sum": "count", "half_life": "14d", "at_least": 2}
        if number % 10 == 9:
            return {"trait": f"t{number % 5}", "equals": f"v{number % 3}"}
        return {"event": event, "last": f"{length}d", "at_least": int(rng.integers(1, 4))}

    found = []
    for number in range(count):
        parts = [windowed(3 * number + leaf) for leaf in range(3)]
        found.append(audience(f"a{number}", {("all", "any")[number % 2]: [parts[0], {"not": parts[1]}, parts[2]]}))
    return found


def log(customers: int, count: int, *, sessions: bool, seed: int = 0) -> list[Event]:
    """Return engagements over ninety days, alone or in bursts of five."""
    rng = np.random.default_rng(seed)
    burst = 5 if sessions else 1
    starts = np.sort(rng.integers(0, _DAYS * DAY_MS, count // burst))
    events = []
    for start in starts.tolist():
        customer = f"c{rng.integers(customers)}"
        for number in range(burst):
            at_ms = start + number * 20_000
            fields = kept({"value": float(rng.integers(1, 40))})
            events.append((at_ms, customer, str(rng.choice(_TYPES)), fields))
    events.sort()
    return [
        Event(2, customer, f"e{number}", at_ms, event_type, kept=fields)
        for number, (at_ms, customer, event_type, fields) in enumerate(events)
    ]


def profiles(customers: int) -> list[Event]:
    """Return a profile of five traits for each customer."""
    rng = np.random.default_rng(2)
    return [
        Event(6, f"c{number}", f"p{number}", 0, "", kept=kept({f"t{n}": f"v{rng.integers(3)}" for n in range(5)}))
        for number in range(customers)
    ]


def chunks(events: Sequence[Event], size: int) -> Iterator[tuple[Events, Sweeps]]:
    """Yield the log in parts, each with the hourly sweeps within it."""
    swept_ms = 0
    for start in range(0, len(events), size):
        part = events[start : start + size]
        at_ms = np.array([event.at_ms for event in part], np.int64)
        hours = np.arange(swept_ms // HOUR_MS + 1, at_ms[-1] // HOUR_MS + 1) * HOUR_MS
        swept_ms = int(at_ms[-1])
        yield pack_events(part, range(start, start + len(part)), 0), Sweeps(hours, np.searchsorted(at_ms, hours))


def measure(segmentations: Sequence[Segmentation], known: Sequence[Event], parts: Sequence[Any]) -> Cost:
    """Play a log; its second half counts."""
    partition = Partition(segmentations)
    if known:
        process_events(partition, pack_events(known, range(len(known)), 0), NO_SWEEPS)
    taken = moves = events = 0.0
    for number, (part, sweeps) in enumerate(parts):
        began = time.process_time()
        outcome = process_events(partition, part, sweeps)
        if number >= len(parts) // 2:
            taken += time.process_time() - began
            moves += len(outcome.moves)
            events += len(part.records)
    ledgers = partition.table.memory["ledgers"] / len(partition.table)
    print(f"    ledgers: {ledgers:.0f} bytes a customer")
    return Cost(taken / events * 1e6, moves / events)


def main() -> None:
    """Print what rules cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--definitions", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=1_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=150_000)
    options = parser.parse_args()
    ruled = [segmentation(each) for each in definitions(options.definitions)]
    nothing = [segmentation(audience("nobody", {"random": {"salt": "s", "to_percent": 0.01}}))]
    for sessions in (True, False):
        parts = list(chunks(log(options.customers, options.events, sessions=sessions), options.chunk))
        known = profiles(options.customers)
        base, rules = measure(nothing, known, parts), measure(ruled, known, parts)
        print(
            f"{'sessions' if sessions else 'independent'}: {options.definitions} definitions cost "
            f"{rules.microseconds - base.microseconds:.2f} us an event at {rules.moves:.2f} moves an event, beside "
            f"{base.microseconds:.2f} of a step without"
        )


if __name__ == "__main__":
    main()
