"""The shipped definitions once more, in plain pandas: where every customer is at every instant that could matter.

Of each input, and of each date in a profile, the instants are written down at which a definition could put its customer
elsewhere. At all of them every definition is evaluated, from cumulated tables that are looked up as of that instant;
where a customer is elsewhere than at the instant before, it has moved. Nothing is shared with the engine, nor with the
brute force: a definition here is a line of pandas, not the file's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from stream_app.core.clock import DAY_MS, HOUR_MS
from tests.recount.shops import Shop

OFFSETS_MS: Final = [
    0,
    HOUR_MS,
    *(days * DAY_MS for days in (3, 14, 30, 60, 90, 120, 180, 240, 365)),
]
"""How long after an event a window or a figure of the shipped definitions may change."""
TIERS: Final = {"top": 500.0, "high": 200.0, "medium": 50.0, "low": 5.0}
HALF_LIFE_MS: Final = 60 * DAY_MS
REGIONS: Final = {
    "dach": ("DE", "AT", "CH", "LI"),
    "italy": ("IT", "SM", "VA"),
    "france_benelux": ("FR", "MC", "BE", "NL", "LU"),
    "british_isles": ("GB", "IE"),
    "nordics": ("DK", "SE", "NO", "FI", "IS"),
    "north_america": ("US", "CA", "MX"),
}
_ROUNDING: Final = 1e-12

Conditions = Sequence[tuple[str, pd.Series]]


class Recount:
    """All that a shop's customers are, as of all instants that could matter.

    Parameters
    ----------
    shop
        The shop.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._faded = _faded(shop.events)
        self.points = self._instants()
        self._dates = {name: self.trait_date(name) for name in ("renewal_on", "child_born_on", "birthday")}

    def _instants(self) -> pd.DataFrame:
        """Return customers and instants, from when a customer is known on: a return alone makes nobody one."""
        events, profiles = self._shop.events, self._shop.profiles
        parts = [events[["customer", "at_ms"]].assign(at_ms=events["at_ms"] + offset) for offset in OFFSETS_MS]
        parts.append(profiles[["customer", "at_ms"]])
        parts += self._dates_of_profiles()
        parts += self._crossings()
        points = pd.concat(parts).drop_duplicates()
        acts = events[events["type"] != "order_refunded"]
        known = pd.concat([acts, profiles]).groupby("customer")["at_ms"].min()
        points = points[points["at_ms"] >= points["customer"].map(known)]
        points = points[points["at_ms"] < self._shop.end_ms]
        return points.sort_values("at_ms", kind="stable", ignore_index=True)

    def _dates_of_profiles(self) -> list[pd.DataFrame]:
        dated = self._shop.profiles[self._shop.profiles["trait"].isin(["renewal_on", "child_born_on", "birthday"])]
        if dated.empty:
            return []
        at_ms = _date_ms(dated["value"])
        days = (0, -14, -90, 365)
        parts = [dated[["customer"]].assign(at_ms=at_ms + offset * DAY_MS) for offset in days]
        last = pd.Timestamp(self._shop.end_ms, unit="ms")
        first = pd.Timestamp(int(dated["at_ms"].min()), unit="ms").normalize()
        months = pd.date_range(first - pd.Timedelta(days=31), last, freq="MS").as_unit("ms").astype("int64")
        customers = dated.loc[dated["trait"] == "birthday", ["customer"]].drop_duplicates()
        parts.append(customers.merge(pd.DataFrame({"at_ms": months}), how="cross"))
        return parts

    def _crossings(self) -> list[pd.DataFrame]:
        """Return where decayed revenue falls below the borders of the tiers, to the millisecond."""
        faded = self._faded
        value = _value(faded["scaled"], faded["at_ms"])
        parts = []
        for border in TIERS.values():
            above = value >= border * (1 - _ROUNDING)
            exact = faded["at_ms"][above] + HALF_LIFE_MS * np.log2(value[above] / border)
            for shift in (-1, 0, 1, 2):
                at_ms = np.floor(exact + 1e-3).astype("int64") + shift
                parts.append(faded.loc[above, ["customer"]].assign(at_ms=at_ms))
        return parts

    # --- what is known as of the instants ---------------------------------------------------------------------------

    def as_of(self, table: pd.DataFrame, column: str, missing: float, back_ms: int = 0) -> pd.Series:
        """Return a column of a table in the order of `at_ms`, as of the instants, or so long before them."""
        wanted = self.points.assign(at_ms=self.points["at_ms"] - back_ms)
        found = pd.merge_asof(wanted, table[["customer", "at_ms", column]], on="at_ms", by="customer")
        return found[column].fillna(missing)

    def count(self, chosen: Callable[[pd.DataFrame], pd.Series], days: float | None = None) -> pd.Series:
        """Return how many events of a kind there were, ever or in the last days: now − D < t ≤ now."""
        events = self._shop.events
        own = events[chosen(events)][["customer", "at_ms"]]
        own = own.assign(number=own.groupby("customer").cumcount() + 1)
        ever = self.as_of(own, "number", 0)
        return ever if days is None else ever - self.as_of(own, "number", 0, round(days * DAY_MS))

    def days_since(self, type_: str) -> pd.Series:
        """Return the days since the last event of a type; not a number if there never was one."""
        own = self._shop.events[self._shop.events["type"] == type_]
        own = own[["customer", "at_ms"]].assign(last_ms=own["at_ms"])
        return (self.points["at_ms"] - self.as_of(own, "last_ms", np.nan)) / DAY_MS

    def purchases(self) -> pd.Series:
        """Return how many orders stand: those that were refunded as a whole do not."""
        return self.as_of(_standing(self._shop.events), "standing", 0)

    def revenue(self) -> pd.Series:
        """Return what was paid and not refunded, in major units."""
        events = self._shop.events[self._shop.events["topic"] == "purchases"]
        signed = events["amount_minor"].where(events["type"] == "order_completed", -events["amount_minor"])
        table = events[["customer", "at_ms"]].assign(total=signed.groupby(events["customer"]).cumsum())
        return self.as_of(table, "total", 0) / 100

    def faded_revenue(self) -> pd.Series:
        """Return the same, each amount half after 60 days."""
        return _value(self.as_of(self._faded, "scaled", 0), self.points["at_ms"])

    def trait(self, name: str) -> pd.Series:
        """Return the value of a trait that was observed last; None if there is none."""
        own = self._shop.profiles[self._shop.profiles["trait"] == name][["customer", "at_ms", "value"]]
        if own.empty:
            return pd.Series([None] * len(self.points), dtype=object)
        return pd.merge_asof(self.points, own, on="at_ms", by="customer")["value"]

    def trait_date(self, name: str) -> pd.Series:
        """Return a trait that is a date, as the days until then; not a number if there is none."""
        value = self.trait(name)
        at_ms = pd.Series(np.nan, index=value.index)
        given = value.notna()
        if given.any():
            at_ms[given] = _date_ms(value[given]).astype(float)
        return (at_ms - self.points["at_ms"]) / DAY_MS

    # --- the definitions --------------------------------------------------------------------------------------------

    def segments(self) -> Mapping[str, pd.Series]:
        """Return where customers are in each shipped definition, None for out of an audience."""
        recency, purchases, revenue = self.days_since("order_completed"), self.purchases(), self.revenue()
        is_order = _type_is("order_completed")
        lately = self.count(is_order, 60)
        paused = self.count(is_order, 240) == lately
        won_back = (lately > 0) & paused & (self.count(is_order) > self.count(is_order, 240))
        is_vip = (revenue >= 500) | (purchases >= 8)
        slipping = is_vip & (recency >= 60) & (recency < 180)
        return {
            "lifecycle": self._first(
                [
                    ("prospect", purchases == 0),
                    ("won_back", won_back),
                    ("first_time", (purchases == 1) & (recency < 60)),
                    ("active", recency < 60),
                    ("slipping", recency < 180),
                ],
                "lapsed",
            ),
            "value_tier": self._first(
                [(tier, self.faded_revenue() >= border * (1 - _ROUNDING)) for tier, border in TIERS.items()], "dormant"
            ),
            "rfm_cells": self._first(
                [
                    ("champions", (recency < 30) & (purchases >= 5) & (revenue >= 500)),
                    ("loyal", (recency < 90) & (purchases >= 4)),
                    ("promising", (recency < 60) & (purchases >= 2)),
                    ("recent", recency < 60),
                    ("needs_attention", recency < 120),
                    ("at_risk", (recency < 365) & (purchases >= 3)),
                    ("hibernating", recency < 365),
                ],
                "lost",
            ),
            "region": self._region(),
            "company_size": self._company_size(),
            "life_moment": self._life_moment(),
            "cart_abandoners": self._audience(
                (self.count(_type_is("product_added"), 3) > 0)
                & (self.count(is_order, 3) == 0)
                & (self.days_since("product_added") >= 1 / 24),
                "cart_abandoners",
            ),
            "vip_slipping": self._audience(slipping, "vip_slipping"),
            "one_and_done": self._audience((purchases == 1) & (recency >= 90), "one_and_done"),
            "lapsed_but_browsing": self._audience(
                (recency >= 180) & (self.count(_type_is("product_viewed"), 14) > 0), "lapsed_but_browsing"
            ),
            "price_sensitive": self._audience(self._is_price_sensitive(), "price_sensitive"),
            "brand_advocates": self._audience(self._is_advocate(), "brand_advocates"),
            "vip_in_italy_slipping": self._audience(
                slipping & (self.trait("country") == "IT"), "vip_in_italy_slipping"
            ),
        }

    def moves(self) -> set[tuple[int, str, str, str | None]]:
        """Return all moves: instant, segmentation, customer, and the segment, None for out of an audience."""
        found: set[tuple[int, str, str, str | None]] = set()
        for name, segment in self.segments().items():
            table = self.points.assign(segment=segment.fillna("")).sort_values(["customer", "at_ms"], kind="stable")
            before = table.groupby("customer")["segment"].shift(fill_value="")
            moved = table[table["segment"] != before]
            rows = zip(moved["at_ms"].tolist(), moved["customer"], moved["segment"], strict=True)
            found.update((at_ms, name, customer, segment_id or None) for at_ms, customer, segment_id in rows)
        return found

    def _region(self) -> pd.Series:
        country = self.trait("country")
        conditions = [("unknown", country.isna()), *((name, country.isin(ids)) for name, ids in REGIONS.items())]
        return self._first(conditions, "elsewhere")

    def _company_size(self) -> pd.Series:
        employees = pd.to_numeric(self.trait("employees"))
        sizes = {"large": 250, "medium": 50, "small": 10, "micro": 1}
        return self._first([(size, employees >= least) for size, least in sizes.items()], "unknown")

    def _life_moment(self) -> pd.Series:
        renewal, child = self._dates["renewal_on"], self._dates["child_born_on"]
        born = pd.to_datetime(self.trait("birthday"), errors="coerce")
        today = pd.to_datetime(self.points["at_ms"], unit="ms")
        month = born.dt.month.where((born.dt.month != 2) | (born.dt.day != 29) | today.dt.is_leap_year, 3)
        return self._first(
            [
                ("renewal", (renewal > 0) & (renewal <= 14)),
                ("new_parents", ((child <= 0) & (child > -365)) | ((child > 0) & (child <= 90))),
                ("birthday_month", month == today.dt.month),
            ],
            "none",
        )

    def _is_price_sensitive(self) -> pd.Series:
        is_order = _type_is("order_completed")
        with_coupon = self.count(lambda events: is_order(events) & events["coupon"].notna(), 365)
        without = self.count(lambda events: is_order(events) & events["coupon"].isna(), 365)
        steps = [(with_coupon >= least) & (without <= least) for least in (2, 4, 8)]
        return steps[0] | steps[1] | steps[2]

    def _is_advocate(self) -> pd.Series:
        referrals = self.count(_type_is("referral_made"), 365)
        reviews = self.count(_type_is("product_reviewed"), 365)
        points = 2 * (referrals >= 1) + 2 * (referrals >= 3) + (reviews >= 1) + (reviews >= 3)
        return points >= 3

    def _first(self, conditions: Conditions, otherwise: str) -> pd.Series:
        holds = [condition.fillna(False).to_numpy(bool) for _, condition in conditions]
        return pd.Series(np.select(holds, [name for name, _ in conditions], otherwise), dtype=object)

    def _audience(self, is_in: pd.Series, name: str) -> pd.Series:
        return pd.Series(np.where(is_in.fillna(False).to_numpy(bool), name, None), dtype=object)


