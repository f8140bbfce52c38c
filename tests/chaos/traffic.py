"""Input records for a chaos run, and what they should add up to: a truth that shares no code with the worker."""

from __future__ import annotations

import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

PURCHASES: Final = "purchases"
ENGAGEMENTS: Final = "engagements"
PROFILES: Final = "profiles"
IDENTITIES: Final = "identities"
DEVICES_MAX: Final = 4
"""Of a customer, so that no statement is refused."""
UNLINKED: Final = 20
"""Devices of which nobody has said yet whose they are."""
PROFILE_SHARE: Final = 0.05
"""Of the records: what is said of a customer, who may be heard of for the first time by it."""
START: Final = datetime(2015, 1, 1, tzinfo=UTC)
"""Long ago, so that a long run does not come to events of the future."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ENGAGEMENT_TYPES: Final = ("product_viewed", "product_added", "email_opened", "email_clicked", "session_started")
GUEST_SHARE: Final = 0.1
"""Of the events: of guests, who come, stay for some weeks, and are never heard of again. They alone repeat events."""
GUESTS: Final = 40
"""Who are there at the same time."""
GUEST_EVENTS: Final = 24
GUEST_RECORDS: Final = 32
"""Most events of a guest, and most records with all repetitions: no more than the event ids that a row remembers. So
every repetition is recognised, in whatever order the two topics are folded, and one that is counted is a defect."""
REPEATABLE: Final = 400
"""Events of guests, the latest, that a repetition is drawn from: it may follow its record at once, or thousands of
records and a few faults later."""


class Record(NamedTuple):
    """A record as it is produced; without a partition the key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


@dataclass
class Totals:
    """What a customer's valid, distinct events add up to."""

    purchases: int = 0
    refunds: int = 0
    engagements: int = 0
    revenue_minor: int = 0


