"""The customers whose every move a report shows, packed as columns for its pages; `stream_app/web` unpacks them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_intdigest

from stream_app.contracts.readers import SegmentReference
from stream_app.core.clock import SECOND_MS
from stream_app.core.moves import CAUSE_KINDS, CHANGES, DEFINITION, MODEL
from stream_app.report.reading import Membership, Migration, milliseconds
from stream_app.web.staying import Stay, describe_stays, stays_of

MIGRATIONS_MAX: Final = 120_000
"""So many moves are held while the sample is taken; what fits into the file is decided afterwards."""
SENTENCE_PATTERNS_MAX: Final = 2_000
"""Sentences differ in their numbers; past so many patterns they are no longer patterns and are written out."""

NUMBER_MARK: Final = "\x01"
_NUMBER: Final = re.compile(r"[\d.,]*\d")


class _Move(NamedTuple):
    at_s: int
    segmentation: int
    origin: int
    target: int
    cause: int
    change: int
    version: int
    pattern: int
    numbers: str


class TimelineSample:
    """Customers with all their moves: everybody while they fit, else a fair sample of whole customers.

    Customers are kept in the order of a hash of their id (bottom-k sampling): when the sample outgrows its
    bound, the one with the largest hash is dropped and nobody beyond that hash is taken again. So one pass
    suffices, nobody is kept in part, and the choice depends on neither the order of the lines nor chance.

    Parameters
    ----------
    segmentations
        Names, in their order.
    always
        Customers who are kept whatever their hash, such as the examples of a summary.
    migrations_max
        Bound of the sample.
    """

    def __init__(
        self, segmentations: Collection[str], always: Collection[str] = (), migrations_max: int = MIGRATIONS_MAX
    ) -> None:
        self._numbers = {name: number for number, name in enumerate(segmentations)}
        self._always = always
        self._migrations_max = migrations_max
        self._moves: dict[str, list[_Move]] = {}
        self._next: dict[str, list[tuple[int, int, int]]] = {}
        self._largest: list[tuple[int, str]] = []
        self._threshold = 2**64
        self._kept = self._seen = 0
        self._segments: dict[tuple[int, SegmentReference], int] = {}
        self._patterns: dict[str, int] = {}

    @property
    def kept(self) -> int:
        """How many moves are in the sample."""
        return self._kept

    @property
    def can_shrink(self) -> bool:
        """Whether there is anybody who may be dropped."""
        return bool(self._largest)

    def add(self, migration: Migration) -> None:
        """Take in a migration; those of one customer must come in their order."""
        self._seen += 1
        customer_id = migration.customer_id
        priority = xxh3_64_intdigest(customer_id.encode())
        if priority >= self._threshold and customer_id not in self._always:
            return
        moves = self._moves.get(customer_id)
        if moves is None:
            moves = self._moves[customer_id] = []
            if customer_id not in self._always:
                heapq.heappush(self._largest, (-priority, customer_id))
        moves.append(self._pack(migration))
        self._kept += 1
        self.shrink_to(self._migrations_max)

    def add_membership(self, membership: Membership) -> None:
        """Note what comes next for a customer of the sample."""
        following = membership.next_move
        if following is None or membership.customer_id not in self._moves:
            return
        number = self._numbers[membership.segmentation]
        target = self._segment(number, following.to_segment)
        self._next.setdefault(membership.customer_id, []).append(
            (number, milliseconds(following.at) // SECOND_MS, target)
        )

    def stays(self, until_seconds: int) -> list[dict[str, Any]]:
        """Return how long members stay in each segmentation's segments, by those whom their hash has chosen."""
        fair = [
            moves
            for customer_id, moves in self._moves.items()
            if customer_id not in self._always or xxh3_64_intdigest(customer_id.encode()) < self._threshold
        ]
        ids = [segment.id for _, segment in self._segments]

        def told(number: int) -> Iterator[Stay]:
            for moves in fair:
                own = [
                    (move.at_s, None if move.target < 0 else ids[move.target], move.cause not in (MODEL, DEFINITION))
                    for move in moves
                    if move.segmentation == number
                ]
                yield from stays_of(own, until_seconds)

        return [describe_stays(told(number), len(fair)) for number in self._numbers.values()]

    def shrink_to(self, migrations: int) -> None:
        """Drop whole customers until no more than so many moves are left, or only those who are always kept."""
        while self._largest and self._kept > migrations:
            negative, customer_id = heapq.heappop(self._largest)
            self._threshold = -negative
            self._kept -= len(self._moves.pop(customer_id))
            self._next.pop(customer_id, None)

    def encode(self, customers: int, events: Mapping[int, list[tuple[int, int, int]]], below: int) -> dict[str, Any]:
        """Return the sample for the pages: tables of segments and of sentences' patterns, and columns of moves.

        Instants are in seconds, those behind a customer's first as differences from the one before.

        Parameters
        ----------
        customers
            How many there are in all.
        events
            Instant in milliseconds, kind and amount of each event, by the digests of customers.
        below
            The events of customers whose digest is smaller are known.
        """
        ids = sorted(self._moves)
        moves = [move for customer_id in ids for move in self._moves[customer_id]]
        digests = [xxh3_64_intdigest(customer_id.encode()) for customer_id in ids]
        acts = [events.get(digest, []) if digest < below else None for digest in digests]
        told = [act for own in acts for act in own or ()]
        return {
            "segments": [(number, segment.id, segment.name) for number, segment in self._segments],
            "patterns": list(self._patterns),
            "ids": ids,
            "counts": [len(self._moves[customer_id]) for customer_id in ids],
            "moves": {
                "at": [step for customer_id in ids for step in steps([m.at_s for m in self._moves[customer_id]])],
                "segmentation": [move.segmentation for move in moves],
                "from": [move.origin for move in moves],
                "to": [move.target for move in moves],
                "cause": [move.cause for move in moves],
                "change": [move.change for move in moves],
                "version": [move.version for move in moves],
                "pattern": [move.pattern for move in moves],
                "numbers": [move.numbers for move in moves],
            },
            "next": [self._next.get(customer_id, []) for customer_id in ids],
            "eventCounts": [-1 if own is None else len(own) for own in acts],
            "events": {
                "at": [step for own in acts for step in steps([act[0] // SECOND_MS for act in own or ()])],
                "kind": [act[1] for act in told],
                "amount": [act[2] for act in told],
            },
            "customersTotal": max(customers, len(ids)),
            "migrations": self._kept,
            "migrationsTotal": self._seen,
        }

    def _pack(self, migration: Migration) -> _Move:
        origin, target = migration.from_segment, migration.to_segment
        sentence = shorten_sentence(
            migration.explanation.sentence, origin.name if origin else None, target.name if target else None
        )
        sentence = sentence.replace(NUMBER_MARK, "\ufffd")
        pattern = self._pattern_index(_NUMBER.sub(NUMBER_MARK, sentence))
        number = self._numbers[migration.segmentation]
        return _Move(
            milliseconds(migration.effective_at) // SECOND_MS,
            number,
            self._segment(number, origin),
            self._segment(number, target),
            CAUSE_KINDS.index(migration.cause.kind),
            CHANGES.index(migration.change),
            migration.model_version,
            pattern,
            sentence if pattern < 0 else " ".join(_NUMBER.findall(sentence)),
        )

    def _segment(self, segmentation: int, segment: SegmentReference | None) -> int:
        if segment is None:
            return -1
        return self._segments.setdefault((segmentation, segment), len(self._segments))

    def _pattern_index(self, pattern: str) -> int:
        """Return a pattern's number; -1 if there are too many."""
        index = self._patterns.get(pattern, -1)
        if index < 0 and len(self._patterns) < SENTENCE_PATTERNS_MAX:
            index = self._patterns[pattern] = len(self._patterns)
        return index


def shorten_sentence(sentence: str, origin: str | None, target: str | None) -> str:
    """Return `sentence` without its closing "; origin → target", for places that show the move beside it."""
    path = f"; {origin} → {target}."
    return f"{sentence.removesuffix(path)}." if sentence.endswith(path) else sentence


def steps(instants: list[int]) -> list[int]:
    """Return instants, each behind the first one as the difference from the one before."""
    return instants[:1] + [after - before for before, after in pairwise(instants)]