def _type_is(type_: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda events: events["type"] == type_


def _date_ms(values: pd.Series) -> pd.Series:
    return pd.to_datetime(values, utc=True).astype("datetime64[ms, UTC]").astype("int64")


def _standing(events: pd.DataFrame) -> pd.DataFrame:
    """Return, after each order or refund, how many orders of its customer stand."""
    money = events[events["topic"] == "purchases"].copy()
    is_order = money["type"] == "order_completed"
    of_order = [money["customer"], money["order_id"]]
    paid = money["amount_minor"].where(is_order, 0).groupby(of_order).cumsum()
    returned = money["amount_minor"].where(~is_order, 0).groupby(of_order).cumsum()
    completed = is_order.astype(int).groupby(of_order).cumsum()
    stands = completed.where((returned == 0) | (returned < paid), 0)
    change = stands - stands.groupby(of_order).shift(fill_value=0)
    return money[["customer", "at_ms"]].assign(standing=change.groupby(money["customer"]).cumsum())


def _faded(events: pd.DataFrame) -> pd.DataFrame:
    """Return, after each order or refund, decayed revenue in major units, scaled to the beginning of time.

    An order counts from its own instant; a refund takes back, as of its order's instant, what was paid at most; one of
    an order that nobody knows takes back as of its own.
    """
    money = events[events["topic"] == "purchases"].copy()
    is_order = money["type"] == "order_completed"
    of_order = [money["customer"], money["order_id"]]
    amount = money["amount_minor"] / 100
    paid = amount.where(is_order, 0.0).groupby(of_order).cumsum()
    returned = amount.where(~is_order, 0.0).groupby(of_order).cumsum()
    ordered_ms = money["at_ms"].where(is_order).groupby(of_order).cummax()
    known = ordered_ms.groupby(of_order).ffill()
    taken = returned.where(known.isna(), np.minimum(paid, returned))
    change = amount.where(is_order, 0.0) - (taken - taken.groupby(of_order).shift(fill_value=0.0))
    scaled = change * 2.0 ** ((known.fillna(money["at_ms"]) - _EPOCH_MS) / HALF_LIFE_MS)
    return money[["customer", "at_ms"]].assign(scaled=scaled.groupby(money["customer"]).cumsum())


_EPOCH_MS: Final = 1_300_000_000_000


def _value(scaled: pd.Series, at_ms: pd.Series) -> pd.Series:
    value: pd.Series = scaled * 2.0 ** ((_EPOCH_MS - at_ms) / HALF_LIFE_MS)
    return value.clip(lower=0.0)
