"""The invariants, each a function from the evidence in the topics to the breaches found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from hashlib import blake2b
from typing import NamedTuple

from stream_app.audit.findings import Finding, place
from stream_app.audit.inputs import Misplaced
from stream_app.audit.records import Letter, Membership, Migration, Standing
from stream_app.audit.recount import Entry, compare
from stream_app.audit.rows import CustomerRow
from stream_app.core.events import CONSENT, EVENT_KINDS, MERGE, PROFILE
from stream_app.core.moves import CAUSE_KINDS

PartitionOf = Callable[[bytes], int]
Standings = Mapping[str, Mapping[str, Standing]]
"""By customer, and then by segmentation, where the row says that the customer stands."""


class Keyed(NamedTuple):
    """A keyed record; `segmentation` where it is a part of the key."""

    key: bytes | None
    customer_id: str
    offset: int
    segmentation: str | None = None


class Log(NamedTuple):
    """The partition that records come from."""

    topic: str
    partition: int

    def at(self, offset: int) -> str:
        """Return a position in it as text."""
        return place(self.topic, self.partition, offset)


def migration_id(segmentation: str, customer_id: str, sequence: int) -> str:
    """Return the id that a migration must have: 16 bytes of BLAKE2b over its three parts, as the contract says."""
    return blake2b("\0".join((segmentation, customer_id, str(sequence))).encode(), digest_size=16).hexdigest()


def check_migrations(migrations: Iterable[Migration], log: Log, is_whole: bool = True) -> Iterator[Finding]:
    """Follow each customer's migrations in each segmentation through the log.

    A customer who leaves a segmentation altogether (`left`, to no segment) may enter it again; the numbers then
    continue.

    Parameters
    ----------
    is_whole
        Whether the log begins with its first record; if not, a customer's first migration seen may have any number.
    """
    last: dict[tuple[str, str], Migration] = {}
    for seen in migrations:
        customer_id, sequence = seen.customer_id, seen.sequence
        before = last.get((seen.segmentation, customer_id))
        for check, message in _faults_in_order(seen, before, is_whole):
            yield Finding(check, f"{seen.segmentation}: {message}", customer_id, log.at(seen.offset))
        if before is None or sequence > before.sequence:
            last[seen.segmentation, customer_id] = seen


def _faults_in_order(seen: Migration, before: Migration | None, is_whole: bool) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a migration after the one before it: check and message."""
    sequence = seen.sequence
    if (seen.change == "left") != (seen.to.segment_id is None):
        yield "chain", f"{sequence} is '{seen.change}' to {_name(seen.to.segment_id)}, expected 'left' to null alone"
    if before is None:
        if sequence != 1:
            if is_whole:
                yield "sequences", f"{sequence} comes first, expected 1"
        elif seen.from_segment_id is not None or seen.change != "entered":
            was = f"'{seen.change}' from {_name(seen.from_segment_id)}"
            yield "chain", f"the first one is {was}, expected 'entered' from null"
    elif sequence != before.sequence + 1:
        word = "again" if sequence <= before.sequence else "with a gap"
        yield "sequences", f"{sequence} after {before.sequence}, {word}"
    elif seen.from_segment_id != before.to.segment_id or (seen.change == "entered") != (before.to.segment_id is None):
        was = f"'{seen.change}' from {_name(seen.from_segment_id)}"
        yield "chain", f"{sequence} is {was}, after one to {_name(before.to.segment_id)}"


def check_identity(migrations: Iterable[Migration], log: Log) -> Iterator[Finding]:
    """Check ids and headers, and that a cause names an event if, and only if, it was one."""
    for seen in migrations:
        expected = migration_id(seen.segmentation, seen.customer_id, seen.sequence)
        if seen.migration_id != expected:
            message = f"{seen.migration_id}, expected {expected} for {seen.segmentation} {seen.sequence}"
            yield Finding("identity", message, seen.customer_id, log.at(seen.offset))
        if seen.header_id != seen.migration_id.encode():
            message = f"header ce_id {seen.header_id!r}, expected {seen.migration_id}"
            yield Finding("identity", message, seen.customer_id, log.at(seen.offset))
        cause = seen.cause
        is_profile = cause.kind in (CAUSE_KINDS[PROFILE], CAUSE_KINDS[CONSENT])  # which may do without an id
        is_merge = cause.kind == CAUSE_KINDS[MERGE]
        is_event = is_profile or is_merge or cause.kind in EVENT_KINDS
        has_id = cause.event_id is not None or is_profile or is_merge
        if (cause.topic is not None) != is_event or has_id != is_event:
            message = f"'{cause.kind}' with event {cause.event_id} at {cause.topic}"
            yield Finding("causes", message, seen.customer_id, log.at(seen.offset))


