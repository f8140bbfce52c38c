"""Statements on identities among events: each event under the id that its customer goes by when it is taken in.

Decoding leaves a statement as an event of the kind `MERGE`: its customer is the one that the alias is said to be, its
event id is the alias, its type the kind of the statement, and what is kept of it the namespace. The core knows merges
of two rows alone (`native/joining.c`). So a chunk is gone through statement by statement: its place is taken by what it
leads to: no merge, one or several; and events between them that are an alias's are rewritten to its end.

A chunk without statements, where no alias is known, is not looked at.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Indices
from stream_app.core.events import MERGE, Event, Events, Records, Texts
from stream_app.core.identities import NO_RULES, Identities, IdentityRules, Merge, Refused, Statement
from stream_app.core.partition import Reached, Sweeps

_TAIL_MIN: Final = 1_024
"""New aliases that are looked up beside the others, so that these are sorted again now and then."""


class Woven(NamedTuple):
    """A chunk of which all events are under the ids that their customers go by.

    Attributes
    ----------
    events
        n of them.
    sources
        Index of the event of the chunk that each stands for, ascending, shape `(n,)`.
    refused
        Statements that do not count: index in the chunk, and why.
    """

    events: Events
    sources: Indices
    refused: list[tuple[int, Refused]]

    def sweeps(self, sweeps: Sweeps) -> Sweeps:
        """Return sweeps of the chunk as those of the woven one."""
        return Sweeps(sweeps.at_ms, np.searchsorted(self.sources, sweeps.before, side="left"))

    def reached(self, reached: Reached | None) -> Reached | None:
        """Return how far time has come with each event, likewise."""
        return None if reached is None else Reached(reached.watermarks_ms.take(self.sources), reached.trust)


class Weaver:
    """Follows statements, chunk after chunk.

    Parameters
    ----------
    rules
        What is not to be believed.
    without
        Statements by alias and customer that are left out, as if nobody had made them.
    """

    def __init__(self, rules: IdentityRules = NO_RULES, without: frozenset[tuple[str, str]] = frozenset()) -> None:
        self.identities: Final = Identities(rules)
        self._without = without
        self._known: set[int] = set()
        self._sorted: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._tail: list[int] = []

    def weave(self, events: Events) -> Woven | None:
        """Return a chunk with its statements followed; None where nothing is to be changed."""
        statements = np.flatnonzero(events.records["kind"] == MERGE)
        if not len(statements) and not self._known:
            return None
        return _Weaving(self, events).weave(statements)

    def rewrite(self, events: Events) -> Events:
        """Return events of the past under the ids that their customers go by now, without statements."""
        acts = events.take(np.flatnonzero(events.records["kind"] != MERGE))
        woven = _Weaving(self, acts).weave(np.empty(0, np.intp))
        return acts if woven is None else woven.events

    def rename(self, events: Events, indices: Indices) -> Events:
        """Return events, those with some indices under the ids that their customers go by now."""
        weaving = _Weaving(self, events)
        for index in indices.tolist():
            weaving.rename(index)
        return weaving.renamed()

    def take(self, said: Statement) -> list[Merge] | Refused:
        """Follow a statement, see `Identities.take`."""
        if (said.alias, said.customer_id) in self._without:
            return []
        taken = self.identities.take(said)
        group = self.identities.group_of(said.alias)
        for each in (said.alias, said.customer_id) if group is None else group.ids:
            self._know(each)
        return taken

    def load_state(self, state: list[list[object]]) -> None:
        """Go on from the state of `Identities`."""
        self.identities.load_state(state)
        for each in self.identities.ends:
            self._know(each)

    def find_aliases(self, hashes: npt.NDArray[np.uint64]) -> Indices:
        """Return the indices of hashes that ids have which statements name."""
        if not self._known:
            return np.empty(0, np.intp)
        places = np.searchsorted(self._sorted, hashes)
        places[places == len(self._sorted)] = 0
        found = self._sorted[places] == hashes if len(self._sorted) else np.zeros(len(hashes), np.bool_)
        return np.flatnonzero(found | np.isin(hashes, np.array(self._tail, np.uint64)))

    def _know(self, customer_id: str) -> None:
        customer_hash = xxh3_64_intdigest(customer_id.encode())
        if customer_hash in self._known:
            return
        self._known.add(customer_hash)
        self._tail.append(customer_hash)
        if len(self._tail) > max(_TAIL_MIN, len(self._sorted) // 8):
            self._sorted = np.sort(np.concatenate((self._sorted, np.array(self._tail, np.uint64))))
            self._tail = []


class _Weaving:
    """One chunk on its way."""

    def __init__(self, weaver: Weaver, events: Events) -> None:
        self._weaver = weaver
        self._events = events
        self._records = events.records.copy()
        self._texts: list[bytes] = []
        self._end = len(events.texts)
        self._merges: dict[int, list[tuple[Merge, str]]] = {}
        self._refused: list[tuple[int, Refused]] = []

    def weave(self, statements: Indices) -> Woven | None:
        """Return the woven chunk; None where nothing is to be changed."""
        follow = np.zeros(len(self._events), np.bool_)
        follow[statements] = True
        for index in self._followed(statements):
            if follow[index]:
                self._follow(index)
            else:
                self.rename(index)
        if not len(statements) and not self._texts:
            return None
        return self._woven(statements)

    def _followed(self, statements: Indices) -> list[int]:
        """Return the indices of statements, and of events of ids that these or earlier ones name, ascending."""
        hashes = self._records["customer_hash"]
        named = np.concatenate((hashes[statements], self._records["event_digest"][statements]))
        events = np.union1d(self._weaver.find_aliases(hashes), np.flatnonzero(np.isin(hashes, named)))
        return list(map(int, np.union1d(events, statements)))

    def rename(self, index: int) -> None:
        """Give an event to the id that its customer goes by."""
        record = self._records[index]
        customer_id = self._events.customer_id(index)
        end = self._weaver.identities.end_of(customer_id)
        if end == customer_id:
            return
        begin = int(record["text_at"]) + int(record["customer_size"])
        size = sum(int(record[name]) for name in ("event_id_size", "type_size", "kept_size"))
        self._write(self._records, index, end.encode(), self._events.texts[begin : begin + size].tobytes())

    def _write(self, records: Records, index: int, customer: bytes, others: bytes) -> None:
        records["text_at"][index] = self._end
        records["customer_size"][index] = len(customer)
        records["customer_hash"][index] = xxh3_64_intdigest(customer)
        self._texts.append(customer + others)
        self._end += len(customer) + len(others)

    def _follow(self, index: int) -> None:
        said = statement_of(self._events.event(index))
        taken = self._weaver.take(said)
        if isinstance(taken, Refused):
            self._refused.append((index, taken))
        elif taken:
            self._merges[index] = [(merge, said.kind) for merge in taken]

    def _woven(self, statements: Indices) -> Woven:
        counts = np.ones(len(self._events), np.intp)
        counts[statements] = 0
        for index, merges in self._merges.items():
            counts[index] = len(merges)
        sources = np.repeat(np.arange(len(counts)), counts)
        records = self._records.take(sources)
        for index, merges in self._merges.items():
            first = int(np.searchsorted(sources, index))
            for place, (merge, kind) in enumerate(merges, first):
                ended = merge.ended.encode()
                self._write(records, place, merge.into.encode(), ended + kind.encode())
                records["event_digest"][place] = xxh3_64_intdigest(ended)
                records["event_id_size"][place], records["type_size"][place] = len(ended), len(kind)
                records["kept_size"][place] = 0
        return Woven(Events(records, self._all_texts()), sources, self._refused)

    def renamed(self) -> Events:
        """Return the chunk as it is now, its statements with it."""
        return Events(self._records, self._all_texts())

    def _all_texts(self) -> Texts:
        texts = self._events.texts
        return np.concatenate((texts, np.frombuffer(b"".join(self._texts), np.uint8))) if self._texts else texts


def statement_of(event: Event) -> Statement:
    """Return the statement that an event of the kind `MERGE` is, as decoding leaves it."""
    return Statement(event.at_ms, event.event_id, event.customer_id, event.type, event.kept.decode())
