"""The moves that rules make of a customer, found by asking at every instant at which an answer could change.

The instants are a superset of those at which something does change, each leaf names its own: an act leaves `last: D` at
t + D, a calendar window at a local midnight, and so on; a decayed sum or a figure passes its border somewhere between
two of them, which bisection finds. So the list of moves is complete, and each move's instant is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from stream_app.audit.brute_rules import Customer, Definitions
from stream_app.audit.brute_time import (
    anniversary_day,
    calendar_date,
    date_of,
    day_start_ms,
    duration_ms,
    instant_ms,
    local_day,
)
from stream_app.audit.brute_values import COMPARATORS, Outcomes, known_ms


class Move(NamedTuple):
    """A customer's move; `segment` is None where it leaves an audience."""

    at_ms: int
    segmentation: str
    segment: str | None


def moves(definitions: Definitions, customer: Customer, from_ms: int, until_ms: int) -> list[Move]:
    """Return the moves of a customer at instants from `from_ms` on and before `until_ms`, in order.

    The customer was in no segment before `from_ms`. Those of one instant are in the order of the definitions. Where
    an answer is not certain, the first of the possible ones counts.
    """
    found: list[Move] = []
    for name in in_layers(definitions):
        own = list(_moves_of(definitions, name, customer, from_ms, until_ms))
        told = [(move.at_ms, move.segment) for move in own]
        customer = replace(customer, held={**customer.held, name: told})
        found += own
    order = {name: index for index, name in enumerate(definitions.segmentations)}
    return sorted(found, key=lambda move: (move.at_ms, order[move.segmentation]))


def in_layers(definitions: Definitions) -> list[str]:
    """Return the names of segmentations, those that others look at before these."""
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in done or name not in definitions.segmentations:
            return
        for condition in leaves_of(definitions.segmentations[name]):
            if "segmentation" in condition:
                visit(condition["segmentation"])
        done[name] = None

    for name in definitions.segmentations:
        visit(name)
    return list(done)


