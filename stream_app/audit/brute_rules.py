"""Where rules put a customer, worked out from all that is known of it: slow, plain, sharing no code with the engine.

The definitions are the file's own mappings, read from YAML or from a published document; the customer is a list of its
acts and of what was observed of its traits. A condition is looked up again at every instant that is asked for, from the
whole history: no series, no due instants, no state.

Answers are sets of outcomes, mostly of one. Both are possible where a figure is on the very border of what it is
compared with, as others add and round in another order, and where more was to be kept than is kept exactly: see
`EXACT_VALUES` and `EXACT_OBSERVATIONS`.

A late record counts from `known_ms` on, but windows look at `at_ms`: an act is seen at `now` if known_ms ≤ now.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from stream_app.audit.brute_time import day_start_ms, duration_ms, instant_ms, local_day
from stream_app.audit.brute_values import (
    BORDER,
    COMPARATORS,
    EITHER,
    EXACT_OBSERVATIONS,
    EXACT_VALUES,
    NO,
    YES,
    Act,
    Observation,
    Outcomes,
    border_of,
    compare,
    compares,
    either,
    field_of,
    known_ms,
    known_to_be,
    number,
    passes,
    since_ms,
    trait_passes,
    value_order,
)


@dataclass(frozen=True)
class Customer:
    """All that is known of a customer.

    Parameters
    ----------
    figure
        From a figure's name and an instant to its value and how far it may be off; None where it does not exist.
    held
        In segmentations that are not by rules: by name, the moves, each an instant and a segment (None for none).
    """

    customer_id: str
    acts: Sequence[Act] = ()
    observations: Sequence[Observation] = ()
    figure: Callable[[str, int], tuple[float, float] | None] | None = None
    held: Mapping[str, Sequence[tuple[int, str | None]]] = field(default_factory=dict)

    def inputs(self) -> list[Act | Observation]:
        """Return all that is known of the customer."""
        return [*self.acts, *self.observations]

    def known_from_ms(self) -> int | None:
        """Return when the customer is first known; None if nothing is known of it."""
        return min((known_ms(item) for item in self.inputs()), default=None)


@dataclass(frozen=True)
class Definitions:
    """Segmentations by rules, audiences among them, as the file has them.

    Parameters
    ----------
    segmentations
        By name.
    lists
        Ids by name of the list.
    timezone
        Of conditions that name none.
    learned_ids
        Ids of learned segments by the names that conditions may call them.
    complete_since
        From a condition on acts to the instant from which on acts have been counted for it, and from one on how long
        somebody has been in a segment to that from which on it is known; None for always. Where it looks at what was
        earlier, both outcomes are possible.
    """

    segmentations: Mapping[str, Mapping[str, Any]]
    lists: Mapping[str, Container[str]] = field(default_factory=dict)
    timezone: str = "UTC"
    learned_ids: Mapping[str, str] = field(default_factory=dict)
    complete_since: Callable[[Mapping[str, Any]], int | None] = lambda _: None

    def possible_segments(self, name: str, customer: Customer, now_ms: int) -> list[str | None]:
        """Return the ids of the segments in which a customer may be at an instant, mostly one; None is out."""
        definition = self.segmentations[name]
        if definition["kind"] == "audience":
            outcomes = _Instant(self, customer, now_ms).outcomes(definition["when"])
            return [name if outcome else None for outcome in sorted(outcomes)]
        possible: list[str | None] = []
        for segment in definition["segments"]:
            outcomes = _Instant(self, customer, now_ms).outcomes(segment["when"])
            if True in outcomes:
                possible.append(segment["id"])
            if False not in outcomes:
                return possible
        return [*possible, definition["otherwise"]["id"]]

    def outcomes(self, condition: Mapping[str, Any], customer: Customer, now_ms: int) -> Outcomes:
        """Return whether a condition holds of a customer at an instant; both where it cannot be known."""
        return _Instant(self, customer, now_ms).outcomes(condition)


class _Instant:
    """A customer at one instant, under some definitions."""

    def __init__(self, definitions: Definitions, customer: Customer, now_ms: int) -> None:
        self._definitions = definitions
        self._customer = customer
        self._now_ms = now_ms

    def outcomes(self, condition: Mapping[str, Any]) -> Outcomes:
        """Return whether a condition holds."""
        form = next((form for form in _FORMS if form in condition), None)
        if form is None:
            raise ValueError(f"{dict(condition)!r}, expected one of {', '.join(_FORMS)}")
        if self._looks_too_far_back(form, condition):
            return EITHER
        return _FORMS[form](self, condition)

    def _looks_too_far_back(self, form: str, condition: Mapping[str, Any]) -> bool:
        """Return whether acts matter that happened before anybody counted them."""
        if form not in _ON_ACTS or (since_ms := self._definitions.complete_since(condition)) is None:
            return False
        types = condition[form] if form == "sequence" else [condition[form]]
        from_ms = self._now_ms - _reach_ms(condition)
        return any(from_ms < act.at_ms <= since_ms for some in types for act in self._matching(some, condition))

    def _all(self, condition: Mapping[str, Any]) -> Outcomes:
        parts = [self.outcomes(part) for part in condition["all"]]
        return either(all(True in part for part in parts), any(False in part for part in parts))

    def _any(self, condition: Mapping[str, Any]) -> Outcomes:
        parts = [self.outcomes(part) for part in condition["any"]]
        return either(any(True in part for part in parts), all(False in part for part in parts))

    def _not(self, condition: Mapping[str, Any]) -> Outcomes:
        return frozenset(not outcome for outcome in self.outcomes(condition["not"]))

    def _score(self, condition: Mapping[str, Any]) -> Outcomes:
        sums = {0}
        for part in condition["score"]:
            sums = {total + outcome * part["points"] for total in sums for outcome in self.outcomes(part["when"])}
        return frozenset().union(*(compare(total, condition) for total in sums))

    def _figure(self, condition: Mapping[str, Any]) -> Outcomes:
        if self._customer.figure is None:
            raise ValueError("a condition on a figure, expected a customer with figures")
        found = self._customer.figure(condition["figure"], self._now_ms)
        return NO if found is None else compare(*found[:1], condition, found[1])

    def _event(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["event"], condition)
        if "decayed_sum" in condition:
            return self._decayed(acts, condition)
        of = [name for name in ("sum", "min", "max", "average") if name in condition]
        inside = [act for act in acts if self._is_inside(act.at_ms, condition)]
        if not of:
            return compare(len(inside), condition if compares(condition) else {"at_least": 1})
        outcomes = self._aggregate(of[0], inside, condition)
        if "last" in condition and len(acts) > EXACT_VALUES:
            longer_ms = self._now_ms - duration_ms(condition["last"]) * 129 // 128
            longer = [act for act in acts if longer_ms < act.at_ms <= self._now_ms]
            if len(longer) > EXACT_VALUES:
                outcomes |= self._aggregate(of[0], longer, condition)
        return outcomes

    def _aggregate(self, of: str, acts: Sequence[Act], condition: Mapping[str, Any]) -> Outcomes:
        values = [value for act in acts if (value := number(field_of(act, condition[of]))) is not None]
        if of == "sum":
            return compare(math.fsum(values), condition, border_of(values))
        if not values:
            return NO
        if of == "average":
            return compare(math.fsum(values) / len(values), condition, BORDER * max(map(abs, values)))
        return compare(min(values) if of == "min" else max(values), condition)

    def _decayed(self, acts: Sequence[Act], condition: Mapping[str, Any]) -> Outcomes:
        name, half_life_ms = condition["decayed_sum"], duration_ms(condition["half_life"])
        values = []
        for act in acts:
            value = 1.0 if name == "count" else number(field_of(act, name))
            if value is not None and act.at_ms <= self._now_ms:
                values.append(value * 2.0 ** ((act.at_ms - self._now_ms) / half_life_ms))
        return compare(math.fsum(values), condition, BORDER * math.fsum(map(abs, values)))

    def _first_event(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["first_event"], condition)
        first_ms = min((act.at_ms for act in acts), default=None)
        return known_to_be(first_ms is not None and first_ms > self._now_ms - duration_ms(condition["last"]))

    def _restarted(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["restarted"], condition)
        began_ms = self._now_ms - duration_ms(condition["last"])
        paused_ms = began_ms - duration_ms(condition["pause"])
        recent = any(act.at_ms > began_ms for act in acts)
        between = any(paused_ms < act.at_ms <= began_ms for act in acts)
        before = any(act.at_ms <= paused_ms for act in acts)
        return known_to_be(recent and not between and before)

    def _regularly(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["regularly"], condition)
        each_ms = duration_ms(condition["each"])
        good = 0
        for period in range(condition["of_last"]):
            until_ms = self._now_ms - period * each_ms
            good += sum(until_ms - each_ms < act.at_ms <= until_ms for act in acts) >= condition["times"]
        return known_to_be(good >= condition["in_at_least"])

    def _sequence(self, condition: Mapping[str, Any]) -> Outcomes:
        first, *others = condition["sequence"]
        began_ms, within_ms = self._now_ms - duration_ms(condition["last"]), duration_ms(condition["within"])
        reached = {act.at_ms for act in self._matching(first, condition) if act.at_ms > began_ms}
        for other in others:
            acts = self._matching(other, condition)
            reached = {act.at_ms for act in acts if any(at_ms < act.at_ms <= at_ms + within_ms for at_ms in reached)}
        return known_to_be(bool(reached))

    def _last_event(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["last_event"], condition)
        last_ms = max((act.at_ms for act in acts), default=None)
        last = [act for act in acts if act.at_ms == last_ms]
        return known_to_be(any(passes(act, condition["has"]) for act in last))

    def _since_last(self, condition: Mapping[str, Any]) -> Outcomes:
        acts = self._matching(condition["since_last"], condition)
        if not acts:
            return NO
        borders = {name: duration_ms(condition[name]) for name in COMPARATORS if name in condition}
        return compare(self._now_ms - max(act.at_ms for act in acts), borders)

    def _trait(self, condition: Mapping[str, Any]) -> Outcomes:
        zone = condition.get("timezone", self._definitions.timezone)
        observed = self._observed(condition["trait"])
        value = observed[-1][1] if observed else None
        held = condition.get("held_for")
        test = {name: bound for name, bound in condition.items() if name not in ("trait", "held_for", "timezone")}
        if not trait_passes(value, test, self._now_ms, zone):
            return NO
        if held is None:
            return YES
        borders = {name: duration_ms(held[name]) for name in COMPARATORS if name in held}
        outcomes = compare(self._now_ms - since_ms(observed), borders)
        kept = observed[-EXACT_OBSERVATIONS:]
        return outcomes if len(kept) == len(observed) else outcomes | compare(self._now_ms - since_ms(kept), borders)

    def _segmentation(self, condition: Mapping[str, Any]) -> Outcomes:
        name = condition["segmentation"]
        if name in self._definitions.segmentations:
            possible = self._definitions.possible_segments(name, self._customer, self._now_ms)
        else:
            moves = [move for move in self._customer.held.get(name, ()) if move[0] <= self._now_ms]
            possible = [moves[-1][1] if moves else None]
        wanted = condition.get("segment", [name])  # an audience has one segment, of its own name
        wanted = [wanted] if isinstance(wanted, str) else wanted
        wanted = [*wanted, *(self._definitions.learned_ids.get(segment, segment) for segment in wanted)]
        outcomes = frozenset(segment in wanted for segment in possible)
        if "for_at_least" not in condition or outcomes == NO:
            return outcomes
        told_ms = self._in_since_ms(name, wanted)
        asked_ms = self._definitions.complete_since(condition)
        if told_ms is None or (asked_ms is not None and told_ms <= asked_ms):  # a row does not say since when
            return EITHER
        return compare(self._now_ms - told_ms, {"at_least": duration_ms(condition["for_at_least"])})

    def _in_since_ms(self, name: str, wanted: Sequence[str]) -> int | None:
        """Return since when the customer is in its present segment, by what was published."""
        moves = [move for move in self._customer.held.get(name, ()) if move[0] <= self._now_ms]
        return moves[-1][0] if moves and moves[-1][1] in wanted else None

    def _list(self, condition: Mapping[str, Any]) -> Outcomes:
        return known_to_be(self._customer.customer_id in self._definitions.lists[condition["list"]])

    def _random(self, condition: Mapping[str, Any]) -> Outcomes:
        draw = condition["random"]
        percent = xxh3_64_intdigest(f"{draw['salt']}:{self._customer.customer_id}".encode()) % 10_000 / 100
        return known_to_be(draw.get("from_percent", 0) <= percent < draw.get("to_percent", 100))

    def _matching(self, type_or_prefix: str, condition: Mapping[str, Any]) -> list[Act]:
        """Return the acts that are known, of a type, and have what `where` asks for."""
        prefix = type_or_prefix.removesuffix("*")
        is_prefix = prefix != type_or_prefix
        return [
            act
            for act in self._customer.acts
            if known_ms(act) <= self._now_ms and act.at_ms <= self._now_ms
            if (act.type.startswith(prefix) if is_prefix else act.type == type_or_prefix)
            if passes(act, condition.get("where", ()))
        ]

    def _is_inside(self, at_ms: int, condition: Mapping[str, Any]) -> bool:
        now_ms = self._now_ms
        if "last" in condition:
            return now_ms - duration_ms(condition["last"]) < at_ms <= now_ms
        if "between_ago" in condition:
            near, far = condition["between_ago"]
            return now_ms - duration_ms(far) < at_ms <= now_ms - duration_ms(near)
        if "calendar" in condition:
            calendar = condition["calendar"]
            zone = calendar.get("timezone", self._definitions.timezone)
            last = local_day(now_ms, zone) - (not calendar.get("today", True))
            first = last - calendar["days"] + 1
            return day_start_ms(first, zone) <= at_ms < day_start_ms(last + 1, zone)
        since, until = instant_ms(condition.get("from")), instant_ms(condition.get("to"))
        return (since is None or at_ms >= since) and (until is None or at_ms < until)

    def _observed(self, trait: str) -> list[tuple[int, Any]]:
        """Return a trait's observations in order; of those of one instant the greatest."""
        seen: dict[int, Any] = {}
        for observation in self._customer.observations:
            if trait in observation.traits and known_ms(observation) <= self._now_ms:
                value, at_ms = observation.traits[trait], observation.at_ms
                if at_ms not in seen or value_order(value) > value_order(seen[at_ms]):
                    seen[at_ms] = value
        return sorted(seen.items(), key=operator.itemgetter(0))


