"""Ranges of numbers that comparators leave, and what of events a leaf counts: what can be decided of two leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from stream_app.segmentations.durations import Duration
from stream_app.segmentations.rules.comparing import COMPARATORS, FieldTest
from stream_app.segmentations.rules.conditions import canonical
from stream_app.segmentations.rules.leaves import (
    EventLeaf,
    FirstEventLeaf,
    LastEventLeaf,
    RestartedLeaf,
)
from stream_app.segmentations.rules.values import is_prefix
from stream_app.segmentations.rules.windows import Calendar, Fixed, Moving, Window


class Range(NamedTuple):
    """Numbers between two ends.

    Attributes
    ----------
    low, high
        The ends.
    low_open, high_open
        Whether an end itself is left out.
    without
        Numbers in between that are left out.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    without: frozenset[float] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether no number is in it."""
        if self.low != self.high:
            return self.low > self.high
        return self.low_open or self.high_open or self.low in self.without

    def __contains__(self, number: object) -> bool:
        """Return whether a number is in it."""
        assert isinstance(number, float)
        above = number > self.low or (number == self.low and not self.low_open)
        below = number < self.high or (number == self.high and not self.high_open)
        return above and below and number not in self.without

    def meet(self, other: Range) -> Range:
        """Return what is in both."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Range(
            low,
            high,
            any(r.low_open for r in (self, other) if r.low == low),
            any(r.high_open for r in (self, other) if r.high == high),
            self.without | other.without,
        )

    @property
    def tight(self) -> Range:
        """The same range of whole numbers, with ends that are in it."""
        low, high = self.low, self.high
        while low in self.without:
            low += 1.0
        while high in self.without:
            high -= 1.0
        return self._replace(low=low, high=high)

    def covers(self, other: Range) -> bool:
        """Return whether all of another one is in it."""
        if other.is_empty:
            return True
        above = self.low < other.low or (self.low == other.low and (other.low_open or not self.low_open))
        below = self.high > other.high or (self.high == other.high and (other.high_open or not self.high_open))
        return above and below and not any(number in other for number in self.without)


COUNTS: Final = Range(0.0)
"""What a number of events can be."""


def range_of(comparisons: Iterable[tuple[str, Any]], *, whole: bool = False) -> Range:
    """Return the numbers for which all comparisons hold; of `whole` ones, in terms of whole numbers."""
    left = Range()
    for comparator, given in comparisons:
        value = float(given.milliseconds if isinstance(given, Duration) else given)
        left = left.meet(_one(comparator, value))
    if not whole:
        return left
    low = math.floor(left.low) + 1.0 if left.low_open else _up(left.low)
    high = math.ceil(left.high) - 1.0 if left.high_open else _down(left.high)
    return Range(low, high, without=left.without)


def _up(value: float) -> float:
    return float(math.ceil(value)) if math.isfinite(value) else value


def _down(value: float) -> float:
    return float(math.floor(value)) if math.isfinite(value) else value


def _one(comparator: str, value: float) -> Range:
    match comparator:
        case "at_least":
            return Range(low=value)
        case "at_most":
            return Range(high=value)
        case "more_than":
            return Range(low=value, low_open=True)
        case "less_than":
            return Range(high=value, high_open=True)
        case "equals":
            return Range(value, value)
        case _:
            return Range(without=frozenset((value,)))


class Counting(NamedTuple):
    """A number of events, and in which range a leaf asks it to be.

    Attributes
    ----------
    event, where, window
        Which events.
    counts
        The range.
    """

    event: str
    where: tuple[FieldTest, ...]
    window: Window | None
    counts: Range

    def covers(self, other: Counting) -> bool:
        """Return whether it counts every event that another one counts."""
        same = self.event == other.event
        begins = is_prefix(self.event) and other.event.startswith(self.event[:-1])
        tests = {canonical(test) for test in self.where} <= {canonical(test) for test in other.where}
        return (same or begins) and tests and window_covers(self.window, other.window)


def counting_of(leaf: object) -> Counting | None:
    """Return the number of events that a leaf asks for at least, or exactly; None if it asks for none."""
    match leaf:
        case EventLeaf(aggregate=None):
            return Counting(
                leaf.event, leaf.where, leaf.window, range_of(leaf.comparisons, whole=True).meet(COUNTS).tight
            )
        case FirstEventLeaf():
            return Counting(leaf.first_event, leaf.where, Moving(0, leaf.last.milliseconds), Range(1.0))
        case RestartedLeaf():
            return Counting(leaf.restarted, leaf.where, Moving(0, leaf.last.milliseconds), Range(1.0))
        case LastEventLeaf():
            return Counting(leaf.last_event, leaf.where, None, Range(1.0))
        case _:
            return None


def window_covers(wide: Window | None, narrow: Window | None) -> bool:
    """Return whether every instant of one window is always in another."""
    match wide, narrow:
        case None, _:
            return True
        case Moving(), Moving():
            return wide.newest_ms <= narrow.newest_ms and wide.oldest_ms >= narrow.oldest_ms
        case Fixed(), Fixed():
            begins = wide.from_ms is None or (narrow.from_ms is not None and wide.from_ms <= narrow.from_ms)
            ends = wide.to_ms is None or (narrow.to_ms is not None and wide.to_ms >= narrow.to_ms)
            return begins and ends
        case Calendar(), Calendar() if wide.zone == narrow.zone:
            if wide.today == narrow.today:
                return wide.days >= narrow.days
            return wide.today and wide.days > narrow.days
        case _:
            return False


def satisfies(value: object, name: str, asked: Any) -> bool | None:
    """Return whether a value of a trait or field passes a test; None if that depends on the time."""
    match name:
        case "equals":
            return same(value, asked)
        case "not_equals":
            return not same(value, asked)
        case "in":
            return any(same(value, each) for each in asked)
        case "not_in":
            return not any(same(value, each) for each in asked)
        case "exists":
            return bool(asked) == (value != "")
        case "begins_with":
            return isinstance(value, str) and value.startswith(asked)
        case _ if name in COMPARATORS:
            return isinstance(value, float) and bool(COMPARATORS[name](value, asked))  # type: ignore[index]
        case _:
            return False if name == "contains" or not isinstance(value, str) else None


def same(one: object, other: object) -> bool:
    """Return whether two values are equal and of one type."""
    return type(one) is type(other) and one == other
