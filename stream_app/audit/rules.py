"""Whether customers are where the published rules say, worked out again from their inputs by brute force.

Two things are checked. At the end: each customer's place is one that the rules may give, from all of its inputs up to
the position, at the instant up to which moves have been published. On the way: at the instant of each move the rules
lead from the segment that is left to the one that is entered.

What was known of a customer at a move is not written down: what came late was not yet. Each topic keeps its order, so
it was a beginning of each topic; a move is right if some beginnings lead to it. Moves that a change of definitions has
made, and those of earlier versions, are not checked.

Series of events begin when the first rules ask for them. Where they do not reach back far enough both outcomes are
possible, see `Definitions.complete_since`.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import product
from typing import Any, Final, NamedTuple

from stream_app.audit.brute_figures import figures_of
from stream_app.audit.brute_rules import Customer, Definitions
from stream_app.audit.brute_values import Act, Observation
from stream_app.audit.checks import Log, Standings
from stream_app.audit.findings import Finding, place
from stream_app.audit.records import Migration
from stream_app.audit.recount import Entry, acts_of, distinct, is_misdated, likely_orders
from stream_app.audit.rows import CustomerRow
from stream_app.core.clock import NO_TIME, format_instant, to_milliseconds
from stream_app.core.events import CONSENT, ENGAGEMENT, PROFILE
from stream_app.core.kept import read_kept
from stream_app.segmentations.learned.rhythm import Rhythm

STATES_MAX: Final = 500
"""So many states of what was not known yet are tried for a move, the last records of each topic."""
LEFT_OPEN_MAX: Final = 0.02
"""Of the moves: no more may be explained by none of these states of customers who have more records."""
MOVES_CHECKED: Final = 8
"""Of a customer in a segmentation, the latest."""
LEADING_MAX: Final = 3
"""Of a customer: records far ahead of their topics that may not be known to conditions which are counted since."""
DEFINITION: Final = "definition"

Held = Mapping[str, Sequence[tuple[int, str | None]]]
"""Moves that were published, by segmentation: instant, and segment."""


class Checked(NamedTuple):
    """How many places and moves were checked, and how many of these moves had to be left open."""

    places: int
    moves: int
    left_open: int


NO_ACTS: Final = (PROFILE, CONSENT)
"""Kinds of inputs that say what a customer is, or agrees to."""


@dataclass(frozen=True)
class Evidence:
    """What the topics hold of the customers of a partition.

    Parameters
    ----------
    rows, standings
        By customer.
    acts, profiles
        Their inputs, those of each topic in the order of the log.
    migrations
        In the order of the log, those of all segmentations.
    minor_per_major
        Minor units of the base currency in a major one.
    rhythm
        Of the model in force of the first learned segmentation; None if it is not known.
    """

    rows: Mapping[str, CustomerRow]
    standings: Standings
    acts: Mapping[str, Sequence[Entry]]
    profiles: Mapping[str, Sequence[Entry]]
    migrations: Sequence[Migration]
    minor_per_major: int
    rhythm: Rhythm | None = None

    def orders(self, customer_id: str) -> Iterator[list[Entry]]:
        """Yield a customer's inputs in the likely orders, without those that are delivered again."""
        for order in likely_orders([*self.acts.get(customer_id, ()), *self.profiles.get(customer_id, ())]):
            acts = [entry for entry in order if entry.event.kind not in NO_ACTS]
            again = {id(entry) for entry, fold in zip(acts, distinct(acts), strict=True) if not fold}
            yield [entry for entry in order if id(entry) not in again]

    def customer(self, customer_id: str, known: Sequence[Entry], held: Held, rhythm: Rhythm | None) -> Customer:
        """Return a customer with these inputs."""
        acts = [entry for entry in known if entry.event.kind not in NO_ACTS]
        return Customer(
            customer_id,
            [self._act(entry, event_type) for entry, event_type in acts_of(acts)],
            [self._observation(entry) for entry in known if entry.event.kind in NO_ACTS],
            figures_of(acts, self.minor_per_major, rhythm),
            held,
        )

    def _act(self, entry: Entry, event_type: str) -> Act:
        event = entry.event
        fields: dict[str, Any] = dict(read_kept(event.kept)) if event.kept else {}
        if event.kind != ENGAGEMENT and event.amount_minor >= 0:
            fields["amount"] = event.amount_minor / self.minor_per_major
        return Act(event.at_ms, event_type, fields)

    def _observation(self, entry: Entry) -> Observation:
        return Observation(entry.event.at_ms, dict(read_kept(entry.event.kept)))


