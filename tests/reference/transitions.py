"""Finding who moves within one segmentation, and numbering the moves.

Part of the reference that `native/step.c`, which states the theory, is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Codes, Flags, Indices, Instants
from stream_app.core.events import Event, Position
from stream_app.core.moves import (
    DEFINITION,
    ENTERED,
    LAPSE,
    LAPSED,
    LEFT,
    MODEL,
    MOVED,
    RETURNED,
    MigrationContext,
    Moves,
)
from stream_app.core.partition import Sweeps
from stream_app.core.segmentation import NEVER_MS, Due, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE, Roster
from stream_app.native.structures import MOVE_DTYPE
from tests.reference.assessments import Visits, told_at
from tests.reference.chunk import FoldedChunk
from tests.reference.columns import CustomerColumns
from tests.reference.migration import Migration, describe_moves
from tests.reference.quantities import last_event_ms
from tests.reference.rosters import lapsed_codes_of, levels_of

BLOCK_ROWS: Final = 16_384
"""Customers that are asked about at once: a dozen columns of so many numbers stay in a core's cache."""
_UNKNOWN: Final = -1
"""Kind of a move that an event caused, before the event has been looked at."""


@dataclass
class Transitions:
    """Moves that were found, one entry each, in the order of the stream.

    Attributes
    ----------
    slot
        Whose.
    position, rank, is_own
        What the order is made of: the place in the stream, the customer's number, and whether the state after an event
        was assessed.
    event
        Index of the event that caused it, −1 for none.
    kind
        Index of `CAUSE_KINDS`; `_UNKNOWN` for an event.
    target
        Index of the roster, or `NOWHERE`.
    effective_at_ms, decided_at_ms
        When it became true, and when it was found.
    before, before_ms, after
        See `Moves`.
    from_code, kept
        What it ends: the segment, and the last one that was not lapsed.
    """

    slot: Indices
    position: Indices
    rank: Indices
    is_own: Flags
    event: Indices
    kind: npt.NDArray[np.int64]
    target: Indices
    effective_at_ms: Instants
    decided_at_ms: Instants
    before: np.ndarray
    before_ms: Instants
    after: np.ndarray
    from_code: Codes
    kept: Codes


_COLUMNS: Final = tuple(column.name for column in fields(Transitions))


class Found(NamedTuple):
    """What became of the customers of a chunk in one segmentation.

    Attributes
    ----------
    transitions
        The moves.
    due_at_ms
        Of each slot, the instant before which silence moves it no further.
    """

    transitions: Transitions
    due_at_ms: Instants


class Acts(NamedTuple):
    """The customers of a chunk as they are after each of their events, in blocks of `BLOCK_ROWS` visits."""

    visits: Indices
    blocks: list[CustomerColumns]


def columns_of_acts(chunk: FoldedChunk, visits: Visits) -> Acts:
    """Return the customers at their events; segmentations that pay the same visits share them."""
    acting = np.flatnonzero(visits.after >= 0)
    record, at_ms = visits.after[acting], visits.at_ms[acting]
    return Acts(
        acting,
        [CustomerColumns(chunk.records.take(record[block]), at_ms[block]) for block in _blocks(len(acting))],
    )


def find_transitions(
    segmentation: Segmentation,
    chunk: FoldedChunk,
    sweeps: Sweeps,
    visits: Visits,
    acts: Acts,
    membership: np.ndarray,
    revised: Indices,
) -> Found:
    """Find all moves and leave `membership`, an entry a slot, as it is after them, but for sequence and change.

    Customers move so rarely that assuming "nobody has moved" answers nearly all questions at once; of those who did
    move what follows is asked again, until nobody moves.

    Parameters
    ----------
    revised
        Slots of customers who have not been assessed under this version yet; `assessed_at_ms` says when it took over.
    """
    finder = _Finder(segmentation, chunk, sweeps, visits, membership)
    rounds = [finder.revise(revised)] if len(revised) else []
    rounds.append(finder.ask(np.flatnonzero((visits.before >= 0) & ~visits.is_calm), acts))
    while len(rounds[-1].slot):
        rounds.append(finder.ask_again())
    found = Transitions(*(np.concatenate([getattr(part, name) for part in rounds]) for name in _COLUMNS))
    order = np.lexsort((found.is_own, found.rank, found.position))
    return Found(Transitions(*(getattr(found, name)[order] for name in _COLUMNS)), finder.due_at_ms)


