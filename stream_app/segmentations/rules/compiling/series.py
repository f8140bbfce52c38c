"""Series of events that conditions look at, and the selectors that feed them.

A series is known by what it counts and what it keeps of it, written out canonically; the digest of that text is its
name in rows. So what is kept for one condition never depends on which others there are, and a condition that needs more
than before has a series of its own, which begins empty and can be filled from the log. What needs no more finds what
has been counted: the newest instants are kept by powers of four, whatever the window, so 7 days may become 30, and "at
least 2" at least 4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from stream_app.errors import ConfigurationError
from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.pool import Pool
from stream_app.segmentations.rules.conditions import canonical
from stream_app.segmentations.rules.definition import FieldTest

ANY_EVENT: Final = 0b0000111
"""Purchases, refunds and engagements, as bits of `SEG_PURCHASE` …."""
PURCHASES: Final = 0b0000001
ENGAGEMENTS: Final = 0b0000100
_FOREVER_MS: Final = (-(2**62), 2**62)


@dataclass(frozen=True)
class Selection:
    """Which events, and what of them.

    Parameters
    ----------
    event
        Their type, or the beginning of some, ended by `*`.
    where
        Tests of their fields; all must hold.
    value
        The field that is summed up or compared, `count` for 1 an event; None for the events alone.
    kinds
        Bits of the kinds of events.
    """

    event: str
    where: tuple[FieldTest, ...] = ()
    value: str | None = None
    kinds: int = ANY_EVENT

    @property
    def canonical(self) -> list[Any]:
        """What it means, as JSON has it."""
        return [self.event, self.kinds, sorted(canonical(test) for test in self.where), self.value]


@dataclass
class _Series:
    digest: int
    keep: int
    newest: int = 1
    spread: int = 0
    width_ms: int = 0
    horizon_ms: int = form.NEVER_MS
    from_ms: int = _FOREVER_MS[0]
    to_ms: int = _FOREVER_MS[1]
    half_life_ms: float = 0.0
    zone: int = -1
    tests: tuple[int, int] = (0, 0)
    trait: int = -1


@dataclass
class _Selector:
    selection: Selection
    feeds: list[int] = field(default_factory=list)


class SeriesPool:
    """Series and selectors of a program."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._series: dict[str, int] = {}
        self._made: list[_Series] = []
        self._selectors: dict[str, _Selector] = {}

    def newest(self, of: Selection, count: int) -> int:
        """Return the series of the newest instants."""
        kept = _power_of_four(count)
        number, series = self._of_events("newest", form.INSTANTS, of, kept)
        series.newest = kept
        return number

    def spread(self, of: Selection, count: int, width_ms: int, horizon_ms: int) -> int:
        """Return the series of the instants that windows of a width which end before now can tell apart."""
        kept = _power_of_four(count)
        number, series = self._of_events("spread", form.INSTANTS, of, kept, width_ms, horizon_ms)
        series.spread, series.width_ms, series.horizon_ms = kept, width_ms, horizon_ms
        return number

    def days(self, of: Selection, zone: str, of_each: int, horizon_ms: int) -> int:
        """Return the series of the newest instants of each local day."""
        kept = _power_of_four(of_each)
        number, series = self._of_events("days", form.DAYS, of, zone, kept, horizon_ms)
        series.zone = self._pool.zone(zone)
        series.spread, series.horizon_ms = kept, horizon_ms
        return number

    def oldest(self, of: Selection) -> int:
        """Return the series of the oldest instant."""
        return self._of_events("oldest", form.OLDEST, of)[0]

    def totals(self, of: Selection, from_ms: int | None, to_ms: int | None) -> int:
        """Return the series that counts, or sums up, what lies between two instants, or everything."""
        keep = form.COUNT if of.value is None else form.TOTALS
        number, series = self._of_events("totals", keep, of, from_ms, to_ms)
        series.from_ms = _FOREVER_MS[0] if from_ms is None else from_ms
        series.to_ms = _FOREVER_MS[1] if to_ms is None else to_ms
        return number

    def values(self, of: Selection, horizon_ms: int, bucket_ms: int) -> int:
        """Return the series of values for sums and averages of one window."""
        number, series = self._of_events("values", form.VALUES, of, horizon_ms, bucket_ms)
        series.horizon_ms, series.width_ms = horizon_ms, bucket_ms
        return number

    def extremes(self, of: Selection, *, greatest: bool, horizon_ms: int, width_ms: int) -> int:
        """Return the series of values that can be the greatest, or least; `width_ms` is 0 of windows that end now."""
        name = "greatest" if greatest else "least"
        keep = form.GREATEST if greatest else form.LEAST
        number, series = self._of_events(name, keep, of, width_ms, horizon_ms)
        series.horizon_ms, series.width_ms = horizon_ms, width_ms
        return number

    def decayed(self, of: Selection, half_life_ms: int) -> int:
        """Return the series of a sum that halves."""
        number, series = self._of_events("decayed", form.DECAYED, of, half_life_ms)
        series.half_life_ms = float(half_life_ms)
        return number

    def last(self, of: Selection, has: tuple[FieldTest, ...]) -> int:
        """Return the series of the latest event, and whether it passes some tests."""
        number, series = self._of_events("last", form.LAST, of, sorted(canonical(test) for test in has))
        if series.tests == (0, 0):
            series.tests = self._run_of_tests(has)
        return number

    def observations(self, trait: str) -> int:
        """Return the series of a trait's observations."""
        number, series = self._of(["observed", trait], form.OBSERVED)
        series.trait = self._pool.trait(trait)
        return number

    def lists(self, number_of: Callable[[int], int], trait_places: dict[int, int]) -> dict[str, list[Any]]:
        """Return the lists of the form that stand here.

        Parameters
        ----------
        number_of
            From the digest of a series to its number in the table.
        trait_places
            Numbers of the traits in the form.
        """
        if len(self._made) > form.SERIES_MAX:
            raise ConfigurationError(
                f"segmentations: conditions count {len(self._made)} different series of events, expected at most "
                f"{form.SERIES_MAX}"
            )
        series = [
            (
                *(number_of(s.digest), s.keep, s.newest, s.spread, s.width_ms, s.horizon_ms, s.from_ms, s.to_ms),
                *(s.half_life_ms, s.zone, *s.tests, trait_places.get(s.trait, -1)),
            )
            for s in self._made
        ]
        feeds: list[int] = []
        selectors = []
        for selector in self._selectors.values():
            of = selector.selection
            is_prefix = of.event.endswith("*")
            at, size = self._pool.texts.keep(of.event[:-1] if is_prefix else of.event)
            tests = self._run_of_tests(of.where)
            row = (at, size, int(is_prefix), of.kinds, *tests, self._value(of), len(feeds), len(selector.feeds), 0)
            selectors.append(row)
            feeds.extend(selector.feeds)
        return {"series": series, "selectors": selectors, "feeds": feeds}

    def _value(self, of: Selection) -> int:
        if of.value is None:
            return form.NOTHING
        return form.ONE if of.value == "count" else self._pool.field(of.value)

    def _run_of_tests(self, tests: Iterable[FieldTest]) -> tuple[int, int]:
        return self._pool.run_of_tests(
            [each for test in tests for each in self._pool.tests_of(self._pool.field(test.field), test.tests)]
        )

    def _of(self, key: list[Any], keep: int) -> tuple[int, _Series]:
        text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
        if text not in self._series:
            self._series[text] = len(self._made)
            self._made.append(_Series(xxh3_64_intdigest(text.encode()), keep))
        number = self._series[text]
        return number, self._made[number]

    def _of_events(self, name: str, keep: int, of: Selection, *more: Any) -> tuple[int, _Series]:
        number, series = self._of([name, *of.canonical, *more], keep)
        selector = self._selectors.setdefault(json.dumps(of.canonical), _Selector(of))
        if number not in selector.feeds:
            selector.feeds.append(number)
        return number, series


def _power_of_four(count: int) -> int:
    kept = 1
    while kept < count:
        kept *= 4
    return kept
