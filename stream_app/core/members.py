"""Who is in a segment now, in figures: sums over its members that every change of the table keeps up to date.

A sum of integers over members is a group: each customer who leaves takes out exactly what it put in, so sums that are
kept by changes alone equal those of a recount, whatever the order and however long. That is why they are integers, why
instants are in whole seconds (the sum over 10^8 customers stays under 2^59), and why no mean and no decayed total is
kept: `member_figures` makes means and shares of the sums at the instant at which somebody looks, and sums of several
partitions add up to those of the whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.money import minor_digits

SHARE_DIGITS: Final = 3
"""Shares are given to a tenth of a percent."""
DAY_DIGITS: Final = 1
ORDER_DIGITS: Final = 2
"""Means are rounded here, once, and shown with as many digits everywhere, so that nobody sees two figures for one."""

K = TypeVar("K", bound=Hashable)


class MemberSums(NamedTuple):
    """Sums over the members of a segment; those of two groups without a common customer add up, see `plus`.

    Attributes
    ----------
    customers
        How many there are.
    purchases
        Orders in all their time, net of those that were put together.
    revenue_minor
        Net revenue in all their time, in minor units of the base currency.
    first_at_seconds, active_at_seconds
        Instants of the first event, and of the last purchase or engagement, in whole seconds since the epoch; of those
        who have done anything.
    profiles_only
        How many have not: only profiles are known of them.
    """

    customers: int = 0
    purchases: int = 0
    revenue_minor: int = 0
    first_at_seconds: int = 0
    active_at_seconds: int = 0
    profiles_only: int = 0

    def plus(self, other: MemberSums) -> MemberSums:
        """Return the sums over both."""
        return MemberSums(*(own + theirs for own, theirs in zip(self, other, strict=True)))


NO_MEMBERS: Final = MemberSums()


def add_sums(parts: Iterable[Mapping[K, MemberSums]]) -> dict[K, MemberSums]:
    """Return the sums by segment over several groups without a common customer, such as partitions."""
    whole: dict[K, MemberSums] = {}
    for part in parts:
        for key, sums in part.items():
            whole[key] = whole.get(key, NO_MEMBERS).plus(sums)
    return whole


class MemberFigures(msgspec.Struct, frozen=True, gc=False):
    """Figures of a segment's members; without members there are no means.

    Attributes
    ----------
    customers, share
        How many there are, and their share of all who are in a segment; shares add up to 1 exactly, in thousandths.
    revenue, revenue_share
        Net revenue in all their time, in major units, and its share of that of all who are in a segment; shares add
        up to 1, or are 0 where there is no revenue.
    recency_days
        Mean days since the last purchase or engagement.
    tenure_days
        Mean days since the first event.
    orders_per_customer, revenue_per_customer
        Means, in all their time.
    average_order_value
        Net revenue an order; none where nobody has ordered.
    """

    customers: int
    share: float
    revenue: float
    revenue_share: float
    recency_days: float | None
    tenure_days: float | None
    orders_per_customer: float | None
    revenue_per_customer: float | None
    average_order_value: float | None


def member_figures(sums: Mapping[K, MemberSums], at_ms: int, minor_per_major: int) -> dict[K, MemberFigures]:
    """Return the figures of all segments of a segmentation at an instant.

    Parameters
    ----------
    sums
        By segment, of all of them; the figures come in the same order.
    at_ms
        When days are counted.
    minor_per_major
        Of the base currency.
    """
    shares = _shares([each.customers for each in sums.values()])
    revenue_shares = _shares([each.revenue_minor for each in sums.values()])
    money_digits = minor_digits(minor_per_major)

    def days_since(seconds: int, customers: int) -> float | None:
        if not customers:
            return None
        return round(max(at_ms / SECOND_MS - seconds / customers, 0.0) * SECOND_MS / DAY_MS, DAY_DIGITS)

    figures = {}
    for (key, each), share, revenue_share in zip(sums.items(), shares, revenue_shares, strict=True):
        n = each.customers
        figures[key] = MemberFigures(
            customers=n,
            share=share,
            revenue=each.revenue_minor / minor_per_major,
            revenue_share=revenue_share,
            recency_days=days_since(each.active_at_seconds, n - each.profiles_only),
            tenure_days=days_since(each.first_at_seconds, n - each.profiles_only),
            orders_per_customer=round(each.purchases / n, ORDER_DIGITS) if n else None,
            revenue_per_customer=round(each.revenue_minor / n / minor_per_major, money_digits) if n else None,
            average_order_value=(
                round(each.revenue_minor / each.purchases / minor_per_major, money_digits)
                if each.purchases > 0
                else None
            ),
        )
    return figures


def life_cycle_order(level: int | None, figures: MemberFigures, segment_id: str) -> tuple[int, float, str]:
    """Return the sort key of a segment: by its level, the highest first, and then by revenue a customer.

    Segments of a segmentation that has no life cycle have no level.
    """
    return -(level or 0), -(figures.revenue_per_customer or 0.0), segment_id


def _shares(parts: list[int]) -> list[float]:
    """Return what part of their sum each is, rounded by the largest remainder: they add up to 1 as they are shown."""
    whole, total = 10**SHARE_DIGITS, sum(parts)
    if total <= 0:
        return [0.0] * len(parts)
    floors, remainders = zip(*(divmod(part * whole, total) for part in parts), strict=True)
    units = list(floors)
    by_remainder = sorted(range(len(parts)), key=lambda index: -remainders[index])
    for index in by_remainder[: whole - sum(units)]:
        units[index] += 1
    return [unit / whole for unit in units]
