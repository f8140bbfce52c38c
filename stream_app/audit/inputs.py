"""The inputs of one partition, judged again: folded, refused, sent on to another partition, or skipped."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from stream_app.audit.findings import Finding, place
from stream_app.audit.records import Letter, LogRecord, Migration
from stream_app.audit.recount import Entry, knows_order
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.handovers import ALIAS_HEADER
from stream_app.contracts.rejections import unnamed
from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.events import CONSENT, MERGE, PRIVACY_REQUEST, PROFILE, Event, pack_events
from stream_app.core.local_days import UTC
from stream_app.core.marks import Marks
from stream_app.core.moves import CAUSE_KINDS
from stream_app.core.privacy import customer_hash
from stream_app.core.trust import GAP_MS, Trust, believe
from stream_app.errors import CustomerUnnamed, InvalidRecord

FAR_FUTURE_MS: Final = 2**53
"""Later than any time that RFC 3339 can write: read then, no record is in the future."""

MERGED: Final = CAUSE_KINDS[MERGE]
PartitionOf = Callable[[bytes], int]


class KnownIds(Protocol):
    """What is known of ids that are one customer's, see `stream_app.audit.people`."""

    def is_known(self, customer_id: str) -> bool:
        """Return whether statements name an id."""
        ...

    def were_one(self, one: str, other: str) -> bool:
        """Return whether two ids are or were one customer's."""
        ...


class Verdict(NamedTuple):
    """What should become of a record.

    Attributes
    ----------
    event
        What it says, if it is valid; without a customer, if its order is to say whose it is.
    rejection
        Reason and field, if it is not.
    may_be_future
        Whether it may also have been refused as lying in the future: when the worker read it is not known.
    """

    event: Event | None
    rejection: tuple[str, str] | None
    may_be_future: bool = False


class Misplaced(NamedTuple):
    """A valid record that had to be sent on, and where to; its customer may be unknown."""

    topic: str
    partition: int
    offset: int
    to_partition: int
    customer_id: str
    fingerprint: bytes


class _Taken(NamedTuple):
    """A record that is to be folded, and whether it says whose it is: if not, nobody vouches for its time.

    `is_erased` of one whose customer has been erased since, or is not to be known.
    """

    record: LogRecord
    event: Event
    is_named: bool
    is_erased: bool = False


def judge(decoder: Decoder, record: LogRecord, now_ms: int) -> Verdict:
    """Decode a record as a worker did that read it between the record's own time and now."""
    value, key = record.value or b"", record.key or b""
    read_ms = min(record.timestamp_ms, now_ms) if record.timestamp_ms >= 0 else now_ms
    may_be_future = False
    try:
        return Verdict(decoder.decode(value, read_ms, key), None)
    except CustomerUnnamed as error:
        return Verdict(error.event, None)
    except InvalidRecord as error:
        may_be_future = error.reason == "time_in_future"
        rejection = error.reason, error.field
    if may_be_future:
        try:
            return Verdict(decoder.decode(value, FAR_FUTURE_MS, key), None, True)
        except CustomerUnnamed as error:
            return Verdict(error.event, None, True)
        except InvalidRecord as error:
            rejection = error.reason, error.field
    return Verdict(None, rejection, may_be_future)


def fingerprint(record: LogRecord) -> bytes:
    """Return what a record and its copy on another partition have in common."""
    return hashlib.sha256(b"%d:%b%b" % (len(record.key or b""), record.key or b"", record.value or b"")).digest()