class Traffic:
    """Draws records in the order of their events' times.

    Parameters
    ----------
    seed
        Fixes every choice.
    customers
        How many there are; low numbers are far more active than high ones, and fall silent for weeks.
    events_per_day
        How fast the events' time goes.
    duplicate_rate, malformed_rate, late_rate, future_rate
        Shares of the records that repeat one of a guest, that break the contract, that come up to 30 days late, and
        that claim to be from years ahead.
    link_rate
        Share of the records that say of a device whose it is. Half of what it does comes before that.
    misdated_rate
        Share of the engagements that are dated a year after their neighbours, or in 1970.
    start
        Time of the first event.
    """

    def __init__(
        self,
        seed: int,
        *,
        customers: int = 2_000,
        events_per_day: int = 400,
        duplicate_rate: float = 0.01,
        malformed_rate: float = 0.005,
        late_rate: float = 0.0,
        future_rate: float = 0.0,
        misdated_rate: float = 0.001,
        link_rate: float = 0.0,
        start: datetime = START,
    ) -> None:
        self.truth: defaultdict[str, Totals] = defaultdict(Totals)
        self.records = 0
        self.refused = 0
        self._random = random.Random(seed)
        self._customers = customers
        self._step = timedelta(days=1) / events_per_day
        self._at = start
        self._start = start
        self._rates = (duplicate_rate, malformed_rate, late_rate, future_rate)
        self._misdated_rate = misdated_rate
        self._link_rate = link_rate
        self._devices: defaultdict[str, list[str]] = defaultdict(list)
        self._unlinked: deque[tuple[str, str]] = deque()
        self._owners: dict[str, str] = {}
        self._number = 0
        self._orders: dict[str, tuple[str, int]] = {}
        self._guests: list[str] = []
        self._guest_number = 0
        self._events_of: defaultdict[str, int] = defaultdict(int)
        self._repetitions_of: defaultdict[str, int] = defaultdict(int)
        self._repeatable: deque[tuple[str, Record]] = deque(maxlen=REPEATABLE)

    def take(self, count: int) -> list[Record]:
        """Return the next records."""
        records = [self._draw() for _ in range(count)]
        self.records += count
        return records

    def take_shuffled(self, count: int) -> list[Record]:
        """Return the next records in no order."""
        records = self.take(count)
        self._random.shuffle(records)
        return records

    def take_poison(self, count: int) -> list[Record]:
        """Return records that are all to be refused, of all kinds by turns."""
        poison = [self._poison(POISONS[index % len(POISONS)]) for index in range(count)]
        self.records += count
        self.refused += count
        return poison

    def take_misplaced(self, partitions: Sequence[int]) -> list[Record]:
        """Return a valid record for each of these partitions, whatever its key says."""
        self.records += len(partitions)
        return [self._event()._replace(partition=partition) for partition in partitions]

    def _draw(self) -> Record:
        if self._link_rate and self._random.random() < self._link_rate and (link := self._link()) is not None:
            return link
        duplicate, malformed, late, future = self._rates
        chance = self._random.random()
        if chance < duplicate and (repetition := self._repetition()) is not None:
            return repetition
        chance -= duplicate
        if 0 <= chance < malformed:
            self.refused += 1
            return self._poison(self._random.choice(POISONS))
        chance -= malformed
        if 0 <= chance < future:
            self.refused += 1
            ahead = datetime.now(UTC) + timedelta(days=self._random.choice([1, 30, 365, 3650]))
            return _record(self._event_fields(ahead))
        chance -= future
        if self._random.random() < PROFILE_SHARE:
            return self._profile()
        record = self._event(timedelta(days=self._random.uniform(0, 30)) if 0 <= chance < late else timedelta())
        customer_id = (record.key or b"").decode()
        if customer_id in self._events_of:
            self._repeatable.append((customer_id, record))
        return record

    def _profile(self) -> Record:
        drawn = self._random
        day = self._at.date()
        traits: dict[str, Any] = {
            "country": drawn.choice(["IT", "DE", "FR", "US", None]),
            "employees": drawn.choice([3, 12, 80, 700]),
            "birthday": (day - timedelta(days=drawn.randrange(7_000, 20_000))).isoformat(),
            "renewal_on": (day + timedelta(days=drawn.randrange(60))).isoformat(),
        }
        chosen = drawn.sample(sorted(traits), drawn.randrange(1, len(traits)))
        fields = {
            "customer_id": self._regular(self._at),
            "observed_at": self._at.isoformat(timespec="milliseconds"),
            "traits": {name: traits[name] for name in chosen},
        }
        return Record(PROFILES, fields["customer_id"].encode(), json.dumps(fields).encode())

    def _repetition(self) -> Record | None:
        """Return a guest's record once more, half of the time one of the very latest; none if there is none yet."""
        repeatable = self._repeatable
        for _ in range(8 if repeatable else 0):  # a guest whose records are used up is hardly met twice
            within = len(repeatable) if self._random.random() < 0.5 else min(4, len(repeatable))
            customer_id, record = repeatable[-1 - self._random.randrange(within)]
            if self._repetitions_of[customer_id] < GUEST_RECORDS - GUEST_EVENTS:
                self._repetitions_of[customer_id] += 1
                return record
        return None

    def _event(self, delay: timedelta = timedelta()) -> Record:
        self._at += self._step
        fields = self._event_fields(max(self._at - delay, self._start))
        totals = self.truth[self._owners.get(fields["customer_id"], fields["customer_id"])]
        if "total" not in fields:
            totals.engagements += 1
            if self._random.random() < self._misdated_rate:
                fields["occurred_at"] = self._wrong_date()
        elif fields["type"] == "order_refunded":
            totals.refunds += 1
            totals.revenue_minor -= round(float(fields["total"]) * 100)
        else:
            totals.purchases += 1
            totals.revenue_minor += round(float(fields["total"]) * 100)
            self._orders[fields["customer_id"]] = fields["order_id"], totals.purchases
        return _record(fields)

    def _wrong_date(self) -> str:
        """Return a time that is accepted, and far from all others."""
        ahead = self._at + timedelta(days=365)
        is_accepted = ahead < datetime.now(UTC) - timedelta(days=1)
        wrong = ahead if is_accepted and self._random.random() < 0.5 else EPOCH
        return wrong.isoformat(timespec="milliseconds")

    def _event_fields(self, at: datetime) -> dict[str, Any]:
        self._number += 1
        fields: dict[str, Any] = {
            "event_id": f"e{self._number}",
            "customer_id": self._guest() if self._random.random() < GUEST_SHARE else self._regular(at),
            "occurred_at": at.isoformat(timespec="milliseconds"),
        }
        if self._random.random() >= 0.25:
            campaign = {"campaign_id": self._random.choice(["spring", "summer"])} if self._random.random() < 0.3 else {}
            return fields | {"type": self._random.choice(ENGAGEMENT_TYPES)} | campaign
        total = f"{self._random.randint(1, 400)}.{self._random.randint(0, 99):02d}"
        order = {"order_id": f"o{self._number}", "currency": "EUR", "total": total, "type": "order_completed"}
        if fields["customer_id"] in self._orders and self._random.random() < 0.03:
            # a small part of a former order, so that the order itself still counts
            former, _ = self._orders[fields["customer_id"]]
            order |= {"order_id": former, "total": "0.01", "type": "order_refunded"}
        return fields | order

    def _regular(self, at: datetime) -> str:
        customer = int(self._customers * self._random.random() ** 2)
        season = (at - START).days // 25
        customer = (customer + 97 * season * (customer % 3)) % self._customers  # a third falls silent and comes back
        return self._device_of(f"c{customer}") if self._link_rate else f"c{customer}"

    def _device_of(self, customer_id: str) -> str:
        """Return the customer, or a device of its own, which may not be known to be that yet."""
        devices = self._devices[customer_id]
        if len(devices) < DEVICES_MAX and self._random.random() < self._link_rate * 3:
            devices.append(f"d{len(devices)}-{customer_id}")
            self._unlinked.append((devices[-1], customer_id))
        return self._random.choice([customer_id, *devices])

    def _link(self) -> Record | None:
        """Return the statement of whose a device is that has been in use for a while; none if there is none."""
        if len(self._unlinked) < UNLINKED:
            return None
        device, customer_id = self._unlinked.popleft()
        self._owners[device] = customer_id
        own, brought = self.truth[customer_id], self.truth.pop(device, Totals())
        for name in ("purchases", "refunds", "engagements", "revenue_minor"):
            setattr(own, name, getattr(own, name) + getattr(brought, name))
        at = self._at.isoformat(timespec="milliseconds")
        fields = {"customer_id": customer_id, "alias": device, "namespace": "device", "observed_at": at}
        return Record(IDENTITIES, customer_id.encode(), json.dumps(fields).encode())

    def _guest(self) -> str:
        """Return a guest who has one event less to come; who has none leaves, and makes room for a new one."""
        while len(self._guests) < GUESTS:
            self._guest_number += 1
            self._guests.append(f"g{self._guest_number}")
        guest = self._random.choice(self._guests)
        self._events_of[guest] += 1
        if self._events_of[guest] == GUEST_EVENTS:
            self._guests.remove(guest)
        return guest

    def _poison(self, spoil: Callable[[dict[str, Any]], Record]) -> Record:
        return spoil(self._event_fields(self._at))


