"""The audit of a deployment: READ FIRST here. Topics in, figures and breaches out.

A customer's inputs, state and outputs are all on partition p of their topics, so one partition is audited after the
other, and no more than one is held in memory:

1. the changelog says who is a customer, and up to which offsets the inputs are folded;
2. migrations, memberships, figures and dead letters agree with it, which is what others see;
3. the inputs up to those offsets say what all of that should have been.

All ends are taken at once, before anything is read. Workers that are still running write to several topics meanwhile,
which looks like breaches: stop the workers, or wait until they are idle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

import msgspec.structs
from aiokafka.partitioner import murmur2

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.audit import checks
from stream_app.audit.checks import Keyed, Log
from stream_app.audit.consents import check_consents, without
from stream_app.audit.evidence import Changelog, forgotten_to, read_letters, read_memberships, read_migrations
from stream_app.audit.figures import check_figures, read_figures
from stream_app.audit.findings import Finding, Tally, place
from stream_app.audit.inputs import MERGED, Misplaced, PartitionInputs, fingerprint
from stream_app.audit.names import check_direction, check_names
from stream_app.audit.people import People
from stream_app.audit.reading import Bounds, Reader, TopicReader, describe
from stream_app.audit.records import LogRecord, Membership, Migration, Standing
from stream_app.audit.recount import Entry
from stream_app.audit.rows import CustomerRow
from stream_app.audit.rules import Evidence, check_rules
from stream_app.audit.segmentations import Segmentations
from stream_app.audit.traits import check_traits
from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import NO_TIME
from stream_app.core.consent import EVERYBODY, ConsentRules
from stream_app.core.local_days import UTC
from stream_app.core.marks import Marks
from stream_app.core.trust import GAP_MS
from stream_app.errors import ConfigurationError, TimeZoneChanged
from stream_app.segmentations.learned.rhythm import Rhythm

UNCOMMITTED_MIGRATIONS: Final = "migrations that only read_uncommitted sees"
_SIGN_BIT: Final = 0x7FFFFFFF


@dataclass(frozen=True)
class Deployment:
    """The deployment to be audited.

    Parameters
    ----------
    connection
        Where the brokers are.
    names
        The topics.
    partitions
        Of every keyed topic.
    decoders
        Makes decoders, by input contract in the order of the table, that keep these fields of events, under the policy
        that the workers had.
    minor_per_major
        Minor units of the base currency in a major one.
    timezone
        Of the shop.
    gap_ms
        How far a single record may lead its topic's time.
    consent
        What customers agree to who have said nothing.
    people
        Makes what follows statements on ids, if workers follow them.
    """

    connection: KafkaConnection
    names: TopicNames
    partitions: int
    decoders: Callable[[Sequence[str]], Mapping[str, Decoder]]
    minor_per_major: int = 100
    timezone: str = UTC
    gap_ms: int = GAP_MS
    consent: ConsentRules = EVERYBODY
    people: Callable[[], People] | None = None


@dataclass
class Verification:
    """What an audit found.

    Attributes
    ----------
    records
        Number of records read, by topic.
    figures
        Other figures, by name.
    refused
        Number of refused inputs, by reason.
    tally
        Breaches.
    """

    records: dict[str, int] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0


async def verify(deployment: Deployment, is_drained: bool) -> Verification:
    """Audit a deployment.

    Parameters
    ----------
    is_drained
        Whether nothing may be left to be folded.

    Raises
    ------
    ConfigurationError
        If topics are missing or have other partitions.
    TimeZoneChanged
        If the state counts the days of another zone.
    BrokerUnreachable
        If no broker answers.
    """
    started = time.monotonic()
    connection, names = deployment.connection, deployment.names
    counts, committed = await describe(connection, names.group)  # before the ends: these may only be later
    wanted = _partition_counts(deployment)
    for topic, partitions in wanted.items():
        if counts.get(topic) != partitions:
            there = f"{counts[topic]} partitions" if topic in counts else "missing (`segmenter topics create`)"
            raise ConfigurationError(f"{topic}: {there}, expected a topic of {partitions} partitions")
    async with TopicReader(connection) as reader, TopicReader(connection, is_committed=False) as uncommitted:
        bounds = await reader.bounds((topic, p) for topic, count in wanted.items() for p in range(count))
        found = await audit(deployment, reader, bounds, committed, is_drained)
        found.figures[UNCOMMITTED_MIGRATIONS] = (
            await _count(uncommitted, names.migrations, deployment.partitions) - found.records[names.migrations]
        )
    found.seconds = time.monotonic() - started
    return found


async def audit(
    deployment: Deployment,
    reader: Reader,
    bounds: Bounds,
    committed: Mapping[tuple[str, int], int],
    is_drained: bool,
) -> Verification:
    """Audit what `reader` gives.

    Parameters
    ----------
    bounds
        Of every partition of every topic.
    committed
        The group's offsets, by topic and partition.
    is_drained
        As for `verify`.
    """
    pass_ = _Audit(deployment, reader, bounds, committed, is_drained)
    await pass_.read_unkeyed()
    for partition in range(deployment.partitions):
        await pass_.read_partition(partition)
    await pass_.finish()
    return pass_.found


async def _count(reader: TopicReader, topic: str, partitions: int) -> int:
    bounds = await reader.bounds((topic, partition) for partition in range(partitions))
    return sum([len(records) for at in bounds async for records in reader.read(*at, bounds)])


def _partition_counts(deployment: Deployment) -> dict[str, int]:
    names = deployment.names
    keyed = *names.inputs, names.changelog, names.migrations, names.memberships, names.figures, names.dead_letters
    if names.with_identities:
        keyed = *keyed, names.handovers
    single = (names.models, names.samples, *([names.identities] if names.with_identities else []))
    return dict.fromkeys(keyed, deployment.partitions) | dict.fromkeys(single, 1)


class _Audit:
    """One pass over all partitions, and what it has found so far."""

    def __init__(
        self,
        deployment: Deployment,
        reader: Reader,
        bounds: Bounds,
        committed: Mapping[tuple[str, int], int],
        is_drained: bool,
    ) -> None:
        self.found = Verification(records=dict.fromkeys(_partition_counts(deployment), 0))
        self._names = deployment.names
        self._deployment = deployment
        self._streams: tuple[tuple[str, int, Decoder], ...] = ()
        self._reader = reader
        self._bounds = bounds
        self._committed = committed
        self._is_drained = is_drained
        self._now_ms = now_ms()
        self._partition_of = cache(lambda key: (murmur2(key) & _SIGN_BIT) % deployment.partitions)
        self._customers: dict[int, list[str]] = {}
        self._misplaced: list[Misplaced] = []
        self._segmentations = Segmentations()
        self._forgotten: dict[str, int] = {}
        self._people = deployment.people() if deployment.people is not None else None
        self._positions: dict[int, PartitionPosition] = {}

    async def read_unkeyed(self) -> None:
        """Read models and samples, which have one partition each."""
        names = self._names
        for record in await self._read(names.models, 0):
            self.found.tally.add(self._segmentations.note_model(record, names.models))
        await self._read(names.samples, 0)
        if self._people is not None:
            self._people.follow(await self._read(names.identities, 0))
        decoders = self._deployment.decoders(sorted(self._segmentations.fields))
        self._streams = tuple(
            (names.input_topic(contract), stream, decoder)
            for stream, (contract, decoder) in enumerate(decoders.items())
        )
        for name, version in sorted(self._segmentations.newest.items()):
            self.found.figures[f"newest published version of {name}"] = version

    async def read_partition(self, partition: int) -> None:
        """Audit one partition of all keyed topics."""
        names, tally, figures = self._names, self.found.tally, self.found.figures
        changelog_log, migration_log = Log(names.changelog, partition), Log(names.migrations, partition)
        changelog = Changelog(*changelog_log)
        async for records in self._batches(names.changelog, partition):
            tally.add(changelog.take(records))
        rows, findings = changelog.read_rows()
        tally.add(findings)
        position = changelog.position
        positions = position.offsets if position else {}
        self._statements_told = position.statements if position else 0
        if position and rows and position.timezone != self._deployment.timezone:
            raise TimeZoneChanged(f"{names.changelog}[{partition}]", position.timezone, self._deployment.timezone)
        self._customers[partition] = list(rows)
        figures["customers"] += len(rows)
        figures["fences"] += changelog.fences
        keys = (Keyed(key, key.decode("utf-8", "replace"), record.offset) for key, record in changelog.rows.items())
        tally.add(checks.check_placement(keys, changelog_log, self._partition_of))

        migrations = await self._read_migrations(migration_log)
        if self._people is not None:
            merges = (seen for seen in migrations if seen.cause.kind == MERGED)
            tally.add(self._people.check_causes(merges, positions, migration_log))
        memberships = await self._read_memberships(Log(names.memberships, partition))
        standings = self._standings(rows, changelog_log)
        tally.add(
            checks.check_standings(
                standings,
                migrations,
                memberships,
                changelog_log,
                self._is_whole(*migration_log),
                self._must_be_in(rows, changelog),
            )
        )
        figures_log = Log(names.figures, partition)
        told, findings = read_figures(await self._read(*figures_log), figures_log)
        tally.add(findings)
        tally.add(check_figures(rows, standings, told, figures_log))
        tally.add(checks.check_models(standings, migrations, self._segmentations.newest_of, migration_log))

        inputs = await self._read_inputs(partition, positions, migrations, changelog.marks)
        migrations = [each for each in migrations if each.offset > self._forgotten.get(each.customer_id, -1)]
        tally.add(checks.check_positions(positions, self._ends(partition), partition, bool(rows)))
        if self._people is not None:
            await self._gather(self._people, changelog, rows, standings, migrations, inputs)
            is_known = self._people.is_known
            rows = {customer_id: row for customer_id, row in rows.items() if not is_known(customer_id)}
            migrations = [seen for seen in migrations if not is_known(seen.customer_id)]
        if inputs is not None:
            self._recount(changelog, rows, standings, migrations, inputs)

    def _recount(
        self,
        changelog: Changelog,
        rows: Mapping[str, CustomerRow],
        standings: Mapping[str, dict[str, Standing]],
        migrations: list[Migration],
        inputs: PartitionInputs,
    ) -> None:
        """Compare the rows of a partition with its inputs."""
        tally, figures = self.found.tally, self.found.figures
        log, migration_log = Log(changelog.topic, changelog.partition), Log(self._names.migrations, changelog.partition)
        consented = check_consents(rows, standings, inputs.entries, inputs.profiles, self._deployment.consent, log)
        tally.add(consented.findings)
        apart = consented.apart
        known, acts = without(rows, apart), without(inputs.entries, apart)
        profiles = without(inputs.profiles, apart)
        if consented.left_out:
            figures["of customers who were without consent"] += consented.left_out
        migrations = [each for each in migrations if each.customer_id not in apart]
        duplicates, findings = checks.check_totals(known, acts, log, profiles.keys())
        tally.add(findings)
        figures["folded"] += inputs.counts["folded or repeated"] - consented.left_out - duplicates
        figures["duplicates"] += duplicates
        tally.add(check_traits(known, profiles, log))
        self._check_names(migrations, acts, migration_log)
        evidence = Evidence(known, standings, acts, profiles, migrations, self._deployment.minor_per_major)
        self._check_rules(changelog, evidence)

    async def _gather(
        self,
        people: People,
        changelog: Changelog,
        rows: Mapping[str, CustomerRow],
        standings: Mapping[str, dict[str, Standing]],
        migrations: list[Migration],
        inputs: PartitionInputs | None,
    ) -> None:
        """Leave what a partition holds of customers of several ids to the end, when all partitions are read."""
        partition, position = changelog.partition, changelog.position
        handed = await self._read(self._names.handovers, partition)
        reached = position.offsets.get(self._names.handovers, 0) if position else 0
        last = handed[-1].offset if handed else -1
        people.figures["rows handed over"] += len(handed)
        if self._is_drained:
            committed = self._committed.get((self._names.handovers, partition), 0)
            offsets = {self._names.handovers: last}
            self.found.tally.add(
                checks.check_drained(
                    {self._names.handovers: reached}, {self._names.handovers: committed}, offsets, partition
                )
            )
        people.gather(partition, rows, standings, migrations)
        people.is_moving |= inputs is None or bool(inputs.counts["pending"]) or last >= reached
        if inputs is not None:
            people.gather_inputs(inputs)
        if position is not None:
            self._positions[partition] = position

    def _check_people(self, people: People) -> None:
        """Check the customers of several ids, who may come from all partitions."""
        self.found.tally.add(people.check(self._names.changelog))
        self.found.figures.update(people.figures)
        counted: dict[str, int] = {}
        for position in self._positions.values():
            counted |= {key: max(since, counted.get(key, 0)) for key, since in position.counted_since.items()}
        for partition, evidence in people.evidence(self._deployment.minor_per_major).items():
            if partition in self._positions:
                position = msgspec.structs.replace(self._positions[partition], counted_since=counted)
                self._check_places(position, evidence, Log(self._names.changelog, partition), with_moves=False)

    async def finish(self) -> None:
        """Make the checks that look across partitions."""
        found, names = self.found, self._names
        if self._people is not None:
            self._check_people(self._people)
        found.tally.add(checks.check_one_partition(self._customers, names.changelog))
        copies: dict[tuple[str, int], set[bytes]] = {}
        for topic, partition in {(record.topic, record.to_partition) for record in self._misplaced}:
            found_there = copies.setdefault((topic, partition), set())
            async for records in self._reader.read(topic, partition, self._bounds):
                found_there.update(fingerprint(record) for record in records)
        found.tally.add(checks.check_forwarding(self._misplaced, copies))

    def _standings(self, rows: Mapping[str, CustomerRow], log: Log) -> dict[str, dict[str, Standing]]:
        """Return where rows say that customers stand; note those that cannot be understood."""
        found: dict[str, dict[str, Standing]] = {}
        for customer_id, row in rows.items():
            found[customer_id], problems = self._segmentations.standings(row)
            self.found.tally.add(Finding("membership", problem, customer_id, place(*log)) for problem in problems)
        return found

    def _must_be_in(self, rows: Mapping[str, CustomerRow], changelog: Changelog) -> set[str]:
        """Return the customers who have to have entered a segment: of rules all, of what is learned those who acted."""
        kinds = self._segmentations.kinds
        versions = changelog.position.versions if changelog.position else {}
        in_force = {kinds.get(name, "learned") for name, version in versions.items() if version >= 0}
        if "rules" in in_force:
            return {customer_id for customer_id, row in rows.items() if row.totals.first_at_ms <= -NO_TIME}
        acted = {customer_id for customer_id, row in rows.items() if row.totals.first_at_ms < -NO_TIME}
        return acted if "learned" in in_force else set()

    def _check_rules(self, changelog: Changelog, evidence: Evidence) -> None:
        """Check segmentations by rules; one that not everybody has been assessed under yet says nothing."""
        if changelog.position is not None:
            self._check_places(changelog.position, evidence, Log(changelog.topic, changelog.partition))

    def _check_places(
        self, position: PartitionPosition, evidence: Evidence, log: Log, *, with_moves: bool = True
    ) -> None:
        newest = self._segmentations.newest_of
        names = [name for name in self._segmentations.ruled if position.versions.get(name) == newest(name)]
        definitions = self._segmentations.definitions(names, position.counted_since)
        evidence = replace(evidence, rhythm=self._rhythm(position.versions))
        versions = {name: position.versions[name] for name in names}
        swept_at_ms = position.clock.swept_at_ms
        checked, findings = check_rules(evidence, definitions, versions, swept_at_ms, log, with_moves=with_moves)
        self.found.tally.add(findings)
        self.found.figures["places by rules checked"] += checked.places
        self.found.figures["moves by rules checked"] += checked.moves
        self.found.figures["moves by rules left open"] += checked.left_open

    def _rhythm(self, versions: Mapping[str, int]) -> Rhythm | None:
        """Return the population's rhythm by the model in force of the first learned segmentation, if it is known."""
        name = next((name for name in versions if self._segmentations.kinds.get(name) == "learned"), "")
        model = self._segmentations.models.get((name, versions.get(name, -1)))
        return None if model is None else model.frame.rhythm

    def _check_names(self, migrations: list[Migration], acts: Mapping[str, Sequence[Entry]], log: Log) -> None:
        """Check where moves of learned segmentations lead, and the names of the segments at all moves into them."""
        streams = {topic: stream for topic, stream, _ in self._streams}
        models = self._segmentations.models
        self.found.tally.add(check_direction(migrations, acts, streams, models, log))
        checked, findings = check_names(migrations, acts, streams, models, log)
        self.found.tally.add(findings)
        self.found.figures["names checked"] += checked.names
        self.found.figures["names that depend on the order"] += checked.order_dependent

    async def _read_migrations(self, log: Log) -> list[Migration]:
        records = await self._read(*log)
        self._forgotten = forgotten_to(records)
        migrations, findings = read_migrations(records, *log)
        tally = self.found.tally
        tally.add(findings)
        tally.add(checks.check_migrations(migrations, log, self._is_whole(*log)))
        tally.add(checks.check_identity(migrations, log))
        for seen in migrations:
            self._segmentations.note(seen.segmentation, seen.to.segment_id)
        keys = (Keyed(seen.key, seen.customer_id, seen.offset) for seen in migrations)
        tally.add(checks.check_placement(keys, log, self._partition_of))
        return migrations

    async def _read_memberships(self, log: Log) -> list[Membership]:
        memberships, findings = read_memberships(await self._read(*log), *log)
        self.found.tally.add(findings)
        for seen in memberships:
            self._segmentations.note(seen.segmentation, seen.standing.segment_id if seen.standing else None)
        keys = (Keyed(seen.key, seen.customer_id, seen.offset, seen.segmentation) for seen in memberships)
        self.found.tally.add(checks.check_placement(keys, log, self._partition_of))
        return memberships

    async def _read_inputs(
        self, partition: int, positions: Mapping[str, int], migrations: list[Migration], marks: Marks
    ) -> PartitionInputs | None:
        """Judge the inputs; return None if records are gone already, for then nothing can be recounted."""
        names, found = self._names, self.found
        log = Log(names.dead_letters, partition)
        letters, findings = read_letters(await self._read(*log), *log)
        found.tally.add(findings)
        if self._people is not None:
            statements = [letter for letter in letters if letter.source[0] == names.identities]
            told_to = self._statements_told if partition == 0 else 0
            found.tally.add(self._people.check_letters(statements, told_to))
            letters = [letter for letter in letters if letter.source[0] != names.identities]
        found.tally.add(checks.check_letter_keys(letters, log, names.inputs))
        committed = {topic: self._committed.get((topic, partition), 0) for topic in names.inputs}
        known = letters, migrations, self._now_ms, self._deployment.timezone, self._deployment.gap_ms
        inputs = PartitionInputs(partition, self._partition_of, positions, committed, *known, marks, self._people)
        last_offsets = dict.fromkeys(names.inputs, -1)
        for topic, stream, decoder in self._streams:
            async for records in self._batches(topic, partition):
                inputs.take(topic, stream, decoder, records)
                last_offsets[topic] = records[-1].offset
        inputs.finish()
        if self._is_drained:
            found.tally.add(checks.check_drained(positions, committed, last_offsets, partition))
        if not all(self._is_whole(topic, partition) for topic in (*names.inputs, names.dead_letters)):
            return None
        found.tally.add(inputs.findings)
        found.refused += inputs.refused
        for name in ("erased", "privacy requests"):
            if inputs.counts[name]:
                found.figures[name] += inputs.counts[name]
        for name in ("tombstones", "misplaced", "pending"):
            found.figures[name] += inputs.counts[name]
        self._misplaced += inputs.misplaced
        return inputs

    def _is_whole(self, topic: str, partition: int) -> bool:
        return self._bounds[topic, partition][0] == 0

    def _ends(self, partition: int) -> dict[str, int]:
        return {topic: self._bounds[topic, partition][1] for topic in self._names.taken_in}

    async def _read(self, topic: str, partition: int) -> list[LogRecord]:
        return [record async for records in self._batches(topic, partition) for record in records]

    async def _batches(self, topic: str, partition: int) -> AsyncIterator[list[LogRecord]]:
        """Read a partition, count its records, and note if its first ones are gone."""
        matters = topic not in (self._names.samples, self._names.figures)  # nothing is concluded from the first ones
        if matters and not self._is_whole(topic, partition):
            first = self._bounds[topic, partition][0]
            message = "the log's first records are gone: what they said cannot be checked"
            self.found.tally.add([Finding("history", message, position=place(topic, partition, first))])
        async for records in self._reader.read(topic, partition, self._bounds):
            self.found.records[topic] += len(records)
            yield records
