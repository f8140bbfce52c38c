"""What brute rules compare: acts and observations of a customer, values, and outcomes.

Text is no number, and no date unless it reads as one of RFC 3339; truth values are no numbers. What is absent is equal
to nothing, so `not_equals` and `not_in` hold of it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import pack
from typing import Any, Final, NamedTuple, TypeAlias

from stream_app.audit.brute_time import (
    anniversary_day,
    calendar_date,
    date_of,
    duration_ms,
    instant_ms,
    local_day,
)

Outcomes: TypeAlias = frozenset[bool]
YES: Final[Outcomes] = frozenset({True})
NO: Final[Outcomes] = frozenset({False})
EITHER: Final[Outcomes] = YES | NO

COMPARATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "more_than": operator.gt,
    "less_than": operator.lt,
    "equals": operator.eq,
    "not_equals": operator.ne,
}
EXACT_VALUES: Final = 256
"""Of a sum or average this many new values are kept one by one; older ones leave in steps of 1/128 of the window."""
EXACT_OBSERVATIONS: Final = 8
"""So many observations of a trait are kept to know since when its value is held."""
BORDER: Final = 1e-9
"""How near to its border a sum may fall to either side, as a share of what was added up."""


class Act(NamedTuple):
    """Something that a customer did.

    Attributes
    ----------
    at_ms
        When.
    type
        Of the contract: `order_completed`, `product_viewed`, ...
    fields
        What `where` can look at, by name: `amount`, `channel`, ...; properties flat (`properties.a.b`) or nested.
    known_ms
        From when on it counts; None is when it happened.
    """

    at_ms: int
    type: str
    fields: Mapping[str, Any] = {}
    known_ms: int | None = None


class Observation(NamedTuple):
    """What was observed of a customer: traits and their values, None for one that was removed."""

    at_ms: int
    traits: Mapping[str, Any]
    known_ms: int | None = None


def known_ms(item: Act | Observation) -> int:
    """Return from when on something counts."""
    return item.at_ms if item.known_ms is None else item.known_ms


def known_to_be(holds: bool) -> Outcomes:
    """Return the one outcome."""
    return YES if holds else NO


def either(can_hold: bool, can_fail: bool) -> Outcomes:
    """Return what is possible."""
    if can_hold and can_fail:
        return EITHER
    return YES if can_hold else NO if can_fail else frozenset()


def compares(condition: Mapping[str, Any]) -> bool:
    """Return whether a condition has a comparator."""
    return any(name in condition for name in COMPARATORS)


def compare(value: float, condition: Mapping[str, Any], margin: float = 0.0) -> Outcomes:
    """Compare with all that a condition names; both outcomes where a value lies nearer than `margin` to its border."""
    can_hold, can_fail = True, False
    for name, holds_of in COMPARATORS.items():
        if name in condition:
            border = condition[name]
            holds, is_near = holds_of(value, border), 0 < margin >= abs(value - border)
            can_hold &= holds or is_near
            can_fail |= not holds or is_near
    return either(can_hold, can_fail)


def border_of(values: Iterable[float]) -> float:
    """Return how far a sum may be off: nothing if it is of whole numbers."""
    parts = list(values)
    return 0.0 if all(float(part).is_integer() for part in parts) else BORDER * math.fsum(map(abs, parts))


def number(value: Any) -> float | None:
    """Return a value that is a number, None for others."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def field_of(act: Act, name: str) -> Any:
    """Return a field; None if the act has none."""
    if name in act.fields:
        return act.fields[name]
    value: Any = act.fields
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def passes(act: Act, tests: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether an act has what all tests ask for."""
    return all(
        value_passes(field_of(act, test["field"]), {name: bound for name, bound in test.items() if name != "field"})
        for test in tests
    )


def value_passes(value: Any, test: Mapping[str, Any]) -> bool:
    """Return whether a value passes all parts of a test."""
    return all(_TESTS[name](value, bound) for name, bound in test.items())


def trait_passes(value: Any, test: Mapping[str, Any], now_ms: int, zone: str) -> bool:
    """Return whether a trait's value passes all parts of a test at an instant."""
    timeless = {name: bound for name, bound in test.items() if name in _TESTS}
    timed = test.keys() - timeless.keys()
    return value_passes(value, timeless) and all(_date_passes(value, name, test[name], now_ms, zone) for name in timed)


def _date_passes(value: Any, name: str, bound: Any, now_ms: int, zone: str) -> bool:
    if name == "anniversary":
        return _anniversary(value, bound, now_ms, bound.get("timezone", zone))
    at_ms = instant_ms(value)
    if at_ms is None:
        return False
    if name in ("before", "after"):
        border_ms = instant_ms(bound)
        if border_ms is None:
            raise ValueError(f"{name}: {bound!r}, expected an instant")
        return at_ms < border_ms if name == "before" else at_ms >= border_ms
    if name == "in_last":
        return at_ms <= now_ms < at_ms + duration_ms(bound)
    if name == "in_next":
        return at_ms - duration_ms(bound) <= now_ms < at_ms
    raise ValueError(f"{name}: a test that is not known")


def _anniversary(value: Any, bound: Mapping[str, Any], now_ms: int, zone: str) -> bool:
    born = calendar_date(value)
    if born is None:
        return False
    today = local_day(now_ms, zone)
    year = date_of(today).year
    if bound.get("in_month"):
        kept, shown = date_of(anniversary_day(born, year)), date_of(today)
        return (kept.year, kept.month) == (shown.year, shown.month)
    dates = duration_ms(bound["in_next"]) // 86_400_000
    return any(0 <= anniversary_day(born, some) - today < dates for some in (year, year + 1, year + 2))


def value_order(value: Any) -> tuple[Any, ...]:
    """Return what values are ordered by where the greater one counts: kinds first, then the bytes that are kept."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, int | float):
        return 2, pack("<d", value + 0.0)
    if isinstance(value, str):
        return 3, value.encode()
    texts = [text.encode() for text in value]
    return 4, b"".join(pack("<H", len(text)) + text for text in texts)


def since_ms(observed: Sequence[tuple[int, Any]]) -> int:
    """Return since when the last of some observations, in order, has had its value."""
    held_ms, value = observed[-1]
    for at_ms, earlier in reversed(observed):
        if value_order(earlier) != value_order(value):
            break
        held_ms = at_ms
    return held_ms


def _same(value: Any, bound: Any) -> bool:
    return value is not None and value_order(value) == value_order(bound)


def _numeric(name: str) -> Callable[[Any, Any], bool]:
    return lambda value, bound: (found := number(value)) is not None and COMPARATORS[name](found, bound)


_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    **{name: _numeric(name) for name in ("at_least", "at_most", "more_than", "less_than")},
    "equals": _same,
    "not_equals": lambda value, bound: not _same(value, bound),
    "in": lambda value, bound: any(_same(value, one) for one in bound),
    "not_in": lambda value, bound: not any(_same(value, one) for one in bound),
    "exists": lambda value, bound: (value is not None and value != "") is bound,
    "contains": lambda value, bound: isinstance(value, list | tuple) and bound in value,
    "begins_with": lambda value, bound: isinstance(value, str) and value.startswith(bound),
}