_ON_ACTS: Final = frozenset({"event", "first_event", "restarted", "regularly", "sequence", "last_event", "since_last"})


def _reach_ms(condition: Mapping[str, Any]) -> float:
    """Return how far back a condition looks; without limit if it names no window."""
    if "first_event" in condition or "restarted" in condition:
        return math.inf  # they ask whether there was one before
    if "calendar" in condition:
        return duration_ms(f"{condition['calendar']['days'] + 2}d")
    if "between_ago" in condition:
        return duration_ms(condition["between_ago"][1])
    if "regularly" in condition:
        return duration_ms(condition["each"]) * int(condition["of_last"])
    return duration_ms(condition["last"]) if "last" in condition else math.inf


_FORMS: Final[Mapping[str, Callable[[_Instant, Mapping[str, Any]], Outcomes]]] = {
    "all": _Instant._all,
    "any": _Instant._any,
    "not": _Instant._not,
    "score": _Instant._score,
    "figure": _Instant._figure,
    "event": _Instant._event,
    "first_event": _Instant._first_event,
    "restarted": _Instant._restarted,
    "regularly": _Instant._regularly,
    "sequence": _Instant._sequence,
    "last_event": _Instant._last_event,
    "since_last": _Instant._since_last,
    "trait": _Instant._trait,
    "segmentation": _Instant._segmentation,
    "list": _Instant._list,
    "random": _Instant._random,
}
