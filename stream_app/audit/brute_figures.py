"""Figures of a customer, counted again from its events alone, for brute rules.

The meaning of a figure is in `stream_app.segmentations.rules.catalogue`; the totals are those of
`stream_app.audit.recount`. A customer's own rhythm is worked out by the formulas in the head of
`stream_app.segmentations.learned.rhythm`, and not by the library that does so for the worker.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Final

from stream_app.audit.brute_values import BORDER
from stream_app.audit.recount import GAP_MEMORY, ORDER_COMPLETED, Entry, Totals, acts_of, recount
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND
from stream_app.segmentations.learned.rhythm import DEVIATION_MIN, Rhythm

ENGAGEMENT_HALF_LIFE_DAYS: Final = 30
ENGAGED_DAYS_REMEMBERED: Final = 182
ACTIVE_DAYS_REMEMBERED: Final = 366
CLOCK_DAYS: Final = 2 / DAY_MS
"""Days are compared to two milliseconds, as borders are rounded to whole ones."""
_EULER: Final = 0.5772156649015329
_ACTS: Final = frozenset({PURCHASE, REFUND, ENGAGEMENT})

Figure = tuple[float, float]
"""A value, and how far it may be off."""


def figures_of(
    entries: Sequence[Entry], minor_per_major: int, rhythm: Rhythm | None
) -> Callable[[str, int], Figure | None]:
    """Return what looks figures up: from a name and an instant to the figure; None where it does not exist.

    Parameters
    ----------
    entries
        What is folded, in order; events after the instant do not count yet.
    rhythm
        The population's, of the model in force; None if it is not known, then figures that need it may be anything.
    """
    acts = [entry for entry in entries if entry.event.kind in _ACTS]
    instants = sorted(entry.event.at_ms for entry in acts)

    @cache
    def counted(count: int) -> tuple[Sequence[Entry], Totals]:
        """Return this many of the first by time, in their order, and what they add up to."""
        known = [entry for entry in acts if entry.event.at_ms <= instants[count - 1]] if count else []
        return known, recount(known).totals

    @cache
    def figure(name: str, now_ms: int) -> Figure | None:
        known, totals = counted(bisect_right(instants, now_ms))
        of = _FIGURES.get(name)
        return _rhythmic(name, totals, now_ms, rhythm) if of is None else of(known, totals, now_ms, minor_per_major)

    return figure


def _exactly(value: float | None) -> Figure | None:
    return None if value is None else (value, 0.0)


def _about(value: float, gross: float | None = None) -> Figure:
    return value, BORDER * max(abs(value) if gross is None else gross, 1.0)


def _days_since(at_ms: int, now_ms: int) -> Figure | None:
    return None if abs(at_ms) == abs(NO_TIME) else (max(now_ms - at_ms, 0) / DAY_MS, CLOCK_DAYS)


def _active_at_ms(totals: Totals) -> int:
    return max(totals.purchased_at_ms, totals.engaged_at_ms, totals.first_at_ms if _is_known(totals) else NO_TIME)


def _is_known(totals: Totals) -> bool:
    return totals.first_at_ms != -NO_TIME


def _halved(since_ms: int, half_life_days: float) -> float:
    return math.exp2(-max(since_ms, 0) / (half_life_days * DAY_MS))


def _of_orders(value: float, totals: Totals, now_ms: int, per: int = 1) -> Figure:
    return _about(max(value, 0.0) * _halved(now_ms - totals.ordered_at_ms, totals.order_half_life_days) / per)


def _days(entries: Iterable[Entry], kind: int) -> set[int]:
    return {entry.day for entry in entries if entry.event.kind == kind}


def _engaged_days_decayed(entries: Iterable[Entry], totals: Totals, now_ms: int) -> Figure:
    days = _days(entries, ENGAGEMENT)
    ages = [max(days) - day for day in days]
    held = math.fsum(math.exp2(-age / ENGAGEMENT_HALF_LIFE_DAYS) for age in ages if age < ENGAGED_DAYS_REMEMBERED)
    return _about(held * _halved(now_ms - totals.engaged_at_ms, ENGAGEMENT_HALF_LIFE_DAYS))


def _recent(entries: Sequence[Entry], kind: int, now_ms: int, remembered: int) -> int:
    return len(_days([entry for entry in entries if now_ms - entry.event.at_ms < remembered * DAY_MS], kind))


def _recently_ordered(entries: Sequence[Entry], now_ms: int, remembered: int) -> int:
    ordered = [entry for entry, type_ in acts_of(entries) if type_ == ORDER_COMPLETED]
    return len({entry.day for entry in ordered if now_ms - entry.event.at_ms < remembered * DAY_MS})


_FIGURES: Final[Mapping[str, Callable[[Sequence[Entry], Totals, int, int], Figure | None]]] = {
    "recency_days": lambda _, totals, now_ms, __: _days_since(_active_at_ms(totals), now_ms),
    "tenure_days": lambda _, totals, now_ms, __: _days_since(totals.first_at_ms, now_ms),
    "orders_decayed": lambda _, totals, now_ms, __: _of_orders(totals.orders_decayed, totals, now_ms),
    "revenue_decayed": lambda _, totals, now_ms, per: _of_orders(totals.revenue_decayed, totals, now_ms, per),
    "engaged_days_decayed": lambda entries, totals, now_ms, _: _engaged_days_decayed(entries, totals, now_ms),
    "purchases": lambda _, totals, __, ___: _exactly(totals.purchases),
    "refunds": lambda _, totals, __, ___: _exactly(totals.refunds),
    "engagements": lambda _, totals, __, ___: _exactly(totals.engagements),
    "revenue": lambda _, totals, __, per: _exactly(totals.revenue_minor / per),
    "average_order_value": lambda _, totals, __, per: (
        _about(totals.revenue_minor / totals.purchases / per) if totals.purchases > 0 else None
    ),
    "order_recency_days": lambda _, totals, now_ms, __: _days_since(totals.purchased_at_ms, now_ms),
    "order_tenure_days": lambda _, totals, now_ms, __: _days_since(totals.first_purchased_at_ms or NO_TIME, now_ms),
    "engagement_recency_days": lambda _, totals, now_ms, __: _days_since(totals.engaged_at_ms, now_ms),
    "engaged_days": lambda entries, _, now_ms, __: _exactly(
        _recent(entries, ENGAGEMENT, now_ms, ENGAGED_DAYS_REMEMBERED)
    ),
    "active_days": lambda entries, _, now_ms, __: _exactly(_recently_ordered(entries, now_ms, ACTIVE_DAYS_REMEMBERED)),
}


def _rhythmic(name: str, totals: Totals, now_ms: int, rhythm: Rhythm | None) -> Figure | None:
    if name not in ("usual_gap_days", "probability_active"):
        raise KeyError(f"figure {name!r}")
    if rhythm is None:
        return 0.0, math.inf
    since = _days_since(_active_at_ms(totals), now_ms)
    if since is None:
        return None
    gaps, log_gaps, squared = totals.gaps or 0, totals.log_gaps or 0.0, totals.log_gaps_squared or 0.0
    weight = (1 - GAP_MEMORY**gaps) / (1 - GAP_MEMORY)
    spread = squared - log_gaps**2 / weight if gaps else 0.0
    deviation = math.sqrt((4 * rhythm.log_gap_variance + spread) / (4 + max(weight - 1, 0)))
    regularity = math.pi / (math.sqrt(6) * max(deviation, DEVIATION_MIN))
    shape = min(rhythm.prior_weight + weight, 4.0)
    log_mean = (rhythm.prior_weight * rhythm.log_gap + log_gaps) / (rhythm.prior_weight + weight)
    log_scale = log_mean + _EULER / regularity
    usual_gap = math.exp(log_scale) * math.log(2) ** (1 / regularity)
    if name == "usual_gap_days":
        return _about(usual_gap)
    stopped = rhythm.stop_after_first if not gaps else 1 - math.exp(-rhythm.stop_rate_per_day * usual_gap)
    silence = since[0]
    survives = (1 + (silence / math.exp(log_scale)) ** regularity / shape) ** -shape
    return _about((1 - stopped) * survives / ((1 - stopped) * survives + stopped))