def check_standings(
    rows: Standings,
    migrations: Iterable[Migration],
    memberships: Iterable[Membership],
    log: Log,
    is_whole: bool = True,
    must_be_in: Set[str] | None = None,
) -> Iterator[Finding]:
    """Compare row, last migration and last membership of every customer in every segmentation.

    Parameters
    ----------
    log
        The changelog.
    is_whole
        Whether the migrations' log begins with its first record; if not, a customer's last one may be gone.
    must_be_in
        Customers who have to have entered a segment of some segmentation; all if None.
    """
    migrated = {(seen.segmentation, seen.customer_id): seen.to for seen in migrations}
    members = {(seen.segmentation, seen.customer_id): seen.standing for seen in memberships}
    held = {
        (segmentation, customer_id): standing
        for customer_id, standings in rows.items()
        for segmentation, standing in standings.items()
        if standing.sequence > 0
    }
    where = place(*log)
    entered = {customer_id for _, customer_id in held.keys() | migrated.keys()}
    for customer_id in (rows.keys() if must_be_in is None else must_be_in) - entered:
        yield Finding("membership", "the row's customer never entered a segment", customer_id, where)
    for key in sorted(held.keys() | migrated.keys() | members.keys()):
        segmentation, customer_id = key
        migration, member = migrated.get(key), members.get(key)
        if customer_id not in rows:
            if _is_in(migration) or _is_in(member):
                yield Finding("membership", f"{segmentation}: in a segment, but without a row", customer_id, where)
            continue
        row = held.get(key)
        for name, other, may_miss in (
            ("migration", migration, not is_whole),
            ("membership", member, not _is_in(row)),
        ):
            if not _agree(row, other) and not (other is None and may_miss):
                message = f"{segmentation}: last {name} {_described(other)}, row {_described(row)}"
                yield Finding("membership", message, customer_id, where)


def _agree(row: Standing | None, other: Standing | None) -> bool:
    """Say whether a row and a migration or membership are of the same move; instants matter where one is in."""
    if row is None or other is None:
        return row == other or (row is None and not _is_in(other))
    if _is_in(row):
        return all(own is None or own == said for own, said in zip(row, other, strict=True))
    return other.segment_id is None and row.sequence == other.sequence


def _is_in(standing: Standing | None) -> bool:
    return standing is not None and standing.segment_id is not None


def check_models(
    rows: Standings, migrations: Iterable[Migration], newest_of: Callable[[str], int | None], log: Log
) -> Iterator[Finding]:
    """Check that nothing names a version newer than the newest that was published of its segmentation.

    Parameters
    ----------
    newest_of
        The newest version of a segmentation, None if it can no longer be known.
    log
        Of the migrations.
    """
    for seen in migrations:
        newest = newest_of(seen.segmentation)
        if newest is not None and (seen.to.model_version or 0) > newest:
            message = f"{seen.segmentation} version {seen.to.model_version}, the newest published is {newest}"
            yield Finding("models", message, seen.customer_id, log.at(seen.offset))
    for customer_id, standings in rows.items():
        for segmentation, standing in standings.items():
            newest = newest_of(segmentation)
            if newest is not None and (standing.model_version or 0) > newest:
                version = f"the row's version of {segmentation} is {standing.model_version}"
                yield Finding("models", f"{version}, the newest published is {newest}", customer_id)


