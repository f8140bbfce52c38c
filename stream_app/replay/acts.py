"""What a sample of customers did, for pages that show a customer over time.

Customers are sampled by a hash of their id, the smallest first (bottom-k sampling): whoever is in the sample is in it
with all events, and the choice depends on neither their order nor chance.

Records are kept as they came, and told as what they amount to: an order once, by its latest statement
(`native/orders.c`), a repeated record once, and a refund or cancellation with what it took from its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.events import CANCELLATION, CANCELS, ENGAGEMENT, PURCHASE, REFUND

EVENTS_KEPT_MAX: Final = 80_000
"""Records of the sample; it holds between half as many and all of them."""
_SAMPLE_DTYPE: Final = np.dtype(
    [
        ("customer_hash", "<u8"),
        ("at_ms", "<i8"),
        ("kind", "u1"),
        ("amount_minor", "<i8"),
        ("stated_at_ms", "<i8"),
        ("order_digest", "<u8"),
        ("event_digest", "<u8"),
    ]
)
_NAMES: Final = _SAMPLE_DTYPE.names or ()


class Act(NamedTuple):
    """A purchase, refund, engagement or `CANCELLATION`."""

    customer: int
    at_ms: int
    kind: int
    amount_minor: int


class _Order(NamedTuple):
    at_ms: int
    stated_at_ms: int
    amount_minor: int


class ActsSample:
    """Holds the records of as many customers as fit.

    Parameters
    ----------
    kept_max
        Records.
    """

    def __init__(self, kept_max: int = EVENTS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._sample = np.empty(0, _SAMPLE_DTYPE)
        self._below: int | None = None

    def observe(self, records: np.ndarray) -> None:
        """Take in acts, `EVENT_DTYPE`."""
        if self._below is not None:
            records = records[records["customer_hash"] < np.uint64(self._below)]
        kept = np.empty(len(records), _SAMPLE_DTYPE)
        for name in _NAMES:
            kept[name] = records[name]
        self._sample = np.concatenate([self._sample, kept])
        if len(self._sample) <= self._kept_max:
            return
        hashes = np.sort(self._sample["customer_hash"])
        self._below = int(hashes[self._kept_max // 2])
        self._sample = self._sample[self._sample["customer_hash"] < np.uint64(self._below)]

    def document(self) -> dict[str, Any]:
        """Return the acts as columns in the order of customers and instants, and below which hash they are known."""
        acts = sorted(_acts(self._sample))
        return {
            "customers_below": self._below,
            "customer": [act.customer for act in acts],
            "at_ms": [act.at_ms for act in acts],
            "kind": [act.kind for act in acts],
            "amount_minor": [act.amount_minor for act in acts],
        }

    def state(self) -> dict[str, Any]:
        """Return all that is kept as JSON values, for `load_state`."""
        return {"below": self._below, "records": {name: self._sample[name].tolist() for name in _NAMES}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._below = state["below"]
        self._sample = np.empty(len(state["records"]["at_ms"]), _SAMPLE_DTYPE)
        for name in _NAMES:
            self._sample[name] = np.array(state["records"][name], _SAMPLE_DTYPE[name])


def _acts(sample: np.ndarray) -> list[Act]:
    orders: dict[tuple[int, int], _Order] = {}
    others: set[tuple[int, int, int, int, int, int]] = set()
    for customer, at_ms, kind, amount, stated_at_ms, order, event in sample.tolist():
        if kind == PURCHASE:
            order = order or event  # without an id it is an order of its own
            told = _Order(at_ms, stated_at_ms, amount)
            known = orders.get((customer, order), told)
            latest = max(known, told, key=lambda each: (each.stated_at_ms, each.amount_minor))
            orders[customer, order] = latest._replace(at_ms=min(known.at_ms, at_ms))
        else:
            others.add((customer, at_ms, kind, amount, order, event))
    left = {key: order.amount_minor for key, order in orders.items()}
    acts = [Act(key[0], order.at_ms, PURCHASE, order.amount_minor) for key, order in orders.items()]
    for customer, at_ms, kind, amount, order_digest, _ in sorted(others):
        if kind == ENGAGEMENT:
            acts.append(Act(customer, at_ms, kind, 0))
            continue
        due = left.get((customer, order_digest))
        taken = (due or 0) if amount < 0 else amount if due is None else min(amount, due)
        if due is not None:
            left[customer, order_digest] = due - taken
        acts.append(Act(customer, at_ms, CANCELLATION if amount == CANCELS else REFUND, taken))
    return acts
