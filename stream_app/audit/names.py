"""Whether moves of learned segmentations keep what the names and the order of the segments promise.

Two promises are checked. Own acts lead up and silence leads down: a purchase or engagement never to a lower level or
among the lapsed, the passing of time never to a higher level. What is heard of late, after the instant that it happened
at had been assessed, is no act in this sense; and where silence leads somewhere at the very instant of an act, there is
one move, which names the act. And what a segment's name says of its members is true of
a customer when it enters: the numbers of that instant are counted again from the inputs and held against the version of
the model that the migration names. Versions that compaction has removed are no longer known; nothing is checked then.

What a customer's inputs were at a move is plain where an event caused it: in that event's topic, all up to it. How far
the other topics had been read is not known, nor is it of moves without an event: where events come faster than time
passes, one topic may be weeks behind another. As for totals (see `stream_app.audit.recount`), the likely orders are
tried, and, where the name is not true in any of them, all others: as many records of each topic as there may have been.
A name that is true only then *depends on the order*.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations, product
from typing import Final, NamedTuple

import numpy as np

from stream_app.audit.checks import Log
from stream_app.audit.findings import Finding
from stream_app.audit.records import Migration
from stream_app.audit.recount import Entry, distinct, is_misdated, likely_orders, recount
from stream_app.core.clock import to_milliseconds
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import ENGAGEMENT
from stream_app.core.row import ACTIVITY_DTYPE
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import KINDS
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

CODES: Final[Mapping[str, int]] = {f"s{kind.code}": kind.code for kind in KINDS}
LEVELS: Final[Mapping[str, int]] = {f"s{kind.code}": kind.level for kind in KINDS}
"""By the segment's id, both."""
ACTS: Final = ("purchase", "engagement")
SILENCE: Final = "lapse"
ENGAGEMENT_HALF_LIFE_DAYS: Final = 30
ENGAGED_DAYS_REMEMBERED: Final = 182
MOVES_CHECKED: Final = 64
"""Of a customer in a segmentation, the latest: each is a recount."""

BOTH_ASTRAY: Final = 32
"""How far two topics may have been behind, in records of each."""

Models = Mapping[tuple[str, int], Model]
"""By segmentation and version."""


class Checked(NamedTuple):
    """How many names were checked, and how many of them are true in another than the likely orders only."""

    names: int
    order_dependent: int


class _Move(NamedTuple):
    """A migration with the model that it names, and when it was, milliseconds.

    Attributes
    ----------
    stream
        Number of the topic of the event that caused it; None if no event did.
    """

    migration: Migration
    model: Model
    code: int
    at_ms: int
    stream: int | None


class _State(NamedTuple):
    """What a customer's inputs may have been at a move: in this order, how many of the first entries of each topic."""

    order: Sequence[Entry]
    counts: Mapping[int, int]


def check_direction(
    migrations: Iterable[Migration],
    entries: Mapping[str, Sequence[Entry]],
    streams: Mapping[str, int],
    models: Models,
    log: Log,
) -> Iterator[Finding]:
    """Check that own acts lead up, silence leads down, and that migrations say so.

    A move that names no direction was made by an earlier release, which had no order of segments, unless its model is
    known. Parameters are those of `check_names`.
    """
    learned = {name for name, _ in models}
    for seen in migrations:
        is_known = (seen.segmentation, seen.to.model_version) in models
        if seen.segmentation not in learned or (seen.direction is None and not is_known):
            continue
        origin = LEVELS.get(seen.from_segment_id or "")
        target = LEVELS.get(seen.to.segment_id or "")
        if target is None:
            continue
        own = entries.get(seen.customer_id, ())
        is_act = seen.cause.kind in ACTS and _is_new_act(seen, own, streams)
        if is_act and is_known and target < (origin or 0):
            model = models[seen.segmentation, seen.to.model_version or 0]
            is_act = not _is_led_by_time(seen, model, own, streams)
        for message in _against_direction(seen, origin, target, is_act):
            where = log.at(seen.offset)
            yield Finding("direction", f"{seen.segmentation}: {message}", seen.customer_id, where)