def check_totals(
    rows: Mapping[str, CustomerRow],
    entries: Mapping[str, Sequence[Entry]],
    log: Log,
    profiles: Set[str] = frozenset(),
) -> tuple[int, list[Finding]]:
    """Recount every customer and compare with its row; return the number of records that were repetitions, too.

    Parameters
    ----------
    log
        The changelog.
    profiles
        Customers with a profile, who may have done nothing.
    """
    findings = []
    duplicates = 0
    where = place(*log)
    for customer_id, mine in entries.items():
        row = rows.get(customer_id)
        if row is None:
            message = f"no row for {len(mine)} records, the first at offset {mine[0].offset}"
            findings.append(Finding("totals", message, customer_id, where))
            continue
        outcome = compare(mine, row.totals)
        duplicates += outcome.duplicates
        if outcome.differences:
            findings.append(Finding("totals", ", ".join(outcome.differences), customer_id, where))
    for customer_id in rows.keys() - entries.keys() - profiles:
        findings.append(Finding("totals", "there is a row, but no input up to the position", customer_id, where))
    for customer_id in profiles - rows.keys():
        findings.append(Finding("totals", "no row for a profile", customer_id, where))
    return duplicates, findings


def check_placement(keys: Iterable[Keyed], log: Log, partition_of: PartitionOf) -> Iterator[Finding]:
    """Check that records have the keys that they should have, and are on their customer's partition."""
    for key, customer_id, offset, segmentation in keys:
        expected = customer_id if segmentation is None else f"{segmentation}/{customer_id}"
        if key != expected.encode():
            yield Finding("placement", f"key {key!r}, expected {expected!r}", customer_id, log.at(offset))
        elif (own := partition_of(customer_id.encode())) != log.partition:
            yield Finding("placement", f"belongs on partition {own}", customer_id, log.at(offset))


def check_one_partition(customers_by_partition: Mapping[int, Iterable[str]], topic: str) -> Iterator[Finding]:
    """Check that no customer has a row on two partitions of the changelog."""
    home: dict[str, int] = {}
    for partition, customers in customers_by_partition.items():
        for customer_id in customers:
            first = home.setdefault(customer_id, partition)
            if first != partition:
                yield Finding("placement", f"rows on partitions {first} and {partition}", customer_id, topic)


def check_letter_keys(letters: Iterable[Letter], log: Log, inputs: Sequence[str]) -> Iterator[Finding]:
    """Check that dead letters are about inputs of their own partition."""
    for letter in letters:
        topic, partition, _ = letter.source
        if topic not in inputs or partition != log.partition:
            message = f"about {place(*letter.source)}, expected an input of partition {log.partition}"
            yield Finding("dead letters", message, position=log.at(letter.offset))


def check_positions(
    positions: Mapping[str, int], ends: Mapping[str, int], partition: int, has_rows: bool
) -> Iterator[Finding]:
    """Check that the positions lie within the inputs, and are there if there are rows."""
    if has_rows and not positions:
        yield Finding("positions", f"partition {partition} has rows, but no position")
    for topic, offset in positions.items():
        if topic not in ends:
            yield Finding(
                "positions", f"of {topic}, which is not an input topic", position=place(topic, partition, offset)
            )
        elif offset > ends[topic]:
            message = f"offset {offset} lies beyond the log's end, {ends[topic]}"
            yield Finding("positions", message, position=place(topic, partition, offset))


def check_drained(
    positions: Mapping[str, int], committed: Mapping[str, int], last_offsets: Mapping[str, int], partition: int
) -> Iterator[Finding]:
    """Check that all inputs are folded and the group has committed that.

    Parameters
    ----------
    last_offsets
        Of the last record of each input, −1 for an empty one; markers may follow it.
    """
    for topic, last in last_offsets.items():
        for name, offset in (("position", positions.get(topic, 0)), ("group's offset", committed.get(topic, 0))):
            if offset <= last:
                message = f"the {name} is {offset}, the last record is at {last}"
                yield Finding("drained", message, position=place(topic, partition))


def check_forwarding(misplaced: Iterable[Misplaced], copies: Mapping[tuple[str, int], set[bytes]]) -> Iterator[Finding]:
    """Check that each misplaced record has a copy among the fingerprints found on its own partition."""
    for record in misplaced:
        if record.fingerprint not in copies.get((record.topic, record.to_partition), ()):
            message = f"no copy on partition {record.to_partition}"
            where = place(record.topic, record.partition, record.offset)
            yield Finding("forwarding", message, record.customer_id, where)


def _described(standing: Standing | None) -> str:
    if standing is None:
        return "missing"
    segment_id, sequence, since, version = standing
    return f"{_name(segment_id)} number {sequence} since {since} (version {version})"


def _name(segment_id: str | None) -> str:
    return "null" if segment_id is None else segment_id
