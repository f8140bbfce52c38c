"""Ids that are one customer's: what statements say, and what must therefore hold over all partitions.

The same statements are followed in the same order as by every worker. A customer of several ids is then recounted from
the inputs of all of them, wherever they came: its row has to be what one id would have, and the rows of the other ids
have to have ended. So an event that is lost or counted twice on the way from one partition to another is found.

When a worker knew of a statement is written nowhere. What depends on that is left open: moves on the way, but not their
numbers and order; customers of whom an id has turned out to be shared; conditions on events that were delivered twice,
which windows may count twice where an id ended in between; and what rows do not remember (`native/merging.c`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from stream_app.adapters.topics import TopicNames
from stream_app.audit.checks import Log
from stream_app.audit.consents import BARRED_MS, check_consents
from stream_app.audit.findings import Finding, place
from stream_app.audit.inputs import PartitionInputs
from stream_app.audit.records import Letter, LogRecord, Migration, Standing
from stream_app.audit.recount import Entry, compare, is_misdated
from stream_app.audit.rows import CustomerRow
from stream_app.audit.rules import Evidence
from stream_app.audit.traits import check_traits
from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import NO_TIME
from stream_app.core.consent import EVERYBODY, ConsentRules
from stream_app.core.identities import Refused
from stream_app.core.weaving import Weaver, statement_of
from stream_app.errors import InvalidRecord

ORDERS_MAX: Final = 16
"""Of a customer: rows that join remember no more of them as a whole."""
ENGAGEMENTS_MAX: Final = 24
"""Of a customer some of whose events were delivered twice: ids of no more are always remembered."""
Standings = Mapping[str, Mapping[str, Standing]]


class _Refusal(NamedTuple):
    """A statement that does not count, and why."""

    reason: str
    field: str
    record: LogRecord


@dataclass
class Spread:
    """What the topics hold of a customer of several ids.

    Attributes
    ----------
    rows, standings
        Of each id that has a row.
    partitions
        Of each of these.
    acts, profiles
        Inputs of all ids, of each partition and topic in order.
    copies
        Which of these inputs are copies that another partition passed on.
    is_repeated
        Whether more of these inputs came twice than were passed on.
    is_apart
        Whether consent decides what its row holds, so that only that is checked.
    migrations
        Of all ids.
    """

    rows: dict[str, CustomerRow] = field(default_factory=dict)
    standings: dict[str, Mapping[str, Standing]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    acts: list[Entry] = field(default_factory=list)
    profiles: list[Entry] = field(default_factory=list)
    copies: int = 0
    is_repeated: bool = False
    is_apart: bool = False
    migrations: list[Migration] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """All inputs."""
        return [*self.acts, *self.profiles]


class People:
    """Knows which ids are one customer's, and gathers what is known of customers of several.

    Parameters
    ----------
    names
        Of the topics.
    decoder, weaver
        Read and follow statements; nothing is known yet.
    consent
        What customers agree to who have said nothing.

    Attributes
    ----------
    figures
        By name.
    is_moving
        Whether rows or records may still be on their way, so that nothing can be said of customers of several ids.
    """

    def __init__(self, names: TopicNames, decoder: Decoder, weaver: Weaver, consent: ConsentRules = EVERYBODY) -> None:
        self.figures: Counter[str] = Counter()
        self.is_moving = False
        self._names = names
        self._decoder = decoder
        self._weaver = weaver
        self._consent = consent
        self._refusals: dict[int, _Refusal] = {}
        self._above: dict[str, str] = {}
        self._open: set[str] = set()
        self._spread: defaultdict[str, Spread] = defaultdict(Spread)
        self._unplaced: list[Entry] = []

    # --- statements ----------------------------------------------------------------------------------------------

    def follow(self, records: Sequence[LogRecord]) -> None:
        """Follow statements."""
        for record in records:
            if record.value is None:
                continue
            try:
                event = self._decoder.decode(record.value, record.timestamp_ms, record.key or b"")
            except InvalidRecord as error:
                self._refusals[record.offset] = _Refusal(error.reason, error.field, record)
                continue
            said = statement_of(event)
            taken = self._weaver.take(said)
            if isinstance(taken, Refused):
                self._refusals[record.offset] = _Refusal(taken.reason, "alias", record)
                if taken.reason == "shared_alias":
                    self._open.update((said.alias, said.customer_id))
            else:
                self._connect(said.alias, said.customer_id)
        self.figures["ids that go by another one"] = len(self._weaver.identities.ends)
        self.figures["refused statements on ids"] = len(self._refusals)

    def is_known(self, customer_id: str) -> bool:
        """Return whether statements name an id."""
        return customer_id in self._above

    def were_one(self, one: str, other: str) -> bool:
        """Return whether two ids are or were one customer's."""
        return one == other or (one in self._above and other in self._above and self._top(one) == self._top(other))

    def _connect(self, one: str, other: str) -> None:
        self._above.setdefault(one, one)
        self._above.setdefault(other, other)
        self._above[self._top(one)] = self._top(other)

    def _top(self, customer_id: str) -> str:
        while (above := self._above[customer_id]) != customer_id:
            self._above[customer_id] = self._above[above]
            customer_id = above
        return customer_id

    # --- partitions ----------------------------------------------------------------------------------------------

    def check_letters(self, letters: Iterable[Letter], told_to: int) -> Iterator[Finding]:
        """Check that there is one dead letter of each statement that was refused before an offset."""
        found: defaultdict[int, list[Letter]] = defaultdict(list)
        for letter in letters:
            found[letter.source[2]].append(letter)
        expected = {offset for offset in self._refusals if offset < told_to}
        for offset in sorted(found.keys() | expected):
            where = place(self._names.identities, 0, offset)
            refusal = self._refusals.get(offset) if offset in expected else None
            if len(found[offset]) != (refusal is not None):
                message = f"{len(found[offset])} dead letters, expected {int(refusal is not None)}"
                yield Finding("dead letters", message, position=where)
            elif refusal is not None and not _tells(found[offset][0], refusal):
                message = f"{found[offset][0].reason}, expected {refusal.reason} of {refusal.field}"
                yield Finding("dead letters", message, position=where)

    def check_causes(
        self, migrations: Iterable[Migration], positions: Mapping[str, int], log: Log
    ) -> Iterator[Finding]:
        """Check that merges name a statement, or a row that was taken over, of an id that was named.

        A statement that is refused may be why others go by another id: those of an alias that turns out to be shared.
        """
        for seen in migrations:
            topic, offset = seen.cause.topic, seen.cause.offset
            is_row = topic == self._names.handovers and seen.cause.partition == log.partition
            is_right = is_row and offset < positions.get(self._names.handovers, 0)
            refusal = self._refusals.get(offset)
            is_right |= topic == self._names.identities and (refusal is None or refusal.reason == "shared_alias")
            if not (is_right and self.is_known(seen.customer_id)):
                message = f"{seen.segmentation} {seen.sequence} is by a merge, and names none"
                yield Finding("causes", message, seen.customer_id, log.at(seen.offset))

    def gather(
        self,
        partition: int,
        rows: Mapping[str, CustomerRow],
        standings: Standings,
        migrations: Iterable[Migration],
    ) -> None:
        """Gather what a partition holds of ids that statements name."""
        for customer_id, row in rows.items():
            if self.is_known(customer_id):
                spread = self._spread[self._top(customer_id)]
                spread.rows[customer_id], spread.partitions[customer_id] = row, partition
                spread.standings[customer_id] = standings[customer_id]
        for seen in migrations:
            if self.is_known(seen.customer_id):
                self._spread[self._top(seen.customer_id)].migrations.append(seen)

    def gather_inputs(self, inputs: PartitionInputs) -> None:
        """Gather the inputs of a partition that are of ids which statements name; they are its own no more."""
        passed_on = set(inputs.copies)
        for customer_id in [each for each in (*inputs.entries, *inputs.profiles) if self.is_known(each)]:
            acts, profiles = inputs.entries.pop(customer_id, []), inputs.profiles.pop(customer_id, [])
            spread = self._spread[self._top(customer_id)]
            spread.copies += sum((entry.stream, entry.offset) in passed_on for entry in (*acts, *profiles))
            spread.acts += acts
            spread.profiles += profiles
        self.figures["records passed on to another id"] += len(passed_on)
        self._unplaced += inputs.unplaced

    # --- customers -----------------------------------------------------------------------------------------------

    def check(self, log: str) -> Iterator[Finding]:
        """Compare rows with inputs, once all partitions are gathered; `log` is the changelog's topic."""
        yield from self._place_unplaced()
        tainted = self._tainted()
        for top, spread in self._spread.items():
            if self.is_moving or top in tainted:
                self.figures["customers of several ids left open"] += 1
                continue
            self.figures["customers of several ids"] += 1
            yield from self._check_spread(self._weaver.identities.end_of(top), spread, log)

    def evidence(self, minor_per_major: int) -> dict[int, Evidence]:
        """Return by partition what is known of those customers of several ids whose places can be checked."""
        found: defaultdict[int, dict[str, Spread]] = defaultdict(dict)
        tainted = self._tainted()
        for top, spread in self._spread.items():
            end = self._weaver.identities.end_of(top)
            row = spread.rows.get(end)
            is_open = self.is_moving or top in tainted or spread.is_repeated or spread.is_apart
            if not is_open and row is not None and not has_ended(row) and not _is_beyond_memory(spread):
                found[spread.partitions[end]][end] = spread
        return {
            partition: Evidence(
                {end: spread.rows[end] for end, spread in spreads.items()},
                {end: spread.standings[end] for end, spread in spreads.items()},
                {end: spread.acts for end, spread in spreads.items()},
                {end: spread.profiles for end, spread in spreads.items()},
                [seen for end, spread in spreads.items() for seen in spread.migrations if seen.customer_id == end],
                minor_per_major,
            )
            for partition, spreads in found.items()
        }

    def _tainted(self) -> set[str]:
        return {self._top(each) for each in self._open if each in self._above}

    def _check_spread(self, end: str, spread: Spread, log: str) -> Iterator[Finding]:
        for customer_id, row in spread.rows.items():
            where = place(log, spread.partitions[customer_id])
            if customer_id != end and not has_ended(row):
                yield Finding("totals", f"it goes by {end!r}, expected a row that has ended", customer_id, where)
        distinct, spread.is_repeated = _without_copies(spread.acts, spread.copies)
        spread.acts = distinct
        spread.profiles = _without_copies(spread.profiles, 0)[0]
        row_of_end = spread.rows.get(end)
        if row_of_end is None:
            if spread.entries:
                yield Finding("totals", f"no row for {len(spread.entries)} records of its ids", end, log)
            return
        where = place(log, spread.partitions[end])
        if has_ended(row_of_end):
            yield Finding("totals", "it goes by no other id, expected a row that has not ended", end, where)
            return
        of_consents = check_consents(
            {end: row_of_end},
            {end: spread.standings[end]},
            {end: spread.acts},
            {end: spread.profiles},
            self._consent,
            Log(log, spread.partitions[end]),
        )
        yield from of_consents.findings
        spread.is_apart = end in of_consents.apart
        if spread.is_apart:
            return
        if not _is_beyond_memory(spread):
            outcome = compare(spread.acts, row_of_end.totals)
            if outcome.differences:
                yield Finding("totals", ", ".join(outcome.differences), end, where)
        yield from check_traits({end: row_of_end}, {end: spread.profiles}, Log(log, spread.partitions[end]))

    def _place_unplaced(self) -> Iterator[Finding]:
        """Give records without a customer to those whose ids have their orders."""
        if not self._unplaced:
            return
        holders: defaultdict[str, set[str]] = defaultdict(set)
        for top, spread in self._spread.items():
            for entry in spread.acts:
                if entry.event.order_id:
                    holders[entry.event.order_id].add(top)
        for entry in self._unplaced:
            found = holders.get(entry.event.order_id, set())
            if len(found) == 1:
                self._spread[next(iter(found))].acts.append(entry)
            else:
                message = f"event {entry.event.event_id} was folded, and its order is nobody's"
                yield Finding("dead letters", message)


