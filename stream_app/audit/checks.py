"""The invariants, each a function from what the topics say to its breaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from stream_app.audit.evidence import CustomerState, Letter, Membership, Migration, Standing
from stream_app.audit.findings import Finding, place
from stream_app.audit.inputs import Misplaced
from stream_app.audit.recount import Entry, compare
from stream_app.core.events import EVENT_KINDS

AMBIGUOUS_SHARE_MAX: Final = 0.005
"""Of all customers: more cannot be told by repetitions that happened to fall between the two topics."""

PartitionOf = Callable[[bytes], int]


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
    """Follow each customer's migrations through the log.

    Parameters
    ----------
    is_whole
        Whether the log begins with its first record; if not, a customer's first migration seen may have any number.
    """
    last: dict[tuple[str, str], Migration] = {}
    for seen in migrations:
        customer_id, sequence = seen.customer_id, seen.sequence
        before = last.get((customer_id, seen.segmentation))
        if before is None:
            is_entry = sequence == 1
            if not is_entry and is_whole:
                yield Finding("sequences", f"{sequence} comes first, expected 1", customer_id, log.at(seen.offset))
            if is_entry and (seen.from_segment_id is not None or seen.change != "entered"):
                message = f"the first one is '{seen.change}' from {seen.from_segment_id}, expected 'entered' from null"
                yield Finding("chain", message, customer_id, log.at(seen.offset))
        elif sequence != before.sequence + 1:
            word = "again" if sequence <= before.sequence else "with a gap"
            message = f"{sequence} after {before.sequence}, {word}"
            yield Finding("sequences", message, customer_id, log.at(seen.offset))
        elif seen.from_segment_id != before.to.segment_id or seen.change == "entered":
            message = f"{sequence} is '{seen.change}' from {seen.from_segment_id}, after one to {before.to.segment_id}"
            yield Finding("chain", message, customer_id, log.at(seen.offset))
        if before is None or sequence > before.sequence:
            last[customer_id, seen.segmentation] = seen


def check_identity(migrations: Iterable[Migration], log: Log) -> Iterator[Finding]:
    """Check ids, headers, and that causes are named where, and only where, an event was one."""
    for seen in migrations:
        expected = migration_id(seen.segmentation, seen.customer_id, seen.sequence)
        if seen.migration_id != expected:
            message = f"{seen.migration_id}, expected {expected} for {seen.sequence}"
            yield Finding("identity", message, seen.customer_id, log.at(seen.offset))
        if seen.header_id != seen.migration_id.encode():
            message = f"header ce_id {seen.header_id!r}, expected {seen.migration_id}"
            yield Finding("identity", message, seen.customer_id, log.at(seen.offset))
        cause = seen.cause
        named = cause.topic is not None, cause.event_id is not None
        if named != (cause.kind in EVENT_KINDS,) * 2:
            message = f"'{cause.kind}' with event {cause.event_id} at {cause.topic}"
            yield Finding("causes", message, seen.customer_id, log.at(seen.offset))


def check_standings(
    states: Mapping[str, CustomerState],
    migrations: Iterable[Migration],
    memberships: Iterable[Membership],
    log: Log,
    is_whole: bool = True,
) -> Iterator[Finding]:
    """Compare row, last migration and last membership of every customer.

    Parameters
    ----------
    log
        The changelog.
    is_whole
        Whether the migrations' log begins with its first record; if not, a customer's last one may be gone.
    """
    migrated = {seen.customer_id: seen.to for seen in migrations}
    member = {seen.customer_id: seen.standing for seen in memberships}
    where = place(*log)
    for customer_id, state in states.items():
        row = state.standing
        if row.sequence < 1:
            yield Finding("membership", "the row is of nobody who entered a segment", customer_id, where)
        for name, other, may_miss in (
            ("migration", migrated.get(customer_id), not is_whole),
            ("membership", member.get(customer_id), False),
        ):
            if other != row and not (other is None and (may_miss or row.sequence < 1)):
                yield Finding("membership", f"last {name} {_told(other)}, row {_told(row)}", customer_id, where)
    for customer_id in (migrated.keys() | member.keys()) - states.keys():
        yield Finding("membership", "a migration or membership, but no row", customer_id, where)


def check_models(
    states: Mapping[str, CustomerState], migrations: Iterable[Migration], newest: int, log: Log
) -> Iterator[Finding]:
    """Check that nothing names a model newer than the newest that was published; `log` is of the migrations."""
    for seen in migrations:
        if seen.to.model_version > newest:
            message = f"model {seen.to.model_version}, the newest published is {newest}"
            yield Finding("models", message, seen.customer_id, log.at(seen.offset))
    for customer_id, state in states.items():
        if state.standing.model_version > newest:
            message = f"the row's model {state.standing.model_version}, the newest published is {newest}"
            yield Finding("models", message, customer_id)


class Recounted(NamedTuple):
    """Figures of a recount of one partition."""

    duplicates: int
    order_dependent: int
    ambiguous: int


def check_totals(
    states: Mapping[str, CustomerState], entries: Mapping[str, Sequence[Entry]], log: Log
) -> tuple[Recounted, list[Finding]]:
    """Recount every customer and compare with its row; `log` is the changelog."""
    findings = []
    figures: Counter[str] = Counter()
    where = place(*log)
    for customer_id, mine in entries.items():
        state = states.get(customer_id)
        if state is None:
            message = f"no row for {len(mine)} records, the first at offset {mine[0].offset}"
            findings.append(Finding("totals", message, customer_id, where))
            continue
        outcome = compare(mine, state.totals)
        figures["duplicates"] += outcome.duplicates
        figures["order_dependent"] += outcome.order_dependent
        figures["ambiguous"] += outcome.ambiguous
        if outcome.differences:
            findings.append(Finding("totals", ", ".join(outcome.differences), customer_id, where))
    for customer_id in states.keys() - entries.keys():
        findings.append(Finding("totals", "a row, but no input up to the position", customer_id, where))
    return Recounted(figures["duplicates"], figures["order_dependent"], figures["ambiguous"]), findings


def check_ambiguity(ambiguous: int, customers: int) -> Iterator[Finding]:
    """Refuse to call totals right if for many customers only an unlikely order explains them."""
    if ambiguous > AMBIGUOUS_SHARE_MAX * customers:
        most = f"at most {AMBIGUOUS_SHARE_MAX:.1%}"
        yield Finding("ambiguity", f"{ambiguous} of {customers} customers are ambiguous, expected {most}")


def check_placement(
    customers: Iterable[tuple[bytes | None, str, int]], log: Log, partition_of: PartitionOf
) -> Iterator[Finding]:
    """Check keys of keyed records.

    Parameters
    ----------
    customers
        Key, customer and offset of each.
    """
    for key, customer_id, offset in customers:
        if key != customer_id.encode():
            yield Finding("placement", f"key {key!r} is not the customer's id", customer_id, log.at(offset))
        elif (own := partition_of(key)) != log.partition:
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
        yield Finding("positions", f"there are rows on partition {partition}, but no position")
    for topic, offset in positions.items():
        if topic not in ends:
            yield Finding("positions", f"of {topic}, which is no input", position=place(topic, partition, offset))
        elif offset > ends[topic]:
            message = f"beyond the log's end, {ends[topic]}"
            yield Finding("positions", message, position=place(topic, partition, offset))


def check_drained(
    positions: Mapping[str, int], committed: Mapping[str, int], last_offsets: Mapping[str, int], partition: int
) -> Iterator[Finding]:
    """Check that all inputs are folded and the group has committed that.

    Parameters
    ----------
    last_offsets
        Of the last record of each input, −1 if there is none; markers may follow it.
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


def _told(standing: Standing | None) -> str:
    if standing is None:
        return "missing"
    segment_id, sequence, since, model_version = standing
    return f"{segment_id} number {sequence} since {since} (model {model_version})"
