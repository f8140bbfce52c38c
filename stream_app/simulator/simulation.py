"""Write a simulated population as input files, with the truth about it beside them.

`purchases.jsonl.gz` and `engagements.jsonl.gz` are in the contract's form and in the order in which records would be
delivered; `events.csv.gz` (time ordered), `truth.csv.gz` and `changes.csv.gz` say what really happened, with times
in seconds since the start. Faults, if asked for, touch the two input files alone, and every one is counted:
a duplicate is a record delivered again within an hour, a late record arrives up to three days after it happened, a
malformed record is a broken copy beside the sound one, and an order that is restated comes once or twice more under
other event ids within an hour: as it was; with the right total, where it was wrong at first; or beside another one that
is cancelled at once. So no fault takes anything away from the truth.

The same arguments give the same bytes. (NumPy may change the stream of a distribution between versions, NEP 19.)
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

from stream_app.core.clock import DAY_MS, HOUR_MS, NO_TIME, SECOND_MS, format_instant, to_milliseconds
from stream_app.errors import ConfigurationError
from stream_app.simulator.events import CHANGE_KINDS, FIRST_PHASE, PURCHASE, REFUND, Draw, Events, Integers, Phases
from stream_app.simulator.populations import POPULATIONS, Population

DEFAULT_START: Final = date(2024, 1, 1)
DUPLICATE_DELAY_MS: Final = HOUR_MS
"""A duplicate follows its record within this time: a producer's retry, not a replay of last week."""
LATE_DELAY_MS: Final = 3 * DAY_MS
"""A late record is delayed by up to this much, as by a till that was offline over a weekend."""
BLOCK_RECORDS: Final = 50_000
"""How many records are turned into Python objects at a time."""
GZIP_LEVEL: Final = 5

_TRUTH_NAMES: Final = ("view", "click", "email_open", "cart", "login", "purchase", "refund")
"""Names in `events.csv.gz`, by kind of event; and in the contract:"""
_CONTRACT_TYPES: Final = (
    "product_viewed",
    "email_clicked",
    "email_opened",
    "product_added",
    "session_started",
    "order_completed",
    "order_refunded",
)
_SOUND, _DUPLICATE, _MALFORMED, _RESTATED, _ONCE_MORE = range(5)
_AGAIN, _EDITED, _CANCELLED = range(3)
"""How an order is restated, by its number."""
_WRONG_BY_MINOR: Final = 100


@dataclass(frozen=True)
class Faults:
    """What is wrong with the delivery of records, each a probability per event in [0, 1]."""

    duplicate_rate: float = 0.0
    malformed_rate: float = 0.0
    late_rate: float = 0.0
    restated_rate: float = 0.0
    """Of orders."""


@dataclass(frozen=True)
class SimulationCounts:
    """What was written. `purchases` and `engagements` count the records in the files, faults included."""

    customers: int
    changes: int
    events: int
    purchases: int
    engagements: int
    duplicates: int
    malformed: int
    late: int
    restated: int = 0


