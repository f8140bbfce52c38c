"""Measures what rules cost: finding moves at events and by time, sweeps with nobody due, memory.

Times are processor time, of finding moves alone: nothing is written. What an event costs is the difference between a
partition with twenty segmentations and one with none that takes in the same chunks. Run by itself it prints a line a
figure, with its goal; `bench.py` shows the same in its table.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import dataclasses
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.kafka.events import draw_events
from benchmarks.ruled import LISTS, TWENTY, profiles
from stream_app.bootstrap.decoding import create_decoders
from stream_app.contracts.scanner import Scanner, split_lines
from stream_app.core.clock import HOUR_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Events, join_events
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events, sweep
from stream_app.native.library import function
from stream_app.native.structures import Bytes
from stream_app.segmentations.file import check_document, shipped_document
from stream_app.segmentations.registry import build_segmentation, fields_looked_at, looks_at
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.settings.sections import Settings

CUSTOMERS: Final = 20_000
EVENTS: Final = 300_000
CHUNK: Final = 1_000
"""Events of a chunk, as a busy partition takes them in."""
ROUNDS: Final = 3
NOW_MS: Final = 2**42
"""When everything is read: later than all events."""
BUSY_EVENTS: Final = 10_000
ENTRY_BYTES: Final = (6, 14, 14, 4, 28, 14, 7, 14)
BUCKETS: Final = 2
BUCKET_BYTES: Final = 18
"""How series stand in memory, see `native/ledger.c`."""
_encode = msgspec.json.Encoder().encode


class Figure(NamedTuple):
    """What was measured, and its goal; None where there is none."""

    what: str
    measured: str
    value: float
    goal: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is within its goal."""
        return self.goal is None or self.value <= self.goal

    @property
    def verdict(self) -> str:
        """Met or missed; nothing where there is no goal."""
        return "" if self.goal is None else "met" if self.is_met else "MISSED"


def segmentations_of(document: dict[str, Any], lists: dict[str, list[str]]) -> list[Any]:
    """Return what a file of definitions asks for.

    Raises
    ------
    ValueError
        If it has mistakes.
    """
    checked = check_document(document)
    if checked.file is None:
        raise ValueError("; ".join(map(str, checked.mistakes)))
    settings = Settings()
    defaults = settings.assignment.model_dump() | {"lists": {name: IdList.of(ids) for name, ids in lists.items()}}
    return [build_segmentation(each, defaults) for each in checked.file.segmentations]


def twenty() -> list[Any]:
    """Return the twenty segmentations."""
    lists = {name: f"{name}.csv" for name in LISTS}
    return segmentations_of({"version": 1, "lists": lists, "segmentations": list(TWENTY)}, LISTS)


def shipped() -> list[Any]:
    """Return the shipped segmentations."""
    return segmentations_of(shipped_document(), {})


class Shop:
    """Events and profiles, decoded, in chunks that end between instants.

    Parameters
    ----------
    segmentations
        Whose fields are kept.
    """

    def __init__(self, segmentations: Sequence[Any], events: int = EVENTS, customers: int = CUSTOMERS) -> None:
        decoders = create_decoders(Settings(), fields_looked_at(segmentations))
        self._scanners = {topic: Scanner(decoder) for topic, decoder in decoders.items()}
        self._drawn = draw_events(events, customers)
        self._order = np.argsort(self._drawn.at_ms, kind="stable")
        self._at_ms = self._drawn.at_ms[self._order]
        self.start_ms = int(self._at_ms[0]) - 1
        self.profiles = self.read("profiles", [_encode(record) for _, record in profiles(customers, self.start_ms)])

    def chunks(self, size: int = CHUNK) -> list[Events]:
        """Return the events."""
        return list(self._chunks(size))

    def _chunks(self, size: int) -> Iterator[Events]:
        start = 0
        while start < len(self._order):
            stop = min(start + size, len(self._order))
            while stop < len(self._order) and self._at_ms[stop] == self._at_ms[stop - 1]:
                stop += 1
            yield self._mixed(self._order[start:stop].tolist())
            start = stop

    def _mixed(self, numbers: Sequence[int]) -> Events:
        records = [self._drawn.encode(number, "", int(self._drawn.at_ms[number])) for number in numbers]
        parts, places = [], []
        for topic in ("purchases", "engagements"):
            own = [index for index, record in enumerate(records) if record.topic == topic]
            parts.append(self.read(topic, [records[index].value for index in own]))
            places += own
        return join_events(parts).take(np.argsort(places))

    def read(self, topic: str, payloads: Sequence[bytes]) -> Events:
        """Decode records.

        Raises
        ------
        ValueError
            If one is refused.
        """
        block = b"".join(payload + b"\n" for payload in payloads)
        scanned = self._scanners[topic].scan(block, split_lines(block), NOW_MS)
        if scanned.others:
            raise ValueError(f"{topic}: {scanned.others[0]}, expected valid records")
        return Events(scanned.records, scanned.texts)

    def of_one_customer(self, count: int) -> Events:
        """Return the same events as if all were one customer's."""
        busy = copy.copy(self)
        busy._drawn = dataclasses.replace(self._drawn, customers=np.zeros_like(self._drawn.customers))
        return join_events(busy.chunks(count)[:1])