def _is_new_act(seen: Migration, entries: Sequence[Entry], streams: Mapping[str, int]) -> bool:
    """Return whether the event that caused a move happened when the move became effective; also if it is not known.

    A restatement of an order may make it smaller, or earlier, and so lead down.
    """
    cause = streams.get(seen.cause.topic or ""), seen.cause.offset
    caused = [entry.event for entry in entries if (entry.stream, entry.offset) == cause]
    if not caused:
        return True
    (event,) = caused
    of_order = [entry for entry in entries if event.order_id and entry.event.order_id == event.order_id]
    return event.at_ms >= _since_ms(seen) and len(of_order) < 2 and not is_misdated(entries)


def _is_led_by_time(seen: Migration, model: Model, entries: Sequence[Entry], streams: Mapping[str, int]) -> bool:
    """Return whether the name of the segment that was left was true no more at the instant, also without the act."""
    left = CODES.get(seen.from_segment_id or "")
    if left is None:
        return False
    move = _Move(seen, model, left, _since_ms(seen), streams.get(seen.cause.topic or ""))
    states = [_likely_state(move, order) for order in likely_orders(entries)]
    before = [
        _with_counts(state, {move.stream: state.counts.get(move.stream, 1) - 1})
        for state in states
        if move.stream is not None and len(state.order) > 1
    ]
    return bool(before) and not _is_true_in_one(move, before)


def _since_ms(seen: Migration) -> int:
    return to_milliseconds(datetime.fromisoformat(seen.to.since or ""))


def _against_direction(seen: Migration, origin: int | None, target: int, is_act: bool) -> Iterator[str]:
    way = f"{seen.sequence} by '{seen.cause.kind}' from {seen.from_segment_id} to {seen.to.segment_id}"
    if origin is not None:
        named = "up" if target > origin else "down" if target < origin else "sideways"
        if seen.direction != named:
            yield f"{way} is called '{seen.direction}', expected '{named}'"
    if is_act and (target < 0 or (origin is not None and target < origin)):
        yield f"{way}, expected no lower level and no lapsed segment"
    if seen.cause.kind == SILENCE and origin is not None and target > origin:
        yield f"{way}, expected no higher level"


def check_names(
    migrations: Iterable[Migration],
    entries: Mapping[str, Sequence[Entry]],
    streams: Mapping[str, int],
    models: Models,
    log: Log,
) -> tuple[Checked, list[Finding]]:
    """Check that the name of the segment that is entered is true of the customer then.

    Parameters
    ----------
    entries
        By customer, its valid inputs, those of each topic in the order of the log.
    streams
        Number of each input topic.
    log
        Of the migrations.
    """
    moves = list(_named(migrations, streams, models))
    customer_ids = {move.migration.customer_id for move in moves}
    orders = {customer_id: list(likely_orders(entries.get(customer_id, ()))) for customer_id in customer_ids}
    doubted = moves
    for likely in range(2):
        states = [_likely_state(move, orders[move.migration.customer_id][likely]) for move in doubted]
        doubted = [move for move, is_true in zip(doubted, _are_true(doubted, states), strict=True) if not is_true]
    findings = []
    for move in doubted:
        seen = move.migration
        if is_misdated(entries.get(seen.customer_id, ())):
            continue
        if not any(_is_true_in_one(move, states) for states in _possible_states(move, orders[seen.customer_id])):
            message = f"{seen.segmentation}: {seen.sequence} to {seen.to.segment_id}, whose name is not true"
            message += f" at {seen.to.since} by version {seen.to.model_version}"
            findings.append(Finding("names", message, seen.customer_id, log.at(seen.offset)))
    return Checked(len(moves), len(doubted) - len(findings)), findings


def _named(migrations: Iterable[Migration], streams: Mapping[str, int], models: Models) -> Iterator[_Move]:
    """Give the moves into segments of a known version, the latest of each customer."""
    found: defaultdict[tuple[str, str], list[_Move]] = defaultdict(list)
    for seen in migrations:
        model = models.get((seen.segmentation, seen.to.model_version or 0))
        code = CODES.get(seen.to.segment_id or "")
        if model is not None and code is not None:
            move = _Move(seen, model, code, _since_ms(seen), streams.get(seen.cause.topic or ""))
            found[seen.segmentation, seen.customer_id].append(move)
    for moves in found.values():
        yield from moves[-MOVES_CHECKED:]


