"""Twenty segmentations and audiences of three leaves each, and a shop whose customers they divide.

Windows of a day to a year, at rest, between two ages and by local dates; sums, averages and fading sums; a sequence;
traits, dates among them; a figure. Events are those of `benchmarks.kafka.events`; every customer has five traits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from stream_app.core.clock import DAY_MS, format_instant

Document = dict[str, Any]
ORDER: Final = "order_completed"
VISIT: Final = "session_started"
VIEW: Final = "product_viewed"
ADDED: Final = "product_added"
SEARCH: Final = "search"
OPENED: Final = "email_opened"
CLICKED: Final = "email_clicked"
COUNTRIES: Final = ("IT", "FR", "DE", "US")
PLANS: Final = ("free", "pro", "max")


def _events(event: str, last: str, **others: Any) -> Document:
    return {"event": event, "last": last, **others}


def _none(event: str, last: str) -> Document:
    return {"not": _events(event, last)}


def _trait(name: str, **test: Any) -> Document:
    return {"trait": name, **test}


def _audience(name: str, *leaves: Document, joint: str = "all") -> Document:
    return {"kind": "audience", "name": name, "when": {joint: list(leaves)}}


_BY_WEB: Final = [{"field": "channel", "equals": "web"}]
_LARGE: Final = [{"field": "amount", "at_least": 60}]
TWENTY: Final = (
    _audience("vip_slipping", _events(ORDER, "365d", at_least=5), _none(ORDER, "45d"), _trait("country", equals="IT")),
    _audience("once_only", _events(ORDER, "365d", equals=1), _none(ORDER, "30d"), _none(VISIT, "30d")),
    _audience(
        "lapsed_browsing",
        {"event": ORDER, "between_ago": ["45d", "365d"]},
        _none(ORDER, "45d"),
        _events(VISIT, "14d", at_least=2),
    ),
    _audience("carts", _events(ADDED, "1d", at_least=2), _none(ORDER, "1d"), _trait("consent", not_equals="no")),
    _audience("frequent", _events(ORDER, "30d", at_least=3), _events(VISIT, "30d"), _none("order_refunded", "90d")),
    _audience(
        "web_fans",
        _events(ORDER, "60d", at_least=2, where=_BY_WEB),
        _events(VISIT, "14d", where=_BY_WEB),
        _trait("plan", **{"in": ["pro", "max"]}),
    ),
    _audience(
        "big_spenders",
        _events(ORDER, "60d", sum="amount", at_least=200),
        _events(ORDER, "60d", where=_LARGE),
        _none("order_refunded", "30d"),
    ),
    _audience(
        "newcomers",
        {"first_event": ORDER, "last": "30d"},
        _trait("signup", in_last="30d"),
        _events(ORDER, "30d", at_least=2),
    ),
    _audience("cooling", {"event": ORDER, "between_ago": ["30d", "60d"]}, _none(ORDER, "30d"), _events(OPENED, "60d")),
    _audience(
        "this_week",
        {"event": ORDER, "calendar": {"days": 8, "timezone": "Europe/Rome"}},
        {"event": VISIT, "calendar": {"days": 8, "timezone": "Europe/Rome"}},
        _trait("consent", not_equals="no"),
    ),
    _audience("readers", _events(OPENED, "30d", at_least=2), _events(CLICKED, "30d"), _none(ORDER, "30d")),
    _audience(
        "by_app",
        _events(VISIT, "30d", where=[{"field": "channel", "equals": "app"}]),
        _events(ORDER, "90d"),
        _trait("country", **{"in": ["IT", "FR"]}),
    ),
    _audience(
        "spend_drops",
        _events(ORDER, "30d", sum="amount", less_than=30),
        _events(ORDER, "180d", at_least=3),
        _trait("plan", not_equals="free"),
    ),
    _audience("renewals", _trait("renewal", in_next="14d"), _events(VISIT, "30d"), _none(CLICKED, "7d")),
    _audience("quiet", _none(VISIT, "21d"), _none(OPENED, "21d"), _events(ORDER, "365d", at_least=2)),
    _audience(
        "funnel",
        {"sequence": [VIEW, ORDER], "within": "3d", "last": "30d"},
        _events(ORDER, "30d", at_least=2),
        _trait("country", equals="DE"),
    ),
    _audience(
        "fading",
        {"event": ORDER, "decayed_sum": "amount", "half_life": "30d", "less_than": 40},
        _events(ORDER, "365d", at_least=3),
        _none(ORDER, "14d"),
    ),
    {
        "kind": "rules",
        "name": "engagement",
        "segments": [
            {"id": "busy", "name": "Busy", "when": _events("*", "30d", at_least=12)},
            {"id": "steady", "name": "Steady", "when": _events("*", "90d", at_least=6)},
            {"id": "seldom", "name": "Seldom", "when": _events("*", "180d")},
        ],
        "otherwise": {"id": "silent", "name": "Silent"},
    },
    {
        "kind": "rules",
        "name": "buying",
        "segments": [
            {"id": "loyal", "name": "Loyal", "when": {"figure": "purchases", "at_least": 8}},
            {"id": "buying", "name": "Buying", "when": _events(ORDER, "180d")},
            {"id": "dear", "name": "Dear", "when": _events(ORDER, "365d", average="amount", at_least=60)},
        ],
        "otherwise": {"id": "others", "name": "Others"},
    },
    _audience(
        "vip_offer", {"segmentation": "vip_slipping"}, {"segmentation": "readers"}, {"list": "staff"}, joint="any"
    ),
)
"""Entries of `segmentations.yaml`."""
LISTS: Final = {"staff": ["customer-0000003", "customer-0000011"]}


def profiles(customers: int, at_ms: int, seed: int = 1) -> Iterator[tuple[str, Document]]:
    """Yield the profile of each customer, as of an instant: its id and the record."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, 1 << 20, (customers, 5))
    for number in range(customers):
        country, plan, consent, signup, renewal = chosen[number].tolist()
        customer_id = f"customer-{number:07d}"
        yield (
            customer_id,
            {
                "event_id": f"profile {number}",
                "customer_id": customer_id,
                "observed_at": format_instant(at_ms),
                "traits": {
                    "country": COUNTRIES[country % len(COUNTRIES)],
                    "plan": PLANS[plan % len(PLANS)],
                    "consent": "no" if consent % 5 == 0 else "yes",
                    "signup": format_instant(at_ms - (signup % 200) * DAY_MS),
                    "renewal": format_instant(at_ms + (renewal % 200) * DAY_MS),
                },
            },
        )