# --- times ------------------------------------------------------------------------------------------------------------


class Costs(NamedTuple):
    """Seconds, events and moves of a run's second half, by events and by time."""

    by_events: float
    events: int
    event_moves: int
    by_time: float
    time_moves: int


def run(partition: Partition, shop: Shop, chunks: Sequence[Events]) -> Costs:
    """Take all in, and let time pass every hour; measure the second half."""
    process_events(partition, shop.profiles)
    by_events = by_time = 0.0
    events = event_moves = time_moves = 0
    next_ms = shop.start_ms + HOUR_MS
    gc.collect()
    for number, chunk in enumerate(chunks):
        is_measured = number >= len(chunks) // 2
        at_ms = int(chunk.records["at_ms"][0])
        if at_ms > next_ms:
            start = time.process_time()
            moves = len(sweep(partition, at_ms).moves)
            took = time.process_time() - start
            next_ms = at_ms + HOUR_MS
            if is_measured:
                by_time, time_moves = by_time + took, time_moves + moves
        start = time.process_time()
        moves = len(process_events(partition, chunk).moves)
        took = time.process_time() - start
        if is_measured:
            by_events, events, event_moves = by_events + took, events + len(chunk), event_moves + moves
    return Costs(by_events, events, event_moves, by_time, time_moves)


def times(shop: Shop, segmentations: Sequence[Any]) -> tuple[list[Figure], Partition]:
    """Measure events and moves by time; return the partition with rules, too."""
    chunks = shop.chunks()
    withs, withouts = [], []
    for _ in range(ROUNDS):
        withouts.append(run(Partition([]), shop, chunks))
        partition = Partition(segmentations)
        withs.append(run(partition, shop, chunks))
    least, most = min(withouts, key=lambda each: each.by_events), min(withs, key=lambda each: each.by_events)
    an_event = (most.by_events - least.by_events) / most.events * 1e6
    rate = most.event_moves / most.events
    a_move = (min(each.by_time for each in withs) - min(each.by_time for each in withouts)) / most.time_moves * 1e6
    what = f"rules: finding moves at events, {len(segmentations)} segmentations, {rate:.2f} moves an event"
    return [
        Figure(what, f"{an_event:.2f} µs an event", an_event, 3.0 if rate <= 0.5 else None),
        Figure(f"rules: finding {most.time_moves:,} moves by time, hourly", f"{a_move:.2f} µs a move", a_move, 4.0),
    ], partition


def busy(shop: Shop, segmentations: Sequence[Any]) -> Figure:
    """Measure a customer with many events in one chunk, against as many events of many customers."""
    chunks = join_events(shop.chunks(BUSY_EVENTS)[:1])
    own = shop.of_one_customer(BUSY_EVENTS)
    many, one = [], []
    for _ in range(ROUNDS):
        for events, taken in ((chunks, many), (own, one)):
            partition = Partition(segmentations)
            start = time.process_time()
            process_events(partition, events)
            taken.append((time.process_time() - start) / len(events) * 1e6)
    what = f"rules: an event of a customer with {BUSY_EVENTS:,} events in one chunk"
    return Figure(what, f"{min(one):.2f} µs (of many customers {min(many):.2f})", min(one) / min(many), 1.0)


# --- many customers ---------------------------------------------------------------------------------------------------


def widened(partition: Partition, customers: int, originals: Sequence[int] | None = None) -> Partition:
    """Return a partition with the same rows again and again, as a worker holds them that has read them back."""
    table = partition.table
    wide = CustomerTable(table.names, table.ruled_names)
    rows = table.encode_all(range(len(table)) if originals is None else originals)
    for start in range(0, customers, 100_000):
        numbers = range(start, min(start + 100_000, customers))
        wide.restore_many([(f"customer-{number:07d}".encode(), rows[number % len(rows)]) for number in numbers])
    return Partition(partition.segmentations, partition.context, wide, partition.clock)