def leaves_of(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the conditions of a definition that have no parts."""
    if definition["kind"] == "audience":
        yield from _leaves(definition["when"])
    else:
        for segment in definition["segments"]:
            yield from _leaves(segment["when"])


def _leaves(condition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = condition.get("all") or condition.get("any") or []
    if "not" in condition:
        parts = [condition["not"]]
    if "score" in condition:
        parts = [part["when"] for part in condition["score"]]
    if not parts:
        yield condition
    for part in parts:
        yield from _leaves(part)


def _moves_of(definitions: Definitions, name: str, customer: Customer, from_ms: int, until_ms: int) -> Iterator[Move]:
    known_from_ms = customer.known_from_ms()
    if known_from_ms is None:
        return
    first_ms = max(from_ms, known_from_ms)
    segment: str | None = None
    for at_ms in sorted({first_ms, *edges(definitions, name, customer, until_ms)}):
        if first_ms <= at_ms < until_ms:
            target = definitions.possible_segments(name, customer, at_ms)[0]
            if target != segment:
                segment = target
                yield Move(at_ms, name, target)


def edges(definitions: Definitions, name: str, customer: Customer, until_ms: int) -> set[int]:
    """Return instants among which are all at which a customer's segment can change before `until_ms`."""
    knots = {at for item in customer.inputs() for at in (item.at_ms, known_ms(item))}
    found = set(knots)
    for condition in leaves_of(definitions.segmentations[name]):
        if "segmentation" in condition:
            found |= _edges_below(definitions, condition, customer, until_ms)
        elif "figure" in condition or "decayed_sum" in condition:
            found |= _crossings(definitions, condition, customer, knots, until_ms)
        elif "trait" in condition:
            found |= _edges_of_trait(definitions, condition, customer, until_ms)
        else:
            found |= _edges_of_acts(definitions, condition, customer)
    return found


def _edges_below(definitions: Definitions, condition: Mapping[str, Any], customer: Customer, until_ms: int) -> set[int]:
    name = condition["segmentation"]
    found = {at_ms for at_ms, _ in customer.held.get(name, ())}
    if name in definitions.segmentations:
        found |= edges(definitions, name, customer, until_ms)
    lead_ms = duration_ms(condition.get("for_at_least", "0s"))
    return found | {at_ms + lead_ms for at_ms in found}


def _edges_of_acts(definitions: Definitions, condition: Mapping[str, Any], customer: Customer) -> set[int]:
    found: set[int] = set()
    for act in customer.acts:
        found |= {act.at_ms + shift_ms for shift_ms in _shifts_ms(condition)}
        if "calendar" in condition:
            calendar = condition["calendar"]
            zone = calendar.get("timezone", definitions.timezone)
            day = local_day(act.at_ms, zone)
            found |= {day_start_ms(day + later, zone) for later in (1, calendar["days"], calendar["days"] + 1)}
    return found


def _shifts_ms(condition: Mapping[str, Any]) -> set[int]:
    """Return how long after an act a condition on acts may change."""
    if "since_last" in condition:
        borders = [duration_ms(condition[name]) for name in COMPARATORS if name in condition]
        return {border + more for border in borders for more in (0, 1)}
    if "regularly" in condition:
        return {duration_ms(condition["each"]) * period for period in range(1, condition["of_last"] + 1)}
    windows = [condition["last"]] if "last" in condition else list(condition.get("between_ago", ()))
    shifts = {duration_ms(window) for window in windows}
    if "restarted" in condition:
        shifts.add(duration_ms(condition["last"]) + duration_ms(condition["pause"]))
    return shifts


def _edges_of_trait(
    definitions: Definitions, condition: Mapping[str, Any], customer: Customer, until_ms: int
) -> set[int]:
    found: set[int] = set()
    zone = condition.get("timezone", definitions.timezone)
    for observation in customer.observations:
        value = observation.traits.get(condition["trait"])
        held = condition.get("held_for", {})
        for border_ms in (duration_ms(held[name]) for name in COMPARATORS if name in held):
            found |= {observation.at_ms + border_ms, observation.at_ms + border_ms + 1}
        if (at_ms := instant_ms(value)) is not None:
            last_ms, next_ms = (duration_ms(condition.get(name, "0s")) for name in ("in_last", "in_next"))
            found |= {at_ms, at_ms + last_ms, at_ms - next_ms}
        if "anniversary" in condition:
            own_zone = condition["anniversary"].get("timezone", zone)
            found.update(_edges_of_years(condition["anniversary"], value, own_zone, observation.at_ms, until_ms))
    return found


def _edges_of_years(
    anniversary: Mapping[str, Any], value: Any, zone: str, since_ms: int, until_ms: int
) -> Iterable[int]:
    born = calendar_date(value)
    if born is None:
        return
    years = range(date_of(local_day(since_ms, zone)).year - 1, date_of(local_day(until_ms, zone)).year + 2)
    for year in years:
        day = anniversary_day(born, year)
        if "in_next" in anniversary:
            yield day_start_ms(day - duration_ms(anniversary["in_next"]) // 86_400_000 + 1, zone)
            yield day_start_ms(day + 1, zone)
        for month in range(1, 13):
            yield day_start_ms(anniversary_day(date(2000, month, 1), year), zone)


def _crossings(
    definitions: Definitions, condition: Mapping[str, Any], customer: Customer, knots: set[int], until_ms: int
) -> set[int]:
    """Return where something that only rises or only falls between knots passes one of its borders."""
    found: set[int] = set()
    for name in COMPARATORS.keys() & condition.keys():
        sides = ("at_least", "more_than") if name in ("equals", "not_equals") else (name,)
        for side in sides:
            part = {key: bound for key, bound in condition.items() if key not in COMPARATORS}
            part[side] = condition[name]
            ask = _asking(definitions, part, customer)
            for before_ms, after_ms in pairwise(sorted({*knots, until_ms})):
                found.update(_flips(ask, before_ms, after_ms - 1))
    return found


def _asking(definitions: Definitions, condition: Mapping[str, Any], customer: Customer) -> Callable[[int], Outcomes]:
    return lambda at_ms: definitions.outcomes(condition, customer, at_ms)


def _flips(ask: Callable[[int], Outcomes], from_ms: int, until_ms: int) -> Iterator[int]:
    """Yield the instants at which an answer changes that never goes back to what it was."""
    at_end = ask(until_ms)
    while from_ms < until_ms and (at_first := ask(from_ms)) != at_end:
        before_ms, after_ms = from_ms, until_ms
        while after_ms - before_ms > 1:
            middle_ms = (before_ms + after_ms) // 2
            if ask(middle_ms) == at_first:
                before_ms = middle_ms
            else:
                after_ms = middle_ms
        yield after_ms
        from_ms = after_ms
