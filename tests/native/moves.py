"""Moves as the compiled library takes them, made of those that Python decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import msgspec
import numpy as np
import pytest

from stream_app.adapters.record_blocks import encode_headers
from stream_app.core.events import Event, Events, Position
from stream_app.core.moves import MigrationContext, Moves
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Due, Segmentation
from stream_app.native.structures import EVENT_DTYPE, FACT_DTYPE, MOVE_DTYPE
from stream_app.segmentations.describing import NO_CHUNK, NO_FACTS, Chunk, Described, Describer, moves_of
from stream_app.segmentations.presentation import Texts
from tests.reference.migration import Migration, describe_moves, membership_of

_encode = msgspec.json.Encoder().encode


Facts = Sequence[np.ndarray]
"""Of each move, its facts."""


def library_moves(moves: Moves, segmentation: int = 0, facts: Facts | None = None) -> np.ndarray:
    """Return the same moves as records; the i-th has the i-th cause, if it has one, and the i-th facts."""
    records = np.zeros(len(moves.customer_ids), MOVE_DTYPE)
    records["event"] = [-1 if cause is None else number for number, cause in enumerate(moves.causes)]
    records["segmentation"] = segmentation
    records["cause"] = moves.cause_kind
    records["next_at_ms"], records["next_target"] = moves.following.at_ms, moves.following.target
    for name in (
        *("effective_at_ms", "decided_at_ms", "before_ms", "before", "after"),
        *("change", "sequence", "from_code", "target"),
    ):
        records[name] = getattr(moves, name)
    if facts is not None:
        records["fact_count"] = [len(own) for own in facts]
        records["facts_at"] = np.cumsum(records["fact_count"]) - records["fact_count"]
    return records


def joined(facts: Facts | None) -> np.ndarray:
    """Return the facts of all moves, as a step leaves them."""
    return np.concatenate([np.empty(0, FACT_DTYPE), *(facts or ())])


def chunk_of(causes: Sequence[tuple[Event, Position] | None]) -> Chunk:
    """Return events as the library reads them; of moves without one, an empty record."""
    events, texts, sources = np.zeros(len(causes), EVENT_DTYPE), bytearray(b"before"), dict[str, int]()
    partition = 0
    for record, cause in zip(events, causes, strict=True):
        if cause is None:
            continue
        event, position = cause
        each = [text.encode() for text in (event.customer_id, event.event_id, event.type)]
        record["text_at"], record["kind"] = len(texts), event.kind
        record["at_ms"], record["amount_minor"] = event.at_ms, event.amount_minor
        record["customer_size"], record["event_id_size"], record["type_size"] = map(len, each)
        record["source"] = sources.setdefault(position.topic, len(sources))
        record["offset"], partition = position.offset, position.partition
        texts += b"".join(each)
    return Chunk(Events(events, np.frombuffer(texts, np.uint8)), list(sources), partition)


SOURCE = "group 7"


def describe(
    moves: Moves, segmentation: Segmentation, context: MigrationContext, facts: Facts | None = None
) -> Described:
    """Return what the library makes of moves."""
    describer = Describer(context, SOURCE)
    describer.follow([segmentation])
    ids = Texts.of(customer_id.encode() for customer_id in moves.customer_ids)
    return describer.describe(library_moves(moves, 0, facts), ids, chunk_of(moves.causes), joined(facts))


def headers_of(migration: Migration) -> list[tuple[str, bytes | None]]:
    """Return the headers that a migration is published with."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", migration.migration_id.encode()),
        ("ce_type", f"com.stream-segmenter.migration.{migration.change}".encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_subject", migration.customer_id.encode()),
        ("ce_time", migration.effective_at.encode()),
        ("content-type", b"application/json"),
    ]


def check_described(described: Described, migrations: Sequence[Migration]) -> None:
    """Check every byte that is made of some moves."""
    assert len(described) == len(migrations)
    assert described.lines == msgspec.json.Encoder().encode_lines(migrations)
    for number, (migration, place) in enumerate(zip(migrations, described.places, strict=True)):
        at = {name: int(place[name]) for name in described.places.dtype.names or ()}
        assert described.migration(number) == _encode(migration)
        membership = described.memberships[at["membership_at"] : at["membership_at"] + max(at["membership_size"], 0)]
        left = migration.to_segment is None
        assert (at["membership_size"] < 0) == left
        assert membership == (b"" if left else _encode(membership_of(migration)))
        key = described.keys[at["key_at"] : at["key_at"] + at["key_size"]]
        assert key == f"{migration.segmentation}/{migration.customer_id}".encode()
        assert key[at["key_size"] - at["customer_size"] :] == migration.customer_id.encode()
        if described.headers:
            headers = described.headers[at["headers_at"] : at["headers_at"] + at["headers_size"]]
            assert headers == encode_headers(headers_of(migration))
    assert described.is_specific.tolist() == [each.explanation.is_specific for each in migrations]


def check(moves: Moves, segmentation: Segmentation, context: MigrationContext, facts: Facts | None = None) -> None:
    """Check that the library writes of some moves what the reference does."""
    check_described(describe(moves, segmentation, context, facts), describe_moves(moves, segmentation, context, facts))


@dataclass
class Recording:
    """What was described while a partition was at work."""

    calls: list[tuple[Moves, Segmentation, MigrationContext, Facts]] = field(default_factory=list)

    @classmethod
    def of(cls, monkeypatch: pytest.MonkeyPatch) -> Recording:
        """Record from now on."""
        recording, describe_step = cls(), Describer.describe_step

        def record(
            describer: Describer,
            partition: Partition,
            moves: np.ndarray,
            chunk: Chunk = NO_CHUNK,
            facts: np.ndarray = NO_FACTS,
        ) -> Described:
            ids, sizes = partition.table.customer_ids.joined(moves["row"])
            for number, segmentation in enumerate(partition.segmentations):
                chosen = np.flatnonzero(moves["segmentation"] == number)
                if len(chosen):
                    part = moves_of(moves, chosen, Texts(ids, np.cumsum(sizes)), chunk)
                    places = zip(moves["facts_at"][chosen], moves["fact_count"][chosen], strict=True)
                    own = [facts[start : start + count] for start, count in places]
                    recording.calls.append((part, segmentation, partition.context, own))
            return describe_step(describer, partition, moves, chunk, facts)

        monkeypatch.setattr(Describer, "describe_step", record)
        return recording

    def check(self) -> int:
        """Check all of them; return how many moves there were."""
        for call in self.calls:
            check(*call)
        return sum(len(moves.customer_ids) for moves, _, _, _ in self.calls)


def part_of(moves: Moves, rows: Sequence[int]) -> Moves:
    """Return some of the moves."""
    chosen = {
        each.name: [column[row] for row in rows] if isinstance(column, list) else column[rows]
        for each in fields(moves)
        if each.name != "following" and (column := getattr(moves, each.name)) is not None
    }
    return Moves(**chosen, following=Due(moves.following.at_ms[rows], moves.following.target[rows]))


def tellable(moves: Moves, segmentation: Segmentation, context: MigrationContext) -> Moves:
    """Return the moves of which Python can tell: not those of a silence of infinitely many days."""

    def is_told(row: int) -> bool:
        try:
            describe_moves(part_of(moves, [row]), segmentation, context)
        except (OverflowError, ValueError):
            return False
        return True

    return part_of(moves, [row for row in range(len(moves.customer_ids)) if is_told(row)])