def idle_sweep(wide: Partition) -> Figure:
    """Measure a sweep at which nobody is due."""
    at_ms = wide.clock.swept_at_ms + HOUR_MS
    sweep(wide, at_ms)
    took = []
    for number in range(1, ROUNDS + 3):
        start = time.process_time()
        sweep(wide, at_ms + number)
        took.append((time.process_time() - start) * 1e3)
    return Figure(f"rules: sweep of {len(wide.table):,} customers, nobody due", f"{min(took):.2f} ms", min(took), 5.0)


def bytes_each(partition: Partition) -> float:
    """Return the memory that a customer takes."""
    return sum(partition.table.memory.values()) / len(partition.table)


def rules_share(partition: Partition, shop: Shop, customers: int) -> Iterator[Figure]:
    """Measure what rules add to a customer's memory: of usual customers, and of all."""
    plain = Partition([])
    for events in (shop.profiles, *shop.chunks(20_000)):
        process_events(plain, events)
    held = np.array([held_series(partition, number) for number in range(len(partition.table))])
    usual = np.flatnonzero((np.abs(held[:, 0] - 10) <= 1) & (np.abs(held[:, 1] - 18) <= 2))
    for who, numbers, goal in (("usual customers", usual, 300.0), ("all customers", np.arange(len(held)), None)):
        both = [widened(each, customers, numbers.tolist()) for each in (partition, plain)]
        share = bytes_each(both[0]) - bytes_each(both[1])
        series, entries = held[numbers].mean(axis=0)
        what = f"rules: share of the memory of {who}, {len(partition.segmentations)} segmentations"
        yield Figure(what, f"{share:,.0f} bytes, {series:.1f} series, {entries:.1f} entries", share, goal)


def held_series(partition: Partition, number: int) -> tuple[int, int]:
    """Return how many series a customer holds, and how many entries."""
    found = function("seg_table_ledger", Bytes, ctypes.c_void_p, ctypes.c_int64)(partition.table.handle, number)
    ledger = ctypes.string_at(found.data, found.size) if found.size else b""
    series = entries = at = 0
    while at < len(ledger):
        bits = int.from_bytes(ledger[at : at + 2], "little")
        shape, count = bits >> 10 & 7, bits >> 13
        head = 6 if shape == BUCKETS else 2 if count else 4
        count = count or int.from_bytes(ledger[at + 2 : at + 4], "little")
        buckets = int.from_bytes(ledger[at + 4 : at + 6], "little") if shape == BUCKETS else 0
        series, entries = series + 1, entries + count + buckets
        at += head + buckets * BUCKET_BYTES + count * ENTRY_BYTES[shape]
    return series, entries


def shipped_memory(shop_of: Callable[[Sequence[Any]], Shop], customers: int) -> list[Figure]:
    """Measure a customer's memory under the shipped definitions, and what each of them adds."""
    segmentations = shipped()
    shop = shop_of(segmentations)
    chunks = [shop.profiles, *shop.chunks(20_000)]

    def taken(some: Sequence[Any], count: int) -> float:
        partition = Partition(some)
        for events in chunks:
            process_events(partition, events)
        return bytes_each(widened(partition, count))

    whole = taken(segmentations, customers)
    figures = [Figure(f"shipped: a customer's memory, {customers:,} customers", f"{whole:,.0f} bytes", whole, 1_000.0)]
    none = taken([], CUSTOMERS)
    for segmentation in segmentations:
        needed = [each for each in segmentations if each.name in {segmentation.name, *looks_at(segmentation)}]
        below = taken(needed[:-1], CUSTOMERS) if len(needed) > 1 else none
        added = taken(needed, CUSTOMERS) - below
        figures.append(Figure(f"shipped: {segmentation.name} alone adds", f"{added:,.0f} bytes", added))
    return figures


def measure(customers: int) -> Iterator[Figure]:
    """Yield all figures."""
    segmentations = twenty()
    shop = Shop(segmentations)
    figures, partition = times(shop, segmentations)
    yield from figures
    yield busy(shop, segmentations)
    yield idle_sweep(widened(partition, customers))
    yield from rules_share(partition, shop, min(customers, 100_000))
    yield from shipped_memory(Shop, customers)


def main() -> None:
    """Print a line a figure; end with status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    options = parser.parse_args()
    missed = 0
    for figure in measure(options.customers):
        goal = "" if figure.goal is None else f"goal {figure.goal:g}: {figure.verdict}"
        print(f"{figure.what}: {figure.measured} {goal}", flush=True)
        missed += not figure.is_met
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