def has_ended(row: CustomerRow) -> bool:
    """Return whether a row's customer goes by another id; one that is barred has statements on consent."""
    return row.totals.first_at_ms > -NO_TIME and row.totals.first_at_ms != BARRED_MS


def _without_copies(entries: Iterable[Entry], copies: int) -> tuple[list[Entry], bool]:
    """Return entries in the order of their time, each event once, and whether more came twice than were passed on."""
    found: dict[object, Entry] = {}
    count = 0
    for entry in sorted(entries, key=lambda each: (each.watermark_ms, each.stream, each.offset)):
        count += 1
        found.setdefault((entry.stream, msgspec.structs.replace(entry.event, customer_id="")), entry)
    return list(found.values()), count - len(found) > copies


def _is_beyond_memory(spread: Spread) -> bool:
    """Return whether rows may have forgotten what they would have to know to be joined exactly."""
    orders = {entry.event.order_id for entry in spread.acts if entry.event.order_id}
    if len(orders) > ORDERS_MAX or is_misdated(spread.acts):
        return True
    return spread.is_repeated and len(spread.acts) > ENGAGEMENTS_MAX


def _tells(letter: Letter, refusal: _Refusal) -> bool:
    digest = hashlib.sha256(refusal.record.value or b"").hexdigest()
    told = letter.reason, letter.field, letter.payload_sha256
    return told == (refusal.reason, refusal.field, digest) and letter.key == refusal.record.key
