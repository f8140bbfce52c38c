"""A replay's migrations as columns, and what they say by themselves: how often, in which direction, too soon or not.

Levels order the segments by what a customer is worth while it lasts. What a customer does never takes it to a lower
level or among the lapsed, and silence never to a higher one: a move that breaks this is against direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from benchmarks.quality.history import History
from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.clock import DAY_MS, MONTH_DAYS, to_milliseconds

LEVELS: Final[Mapping[str, int]] = {
    "Lost": -3,
    "Hibernating": -2,
    "One-time": -2,
    "At risk": -1,
    "Occasional": 0,
    "Browsers": 1,
    "Regular": 1,
    "Big spenders": 1,
    "New": 1,
    "Loyal": 2,
    "Champions": 3,
    "VIP": 4,
}
LAPSED: Final = frozenset(name for name, level in LEVELS.items() if level < 0)
VALUE_ROLES: Final = frozenset(LEVELS) - LAPSED - {"New"}
OWN_ACTS: Final = ("purchase", "engagement")
SILENCE: Final = "lapse"
MODEL: Final = "model"
ALARM_DAYS: Final = 14
"""An own act so soon after silence was taken for a lapse makes it a false alarm."""
OUTSIDE: Final = ""
"""Name of where a customer is that has not entered or has left."""


class Migrations(NamedTuple):
    """Migrations of one segmentation, ordered by customer and sequence; each column of shape `(n_migrations,)`.

    Attributes
    ----------
    customer
        Indices of `History.customer_ids`.
    at_ms
        When each became true.
    origin, destination
        Names of the segments, `OUTSIDE` for none.
    cause
        Kind of the cause.
    version
        Of the model that decided.
    """

    customer: Indices
    at_ms: Instants
    origin: np.ndarray
    destination: np.ndarray
    cause: np.ndarray
    version: Indices

    @property
    def is_move(self) -> Flags:
        """False for first entries."""
        return np.asarray(self.origin != OUTSIDE)


class _Segment(msgspec.Struct):
    id: str
    name: str


class _Cause(msgspec.Struct):
    kind: str


class _Record(msgspec.Struct):
    customer_id: str
    sequence: int
    segmentation: str
    from_segment: _Segment | None
    to_segment: _Segment | None
    effective_at: str
    cause: _Cause
    model_version: int


def read_migrations(path: Path, customer_ids: Sequence[str], segmentation: str = "value") -> Migrations:
    """Read `migrations.jsonl`."""
    numbers = {customer_id: number for number, customer_id in enumerate(customer_ids)}
    decode = msgspec.json.Decoder(_Record).decode
    with path.open("rb") as lines:
        records = [record for line in lines if (record := decode(line)).segmentation == segmentation]
    records.sort(key=lambda record: (numbers[record.customer_id], record.sequence))
    return Migrations(
        np.array([numbers[record.customer_id] for record in records], np.intp),
        np.array([to_milliseconds(datetime.fromisoformat(record.effective_at)) for record in records], np.int64),
        np.array([_name(record.from_segment) for record in records], np.str_),
        np.array([_name(record.to_segment) for record in records], np.str_),
        np.array([record.cause.kind for record in records], np.str_),
        np.array([record.model_version for record in records], np.intp),
    )


def _name(segment: _Segment | None) -> str:
    return segment.name if segment else OUTSIDE


def panel(migrations: Migrations, customers: int, instants: Sequence[int]) -> np.ndarray:
    """Return where each customer is at each instant, ascending: names, `OUTSIDE` for nowhere, `(n_instants, n)`."""
    names, code = np.unique(np.append(migrations.destination, OUTSIDE), return_inverse=True)
    present = np.full(customers, code[-1])
    places = np.empty((len(instants), customers), np.intp)
    by_time = np.argsort(migrations.at_ms, kind="stable")
    ends = np.searchsorted(migrations.at_ms[by_time], instants, side="right")
    start = 0
    for row, end in enumerate(ends.tolist()):
        part = np.sort(by_time[start:end])  # again by customer and sequence: of repeated indices the last one counts
        present[migrations.customer[part]] = code[part]
        places[row], start = present, end
    return np.asarray(names[places])


def unranked_names(migrations: Migrations) -> list[str]:
    """Return the names that have no level: moves from or to them cannot be judged for direction."""
    return sorted(set(migrations.destination.tolist()) - set(LEVELS) - {OUTSIDE})


def against_direction(migrations: Migrations) -> tuple[int, int]:
    """Return how many moves own acts, and silence, made against direction."""
    before, after = _levels(migrations.origin), _levels(migrations.destination)
    by_act = np.isin(migrations.cause, OWN_ACTS) & migrations.is_move
    by_silence = (migrations.cause == SILENCE) & migrations.is_move
    down = (after < before) | np.isin(migrations.destination, list(LAPSED))
    return int((by_act & down).sum()), int((by_silence & (after > before)).sum())


def _levels(names: np.ndarray) -> Floats:
    """Return the level of each name, NaN for those without one, which compare as false with everything."""
    known, code = np.unique(names, return_inverse=True)
    return np.array([LEVELS.get(name, np.nan) for name in known.tolist()])[code]


def customer_months(migrations: Migrations, end_ms: int, names: frozenset[str] | None = None) -> float:
    """Return the time that customers spent in segments of some names, or in any, up to the end."""
    left = np.append(migrations.at_ms[1:], end_ms)
    goes_on = np.append(migrations.customer[1:] == migrations.customer[:-1], False)
    until_ms = np.where(goes_on, left, end_ms)
    inside = migrations.destination != OUTSIDE if names is None else np.isin(migrations.destination, list(names))
    return float((until_ms - migrations.at_ms)[inside].sum() / (MONTH_DAYS * DAY_MS))


def false_alarms(migrations: Migrations, history: History) -> float:
    """Return the moves by silence among the lapsed that an own act followed within 14 days.

    Per customer-month in value roles; each step of a lapse counts by itself.
    """
    alarms = np.flatnonzero((migrations.cause == SILENCE) & np.isin(migrations.destination, list(LAPSED)))
    after_ms = next_act_ms(history, migrations.customer[alarms], migrations.at_ms[alarms]) - migrations.at_ms[alarms]
    months = customer_months(migrations, history.end_ms, VALUE_ROLES)
    return float((after_ms <= ALARM_DAYS * DAY_MS).sum() / months) if months else 0.0


NEVER_MS: Final = 2**62


def next_act_ms(history: History, customer: Indices, after_ms: Instants) -> Instants:
    """Return when each customer acts next after an instant, `NEVER_MS` if it does not."""
    acts = history.acts()
    order = np.lexsort((acts.at_ms, acts.customer))
    span = np.int64(2**42)  # longer than every instant, so that customer and instant make one ascending number
    keys = acts.customer[order] * span + acts.at_ms[order]
    found = np.searchsorted(keys, customer * span + after_ms, side="right")
    same = (found < len(keys)) & (acts.customer[order][np.minimum(found, len(keys) - 1)] == customer)
    return np.where(same, acts.at_ms[order][np.minimum(found, len(keys) - 1)], NEVER_MS)


def moved_per_publish(migrations: Migrations, published: Mapping[int, int]) -> list[float]:
    """Return the share of customers that each published version moved beyond what was due, in order.

    Parameters
    ----------
    migrations
        Of the run.
    published
        Instant in milliseconds by version.
    """
    entries = np.sort(migrations.at_ms[~migrations.is_move])
    by_model = np.bincount(migrations.version[(migrations.cause == MODEL) & migrations.is_move])
    shares = []
    for version, at_ms in sorted(published.items()):
        moved = by_model[version] if version < len(by_model) else 0
        shares.append(float(moved / max(np.searchsorted(entries, at_ms, side="right"), 1)))
    return shares
