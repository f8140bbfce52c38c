"""What follows from a condition, decided from forms alone: it may miss an implication, it never invents one.

`implies(a, b)`: everybody in a is in b. `excludes(a, b)`: nobody is in both. Each pair of parts is decided once, so
the cost is the product of two conditions' sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from stream_app.segmentations.rules.catalogue import FIGURES
from stream_app.segmentations.rules.comparing import FieldTest, Tested
from stream_app.segmentations.rules.conditions import AllOf, AnyOf, Condition, NotThat, Score, canonical, is_leaf
from stream_app.segmentations.rules.leaves import (
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    RandomLeaf,
    SinceLastLeaf,
    TraitLeaf,
)
from stream_app.segmentations.rules.ranges import COUNTS, Range, counting_of, range_of, satisfies

_Compared = FigureLeaf | DecayedLeaf | SinceLastLeaf
"""Leaves of one number each, which is there or not."""
_OPPOSITE = {
    "at_least": "less_than",
    "less_than": "at_least",
    "at_most": "more_than",
    "more_than": "at_most",
    "equals": "not_equals",
    "not_equals": "equals",
}


class Implications:
    """Answers on conditions, each given once."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int, int], bool] = {}
        self._normal: dict[int, tuple[Condition, Condition]] = {}
        self._texts: dict[int, str] = {}

    def never(self, condition: Condition) -> bool:
        """Return whether nobody can be in it."""
        return self._once("never", condition, condition, lambda: self._never(self.normal(condition)))

    def always(self, condition: Condition) -> bool:
        """Return whether everybody is in it who is known."""
        return self._once("always", condition, condition, lambda: self._always(self.normal(condition)))

    def implies(self, one: Condition, other: Condition) -> bool:
        """Return whether everybody who is in one is in the other."""
        return self._once("implies", one, other, lambda: self._implies(self.normal(one), self.normal(other)))

    def excludes(self, one: Condition, other: Condition) -> bool:
        """Return whether nobody is in both."""
        return self._once("excludes", one, other, lambda: self._excludes(self.normal(one), self.normal(other)))

    def exclusive_parts(self, condition: AllOf) -> tuple[Condition, Condition] | None:
        """Return the first two parts that exclude each other."""
        parts = condition.all
        pairs = ((a, b) for index, b in enumerate(parts) for a in parts[:index])
        return next((pair for pair in pairs if self.excludes(*pair)), None)

    def normal(self, condition: Condition) -> Condition:
        """Return the same with `not` taken into a leaf that counts, where that is one leaf again."""
        if id(condition) not in self._normal:
            self._normal[id(condition)] = (condition, _normal(condition))  # both are kept, or an id were used again
        return self._normal[id(condition)][1]

    def _once(self, question: str, one: Condition, other: Condition, answer: Callable[[], bool]) -> bool:
        self.normal(one), self.normal(other)  # kept from now on
        key = (question, id(one), id(other))
        if key not in self._answers:
            self._answers[key] = answer()
        return self._answers[key]

    def _text(self, condition: Condition) -> str:
        if id(condition) not in self._texts:
            self._texts[id(condition)] = canonical(condition)
        return self._texts[id(condition)]

    def _never(self, condition: Condition) -> bool:
        match condition:
            case AllOf(all=parts):
                return any(map(self.never, parts)) or self.exclusive_parts(condition) is not None
            case AnyOf(any=parts):
                return all(map(self.never, parts))
            case NotThat(negated=part):
                return self.always(part)
            case Score(score=scored, at_least=least):
                return sum(entry.points for entry in scored if not self.never(entry.when)) < least
            case _:
                return _leaf_never(condition)

    def _always(self, condition: Condition) -> bool:
        match condition:
            case AllOf(all=parts):
                return all(map(self.always, parts))
            case AnyOf(any=parts):
                negated = {canonical(_negated(self.normal(part))) for part in parts}
                return (
                    any(map(self.always, parts))
                    or any(self._text(self.normal(part)) in negated for part in parts)
                    or _counts_take_all([self.normal(part) for part in parts])
                )
            case NotThat(negated=part):
                return self.never(part)
            case Score(score=scored, at_least=least):
                return sum(entry.points for entry in scored if self.always(entry.when)) >= least
            case RandomLeaf(random=bucket):
                return bucket.from_percent == 0 and bucket.to_percent == 100
            case EventLeaf(aggregate=None):
                return range_of(condition.comparisons, whole=True).covers(COUNTS)
            case _:
                return False

    def _implies(self, one: Condition, other: Condition) -> bool:
        if self._text(one) == self._text(other) or self.never(one) or self.always(other):
            return True
        if isinstance(other, AllOf):
            return all(self.implies(one, part) for part in other.all)
        if isinstance(one, AnyOf):
            return all(self.implies(part, other) for part in one.any)
        if isinstance(one, AllOf) and any(self.implies(part, other) for part in one.all):
            return True
        if isinstance(other, AnyOf):
            return any(self.implies(one, part) for part in other.any)
        if isinstance(other, NotThat):
            return self.excludes(one, other.negated)
        return is_leaf(one) and is_leaf(other) and _leaf_implies(one, other)

    def _excludes(self, one: Condition, other: Condition) -> bool:
        if self.never(one) or self.never(other):
            return True
        for a, b in ((one, other), (other, one)):
            if isinstance(a, AnyOf):
                return all(self.excludes(part, b) for part in a.any)
        for a, b in ((one, other), (other, one)):
            if isinstance(a, AllOf) and any(self.excludes(part, b) for part in a.all):
                return True
            if isinstance(a, NotThat) and self.implies(b, a.negated):
                return True
        if not is_leaf(one) or not is_leaf(other):
            return False
        return _leaf_excludes(one, other) or _leaf_excludes(other, one)


