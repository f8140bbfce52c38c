"""Conditions on events as literals over series."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from stream_app.core.clock import DAY_MS
from stream_app.errors import ConfigurationError
from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.numbers import MILLION, compare_number, compare_whole
from stream_app.segmentations.rules.compiling.pool import Pool
from stream_app.segmentations.rules.compiling.series import ENGAGEMENTS, PURCHASES, Selection, SeriesPool
from stream_app.segmentations.rules.definition import (
    Calendar,
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    FirstEventLeaf,
    Fixed,
    LastEventLeaf,
    Moving,
    RegularlyLeaf,
    RestartedLeaf,
    SequenceLeaf,
    SinceLastLeaf,
)

SEQUENCE_NEWEST: Final = 64
"""Instants of each kind that a sequence is looked for in: it is found unless more newer ones came in vain."""
BUCKETS: Final = 128
"""Parts of a window that sums are kept by where they are not exact."""
_COUNT_LIMIT: Final = 2**31 - 1
_SPARE_DAYS: Final = 3
"""Beyond N local dates: today, and what clocks are put forward or back."""
_DAYS_OF_FIGURES: Final = {
    "engaged_days": (Selection("*", kinds=ENGAGEMENTS), 182),
    "active_days": (Selection("order_completed", kinds=PURCHASES), 366),  # an edit of an order is no purchase
}


class Compiled(NamedTuple):
    """A condition in the program.

    Attributes
    ----------
    to
        A reference.
    measured
        A reference to the literal whose number is shown; None for none.
    """

    to: int
    measured: int | None = None


class Made:
    """Makes the literals of one condition, and knows the first: its number is shown."""

    def __init__(self, make: Callable[..., int]) -> None:
        self._make = make
        self._first: int | None = None

    def __call__(self, *arguments: Any, **named: Any) -> int:
        """Return a reference to a literal, or to what is always so."""
        made = self._make(*arguments, **named)
        if self._first is None and made < 2 * form.NODES_FROM:
            self._first = made
        return made

    def compiled(self, to: int) -> Compiled:
        """Return the condition."""
        return Compiled(to, self._first)


class EventConditions:
    """Compiles conditions on events.

    Parameters
    ----------
    pool, series
        What they are made of.
    timezone
        Whose days figures count.
    """

    def __init__(self, pool: Pool, series: SeriesPool, timezone: str) -> None:
        self._pool = pool
        self._series = series
        self._timezone = timezone

    def compile(self, leaf: object) -> Compiled | None:
        """Return a condition on events; None of another one."""
        match leaf:
            case EventLeaf(aggregate=None):
                return self._count(leaf)
            case EventLeaf():
                return self._pile(leaf)
            case DecayedLeaf():
                return self._decayed(leaf)
            case FirstEventLeaf():
                of = Selection(leaf.first_event, leaf.where)
                return Compiled(self._first(of, leaf.last.milliseconds))
            case RestartedLeaf():
                return self._restarted(leaf)
            case RegularlyLeaf():
                return self._regularly(leaf)
            case SequenceLeaf():
                return self._sequence(leaf)
            case LastEventLeaf():
                series = self._series.last(Selection(leaf.last_event, leaf.where), leaf.has)
                return Compiled(self._pool.literal(form.IS_LAST, series=series))
            case SinceLastLeaf():
                return self._since_last(leaf)
            case _:
                return None

    def figure_of_days(self, leaf: FigureLeaf) -> Compiled:
        """Return a condition on the days with events of a kind, which are counted from their series."""
        of, days = _DAYS_OF_FIGURES[leaf.figure]

        def at_least(n: int) -> int:
            if n <= 0:
                return self._pool.true
            if n > days + 1:
                return self._pool.true ^ 1
            series = self._series.days(of, self._timezone, 1, days * DAY_MS)
            return self._pool.literal(form.IS_COUNT, series=series, n=n, b=days * DAY_MS)

        made = Made(at_least)
        return made.compiled(compare_whole(self._pool, leaf.comparisons, made))

    # --- how often ---

    def _count(self, leaf: EventLeaf) -> Compiled:
        of, window = Selection(leaf.event, leaf.where), leaf.window

        def at_least(n: int) -> int:
            if n <= 0:
                return self._pool.true
            match window:
                case Moving():
                    return self._recent(of, n, window.newest_ms, window.oldest_ms)
                case Calendar():
                    return self._on_dates(of, n, window)
                case Fixed():
                    return self._ever(of, n, window.from_ms, window.to_ms)
                case _:
                    return self._ever(of, n)

        made = Made(at_least)
        return made.compiled(compare_whole(self._pool, leaf.comparisons, made))

    def _ever(self, of: Selection, n: int, from_ms: int | None = None, to_ms: int | None = None) -> int:
        if n > _COUNT_LIMIT:
            return self._pool.true ^ 1
        return self._pool.literal(form.IS_TOTAL, series=self._series.totals(of, from_ms, to_ms), n=n)

    def _recent(self, of: Selection, n: int, a_ms: int, b_ms: int, horizon_ms: int | None = None) -> int:
        """Return a reference to "n or more in (now - b, now - a]"; such windows of one condition share a horizon."""
        _require_countable(n)
        series = self._series.spread(of, n, b_ms - a_ms, horizon_ms or b_ms) if a_ms else self._series.newest(of, n)
        return self._pool.literal(form.IS_COUNT, series=series, n=n, a=a_ms, b=b_ms)

    def _on_dates(self, of: Selection, n: int, window: Calendar) -> int:
        _require_countable(n)
        if window.today:
            series = self._series.newest(of, n)
        else:
            series = self._series.days(of, window.zone, n, (window.days + _SPARE_DAYS) * DAY_MS)
        zone = self._pool.zone(window.zone)
        return self._pool.literal(
            form.IS_COUNT, series=series, n=n, a=int(not window.today), zone=zone, days=window.days
        )

    # --- sums, extremes, averages ---

    def _pile(self, leaf: EventLeaf) -> Compiled:
        assert leaf.aggregate is not None
        name, field = leaf.aggregate
        what = {"sum": form.SUM, "min": form.LOWEST, "max": form.HIGHEST, "average": form.AVERAGE}[name]
        literal = Made(self._pile_literal(Selection(leaf.event, leaf.where, field), leaf, what))
        known = None if what == form.SUM else partial(literal, compare=form.KNOWN)
        if what == form.AVERAGE:  # the number is taken to the millionth, as values are
            to = compare_number(
                self._pool,
                leaf.comparisons,
                lambda compare, number: literal(compare=compare, least=round(number * MILLION)),
                known,
            )
        else:
            to = compare_whole(self._pool, leaf.comparisons, lambda n: literal(least=n), MILLION, known)
        return literal.compiled(to)

    def _pile_literal(self, of: Selection, leaf: EventLeaf, what: int) -> partial[int]:
        """Return what makes a literal of the leaf's window from `compare` and `least`."""
        match window := leaf.window:
            case Moving():
                a, b, days, zone = window.newest_ms, window.oldest_ms, 0, -1
                horizon_ms = width_ms = b
                between_ms = b - a if a else 0
            case Calendar():
                a, b, days, zone = int(not window.today), 0, window.days, self._pool.zone(window.zone)
                width_ms = days * DAY_MS
                horizon_ms = width_ms + _SPARE_DAYS * DAY_MS
                between_ms = a  # days may be short, so that no two values are sure to be in one window
            case _:
                bounds = (window.from_ms, window.to_ms) if isinstance(window, Fixed) else (None, None)
                series = self._series.totals(of, *bounds)
                return partial(self._pool.literal, form.IS_TOTALS, series=series, what=what)
        if what in (form.SUM, form.AVERAGE):
            series = self._series.values(of, horizon_ms, max(1, width_ms // BUCKETS))
        else:
            series = self._series.extremes(
                of, greatest=what == form.HIGHEST, horizon_ms=horizon_ms, width_ms=between_ms
            )
        return partial(self._pool.literal, form.IS_PILE, series=series, what=what, a=a, b=b, days=days, zone=zone)

    def _decayed(self, leaf: DecayedLeaf) -> Compiled:
        of = Selection(leaf.event, leaf.where, leaf.decayed_sum)
        series = self._series.decayed(of, leaf.half_life.milliseconds)
        literal = Made(partial(self._pool.literal, form.IS_DECAYED, series=series))
        to = compare_number(
            self._pool, leaf.comparisons, lambda compare, number: literal(compare=compare, number=number)
        )
        return literal.compiled(to)

    # --- others ---

    def _first(self, of: Selection, last_ms: int) -> int:
        return self._pool.literal(form.IS_FIRST, series=self._series.oldest(of), b=last_ms)

    def _restarted(self, leaf: RestartedLeaf) -> Compiled:
        of, last_ms = Selection(leaf.restarted, leaf.where), leaf.last.milliseconds
        before_ms = last_ms + leaf.pause.milliseconds
        return Compiled(
            self._pool.all_of(
                [
                    self._recent(of, 1, 0, last_ms),
                    self._recent(of, 1, last_ms, before_ms) ^ 1,
                    self._first(of, form.NEVER_MS),
                    self._first(of, before_ms) ^ 1,
                ]
            )
        )

    def _regularly(self, leaf: RegularlyLeaf) -> Compiled:
        of, each_ms = Selection(leaf.regularly, leaf.where), leaf.each.milliseconds
        periods = [
            (self._recent(of, leaf.times, number * each_ms, (number + 1) * each_ms, leaf.of_last * each_ms), 1)
            for number in range(leaf.of_last)
        ]
        return Compiled(self._pool.points(periods, leaf.in_at_least))

    def _sequence(self, leaf: SequenceLeaf) -> Compiled:
        first, second = (self._series.newest(Selection(event), SEQUENCE_NEWEST) for event in leaf.sequence)
        return Compiled(
            self._pool.literal(
                form.IS_SEQUENCE, series=first, other=second, a=leaf.within.milliseconds, b=leaf.last.milliseconds
            )
        )

    def _since_last(self, leaf: SinceLastLeaf) -> Compiled:
        of = Selection(leaf.since_last, leaf.where)
        series = self._series.newest(of, 1)
        ever = self._pool.literal(form.IS_COUNT, series=series, n=1, b=form.NEVER_MS, what=1)
        parts = [ever]
        for comparator, duration in leaf.comparisons:
            edge_ms = duration.milliseconds + (comparator in ("more_than", "at_most"))
            is_within = self._recent(of, 1, 0, edge_ms)
            parts.append(is_within ^ (comparator in ("at_least", "more_than")))
        return Compiled(self._pool.all_of(parts), ever)


def _require_countable(n: int) -> None:
    if n > form.COUNT_MAX:
        raise ConfigurationError(f"event: {n:,} in a window that moves, expected {form.COUNT_MAX:,} at most")