class _Finder:
    """The questions of one segmentation about one chunk, round by round.

    Attributes
    ----------
    due_at_ms
        Of each slot, the instant before which silence moves it no further, once its last question was answered.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        chunk: FoldedChunk,
        sweeps: Sweeps,
        visits: Visits,
        membership: np.ndarray,
    ) -> None:
        self._segmentation = segmentation
        self._chunk = chunk
        self._sweeps = sweeps
        self._visits = visits
        self._membership = membership
        self._pending = np.empty(0, np.intp)
        self._after_ms = np.empty(0, np.int64)
        self.due_at_ms = np.full(len(membership), NEVER_MS)

    def revise(self, slots: Indices) -> Transitions:
        """Assess customers under a version that has taken over, as they were then."""
        membership = self._membership
        records = self._chunk.records.take(slots)  # those before the chunk come first
        at_ms = membership["assessed_at_ms"][slots]
        held = Held.of(membership.take(slots))
        decision = self._segmentation.revise(CustomerColumns(records, at_ms), held)
        moving = np.flatnonzero(decision.moves)
        slots, at_ms, records, held = slots[moving], at_ms[moving], records.take(moving), held.at(moving)
        first = np.searchsorted(self._visits.slot, slots)
        return self._enter(
            Transitions(
                slot=slots,
                position=np.full(len(moving), -1),
                rank=self._chunk.ranks[slots],
                is_own=np.zeros(len(moving), np.bool_),
                event=np.full(len(moving), -1),
                kind=np.where(held.segment == NO_SEGMENT, DEFINITION, self._segmentation.revised_by),
                target=decision.target[moving],
                effective_at_ms=at_ms,
                decided_at_ms=self._visits.decided_at_ms[first],
                before=records,
                before_ms=at_ms,
                after=records,
                from_code=held.segment,
                kept=held.kept,
            )
        )

    def ask(self, spans: Indices, acts: Acts) -> Transitions:
        """Ask all questions for the first time: about the spans before some visits, and about acts."""
        after_ms = self._visits.last_ms[spans]
        questions = np.concatenate((2 * spans, 2 * acts.visits + 1))
        order = np.argsort(questions)
        self._pending = questions[order]
        self._after_ms = np.concatenate((after_ms, np.full(len(acts.visits), NEVER_MS)))[order]
        slots = self._visits.slot
        decisions = [
            self._segmentation.acts(block, Held.of(self._membership.take(slots[acts.visits[rows]])))
            for block, rows in zip(acts.blocks, _blocks(len(acts.visits)), strict=True)
        ]
        at_ms, target = self._ask_spans(spans, after_ms)
        moves = np.concatenate((at_ms <= self._visits.at_ms[spans], *(d.moves for d in decisions)))
        found_ms = np.concatenate((at_ms, self._visits.at_ms[acts.visits]))
        target = np.concatenate((target, *(d.target for d in decisions)))
        return self._take_first(moves[order], target[order], found_ms[order])

    def ask_again(self) -> Transitions:
        """Ask what is pending of those who moved in the last round."""
        is_act = self._pending % 2 == 1
        visit = self._pending // 2
        moves = np.zeros(len(self._pending), np.bool_)
        target, found_ms = np.full(len(self._pending), NOWHERE), self._visits.at_ms[visit]
        acting, spans = np.flatnonzero(is_act), np.flatnonzero(~is_act)
        acted = self._segmentation.acts(
            CustomerColumns(self._chunk.records.take(self._visits.after[visit[acting]]), found_ms[acting]),
            Held.of(self._membership.take(self._visits.slot[visit[acting]])),
        )
        moves[acting], target[acting] = acted.moves, acted.target
        at_ms, target[spans] = self._ask_spans(visit[spans], self._after_ms[spans])
        moves[spans], found_ms[spans] = at_ms <= self._visits.at_ms[visit[spans]], at_ms
        return self._take_first(moves, target, found_ms)

    def _ask_spans(self, visit: Indices, after_ms: Instants) -> tuple[Instants, Indices]:
        """Return when silence first moves the customers of visits, and where to."""
        visits = self._visits
        at_ms, target = np.empty(len(visit), np.int64), np.empty(len(visit), np.intp)
        for rows in _blocks(len(visit)):
            chosen, after = visit[rows], after_ms[rows]
            customers = CustomerColumns(self._chunk.records.take(visits.before[chosen]), after)
            held = Held.of(self._membership.take(visits.slot[chosen]))
            at_ms[rows], target[rows] = self._segmentation.silence(customers, held, after, visits.at_ms[chosen])
        ends = visits.event[visit] < 0
        self.due_at_ms[visits.slot[visit[ends]]] = at_ms[ends]
        return at_ms, target

    def _take_first(self, moves: Flags, target: Indices, found_ms: Instants) -> Transitions:
        """Return the first move of each customer, and keep what has to be asked again because of it."""
        pending, slot = self._pending, self._visits.slot[self._pending // 2]
        moving = np.flatnonzero(moves)
        moved_slots, first = np.unique(slot[moving], return_index=True)
        first = moving[first]
        found = self._enter(self._transitions(pending[first], target[first], found_ms[first]))
        # Everything after the move, and the rest of the span that it lies in.
        moved_at = np.full(len(self._membership), len(pending))
        moved_at[moved_slots] = first
        place = np.arange(len(pending))
        again = np.flatnonzero((place > moved_at[slot]) | ((place == moved_at[slot]) & (pending % 2 == 0)))
        self._after_ms[first] = found_ms[first]
        self._pending, self._after_ms = pending[again], self._after_ms[again]
        return found

    def _transitions(self, question: Indices, target: Indices, found_ms: Instants) -> Transitions:
        """Return moves that were the answers to some questions, before the memberships are changed."""
        chunk, visits = self._chunk, self._visits
        visit, is_own = question // 2, question % 2 == 1
        slot = visits.slot[visit]
        origin = self._membership.take(slot)
        before, after = visits.before[visit], visits.after[visit]
        compared = chunk.records.take(np.where(before >= 0, before, after))
        position, decided_ms = told_at(visits, visit, np.where(is_own, NEVER_MS, found_ms), self._sweeps)
        return Transitions(
            slot=slot,
            position=position,
            rank=chunk.ranks[slot],
            is_own=is_own,
            event=np.where(is_own, visits.event[visit], -1),
            kind=np.where(is_own, _UNKNOWN, LAPSE),
            target=target,
            effective_at_ms=found_ms,
            decided_at_ms=decided_ms,
            before=compared,
            before_ms=np.where(is_own, found_ms, np.minimum(last_event_ms(compared), found_ms)),
            after=chunk.records.take(np.where(is_own, after, before)),
            from_code=origin["segment"],
            kept=origin["kept"],
        )

    def _enter(self, found: Transitions) -> Transitions:
        """Let customers be where they have moved to."""
        membership, slot, roster = self._membership, found.slot, self._segmentation.roster
        entered = roster.codes[found.target]
        membership["kept"][slot] = _kept(roster, found.from_code, found.kept, entered)
        membership["previous"][slot] = found.from_code
        membership["segment"][slot] = entered
        membership["since_ms"][slot] = found.effective_at_ms
        np.maximum.at(membership["assessed_at_ms"], slot, found.effective_at_ms)
        return found


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, max(count, 1), BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)


class Numbered(NamedTuple):
    """Moves of one segmentation as the library gives them, and as they are published; in the same order."""

    moves: np.ndarray
    migrations: list[Migration]


def number_transitions(
    segmentation: Segmentation,
    customer_ids: Sequence[str],
    membership: np.ndarray,
    found: Transitions,
    causes: Sequence[tuple[Event, Position] | None],
    context: MigrationContext | None,
) -> Numbered:
    """Give the moves their numbers, finish `membership`, and describe the moves if there is a context."""
    if not len(found.slot):
        return Numbered(np.empty(0, MOVE_DTYPE), [])
    levels = levels_of(segmentation.roster)
    # Lists, because reading one number from an array takes five times as long. A customer may move more than once.
    slots, kinds = found.slot.tolist(), found.kind.tolist()
    sequences, changes = membership["sequence"].tolist(), membership["change"].tolist()
    codes = segmentation.roster.codes[found.target]
    sequence: list[int] = []
    change: list[int] = []
    for move, (slot, from_code, to_code, event_at) in enumerate(
        zip(slots, found.from_code.tolist(), codes.tolist(), causes, strict=True)
    ):
        if event_at is not None:
            kinds[move] = event_at[0].kind
        changes[slot] = _change(from_code, to_code, kinds[move], changes[slot], levels)
        sequences[slot] += 1
        change.append(changes[slot])
        sequence.append(sequences[slot])
    found.kind[:] = kinds
    membership["sequence"], membership["change"] = sequences, changes
    membership["model_version"][found.slot] = segmentation.version
    by_version = (found.kind == MODEL) | (found.kind == DEFINITION)
    following = _next_moves(segmentation, found, codes)
    moves = Moves(
        customer_ids=customer_ids,
        cause_kind=found.kind,
        change=np.array(change, np.int64),
        from_code=found.from_code,
        target=found.target,
        sequence=np.array(sequence, np.int64),
        effective_at_ms=found.effective_at_ms,
        decided_at_ms=np.maximum(found.decided_at_ms, found.effective_at_ms),
        before=found.before,
        before_ms=np.where(by_version, found.effective_at_ms, found.before_ms),
        after=found.after,
        following=following,
        causes=causes,
    )
    migrations = [] if context is None else describe_moves(moves, segmentation, context)
    return Numbered(_as_records(found, moves), migrations)


def _as_records(found: Transitions, moves: Moves) -> np.ndarray:
    """Return moves as `MOVE_DTYPE`, but for their segmentation."""
    records = np.zeros(len(found.slot), MOVE_DTYPE)
    records["row"], records["cause"] = found.rank, moves.cause_kind
    records["next_at_ms"], records["next_target"] = moves.following.at_ms, moves.following.target
    for name in ("position", "event", "is_own"):
        records[name] = getattr(found, name)
    for name in (
        *("effective_at_ms", "decided_at_ms", "before_ms", "before", "after"),
        *("change", "sequence", "from_code", "target"),
    ):
        records[name] = getattr(moves, name)
    return records


def _change(from_code: int, to_code: int, kind: int, last: int, levels: Mapping[int, int] | None) -> int:
    """Return what a move means, given the customer's last change.

    In a segmentation without an order every move that silence makes is a lapse, and the next own act a return.
    """
    if to_code == NO_SEGMENT:
        return LEFT
    if from_code == NO_SEGMENT:
        return ENTERED
    if levels is None:
        lapses, returns = True, last == LAPSED
    else:
        lapses = levels.get(to_code, 0) < 0
        returns = levels.get(from_code, 0) < 0 and not lapses
    if kind == LAPSE and lapses:
        return LAPSED
    if kind < LAPSE and returns:
        return RETURNED
    return MOVED


def _next_moves(segmentation: Segmentation, found: Transitions, codes: Codes) -> Due:
    """Return when each customer moves next after its move if nothing happens, and where to."""
    at_ms = found.effective_at_ms
    kept = _kept(segmentation.roster, found.from_code, found.kept, codes)
    held = Held(codes, found.from_code, at_ms, kept)
    return segmentation.silence(CustomerColumns(found.after, at_ms), held, at_ms, np.full(len(at_ms), NEVER_MS))


def _kept(roster: Roster, from_code: Codes, kept: Codes, to_code: Codes) -> Codes:
    """Return the last segment that was not a lapsed one, after moves."""
    lapsed = lapsed_codes_of(roster)
    before = np.where(np.isin(from_code, lapsed), kept, from_code)
    return np.where(np.isin(to_code, lapsed), before, to_code)