def _normal(condition: Condition) -> Condition:
    if not isinstance(condition, NotThat):
        return condition
    part = _normal(condition.negated)
    return _negated(part) if isinstance(part, NotThat | EventLeaf) else condition


def _negated(condition: Condition) -> Condition:
    if isinstance(condition, NotThat):
        return _normal(condition.negated)
    if isinstance(condition, EventLeaf) and condition.aggregate is None and len(condition.comparisons) == 1:
        ((comparator, value),) = condition.comparisons
        return condition.model_copy(update={comparator: None, _OPPOSITE[comparator]: value})
    return NotThat.model_construct(negated=condition)


def _leaf_never(leaf: Leaf) -> bool:
    impossible = _contradictory([*getattr(leaf, "where", ()), *getattr(leaf, "has", ())])
    match leaf:
        case EventLeaf(aggregate=None):
            counts = range_of(leaf.comparisons, whole=True).meet(COUNTS).tight
            return counts.is_empty or (impossible and 0.0 not in counts)
        case EventLeaf(aggregate=("sum", _)):
            sums = range_of(leaf.comparisons)
            return sums.is_empty or (impossible and 0.0 not in sums)
        case FigureLeaf():
            whole = FIGURES[leaf.figure].is_count
            return range_of(leaf.comparisons, whole=whole).meet(Range(*FIGURES[leaf.figure].bounds)).is_empty
        case EventLeaf() | SinceLastLeaf():
            return impossible or range_of(leaf.comparisons).is_empty
        case DecayedLeaf():
            sums = range_of(leaf.comparisons)
            return sums.is_empty or (impossible and 0.0 not in sums)
        case TraitLeaf():
            return _numbers(leaf).is_empty
        case _:
            return impossible


def _counts_take_all(parts: Iterable[Condition]) -> bool:
    """Return whether whatever a number of events, or a figure that counts, is, one of the parts holds."""
    ranges: dict[str, list[Range]] = {}
    for part in parts:
        if isinstance(part, EventLeaf):
            is_count = part.aggregate is None
        else:
            is_count = isinstance(part, FigureLeaf) and FIGURES[part.figure].is_count
        if is_count and isinstance(part, EventLeaf | FigureLeaf):
            ranges.setdefault(_subject(part), []).append(range_of(part.comparisons, whole=True))
    for each in ranges.values():
        reached = -1.0
        for part_range in sorted(r for r in each if not r.without):
            if part_range.low <= reached + 1:
                reached = max(reached, part_range.high)
        if reached == math.inf:
            return True
    return False


def _contradictory(tests: list[FieldTest]) -> bool:
    pairs = ((a, b) for index, b in enumerate(tests) for a in tests[:index] if a.field == b.field)
    return any(_numbers(test).is_empty for test in tests) or any(
        _tests_exclude(a, b) or _tests_exclude(b, a) for a, b in pairs
    )


def _leaf_implies(one: Leaf, other: Leaf) -> bool:
    if isinstance(one, _Compared) and isinstance(other, _Compared):
        return _subject(one) == _subject(other) and range_of(other.comparisons).covers(range_of(one.comparisons))
    match one, other:
        case TraitLeaf(), TraitLeaf():
            return one.trait == other.trait and _trait_implies(one, other)
        case MembershipLeaf(), MembershipLeaf():
            least = other.for_at_least
            return (
                one.segmentation == other.segmentation
                and set(one.segment or ()) <= set(other.segment or ())
                and (least is None or (one.for_at_least is not None and one.for_at_least >= least))
            )
        case RandomLeaf(random=narrow), RandomLeaf(random=wide):
            return (
                narrow.salt == wide.salt
                and wide.from_percent <= narrow.from_percent
                and narrow.to_percent <= wide.to_percent
            )
        case ListLeaf(), ListLeaf():
            return one == other
        case _:
            return _counts_imply(one, other)


