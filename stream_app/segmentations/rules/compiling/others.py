"""Conditions on figures, traits, lists and shares as literals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from stream_app.core.clock import DAY_MS
from stream_app.errors import ConfigurationError
from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.events import Compiled, Made
from stream_app.segmentations.rules.compiling.numbers import compare_number
from stream_app.segmentations.rules.compiling.pool import FieldAt, Pool
from stream_app.segmentations.rules.compiling.series import SeriesPool
from stream_app.segmentations.rules.definition import FIGURES, Anniversary, FigureLeaf, RandomLeaf, TraitLeaf

COUNTED_FROM_SERIES: Final = ("engaged_days", "active_days")
"""Figures that no row holds: they are counted from series, see `EventConditions.figure_of_days`."""
LIBRARY_FIGURES: Final = tuple(name for name in FIGURES if name not in COUNTED_FROM_SERIES)
"""The others, in the order of the library's numbers, see `native/figures.c`."""
ALWAYS_KNOWN: Final = frozenset(
    {
        *("orders_decayed", "revenue_decayed", "engaged_days_decayed", "purchases", "refunds", "engagements"),
        "revenue",
    }
)
"""Figures that everybody has."""
_SHARES: Final = 10_000


class OtherConditions:
    """Compiles conditions on what is no event.

    Parameters
    ----------
    pool, series
        What they are made of.
    learned
        Index of the segmentation whose model figures are made of, among those that are not by rules; −1 for none.
    lists
        Hashes of the ids of each list.
    """

    def __init__(self, pool: Pool, series: SeriesPool, learned: int, lists: Mapping[str, Sequence[int]]) -> None:
        self._pool = pool
        self._series = series
        self._learned = learned
        self._lists = lists

    def figure(self, leaf: FigureLeaf) -> Compiled:
        """Return a condition on a figure of the library's."""
        figure = FIGURES[leaf.figure]
        other = self._learned if figure.needs_model else -1
        literal = Made(
            partial(self._pool.literal, form.IS_FIGURE, what=LIBRARY_FIGURES.index(leaf.figure), other=other)
        )
        to = compare_number(
            self._pool,
            leaf.comparisons,
            lambda compare, number: literal(compare=compare, number=number),
            None if leaf.figure in ALWAYS_KNOWN else partial(literal, compare=form.KNOWN),
        )
        return literal.compiled(to)

    def trait(self, leaf: TraitLeaf) -> Compiled:
        """Return a condition on a trait."""
        trait = self._pool.trait(leaf.trait)
        parts = [part for name, value in leaf.tests for part in self._of_trait(trait, name, value)]
        shown = parts[0] & ~1
        if leaf.held_for is not None:
            parts.append(self._held(leaf, trait))
        return Compiled(self._pool.all_of(parts), shown)

    def listed(self, name: str) -> Compiled:
        """Return the condition that a customer is in a list."""
        if name not in self._lists:
            raise ConfigurationError(f"list: no list is named {name!r}, expected one of `lists`")
        at, size = self._pool.listed(self._lists[name])
        return Compiled(self._pool.literal(form.IS_LISTED, other=at, n=size))

    def drawn(self, leaf: RandomLeaf) -> Compiled:
        """Return the condition that a customer is in a share."""
        share = leaf.random
        at, size = self._pool.texts.keep(share.salt)
        return Compiled(
            self._pool.literal(
                form.IS_DRAWN, other=at, n=size, a=_share_from(share.from_percent), b=_share_from(share.to_percent)
            )
        )

    def _passes(self, trait: int, test: FieldAt) -> int:
        number = self._pool.single_test(test)
        return self._pool.literal(form.IS_TRAIT, trait=trait, test=number)

    def _of_trait(self, trait: int, name: str, value: Any) -> list[int]:
        date = partial(self._pool.literal, form.IS_DATE, trait=trait)
        match name:
            case "in_last" | "in_next":
                return [date(what=form.PAST if name == "in_last" else form.AHEAD, b=value.milliseconds)]
            case "before" | "after":
                return [date(what=form.BEFORE if name == "before" else form.NOT_BEFORE, b=value.at_ms)]
            case "anniversary":
                return [self._comes_round(trait, value)]
            case "not_equals" | "not_in":  # as the opposite, so that it is one literal with it
                opposite = {"not_equals": "equals", "not_in": "in"}[name]
                return [
                    self._passes(trait, test) ^ 1 for test in self._pool.tests_of(form.NOTHING, [(opposite, value)])
                ]
            case "exists" if not value:
                return [self._of_trait(trait, "exists", value=True)[0] ^ 1]
            case _:
                return [self._passes(trait, test) for test in self._pool.tests_of(form.NOTHING, [(name, value)])]

    def _comes_round(self, trait: int, anniversary: Anniversary) -> int:
        days = anniversary.in_next.milliseconds // DAY_MS if anniversary.in_next else 0
        return self._pool.literal(form.IS_ROUND, trait=trait, zone=self._pool.zone(anniversary.zone), days=days)

    def _held(self, leaf: TraitLeaf, trait: int) -> int:
        assert leaf.held_for is not None
        test = self._pool.single_test(self._pool.tests_of(form.NOTHING, [("equals", leaf.equals)])[0])
        duration = leaf.held_for.at_least or leaf.held_for.less_than
        assert duration is not None
        series = self._series.observations(leaf.trait)
        held = self._pool.literal(form.IS_HELD, series=series, trait=trait, test=test, b=duration.milliseconds)
        return held ^ (leaf.held_for.less_than is not None)


def _share_from(percent: float) -> int:
    """Return the first of ten thousand shares that is not below a percentage."""
    share = max(0, min(_SHARES, int(percent * 100) - 1))
    while share < _SHARES and share / 100 < percent:
        share += 1
    return share