def check_rules(
    evidence: Evidence,
    definitions: Definitions,
    versions: Mapping[str, int],
    swept_at_ms: int,
    log: Log,
    *,
    with_moves: bool = True,
) -> tuple[Checked, list[Finding]]:
    """Check places and moves of all customers of a partition.

    Parameters
    ----------
    definitions
        Those under which everybody has been assessed.
    versions
        By name, their versions.
    swept_at_ms
        Instant of the last whole sweep, which does not include it.
    log
        Of the changelog.
    with_moves
        Whether moves are checked, beside the places at the end.
    """
    told: defaultdict[str, list[Migration]] = defaultdict(list)
    for seen in evidence.migrations:
        told[seen.customer_id].append(seen)
    findings: list[Finding] = []
    verdicts: Counter[bool | None] = Counter()
    for customer_id, row in evidence.rows.items():
        at_ms = max(NO_TIME if row.closed_at_ms is None else row.closed_at_ms, swept_at_ms - 1)
        orders = list(evidence.orders(customer_id))
        if any(map(is_misdated, orders)):
            continue
        audited = _Audited(evidence, definitions, customer_id, orders, told[customer_id])
        for name in definitions.segmentations:
            standing = evidence.standings[customer_id].get(name)
            message = audited.misplaced(name, None if standing is None else standing.segment_id, at_ms)
            if message:
                findings.append(Finding("rules", message, customer_id, place(*log)))
            if not with_moves:
                continue
            checked = [move for move in told[customer_id] if _is_by(move, name, versions[name])][-MOVES_CHECKED:]
            for move in checked:
                is_right = audited.is_right(move)
                verdicts[is_right] += 1
                if is_right is False:
                    where = f"migration at offset {move.offset}"
                    findings.append(Finding("rules", _wrong(move), customer_id, where))
    if verdicts[None] > LEFT_OPEN_MAX * verdicts.total():
        message = f"{verdicts[None]} of {verdicts.total()} moves are explained by no late records, expected few"
        findings.append(Finding("rules", message, position=place(*log)))
    places = len(evidence.rows) * len(definitions.segmentations)
    return Checked(places, verdicts.total(), verdicts[None]), findings


def _is_by(move: Migration, segmentation: str, version: int) -> bool:
    """Return whether a move was made by rules of a version, and not by their taking over."""
    is_ours = move.segmentation == segmentation and move.to.model_version == version
    return is_ours and move.cause.kind != DEFINITION


