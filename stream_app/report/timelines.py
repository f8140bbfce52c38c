"""The customers whose every move a report shows, packed for its page; `assets/timeline.js` unpacks them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_intdigest

from stream_app.contracts.readers import MigrationRecord, SegmentReference, margin_of
from stream_app.core.clock import to_milliseconds
from stream_app.core.moves import CAUSE_KINDS

TIMELINE_MIGRATIONS_MAX: Final = 60_000
"""So many migrations are shown customer by customer; a page with them stays quick on a phone."""
TIMELINE_BYTES_MAX: Final = 8_500_000
"""Size of their encoding: with plotly.js (4.8 MB) and the other figures the page stays below 15 MB."""
SENTENCE_PATTERNS_MAX: Final = 2_000
"""Sentences differ in their numbers; past so many patterns they are no longer patterns and are written out."""

_NUMBER: Final = re.compile(r"[\d.,]*\d")
_NUMBER_MARK: Final = "\x01"


class TimelineSample:
    """Customers with all their migrations: everybody while they fit, else a fair sample of whole customers.

    Customers are kept in the order of a hash of their id (bottom-k sampling): when the sample outgrows its
    bounds, the one with the largest hash is dropped and nobody beyond that hash is taken again. So one pass
    suffices, nobody is kept in part, and the choice depends on neither the order of the lines nor chance.

    Parameters
    ----------
    always
        Customers who are kept whatever their hash, such as the examples of a summary.
    migrations_max, bytes_max
        Bounds of the sample; bytes are those of the encoded migrations and ids.
    """

    def __init__(
        self,
        always: Collection[str] = (),
        migrations_max: int = TIMELINE_MIGRATIONS_MAX,
        bytes_max: int = TIMELINE_BYTES_MAX,
    ) -> None:
        self._always = always
        self._migrations_max = migrations_max
        self._bytes_max = bytes_max
        self._moves: dict[str, list[bytes]] = {}
        self._largest: list[tuple[int, str]] = []
        self._threshold = 2**64
        self._bytes = 0
        self._kept = 0
        self._seen = 0
        self._segments: dict[SegmentReference, int] = {}
        self._patterns: dict[str, int] = {}

    def add(self, migration: MigrationRecord) -> None:
        """Take in a migration; those of one customer must come in their order."""
        self._seen += 1
        customer_id = migration.customer_id
        priority = xxh3_64_intdigest(customer_id.encode())
        if priority >= self._threshold and customer_id not in self._always:
            return
        moves = self._moves.get(customer_id)
        if moves is None:
            moves = self._moves[customer_id] = []
            self._bytes += len(customer_id.encode())
            if customer_id not in self._always:
                heapq.heappush(self._largest, (-priority, customer_id))
        encoded = self._encode_move(migration)
        moves.append(encoded)
        self._kept += 1
        self._bytes += len(encoded)
        while self._largest and (self._kept > self._migrations_max or self._bytes > self._bytes_max):
            self._drop_largest()

    def encode(self, customers: int) -> dict[str, Any]:
        """Return the sample for the page: tables of segments and sentence patterns, and rows that point into them."""
        return {
            "segments": list(self._segments),
            "patterns": list(self._patterns),
            "customers": [
                (customer_id, [msgspec.Raw(move) for move in self._moves[customer_id]])
                for customer_id in sorted(self._moves)
            ],
            "customersTotal": max(customers, len(self._moves)),
            "migrations": self._kept,
            "migrationsTotal": self._seen,
        }

    def _drop_largest(self) -> None:
        negative, customer_id = heapq.heappop(self._largest)
        self._threshold = -negative
        dropped = self._moves.pop(customer_id)
        self._kept -= len(dropped)
        self._bytes -= len(customer_id.encode()) + sum(map(len, dropped))

    def _encode_move(self, migration: MigrationRecord) -> bytes:
        """Return the row `[at_ms, from, to, cause, version, margin, pattern, numbers, event id]`."""
        origin = migration.from_segment
        target = migration.to_segment
        sentence = shorten_sentence(
            migration.explanation.sentence, origin.name if origin else None, target.name if target else None
        )
        sentence = sentence.replace(_NUMBER_MARK, "\ufffd")
        pattern = self._pattern_index(_NUMBER.sub(_NUMBER_MARK, sentence))
        return msgspec.json.encode(
            (
                to_milliseconds(datetime.fromisoformat(migration.effective_at)),
                None if origin is None else self._segments.setdefault(origin, len(self._segments)),
                None if target is None else self._segments.setdefault(target, len(self._segments)),
                CAUSE_KINDS.index(migration.cause.kind),
                migration.model_version,
                margin_of(migration.explanation),
                sentence if pattern is None else pattern,
                "" if pattern is None else " ".join(_NUMBER.findall(sentence)),
                migration.cause.event_id or "",
            )
        )

    def _pattern_index(self, pattern: str) -> int | None:
        index = self._patterns.get(pattern)
        if index is None and len(self._patterns) < SENTENCE_PATTERNS_MAX:
            index = self._patterns[pattern] = len(self._patterns)
            self._bytes += len(pattern.encode())
        return index


def shorten_sentence(sentence: str, origin: str | None, target: str | None) -> str:
    """Return `sentence` without its closing "; origin → target", for places that show the move beside it."""
    path = f"; {origin} → {target}."
    return f"{sentence.removesuffix(path)}." if sentence.endswith(path) else sentence