def _likely_state(move: _Move, order: Sequence[Entry]) -> _State:
    """Return what was known if this was the order: all up to the cause, or up to the first later event."""
    if move.stream is None:
        ends = [index for index, entry in enumerate(order) if entry.event.at_ms > move.at_ms] or [len(order)]
    else:
        cause = move.stream, move.migration.cause.offset
        ends = [index for index, entry in enumerate(order, start=1) if (entry.stream, entry.offset) == cause] or [0]
    return _State(order, Counter(entry.stream for entry in order[: ends[0]]))


def _possible_states(move: _Move, orders: Iterable[Sequence[Entry]]) -> Iterator[list[_State]]:
    """Give what else may have been known, the more likely first: more or fewer of one topic, or fewer of two."""
    likely = [_likely_state(move, order) for order in orders]
    free = sorted({entry.stream for state in likely for entry in state.order} - {move.stream})
    for state in likely:
        entries = Counter(entry.stream for entry in state.order)
        for stream in free:
            yield [_with_counts(state, {stream: count}) for count in range(entries[stream] + 1)]
    for state in likely:
        for one, other in combinations(free, 2):
            behind = [_up_to(state.counts.get(stream, 0)) for stream in (one, other)]
            yield [_with_counts(state, {one: first, other: second}) for first, second in product(*behind)]


def _up_to(count: int) -> range:
    return range(max(count - BOTH_ASTRAY, 0), count + 1)


def _with_counts(state: _State, counts: Mapping[int, int]) -> _State:
    return state._replace(counts={**state.counts, **counts})


def _is_true_in_one(move: _Move, states: Sequence[_State]) -> bool:
    return bool(_are_true([move] * len(states), states).any())


def _are_true(moves: Sequence[_Move], states: Sequence[_State]) -> np.ndarray:
    """Say for each move whether the name is true in a state, all of a model at once."""
    is_true = np.ones(len(moves), np.bool_)
    by_model: defaultdict[int, list[int]] = defaultdict(list)
    for index, move in enumerate(moves):
        by_model[id(move.model)].append(index)
    for chosen in by_model.values():
        activity = np.array([_activity(states[index]) for index in chosen], ACTIVITY_DTYPE)
        codes = np.array([moves[index].code for index in chosen], np.int16)
        held = Held(codes, np.full_like(codes, NO_SEGMENT), np.zeros(len(codes), np.int64), codes)
        at_ms = np.array([moves[index].at_ms for index in chosen])
        # A millisecond later, too: a date that was rounded up may lie on either side of it.
        asked = LearnedSegmentation(moves[chosen[0]].model)
        false = [asked.untrue(CustomerColumns(activity, at), held) for at in (at_ms, at_ms + 1)]
        is_true[chosen] = ~(false[0] & false[1])
    return is_true


def _activity(state: _State) -> tuple[float, ...]:
    """Return the numbers of a row that holds this many entries of each topic."""
    left = Counter(state.counts)
    known = []
    for entry in state.order:
        if left[entry.stream] > 0:
            left[entry.stream] -= 1
            known.append(entry)
    folded = [entry for entry, fold in zip(known, distinct(known), strict=True) if fold]
    numbers = recount(folded).totals._asdict() | {"engaged_days": _engaged_days(folded)}
    return tuple(numbers[name] for name in ACTIVITY_DTYPE.names or ())


def _engaged_days(entries: Iterable[Entry]) -> float:
    """Return the days with an engagement, each with half the weight after 30 days, as of the last one."""
    days = {entry.day for entry in entries if entry.event.kind == ENGAGEMENT}
    ages = [max(days) - day for day in days]
    return math.fsum(2.0 ** (-age / ENGAGEMENT_HALF_LIFE_DAYS) for age in ages if age < ENGAGED_DAYS_REMEMBERED)
