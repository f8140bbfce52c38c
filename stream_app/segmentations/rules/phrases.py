"""Leaves of conditions in English: a short phrase each, and what its number counts.

A phrase says what is true of a customer while the leaf holds: "3 or more order_completed in the last 30 days". It
stands alone in explanations; sentences of whole definitions are made of the same phrases, see
`stream_app.segmentations.rules.sentences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from stream_app.segmentations.durations import UNITS_MS, Duration
from stream_app.segmentations.rules.catalogue import FIGURES, MONEY
from stream_app.segmentations.rules.comparing import Comparator, FieldTest, Tested
from stream_app.segmentations.rules.leaves import (
    Anniversary,
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    FirstEventLeaf,
    LastEventLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    RegularlyLeaf,
    RestartedLeaf,
    SequenceLeaf,
    SinceLastLeaf,
    TraitLeaf,
)
from stream_app.segmentations.rules.windows import Windowed

_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_WORDS: Final = {
    "sum": "the sum of {} over",
    "min": "the least {} of",
    "max": "the greatest {} of",
    "average": "the average {} of",
}
_NOUNS: Final = {"order_completed": "orders", "order_refunded": "refunds"}
MONEY_FIELD: Final = "amount"
"""The field of events that is money in the base currency."""


def phrase_of(leaf: Leaf, currency: str = "", timezone: str = "UTC") -> str:
    """Return a leaf as a short phrase.

    Parameters
    ----------
    leaf
        The leaf.
    currency
        Name of the base currency, such as `EUR`; amounts have no unit where it is empty.
    timezone
        Whose dates a leaf means that names no time zone.
    """
    match leaf:
        case FigureLeaf():
            figure = FIGURES[leaf.figure]
            if figure.is_count:
                one = leaf.comparisons == (("equals", 1.0),)
                noun = figure.noun.removesuffix("s") if one else figure.noun
                return f"{_joined(_counted(*each) for each in leaf.comparisons)} {noun}"
            unit = "" if figure.unit in figure.noun else _unit(figure.unit, currency)
            return f"{figure.noun} {_joined(compared(*each, unit) for each in leaf.comparisons)}"
        case EventLeaf():
            return _event(leaf, currency, timezone)
        case DecayedLeaf():
            unit = _unit(_field_unit(leaf.decayed_sum), currency)
            counted = "number of" if leaf.decayed_sum == "count" else f"sum of {leaf.decayed_sum} over"
            return (
                f"a decayed {counted} {_events(leaf.event, leaf.where)} (half-life {span(leaf.half_life)}) "
                f"{_joined(compared(*each, unit) for each in leaf.comparisons)}"
            )
        case FirstEventLeaf():
            return f"the first {_events(leaf.first_event, leaf.where)} ever, in the last {_bare(leaf.last)}"
        case RestartedLeaf():
            return (
                f"{_events(leaf.restarted, leaf.where)} in the last {_bare(leaf.last)}, after none in the "
                f"{span(leaf.pause)} before and some earlier"
            )
        case RegularlyLeaf():
            return (
                f"{leaf.times} or more {_events(leaf.regularly, leaf.where)} in each of at least {leaf.in_at_least} of "
                f"the last {leaf.of_last} periods of {span(leaf.each)}"
            )
        case SequenceLeaf(sequence=(first, second)):
            return (
                f"{_type(first)} in the last {_bare(leaf.last)}, with {_type(second)} after it within "
                f"{span(leaf.within)}"
            )
        case LastEventLeaf():
            return f"the latest {_events(leaf.last_event, leaf.where)} is one whose {_tests(leaf.has)}"
        case SinceLastLeaf():
            return f"the last {_events(leaf.since_last, leaf.where)} was {_joined(_ago(*c) for c in leaf.comparisons)}"
        case TraitLeaf():
            return _trait(leaf, timezone)
        case MembershipLeaf():
            return _membership(leaf)
        case ListLeaf():
            return f"on the list {leaf.list_name}"
        case _:  # a RandomLeaf, the only one left
            bucket = leaf.random
            return (
                f"in the random share from {bucket.from_percent:g} % up to {bucket.to_percent:g} % by the salt "
                f"{bucket.salt}"
            )


def counted_of(leaf: Leaf, currency: str = "") -> str:
    """Return what the number of a leaf counts: `orders`, `EUR`, `days`; empty where it has none or no unit."""
    match leaf:
        case FigureLeaf():
            return _unit(FIGURES[leaf.figure].unit, currency)
        case EventLeaf() if leaf.aggregate is not None:
            return _unit(_field_unit(leaf.aggregate[1]), currency)
        case EventLeaf():
            return _NOUNS.get(leaf.event, "events")
        case DecayedLeaf():
            return (
                _NOUNS.get(leaf.event, "events")
                if leaf.decayed_sum == "count"
                else _unit(_field_unit(leaf.decayed_sum), currency)
            )
        case SinceLastLeaf():
            return "days"
        case RegularlyLeaf():
            return "periods"
        case _:
            return ""


def span(duration: Duration) -> str:
    """Return a duration in words: `30 days`, `1 hour`."""
    count, unit = duration.milliseconds // UNITS_MS[duration.text[-1]], _UNITS[duration.text[-1]]
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def number(value: float) -> str:
    """Return a number as people write it, every digit of it: `1000000`, `.5` as `0.5`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def compared(comparator: Comparator, value: float, unit: str = "") -> str:
    """Return a comparison of a number, as it follows the name of what is compared."""
    amount = f"{number(value)} {unit}" if unit else number(value)
    match comparator:
        case "at_least":
            return f"of {amount} or more"
        case "at_most":
            return f"of {amount} or less"
        case "more_than":
            return f"of more than {amount}"
        case "less_than":
            return f"of less than {amount}"
        case "equals":
            return f"of exactly {amount}"
        case _:  # not_equals
            return f"of anything but {amount}"


