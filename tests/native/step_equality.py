"""Compares the compiled step with the reference's, byte by byte, while both play the same log.

`python -m tests.native.step_equality --events 400000`
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from itertools import islice
from random import Random
from typing import Final

import msgspec
import numpy as np

from stream_app.core import processor
from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.core.events import REFUND, Event, pack_events
from stream_app.core.partition import NO_SWEEPS, Partition, Reached, Sweeps
from stream_app.core.processor import Outcome
from stream_app.core.segmentation import Segmentation
from stream_app.core.trust import Trust
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.native.histories import mixed_events, simulated_events, wild_events
from tests.native.versions import random_model, random_rules
from tests.reference import processor as reference_processor
from tests.reference.customers import CustomerTable as ReferenceTable
from tests.reference.partition import Partition as ReferencePartition
from tests.reference.segmentations import ReferenceRules, all_by_reference, by_reference
from tests.segmentations.examples import BY_RULES, COLD_START, LEARNED, rules
from tests.support.tables import outdated_in

ASKED_RULES: Final = ReferenceRules(BY_RULES)
"""Rules that are asked one by one, in Python: the step weighs sessions for them."""
_BLOCK: Final = 20_000
"""Events of one log."""
UNNAMED_SHARE: Final = 0.3
BELIEVED_SHARE: Final = 0.8
_COUNTS: Final = ("applied", "late", "duplicates")


class Pair:
    """A partition and one of the reference that take the same steps; each step is compared.

    Parameters
    ----------
    segmentations
        What customers are divided by in both.
    """

    def __init__(self, segmentations: Sequence[Segmentation]) -> None:
        self.library = Partition(segmentations)
        self.reference = ReferencePartition(all_by_reference(segmentations))
        self.events = self.moves = self.placed = self.unplaced = 0

    def process(self, events: Sequence[Event], sweeps: Sweeps = NO_SWEEPS, reached: Reached | None = None) -> Outcome:
        """Take events in."""
        offsets = range(self.events, self.events + len(events))
        with np.errstate(all="ignore"):
            expected = reference_processor.process_events(self.reference, events, sweeps, reached)
        outcome = processor.process_events(self.library, pack_events(events, offsets, 0), sweeps, reached)
        self.placed += int(np.count_nonzero(outcome.owners >= 0))
        self.unplaced += int(np.count_nonzero(outcome.owners < 0))
        self.events += len(events)
        self._check(outcome, expected)
        return outcome

    def sweep(self, at_ms: int, first: int = 0, last: int | None = None) -> Outcome:
        """Let time pass."""
        with np.errstate(all="ignore"):
            expected = reference_processor.sweep(self.reference, at_ms, first, last)
        outcome = processor.sweep(self.library, at_ms, first, last)
        self._check(outcome, expected)
        return outcome

    def follow(self, segmentation: Segmentation) -> None:
        """Let a version take over, or add a segmentation."""
        self.library.follow(segmentation)
        self.reference.follow(by_reference(segmentation))

    def restart(self) -> None:
        """Go on with what a changelog keeps: rows and the clock."""
        rows = self.library.table.encode_all(range(len(self.library.table)))
        ids = list(self.library.table.customer_ids)
        self.library = Partition(self.library.segmentations, clock=self.library.clock)
        table = ReferenceTable(self.reference.names)
        for customer_id, row in zip(ids, rows, strict=True):
            self.library.table.restore(customer_id, row)
            table.restore(customer_id, row)
        self.reference = ReferencePartition(self.reference.segmentations, table=table, clock=self.reference.clock)

    def _check(self, outcome: Outcome, reference: reference_processor.Outcome) -> None:
        _check_moves(outcome.moves, reference.moves)
        self.moves += len(outcome.moves)
        assert outcome.changed.tolist() == reference.changed.tolist()
        assert outcome.owners.tolist() == reference.owners.tolist()
        assert [getattr(outcome, name) for name in _COUNTS] == [getattr(reference, name) for name in _COUNTS]
        assert outcome.swept_at_ms.tolist() == reference.swept_at_ms.tolist()
        assert outcome.customers.tolist() == reference.customers.tolist()
        assert self.library.clock == self.reference.clock
        table, expected = self.library.table, self.reference.table
        assert table.encode_all(outcome.changed) == expected.encode_all(reference.changed.tolist())
        for column in ("activity", "memberships", "due_at_ms", "closed_at_ms"):
            assert getattr(table, column).tobytes() == getattr(expected, column).tobytes(), column
        everybody = np.arange(len(table))
        assert outdated_in(table).tobytes() == expected.outdated_of(everybody).tobytes()
        for number, name in enumerate(table.names):
            assert table.members(number) == expected.members(number), name

    def check_rows(self) -> None:
        """Compare all rows."""
        table, expected = self.library.table, self.reference.table
        assert list(table.customer_ids) == expected.customer_ids
        assert table.encode_all(range(len(table))) == expected.encode_all(range(len(expected)))


def _check_moves(moves: np.ndarray, expected: np.ndarray) -> None:
    if moves.tobytes() == expected.tobytes():
        return
    names = moves.dtype.names or ()
    for number, (move, other) in enumerate(zip(moves, expected, strict=False)):
        differing = {name: (move[name], other[name]) for name in names if move[name].tobytes() != other[name].tobytes()}
        assert not differing, f"move {number} of {len(moves)}: {differing}"
    raise AssertionError(f"{len(moves)} moves, expected {len(expected)}")


class Player:
    """Plays a log at random: chunks of any size, sweeps within and between them, versions that come and go.

    Customers are divided by two learned segmentations, one by rules, and one that has ended or is by rules in turns.

    Parameters
    ----------
    seed
        Another one plays otherwise.
    extreme
        Whether models may be such as no population makes.
    """

    def __init__(self, seed: int, *, extreme: bool = False) -> None:
        self.random, self.rng = Random(seed), np.random.default_rng(seed)
        self.extreme = extreme
        self.old = ReferenceRules(RulesSegmentation(rules(name="old")))
        self.pair = Pair([COLD_START, ASKED_RULES, LEARNED, EndedSegmentation("old", self.old)])

    def play(self, events: Sequence[Event], chunk_max: int = 400) -> Pair:
        """Play all events, and then let years pass."""
        start, events = 0, [self._told(event) for event in events]
        while start < len(events):
            size = 1 + int(self.random.random() ** 3 * chunk_max)
            chunk = events[start : start + size]
            self.pair.process(chunk, self._sweeps(chunk), self._reached(chunk))
            start += size
            self._do_something_else()
        swept_ms = max(self.pair.library.clock)
        for days in (1, 40, 4_000):
            self.pair.sweep(swept_ms + days * DAY_MS)
        self.pair.check_rows()
        return self.pair

    def _told(self, event: Event) -> Event:
        """Return an event as it is told: of some returns, only the order."""
        is_unnamed = event.kind == REFUND and self.random.random() < UNNAMED_SHARE
        return msgspec.structs.replace(event, customer_id="") if is_unnamed else event

    def _reached(self, chunk: Sequence[Event]) -> Reached | None:
        """Return how far time comes with each event: as most of them say, or not at all; None as each says."""
        if self.random.random() < 0.5:
            return None
        reached_ms, watermarks_ms = self.pair.library.clock.watermark_ms, []
        for event in chunk:
            if event.customer_id and self.random.random() < BELIEVED_SHARE:
                reached_ms = max(reached_ms, event.at_ms)
            watermarks_ms.append(reached_ms)
        return Reached(np.array(watermarks_ms, np.int64), Trust(events=len(chunk)))

    def _sweeps(self, chunk: Sequence[Event]) -> Sweeps:
        """Return instants that ascend from the last sweep on, at places that ascend in the chunk."""
        count = self.random.choice((0, 0, 1, 3, 12))
        since_ms, watermark_ms = self._now()
        until_ms = max(watermark_ms, since_ms, max(event.at_ms for event in chunk)) + DAY_MS
        at_ms = sorted(self.random.randrange(since_ms, until_ms) for _ in range(count))
        before = sorted(self.random.randrange(len(chunk) + 1) for _ in range(count))
        return Sweeps(np.array(at_ms, np.int64), np.array(before, np.int64))

    def _now(self) -> tuple[int, int]:
        """Return the last sweep, or where time may begin, and the watermark."""
        clock = self.pair.library.clock
        watermark_ms = max(clock.watermark_ms, 1_700_000_000_000)
        return max(clock.swept_at_ms, watermark_ms - 30 * DAY_MS), watermark_ms

    def _do_something_else(self) -> None:
        pair, random = self.pair, self.random
        at_ms = max(self._now()) + random.choice((-HOUR_MS, 0, DAY_MS, 20 * DAY_MS))
        match random.randrange(12):
            case 0 | 1:
                pair.sweep(at_ms)
            case 2:
                cut = random.randrange(len(pair.library.table) + 1)
                pair.sweep(at_ms, 0, cut)
                if random.random() < 0.5:
                    pair.sweep(at_ms, cut)
            case 3 | 4:
                pair.follow(self._changed(random.choice(pair.library.segmentations)))
            case 5 if random.random() < 0.3:
                pair.check_rows()
                pair.restart()
            case _:
                pass

    def _changed(self, version: Segmentation) -> Segmentation:
        """Return what takes over from a version."""
        extreme = self.extreme and self.random.random() < 0.5
        match version:
            case LearnedSegmentation():
                model = dataclasses.replace(random_model(self.rng, extreme=extreme), name=version.name)
                return LearnedSegmentation(model)
            case EndedSegmentation():
                return self.old
            case ReferenceRules(name="old"):
                return EndedSegmentation("old", self.old)
            case _:
                return self._changed_rules(version)

    def _changed_rules(self, version: Segmentation) -> ReferenceRules:
        changed = random_rules(self.rng)
        definition = changed.definition.model_copy(update={"name": version.name})
        retired = tuple(version.roster.by_code.values())
        return ReferenceRules(RulesSegmentation(definition, version.version + 1, retired))


def log_of(kind: int, seed: int, size: int) -> list[Event]:
    """Return events of simulated customers, mostly in order, of wild ones, in none, or of both."""
    match kind % 3:
        case 0:
            return list(islice(simulated_events(seed, customers=max(size // 40, 5)), size))
        case 1:
            return mixed_events(seed, size)
        case _:
            return list(wild_events(seed, size, max(size // 30, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    compared = moves = number = placed = unplaced = 0
    while compared < arguments.events:
        seed = arguments.seed + 1_000 * number
        events = log_of(number, seed, min(_BLOCK, arguments.events - compared))
        pair = Player(seed, extreme=number % 2 == 1).play(events)
        compared, moves, number = compared + len(events), moves + pair.moves, number + 1
        placed, unplaced = placed + pair.placed, unplaced + pair.unplaced
        unnamed = f"{placed} and {unplaced} returns without a customer placed and not"
        print(f"{compared} events, {moves} moves, {unnamed}: steps equal", flush=True)


if __name__ == "__main__":
    main()