def simulate(
    customers: int,
    days: int,
    seed: int,
    out: Path,
    start: date = DEFAULT_START,
    refund_rate: float | None = None,
    faults: Faults = Faults(),
    population: Population = POPULATIONS["shop"],
    watch: Callable[[int, int, int], object] = lambda _done, _total, _at_ms: None,
) -> SimulationCounts:
    """Draw a population and write its five files into `out`, which is created if need be.

    Parameters
    ----------
    customers, days
        Each at least 1.
    seed
        At least 0.
    start
        The simulation begins at midnight UTC of this day.
    refund_rate
        Probability, in [0, 1], that an order is refunded; None for the population's own.
    faults
        Faults of delivery, none by default.
    population
        Which one.
    watch
        Called with records written, records in all (0 as long as they are being drawn), and the instant of the next.

    Raises
    ------
    ConfigurationError
        If an argument is out of range or means nothing to the population, or `out` cannot be written.
    """
    for name, value, least in (("customers", customers, 1), ("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise ConfigurationError(f"{name}: {value}, expected at least {least}")
    if refund_rate is not None and population.refund_rate is None:
        raise ConfigurationError(f"refund_rate: {refund_rate}, expected none for a population without refunds")
    refunded = population.refund_rate or 0.0 if refund_rate is None else refund_rate
    rates = {"refund_rate": refunded} | {rate.name: getattr(faults, rate.name) for rate in fields(faults)}
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ConfigurationError(f"{name}: {rate}, expected a probability from 0 to 1")
    watch(0, 0, NO_TIME)
    phases, events = population.draw(Draw(customers, days, seed, start, refunded))
    start_ms = to_milliseconds(datetime.combine(start, time(), UTC))
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_truth(out, phases, events, population.types)
        return _write_records(out, phases, events, start_ms, faults, seed, watch)
    except OSError as error:
        raise ConfigurationError(f"out: {out}, expected a writable folder ({error.strerror})") from error


def _write_truth(out: Path, phases: Phases, events: Events, names: Sequence[str]) -> None:
    with _open_gzip(out / "truth.csv.gz") as file:
        file.write(b"customer_id,t_from,t_to,type\n")
        for customer, from_ms, to_ms, latent, _ in _rows(phases):
            file.write(f"{customer},{_seconds(from_ms)},{_seconds(to_ms)},{names[latent]}\n".encode())
    with _open_gzip(out / "changes.csv.gz") as file:
        file.write(b"customer_id,t,from,to,kind\n")
        before = -1
        for customer, from_ms, _, latent, change in _rows(phases):
            if change != FIRST_PHASE:
                line = f"{customer},{_seconds(from_ms)},{names[before]},{names[latent]},{CHANGE_KINDS[change]}\n"
                file.write(line.encode())
            before = latent
    with _open_gzip(out / "events.csv.gz") as file:
        file.write(b"event_id,customer_id,ts,type,amount,items\n")
        for number, (at_ms, customer, kind, _, amount_minor, items) in enumerate(_rows(events)):
            name, amount = _TRUTH_NAMES[kind], _major(amount_minor)
            file.write(f"{number},{customer},{_seconds(at_ms)},{name},{amount},{items}\n".encode())


def _write_records(
    out: Path,
    phases: Phases,
    events: Events,
    start_ms: int,
    faults: Faults,
    seed: int,
    watch: Callable[[int, int, int], object],
) -> SimulationCounts:
    restated = _restated(events, faults, seed)
    event, fault, late = _schedule_deliveries(events, faults, restated, seed)
    told_again = set(restated.tolist())
    written = [0, 0]
    encode = msgspec.json.Encoder().encode
    with _open_gzip(out / "engagements.jsonl.gz") as engagements, _open_gzip(out / "purchases.jsonl.gz") as purchases:
        files = (engagements, purchases)
        for first in range(0, event.size, BLOCK_RECORDS):
            block = slice(first, first + BLOCK_RECORDS)
            columns = Events(*(column[event[block]] for column in events))
            watch(first, event.size, start_ms + int(columns.at_ms[0]))
            deliveries = zip(event[block].tolist(), fault[block].tolist(), _rows(columns), strict=True)
            for number, how, row in deliveries:
                record = _record(number, row, start_ms)
                if number in told_again:
                    record = _tell(record, number, row[4], how)
                line = _break(record, number, encode) if how == _MALFORMED else encode(record)
                is_order = row[2] in (PURCHASE, REFUND)
                files[is_order].write(line + b"\n")
                written[is_order] += 1
    return SimulationCounts(
        customers=int(np.count_nonzero(phases.change == FIRST_PHASE)),
        changes=int(np.count_nonzero(phases.change != FIRST_PHASE)),
        events=events.at_ms.size,
        purchases=written[True],
        engagements=written[False],
        duplicates=int(np.count_nonzero(fault == _DUPLICATE)),
        malformed=int(np.count_nonzero(fault == _MALFORMED)),
        late=late,
        restated=2 * restated.size,
    )


def _restated(events: Events, faults: Faults, seed: int) -> Integers:
    """Return the numbers of the orders that are restated."""
    rng = np.random.default_rng((seed, 2))
    orders = np.flatnonzero(events.kind == PURCHASE).astype(np.int32)
    return orders[rng.random(orders.size) < faults.restated_rate]


def _tell(record: dict[str, Any], number: int, amount_minor: int, how: int) -> dict[str, Any]:
    """Return one of the deliveries of an order that is restated."""
    way = number % 3
    if how not in (_RESTATED, _ONCE_MORE):
        return record | {"total": _major(amount_minor + _WRONG_BY_MINOR)} if way == _EDITED else record
    record = record | {"event_id": f"{record['event_id']}-{how}"}
    if way == _AGAIN:
        return record
    if way == _EDITED:
        later = to_milliseconds(datetime.fromisoformat(record["occurred_at"])) + SECOND_MS
        return record | {"type": "order_updated", "updated_at": format_instant(later)}
    record = record | {"order_id": f"{record['order_id']}-twice"}
    return record if how == _RESTATED else record | {"type": "order_cancelled"}


def _schedule_deliveries(
    events: Events, faults: Faults, restated: Integers, seed: int
) -> tuple[Integers, Integers, int]:
    """Return the number of the event and the fault of each delivery, in order, and how many events come late."""
    # A stream of its own, so that faults leave the population as it is without them.
    rng = np.random.default_rng((seed, 1))
    count = events.at_ms.size
    sound = np.arange(count, dtype=np.int32)
    arrives_ms = events.at_ms.copy()
    late = rng.random(count) < faults.late_rate
    arrives_ms[late] += rng.integers(1, LATE_DELAY_MS, np.count_nonzero(late))
    duplicated = np.flatnonzero(rng.random(count) < faults.duplicate_rate)
    malformed = np.flatnonzero(rng.random(count) < faults.malformed_rate)
    repeat_ms = arrives_ms[duplicated] + rng.integers(1, DUPLICATE_DELAY_MS, duplicated.size)
    again_ms = [arrives_ms[restated] + rng.integers(1, DUPLICATE_DELAY_MS, restated.size) for _ in range(2)]
    event = np.concatenate([sound, duplicated, malformed, restated, restated])
    faulty = np.array([_SOUND, _DUPLICATE, _MALFORMED, _RESTATED, _ONCE_MORE], np.int8)
    fault = np.repeat(faulty, [count, duplicated.size, malformed.size, restated.size, restated.size])
    order = np.argsort(np.concatenate([arrives_ms, repeat_ms, arrives_ms[malformed], *again_ms]), kind="stable")
    return event[order], fault[order], int(np.count_nonzero(late))


def _record(number: int, row: tuple[int, ...], start_ms: int) -> dict[str, Any]:
    at_ms, customer, kind, order, amount_minor, items = row
    record = {
        "event_id": f"e{number}",
        "customer_id": f"c{customer}",
        "occurred_at": format_instant(start_ms + at_ms),
        "type": _CONTRACT_TYPES[kind],
    }
    if kind == PURCHASE:
        return record | {"order_id": f"o{order}", "total": _major(amount_minor), "currency": "EUR", "items": items}
    if kind == REFUND:
        return record | {"order_id": f"o{order}", "total": _major(amount_minor), "currency": "EUR"}
    return record


def _break(record: dict[str, Any], number: int, encode: Callable[[Any], bytes]) -> bytes:
    """Return a record that breaks the contract, in one of five ways by turns."""
    line = encode(record)
    match number % 5:
        case 0:
            return line[: len(line) // 2]
        case 1:
            return encode({name: value for name, value in record.items() if name != "customer_id"})
        case 2:
            return encode(record | {"occurred_at": record["occurred_at"].rstrip("Z")})
        case 3:
            return encode(record | {"customer_id": float(number)})
        case _:
            return encode(record | {"customer_id": "guest"})


@contextmanager
def _open_gzip(path: Path) -> Iterator[BinaryIO]:
    """Open for writing without name and time in the header, which would make equal contents differ."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as file:
        yield file  # type: ignore[misc]  # a GzipFile is a BinaryIO in all but name


def _rows(table: Events | Phases) -> Iterator[tuple[int, ...]]:
    """Rows of plain integers, made a block at a time: a list of all would take ten times the arrays' memory."""
    for first in range(0, len(table[0]), BLOCK_RECORDS):
        yield from zip(*(column[first : first + BLOCK_RECORDS].tolist() for column in table), strict=True)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / SECOND_MS:.3f}"


def _major(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"