def _counted(comparator: Comparator, value: float) -> str:
    """Return a comparison of a count, as it precedes what is counted."""
    if comparator == "equals" and value == 0:
        return "no"
    amount = number(value)
    return {
        "at_least": f"{amount} or more",
        "at_most": f"at most {amount}",
        "more_than": f"more than {amount}",
        "less_than": f"fewer than {amount}",
        "equals": f"exactly {amount}",
        "not_equals": f"any number but {amount} of",
    }[comparator]


def _event(leaf: EventLeaf, currency: str, timezone: str) -> str:
    what, when = _events(leaf.event, leaf.where), window(leaf, timezone)
    if leaf.aggregate is None:
        return f"{' and '.join(_counted(*each) for each in leaf.comparisons)} {what} {when}"
    name, field = leaf.aggregate
    unit = _unit(_field_unit(field), currency)
    return f"{_WORDS[name].format(field)} {what} {when} is {_joined(_is(*each, unit) for each in leaf.comparisons)}"


def _is(comparator: Comparator, value: float, unit: str = "") -> str:
    return compared(comparator, value, unit).removeprefix("of ")


def window(leaf: Windowed, timezone: str = "UTC") -> str:
    """Return in words when events count for a leaf."""
    if leaf.last is not None:
        return f"in the last {_bare(leaf.last)}"
    if leaf.between_ago is not None:
        newest, oldest = leaf.between_ago
        return f"between {span(oldest)} and {span(newest)} ago"
    if leaf.calendar is not None:
        days, zone = leaf.calendar.days, leaf.calendar.timezone or timezone
        if leaf.calendar.today:
            return f"today ({zone})" if days == 1 else f"in the last {days} calendar days, today included ({zone})"
        return f"yesterday ({zone})" if days == 1 else f"in the {days} calendar days before today ({zone})"
    if leaf.since is not None and leaf.to is not None:
        return f"from {leaf.since} until before {leaf.to}"
    if leaf.since is not None:
        return f"since {leaf.since}"
    return "ever" if leaf.to is None else f"before {leaf.to}"