class _Audited:
    """One customer, asked about by the definitions."""

    def __init__(
        self,
        evidence: Evidence,
        definitions: Definitions,
        customer_id: str,
        orders: Sequence[list[Entry]],
        told: Sequence[Migration],
    ) -> None:
        self._evidence = evidence
        self._definitions = definitions
        self._customer_id = customer_id
        self._held = _held(told)
        self._orders = [*orders, *(timely for order in orders for timely in _timely(order))]
        self._wholes = [self._known(order) for order in self._orders]
        self._placed = [self._known(order, evidence.rhythm) for order in self._orders]

    def misplaced(self, segmentation: str, found: str | None, at_ms: int) -> str | None:
        """Return what is wrong with the customer's place at an instant; None if nothing is."""
        possible: set[str | None] = set()
        for who in self._placed:
            possible.update(self._definitions.possible_segments(segmentation, who, at_ms))
        if found in possible:
            return None
        return f"{segmentation}: in {_name(found)}, expected {_or(possible)} at {format_instant(at_ms)}"

    def is_right(self, move: Migration) -> bool | None:
        """Return whether the rules lead to a move at its instant, whatever was late; None if too much may have been."""
        for whole in self._wholes:
            if self._leads_to(move, whole) and self._comes_from(move, whole):
                return True
        at_ms = _effective_ms(move)
        known = [entry for entry in self._orders[0] if entry.event.at_ms <= at_ms]
        streams = [[entry for entry in known if entry.stream == n] for n in sorted({entry.stream for entry in known})]
        most = max(int(STATES_MAX ** (1 / max(len(streams), 1))) - 1, 1)
        states = sorted(product(*(range(min(len(stream), most) + 1) for stream in streams)), key=sum)

        @cache
        def without(late: tuple[int, ...]) -> Customer:
            """Return the customer without some of the last of each topic."""
            parts = [stream[: len(stream) - count] for stream, count in zip(streams, late, strict=True)]
            return self._known([entry for part in parts for entry in part])

        @cache
        def comes_from(late: tuple[int, ...]) -> bool:
            return self._comes_from(move, without(late))

        for late in states:
            if self._leads_to(move, without(late)):
                # Where nothing came, nothing else is known before.
                earlier = [late] if move.cause.topic is None else (s for s in states if all(map(operator.ge, s, late)))
                if any(map(comes_from, earlier)):
                    return True
        return None if any(len(stream) > most for stream in streams) else False

    def _known(self, entries: Sequence[Entry], rhythm: Rhythm | None = None) -> Customer:
        return self._evidence.customer(self._customer_id, entries, self._held, rhythm)

    def _leads_to(self, move: Migration, who: Customer) -> bool:
        possible = self._definitions.possible_segments(move.segmentation, who, _effective_ms(move))
        return move.to.segment_id in possible

    def _comes_from(self, move: Migration, who: Customer) -> bool:
        """Return whether the customer was where the move began, right before its instant."""
        at_ms, known_from_ms = _effective_ms(move), who.known_from_ms()
        if known_from_ms is None or known_from_ms >= at_ms:
            return move.from_segment_id is None
        return move.from_segment_id in self._definitions.possible_segments(move.segmentation, who, at_ms - 1)


def _timely(order: list[Entry]) -> Iterator[list[Entry]]:
    """Yield a customer's inputs without the last of its acts that led their topic's time when they came.

    Conditions that began to be counted afterwards, but before the time that such a record tells, know nothing of it.
    Whether a record led the time of all topics, too, is not known.
    """
    leading = [entry for entry in order if entry.event.kind not in NO_ACTS and entry.event.at_ms > entry.watermark_ms]
    for from_ms in sorted({entry.event.at_ms for entry in leading}, reverse=True)[:LEADING_MAX]:
        left_out = {id(entry) for entry in leading if entry.event.at_ms >= from_ms}
        yield [entry for entry in order if id(entry) not in left_out]


def _held(told: Iterable[Migration]) -> Held:
    """Return the moves that were published of a customer, by segmentation."""
    held: defaultdict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for move in told:
        held[move.segmentation].append((_effective_ms(move), move.to.segment_id))
    return dict(held)


def _effective_ms(move: Migration) -> int:
    return to_milliseconds(datetime.fromisoformat(move.to.since or ""))


def _wrong(move: Migration) -> str:
    way = f"{_name(move.from_segment_id)} to {_name(move.to.segment_id)} by '{move.cause.kind}'"
    return f"{move.segmentation}: {move.sequence} from {way} at {move.to.since}, which the rules do not lead to"


def _or(possible: Iterable[str | None]) -> str:
    return " or ".join(sorted(map(_name, possible)))


def _name(segment_id: str | None) -> str:
    return "null" if segment_id is None else segment_id