def _record(fields: dict[str, Any]) -> Record:
    topic = PURCHASES if "total" in fields else ENGAGEMENTS
    return Record(topic, fields["customer_id"].encode(), json.dumps(fields).encode())


def _with(**changes: Any) -> Callable[[dict[str, Any]], Record]:
    return lambda fields: _record(fields | changes)._replace(key=fields["customer_id"].encode())


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], Record]:
    def spoil(fields: dict[str, Any]) -> Record:
        record = _record(fields)
        assert record.value is not None
        return record._replace(value=change(record.value))

    return spoil


def _spoil_customer(customer_id: Any) -> Callable[[dict[str, Any]], Record]:
    def spoil(fields: dict[str, Any]) -> Record:
        record = _record(fields)
        return record._replace(value=json.dumps(fields | {"customer_id": customer_id}).encode())

    return spoil


POISONS: Final = (
    _bytes(lambda value: value[: len(value) // 2]),  # cut off
    _bytes(lambda _: b""),
    _bytes(lambda _: b"\x00\xff\xfe\x80" * 16),  # binary
    _bytes(lambda _: b"null"),
    _bytes(lambda _: b"[" * 5_000),
    _bytes(lambda value: value[:-1] + b', "note": "' + b"x" * 200_000 + b'"}'),  # huge
    _bytes(lambda value: value[:-1] + b', "note": "\xc3\x28"}'),  # invalid UTF-8
    _bytes(lambda value: value[:-1] + b', "event_id": "again"}'),  # a key twice
    _with(event_id=None),
    _with(event_id="e" * 5_000),
    _with(occurred_at="2024-02-30T00:00:00Z"),
    _with(occurred_at="2024-02-01T00:00:00"),  # no zone
    _with(occurred_at=1_704_067_200),
    _with(occurred_at="2999-01-01T00:00:00Z"),
    _with(type=7),
    _with(type=["order_completed"]),
    _spoil_customer(12),
    _spoil_customer(""),
    _spoil_customer("guest"),
    _spoil_customer(17850.0),
    _spoil_customer("another"),  # not the key
    lambda fields: _record(fields)._replace(key=None),
    lambda fields: _record(fields)._replace(key=b""),
    lambda fields: _record(fields)._replace(key=b"\xff\xfe"),
    lambda fields: _record({**fields, "order_id": "o", "currency": "EUR", "type": None, "total": float("nan")}),
    lambda fields: _record({**fields, "order_id": "o", "currency": "EUR", "type": None, "total": -5}),
    lambda fields: _record({**fields, "order_id": "o", "currency": "XXX", "type": None, "total": "5.00"}),
)
"""Each makes a record that must be refused out of a valid one's fields."""