def _trait(leaf: TraitLeaf, timezone: str) -> str:
    name = f"the trait {leaf.trait}"
    if leaf.in_last is not None:
        return f"{name} is a date in the last {_bare(leaf.in_last)}"
    if leaf.in_next is not None:
        return f"{name} is a date in the next {_bare(leaf.in_next)}"
    if leaf.before is not None:
        return f"{name} is a date before {leaf.before}"
    if leaf.after is not None:
        return f"{name} is a date on or after {leaf.after}"
    if leaf.anniversary is not None:
        return f"{name} {_anniversary(leaf.anniversary, timezone)}"
    phrase = f"{name} {_asked(leaf)}"
    if leaf.held_for is None:
        return phrase
    held = leaf.held_for
    since = f"{span(held.at_least)} or longer" if held.at_least else f"less than {span(held.less_than)}"  # type: ignore[arg-type]  # one of both is given
    return f"{phrase} and has been so for {since}"


def _anniversary(anniversary: Anniversary, timezone: str) -> str:
    zone = anniversary.timezone or timezone
    if anniversary.in_next is None:
        return f"is a date whose anniversary is in the present month ({zone})"
    return f"is a date whose anniversary is within {span(anniversary.in_next)}, today included ({zone})"


def _membership(leaf: MembershipLeaf) -> str:
    where = (
        f"in {leaf.segmentation}"
        if leaf.segment is None
        else f"in the segment {_either(leaf.segment)} of {leaf.segmentation}"
    )
    return where if leaf.for_at_least is None else f"{where} for {span(leaf.for_at_least)} or longer"


def _events(event: str, where: Sequence[FieldTest]) -> str:
    return f"{_type(event)} whose {_tests(where)}" if where else _type(event)


def _type(event: str) -> str:
    return "events of any type" if event == "*" else event


def _tests(tests: Iterable[FieldTest]) -> str:
    return " and ".join(f"{test.field} {_asked(test)}" for test in tests)


def _asked(tested: Tested) -> str:
    """Return what is asked of a value, as it follows the name of the value."""
    return _joined(_test(name, asked) for name, asked in tested.tests).replace(" and is ", " and ")


def _test(name: str, asked: Any) -> str:
    match name:
        case "equals":
            return f"is {value(asked)}"
        case "not_equals":
            return f"is not {value(asked)}, or unknown"
        case "in":
            return f"is {_either(asked)}"
        case "not_in":
            return f"is not {_either(asked)}, or unknown"
        case "exists":
            return "is known" if asked else "is unknown"
        case "contains":
            return f"contains {value(asked)}"
        case "begins_with":
            return f"begins with {value(asked)}"
        case _:
            return f"is {_is(name, asked)}"  # type: ignore[arg-type]  # what is left compares numbers


def value(given: object) -> str:
    """Return a value as a definition means it: texts bare where they cannot be mistaken for something else."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return number(given)
    text = str(given)
    return text if text.isidentifier() and text not in ("true", "false") else f"“{text}”"


def _either(values: Sequence[Any]) -> str:
    texts = [value(each) for each in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _ago(comparator: Comparator, duration: Duration) -> str:
    match comparator:
        case "at_least":
            return f"{span(duration)} ago or longer"
        case "at_most":
            return f"{span(duration)} ago or less"
        case "more_than":
            return f"more than {span(duration)} ago"
        case _:
            return f"less than {span(duration)} ago"


def _bare(duration: Duration) -> str:
    text = span(duration)
    return text.removeprefix("1 ")


def _joined(phrases: Iterable[str]) -> str:
    return " and ".join(phrases)


def _field_unit(field: str) -> str:
    return MONEY if field == MONEY_FIELD else ""


def _unit(unit: str, currency: str) -> str:
    return currency if unit == MONEY else unit