class PartitionInputs:
    """Takes the input records of one partition, topic by topic, and keeps what the checks need.

    Parameters
    ----------
    partition
        Its number.
    partition_of
        From a customer's id, UTF-8, to its partition.
    positions, committed
        By topic, the offset of the first record that is not folded, and the group's committed offset.
    letters, migrations
        What the worker wrote about this partition's records.
    now_ms
        Milliseconds since the epoch.
    timezone
        Of the shop.
    gap_ms
        How far a single record may lead its topic's time.
    marks
        Who has been erased or suppressed; nobody if None.
    people
        Which ids are one customer's, if that is followed.

    Attributes
    ----------
    entries
        By customer, the records that are to be folded; each topic's in the order of the log.
    profiles
        The same for records that say what the customer is, or agrees to, which are no acts.
    counts
        Figures by name.
    refused
        Number of refused records by reason.
    misplaced
        Records that belong on other partitions.
    unplaced
        Records without a customer that were folded, of orders that came with the row of an id that has ended.
    copies
        Topic's number and offset of each record that was passed on under another id.
    findings
        Breaches so far.
    """

    def __init__(
        self,
        partition: int,
        partition_of: PartitionOf,
        positions: Mapping[str, int],
        committed: Mapping[str, int],
        letters: Sequence[Letter],
        migrations: Sequence[Migration],
        now_ms: int,
        timezone: str = UTC,
        gap_ms: int = GAP_MS,
        marks: Marks | None = None,
        people: KnownIds | None = None,
    ) -> None:
        self._people = people
        self.unplaced: list[Entry] = []
        self.copies: list[tuple[int, int]] = []
        self._marks = Marks() if marks is None else marks
        self._gone: dict[str, list[Entry]] = {}
        """By customer who has been erased, the records that were."""
        self.entries: dict[str, list[Entry]] = {}
        self.profiles: dict[str, list[Entry]] = {}
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.misplaced: list[Misplaced] = []
        self.findings: list[Finding] = []
        self._partition = partition
        self._partition_of = partition_of
        self._positions = positions
        self._committed = committed
        self._now_ms = now_ms
        self._timezone = timezone
        self._gap_ms = gap_ms
        self._watermarks_ms: dict[int, int] = {}
        self._trusts: dict[int, Trust] = {}
        self._told_of: dict[str, dict[str, None]] = {}
        """By order, the customers who were ever said to have it, in order."""
        self._letters: dict[tuple[str, int, int], list[Letter]] = {}
        for letter in letters:
            self._letters.setdefault(letter.source, []).append(letter)
        self._caused: dict[tuple[str, int, int], list[Migration]] = {}
        for migration in migrations:
            cause = migration.cause
            if cause.topic is not None and cause.kind != MERGED:
                self._caused.setdefault((cause.topic, cause.partition, cause.offset), []).append(migration)

    def take(self, topic: str, stream: int, decoder: Decoder, records: Sequence[LogRecord]) -> None:
        """Take the next records of a topic."""
        position, committed = self._positions.get(topic, 0), self._committed.get(topic, 0)
        counts = self.counts
        taken: list[_Taken] = []
        for record in records:
            if record.offset >= position:
                counts["pending"] += 1
                if record.offset < committed:
                    self._note(
                        "group offsets", f"not folded yet, but the group has committed {committed}", topic, record
                    )
                continue
            source = topic, self._partition, record.offset
            letters = self._letters.pop(source, ())
            if record.value is None:
                counts["tombstones"] += 1
                if letters:
                    self._note("dead letters", "a tombstone has a dead letter, expected none", topic, record)
                continue
            verdict = judge(decoder, record, self._now_ms)
            event, is_named = verdict.event, verdict.event is not None and bool(verdict.event.customer_id)
            to_partition = self._belongs_to(event, record)
            if event is not None and not is_named and to_partition == self._partition:
                placed = self._placed(verdict, topic, stream, record.offset, taken)
                if self._people is not None and self._may_be_otherwise(placed, bool(letters)):
                    if not letters:
                        self.unplaced.append(self._entry(stream, record, event))
                        continue
                    refused = unnamed(event)
                    placed = verdict._replace(event=None, rejection=(refused.reason, refused.field))
                verdict, event = placed, placed.event
            if event is None or verdict.may_be_future or letters:
                event = self._match_letters(topic, decoder.contract.time_field, record, verdict, letters)
                if event is None:
                    continue
            if to_partition != self._partition:
                counts["misplaced"] += 1
                self.misplaced.append(Misplaced(*source, to_partition, event.customer_id, fingerprint(record)))
                continue
            if event.kind == PRIVACY_REQUEST:
                self._match_request(topic, record, event)
                continue
            taken.append(_Taken(record, event, is_named, self._is_erased(topic, record.offset, event)))
            if self._people is not None and any(name == ALIAS_HEADER for name, _ in record.headers):
                self.copies.append((stream, record.offset))
            if event.order_id:
                self._told_of.setdefault(event.order_id, {})[event.customer_id] = None
            if source in self._caused:
                self._match_causes(topic, record, event)
        for (record, event, _, is_erased), watermark_ms in zip(taken, self._believe(stream, taken), strict=True):
            is_profile = event.kind in (PROFILE, CONSENT)
            entries = self._gone if is_erased else self.profiles if is_profile else self.entries
            counts["erased" if is_erased else "profiles" if is_profile else "folded or repeated"] += 1
            where = stream, record.offset, watermark_ms, record.timestamp_ms
            entry = Entry(*where, event, self._timezone, self._gap_ms)
            try:
                entries[event.customer_id].append(entry)
            except KeyError:
                entries[event.customer_id] = [entry]

    def _entry(self, stream: int, record: LogRecord, event: Event) -> Entry:
        return Entry(stream, record.offset, NO_TIME, record.timestamp_ms, event, self._timezone, self._gap_ms)

    def _may_be_otherwise(self, placed: Verdict, is_refused: bool) -> bool:
        """Return whether a record without a customer was taken otherwise than the inputs of this partition say.

        Its order may have come, or gone, with the row of an id that has ended.
        """
        assert self._people is not None
        if placed.event is None:
            return not is_refused
        return is_refused and self._people.is_known(placed.event.customer_id)

    def _belongs_to(self, event: Event | None, record: LogRecord) -> int:
        """Return the partition of an event's customer; of one without a customer that of its key, if it has one."""
        key = (event.customer_id.encode() or record.key or b"") if event is not None else b""
        return self._partition_of(key) if key else self._partition

    def _is_erased(self, topic: str, offset: int, event: Event) -> bool:
        """Return whether a record was folded for a customer who has been erased since, or was not folded at all."""
        if not len(self._marks):
            return False
        mark = self._marks.by_hash.get(self._marks.hash_of(customer_hash(event.customer_id)))
        if mark is None:
            return False
        return mark.is_suppressed or event.at_ms < mark.before_ms or offset < mark.offsets.get(topic, 0)

    def _match_request(self, topic: str, record: LogRecord, event: Event) -> None:
        """Count a privacy request, and check that the moves that name it are of its customer."""
        self.counts["privacy requests"] += 1
        for migration in self._caused.pop((topic, self._partition, record.offset), ()):
            if migration.customer_id != event.customer_id or migration.to.segment_id is not None:
                message = f"{migration.segmentation} {migration.sequence} names a request of somebody else"
                self._note("causes", message, topic, record, migration.customer_id)

    def _placed(self, verdict: Verdict, topic: str, stream: int, offset: int, taken: Sequence[_Taken]) -> Verdict:
        """Return the verdict on a record without a customer: that of the one who has its order, if there is one."""
        event = verdict.event
        assert event is not None
        holders = [
            customer_id
            for customer_id in self._told_of.get(event.order_id, ())
            if knows_order(self._acts_of(customer_id, topic, stream, offset, taken), event.order_id)
        ]
        if len(holders) != 1:
            refused = unnamed(event)
            return verdict._replace(event=None, rejection=(refused.reason, refused.field))
        return verdict._replace(event=msgspec.structs.replace(event, customer_id=holders[0]))

    def _acts_of(
        self, customer_id: str, topic: str, stream: int, offset: int, taken: Sequence[_Taken]
    ) -> Iterator[Entry]:
        """Yield a customer's records of a topic up to now, those that have been erased up to then."""
        with_erased = bool(len(self._marks)) and self._was_erased_behind(customer_id, topic, offset)
        known = (*(self._gone.get(customer_id, ()) if with_erased else ()), *self.entries.get(customer_id, ()))
        yield from (entry for entry in known if entry.stream == stream)
        for record, event, _, is_erased in taken:
            if event.customer_id == customer_id and (with_erased or not is_erased):
                yield Entry(stream, record.offset, NO_TIME, record.timestamp_ms, event, self._timezone)

    def _was_erased_behind(self, customer_id: str, topic: str, offset: int) -> bool:
        mark = self._marks.by_hash.get(self._marks.hash_of(customer_hash(customer_id)))
        return mark is not None and offset < mark.offsets.get(topic, 0)

    def _believe(self, stream: int, taken: Sequence[_Taken]) -> list[int]:
        """Return how far a topic's time is believed to have come with each of its next events."""
        if not taken:
            return []
        records = pack_events([each.event for each in taken], [each.record.offset for each in taken], stream).records
        records["at_ms"][[not each.is_named for each in taken]] = NO_TIME
        before_ms = self._watermarks_ms.get(stream, NO_TIME)
        verdicts = believe(self._trusts.get(stream, Trust()), before_ms, NO_TIME, self._gap_ms, records)
        self._trusts[stream] = verdicts.trusts[-1][1]
        self._watermarks_ms[stream] = int(verdicts.watermarks_ms[-1])
        watermarks_ms: list[int] = verdicts.watermarks_ms.tolist()
        return watermarks_ms

    def finish(self) -> None:
        """Note the dead letters and causes that no folded record has explained."""
        for source, letters in self._letters.items():
            self.findings.append(
                Finding(
                    "dead letters",
                    f"{len(letters)} for a record that is not among the folded ones here",
                    position=place(*source),
                )
            )
        for source, migrations in self._caused.items():
            self.findings += [
                Finding(
                    "causes",
                    f"{m.segmentation} {m.sequence} names an input that is not folded",
                    m.customer_id,
                    place(*source),
                )
                for m in migrations
            ]

    def _match_letters(
        self, topic: str, time_field: str, record: LogRecord, verdict: Verdict, letters: Sequence[Letter]
    ) -> Event | None:
        """Note what is wrong with the record's dead letters; return its event unless it was refused."""
        customer_id = (verdict.event.customer_id or None) if verdict.event else None
        if verdict.event and not letters:
            return verdict.event
        if verdict.event and not verdict.may_be_future:
            self._note(
                "dead letters",
                f"a valid record has {len(letters)} dead letters, expected none",
                topic,
                record,
                customer_id,
            )
            return verdict.event
        allowed = {verdict.rejection} if verdict.rejection else set()
        if verdict.may_be_future:
            allowed.add(("time_in_future", time_field))
        if len(letters) != 1:
            reasons = " or ".join(sorted(reason for reason, _ in allowed))
            self._note(
                "dead letters", f"{len(letters)} dead letters, expected 1 ({reasons})", topic, record, customer_id
            )
        for letter in letters[:1]:
            self.refused[letter.reason] += 1
            wrong = _wrong_fields(letter, record, allowed)
            if wrong:
                self._note("dead letters", f"at {letter.offset}: {'; '.join(wrong)}", topic, record, customer_id)
        return None

    def _match_causes(self, topic: str, record: LogRecord, event: Event) -> None:
        for migration in self._caused.pop((topic, self._partition, record.offset)):
            named = migration.customer_id, migration.cause.event_id, migration.cause.kind
            customer_id = event.customer_id
            if self._people is not None and self._people.were_one(customer_id, migration.customer_id):
                customer_id = migration.customer_id
            found = customer_id, event.event_id or None, CAUSE_KINDS[event.kind]
            if named != found:
                message = f"{migration.segmentation} {migration.sequence} names {named}, the record says {found}"
                self._note("causes", message, topic, record, migration.customer_id)

    def _note(self, check: str, message: str, topic: str, record: LogRecord, customer_id: str | None = None) -> None:
        self.findings.append(Finding(check, message, customer_id, place(topic, self._partition, record.offset)))


def _wrong_fields(letter: Letter, record: LogRecord, allowed: set[tuple[str, str]]) -> list[str]:
    wrong = []
    if (letter.reason, letter.field) not in allowed:
        expected = " or ".join(f"{reason} of {field}" for reason, field in sorted(allowed))
        wrong.append(f"{letter.reason} of {letter.field}, expected {expected}")
    if letter.payload_sha256 != hashlib.sha256(record.value or b"").hexdigest():
        wrong.append("the digest is of another payload")
    if record.timestamp_ms >= 0 and letter.source_timestamp != (stamp := format_instant(record.timestamp_ms)):
        wrong.append(f"source timestamp {letter.source_timestamp}, expected {stamp}")
    if (letter.key or b"") != (record.key or b""):
        wrong.append(f"key {letter.key!r}, expected the record's")
    return wrong