def _counts_imply(one: Leaf, other: Leaf) -> bool:
    """Return whether a number of events implies another: who counts more kinds of them counts no fewer."""
    if isinstance(one, EventLeaf) and isinstance(other, EventLeaf) and one.aggregate == other.aggregate:
        same = _subject(one) == _subject(other)
        if same and range_of(other.comparisons).covers(range_of(one.comparisons)):
            return True
    if not isinstance(other, EventLeaf):
        return False
    narrow, wide = counting_of(one), counting_of(other)
    if narrow is None or wide is None:
        return False
    if wide.covers(narrow) and wide.counts.covers(Range(narrow.counts.low)):
        return True
    return narrow.covers(wide) and wide.counts.covers(Range(0.0, narrow.counts.high))


def _trait_implies(one: TraitLeaf, other: TraitLeaf) -> bool:
    if other.held_for is not None and other.held_for != one.held_for:
        return False
    values, asked = _values(one), other.tests
    if values is not None:
        return all(satisfies(value, *test) is True for value in values for test in asked)
    if other.exists is True:
        return _needs_value(one)
    if _is_range(one) and _is_range(other):
        return _numbers(other).covers(_numbers(one))
    for name in ("in_last", "in_next", "before"):
        narrow, wide = getattr(one, name), getattr(other, name)
        if narrow is not None and wide is not None:
            return bool(narrow <= wide)
    return one.after is not None and other.after is not None and one.after >= other.after


def _leaf_excludes(one: Leaf, other: Leaf) -> bool:
    if isinstance(one, _Compared) and isinstance(other, _Compared):
        return _subject(one) == _subject(other) and range_of(one.comparisons).meet(range_of(other.comparisons)).is_empty
    match one, other:
        case TraitLeaf(), TraitLeaf():
            return one.trait == other.trait and _tests_exclude(one, other)
        case MembershipLeaf(segment=mine), MembershipLeaf(segment=theirs):
            if one.segmentation != other.segmentation or mine is None or theirs is None:
                return False
            return set(mine).isdisjoint(theirs)
        case RandomLeaf(random=a), RandomLeaf(random=b):
            return a.salt == b.salt and a.to_percent <= b.from_percent
        case _:
            return _counts_exclude(one, other)


def _counts_exclude(one: Leaf, other: Leaf) -> bool:
    if isinstance(one, EventLeaf) and isinstance(other, EventLeaf) and _subject(one) == _subject(other):
        whole = one.aggregate is None
        met = range_of(one.comparisons, whole=whole).meet(range_of(other.comparisons, whole=whole))
        if met.is_empty:
            return True
    narrow, wide = counting_of(one), counting_of(other)
    return narrow is not None and wide is not None and wide.covers(narrow) and narrow.counts.low > wide.counts.high


def _tests_exclude(one: Tested, other: Tested) -> bool:
    values = _values(one)
    if values is not None:
        return all(any(satisfies(value, *test) is False for test in other.tests) for value in values)
    if other.exists is False:
        return _needs_value(one)
    return _is_range(one) and _is_range(other) and _numbers(one).meet(_numbers(other)).is_empty


def _values(tested: Tested) -> tuple[Any, ...] | None:
    """Return the values that pass, None if they are not listed."""
    return (tested.equals,) if tested.equals is not None else tested.among


def _is_range(tested: Tested) -> bool:
    return any(name in ("at_least", "at_most", "more_than", "less_than") for name, _ in tested.tests)


def _numbers(tested: Tested) -> Range:
    return range_of(tested.tests) if _is_range(tested) else Range()


def _needs_value(tested: Tested) -> bool:
    """Return whether a test passes only where there is a value, no empty text."""
    return not any(
        name in ("not_equals", "not_in") or (name == "exists" and not asked) or (name == "equals" and asked == "")
        for name, asked in tested.tests
    ) and "" not in (tested.among or ())


def _subject(leaf: FigureLeaf | EventLeaf | DecayedLeaf | SinceLastLeaf) -> str:
    """Return what a leaf compares, without the comparison."""
    return canonical(leaf.model_copy(update=dict.fromkeys(_OPPOSITE)))
