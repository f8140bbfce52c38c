"""What must hold at the end of a run: the project's audit, and what an audit of a real deployment cannot see."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.audit.people import People, has_ended
from stream_app.audit.reading import Bounds
from stream_app.audit.records import LogRecord
from stream_app.audit.rows import name_digest, read_row
from stream_app.audit.segmentations import NOTICED
from stream_app.audit.verification import Deployment, audit
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.handovers import ALIAS_HEADER
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.readers import NOTE_PREFIX, TICK_DECIDED_KEY
from stream_app.core.clock import DAY_MS, NO_TIME, format_instant
from stream_app.core.segments import NO_SEGMENT
from stream_app.core.weaving import Weaver
from tests.simulation.inputs import DAYS
from tests.simulation.segmentations import CHOICES
from tests.simulation.worker import IDENTITY_RULES, create_decoders

if TYPE_CHECKING:
    from tests.simulation.memory_log import MemoryLog
    from tests.simulation.simulation import Simulation


class LogReader:
    """Gives an audit the committed records of a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def read(self, topic: str, partition: int, bounds: Bounds) -> AsyncIterator[list[LogRecord]]:  # noqa: ARG002
        records = self._log[topic, partition].visible()
        if records:
            yield [LogRecord(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]


async def judge(simulation: Simulation) -> list[str]:
    """Return all breaches."""
    log, names = simulation.log, simulation.topics
    keyed = *names.inputs, names.changelog, names.migrations, names.memberships, names.figures, names.dead_letters
    if names.with_identities:
        keyed = *keyed, names.handovers
    places = [(topic, number) for topic in keyed for number in range(simulation.partitions)]
    places += [(names.models, 0), (names.samples, 0), (names.identities, 0)]
    bounds = {tp: (0, log[tp].end) for tp in places}
    people = partial(People, names, Decoder(IDENTITIES, DecodingPolicy()), Weaver(IDENTITY_RULES))
    deployment = Deployment(
        KafkaConnection("nowhere:1"),
        names,
        simulation.partitions,
        create_decoders,
        people=people if names.with_identities else None,
    )
    found = await audit(deployment, LogReader(log), bounds, simulation.group.committed, is_drained=True)
    simulation.figures["models"] = sum(1 for record in log[names.models, 0].visible() if record.value is not None)
    simulation.figures["migrations"] = found.records[names.migrations]
    simulation.figures["letters"] = found.records[names.dead_letters]
    simulation.figures["misplaced"] = found.figures["misplaced"]
    simulation.figures["handed over"] = found.figures["rows handed over"]
    simulation.figures["passed on"] = found.figures["records passed on to another id"]
    simulation.figures["of several ids"] = found.figures["customers of several ids"]
    simulation.figures["refused statements"] = found.figures["refused statements on ids"]
    breaches = [
        f"{check} ({count}): {found.tally.examples[check][0]}" for check, count in found.tally.breaches.items() if count
    ]
    verdicts = (_models, _ticks, _versions, _notices, _placed, _forwarded)
    return [*breaches, *(breach for verdict in verdicts for breach in verdict(simulation))]


def _models(simulation: Simulation) -> list[str]:
    """Return breaches of: the published versions of each segmentation are numbered one by one, each once."""
    records = simulation.log[simulation.topics.models, 0].visible()
    documents = [
        msgspec.json.decode(record.value)
        for record in records
        if record.value is not None and not record.key.startswith(NOTE_PREFIX)
    ]
    published: defaultdict[str, list[int]] = defaultdict(list)
    for document in documents:
        if document["status"] == "published":
            published[document["segmentation"]].append(document["version"])
    return [
        f"models: published versions of {name} are {versions}"
        for name, versions in published.items()
        if versions != list(range(versions[0], versions[0] + len(versions)))
    ]


def _ticks(simulation: Simulation) -> list[str]:
    """Return breaches of: who moves behind a tick moves under what is in force from it on, unless a wait expired.

    A customer whose time is in doubt is ahead of the ticks, so this is asked where every record is believed.
    """
    log, names, settings = simulation.log, simulation.topics, simulation.lane_settings
    if settings.follows_wall_clock or not settings.tick_wait_ms or simulation.figures["expired"]:
        return []
    if settings.gap_ms < DAYS * DAY_MS:
        return []
    records = [record.value for record in log[names.models, 0].visible() if record.key == TICK_DECIDED_KEY]
    decided = [msgspec.json.decode(value) for value in records if value is not None]
    learned = {each.name for each in simulation.segmentations if each.kind == "learned"}
    found = []
    for number in range(simulation.partitions):
        for migration in _documents(simulation, names.migrations, number):
            name, decided_at, version = (migration[key] for key in ("segmentation", "decided_at", "model_version"))
            expected = [tick["versions"].get(name, 0) for tick in decided if tick["as_of"] < decided_at]
            if name in learned and version < max(expected, default=0):
                found.append(f"ticks: {migration['customer_id']} moved at {decided_at} under {name} {version}")
    return found


def _versions(simulation: Simulation) -> list[str]:
    """Return breaches of: nobody moves under an earlier version than somebody before it in the same partition."""
    found = []
    for number in range(simulation.partitions):
        newest: defaultdict[str, int] = defaultdict(int)
        for migration in _documents(simulation, simulation.topics.migrations, number):
            name, version = migration["segmentation"], migration["model_version"]
            if version < newest[name]:
                found.append(f"versions: {migration['customer_id']} moved under {name} {version} after {newest[name]}")
            newest[name] = max(newest[name], version)
    return found


def _notices(simulation: Simulation) -> list[str]:
    """Return breaches of: notices are numbered one by one, and lead to a move at their instant or are taken back."""
    found, names = [], simulation.topics
    for number in range(simulation.partitions):
        moves = defaultdict(set)
        for migration in _documents(simulation, names.migrations, number):
            moves[migration["customer_id"], migration["segmentation"]].add(migration["effective_at"])
        standing: dict[tuple[str, str], dict[str, Any]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for notice in _documents(simulation, names.upcoming, number):
            of = notice["customer_id"], notice["segmentation"]
            counts[of] += 1
            if notice["sequence"] != counts[of]:
                found.append(f"notices: {of} has {notice['sequence']}, expected {counts[of]}")
            if notice["status"] == "averted" and of not in standing:
                found.append(f"notices: {of} is averted at {notice['decided_at']}, and nothing was told")
            if notice["status"] == "averted":
                standing.pop(of, None)
            else:
                standing[of] = notice
        simulation.figures["notices"] = simulation.figures.get("notices", 0) + sum(counts.values())
        warned = {each.name for each in simulation.segmentations if each.warn_before is not None}
        end = format_instant(_swept_at_ms(simulation, number))
        found += [
            f"notices: {of} was to leave at {notice['leaves_at']} and has not"
            for of, notice in standing.items()
            if of[1] in warned and notice["leaves_at"] < end and notice["leaves_at"] not in moves[of]
        ]
    return found


def _swept_at_ms(simulation: Simulation, partition: int) -> int:
    records = simulation.log[simulation.topics.changelog, partition].visible()
    positions = [record.value for record in records if record.key == POSITION_KEY and record.value is not None]
    return max(PartitionPosition.decode(positions[-1]).clock.swept_at_ms, 0) if positions else 0


def _documents(simulation: Simulation, topic: str, partition: int) -> Iterator[dict[str, Any]]:
    for record in simulation.log[topic, partition].visible():
        yield msgspec.json.decode(record.value)


def _placed(simulation: Simulation) -> list[str]:
    """Return breaches of: every customer is in a segment of each configured segmentation, and of no other one.

    Whoever is out of an audience is in none, and of learned segmentations who has done nothing.
    """
    configured = {name_digest(each.name): each for each in simulation.segmentations}
    noticed = {name_digest(f"{each['name']}{NOTICED}") for choice in CHOICES for each in choice}
    rows: dict[bytes, bytes] = {}
    for number in range(simulation.partitions):
        records = simulation.log[simulation.topics.changelog, number].visible()
        rows |= {r.key: r.value for r in records if r.value is not None and r.key not in (POSITION_KEY, FENCE_KEY)}
    found = []
    for key, value in rows.items():
        row = read_row(value)
        if has_ended(row):
            continue
        held = {**row.memberships, **row.places}
        placed = {name for name, place in held.items() if place.segment != NO_SEGMENT}
        must_be = {"rules"} if row.totals.first_at_ms == -NO_TIME else {"rules", "learned"}
        missing = [each.name for name, each in configured.items() if name not in placed and each.kind in must_be]
        found += [f"placement: {key!r} is in no segment of {name}" for name in missing]
        found += [
            f"placement: {key!r} is still in {name.hex()}, which has ended"
            for name in placed - configured.keys() - noticed
        ]
    return found


def _versions(simulation: Simulation) -> list[str]:
    """Return breaches of: nobody moves in a partition under an earlier version than somebody before."""
    found = []
    for number in range(simulation.partitions):
        newest: Counter[str] = Counter()
        for record in simulation.log[simulation.topics.migrations, number].visible():
            migration = msgspec.json.decode(record.value)
            name, version = migration["segmentation"], migration["model_version"]
            if version < newest[name]:
                found.append(f"versions: {migration['customer_id']} moved under {name} {version} after {newest[name]}")
            newest[name] = max(newest[name], version)
    return found


def _forwarded(simulation: Simulation) -> list[str]:
    """Return misplaced records that were sent on more than once; the inputs hold no two alike."""
    counts: Counter[tuple[str, bytes | None, bytes | None]] = Counter()
    for topic in simulation.topics.inputs:
        for number in range(simulation.partitions):
            for record in simulation.log[topic, number].visible():
                if record.transaction is not None and record.transaction.partitions:  # a worker's, no producer's
                    is_renamed = any(name == ALIAS_HEADER for name, _ in record.headers)  # events come twice
                    counts[topic, record.key, record.value] += not is_renamed
    return [f"forwarding: {key[1]!r} was sent on {count} times" for key, count in counts.items() if count > 1]
