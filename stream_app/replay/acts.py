"""What a sample of customers did, for pages that show a customer over time.

Customers are sampled by a hash of their id, the smallest first (bottom-k sampling): a customer in the sample is there
with all events, and the choice depends on neither their order nor chance.

Records are kept as they came, and shown as what they amount to: an order once, by its latest statement
(`native/orders.c`), a repeated record once, and a refund or cancellation with what it took from its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Indices
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
        ("order_digest", "<u4"),
        ("event_digest", "<u4"),
    ]
)
"""The lower halves of digests suffice among the records of one customer."""
_NAMES: Final = _SAMPLE_DTYPE.names or ()


_TOLD_DTYPE: Final = np.dtype([("customer", "<u8"), ("at_ms", "<i8"), ("kind", "u1"), ("amount_minor", "<i8")])
_ACT_DTYPE: Final = np.dtype([("key", "<i8"), ("at_ms", "<i8"), ("kind", "u1"), ("amount_minor", "<i8")])
_DIGEST_BITS: Final = 32


class ActsSample:
    """Holds the records of as many customers as fit.

    Parameters
    ----------
    kept_max
        Records.
    """

    def __init__(self, kept_max: int = EVENTS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._parts: list[np.ndarray] = []
        self._below: int | None = None

    def observe(self, records: np.ndarray) -> None:
        """Take in acts, `EVENT_DTYPE`."""
        if self._below is not None:
            records = records[records["customer_hash"] < np.uint64(self._below)]
        if not len(records):
            return
        kept = np.empty(len(records), _SAMPLE_DTYPE)
        for name in _NAMES:
            kept[name] = records[name].astype(_SAMPLE_DTYPE[name], casting="unsafe")
        self._parts.append(kept)
        while len(self._parts) > 1 and 2 * len(self._parts[-1]) >= len(self._parts[-2]):  # so few parts, rarely copied
            self._parts[-2:] = [np.concatenate(self._parts[-2:])]
        if sum(map(len, self._parts)) > self._kept_max:
            whole = self._whole()
            self._below = int(np.sort(whole["customer_hash"])[self._kept_max // 2])
            self._parts = [whole[whole["customer_hash"] < np.uint64(self._below)]]

    def document(self) -> dict[str, Any]:
        """Return the acts as columns in the order of customers and instants, and below which hash they are known.

        Columns are written already, as a list of numbers takes several times as much memory as its text.
        """
        acts = _acts(self._whole())
        written = {name: msgspec.Raw(msgspec.json.encode(acts[name].tolist())) for name in _TOLD_DTYPE.names or ()}
        return {"customers_below": self._below} | written

    def state(self) -> dict[str, Any]:
        """Return all that is kept as JSON values, for `load_state`."""
        records = [{name: part[name].tolist() for name in _NAMES} for part in self._parts]
        return {"below": self._below, "records": records}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        self._below, self._parts = state["below"], []
        for columns in state["records"]:
            part = np.empty(len(columns["at_ms"]), _SAMPLE_DTYPE)
            for name in _NAMES:
                part[name] = np.array(columns[name], _SAMPLE_DTYPE[name])
            self._parts.append(part)

    def _whole(self) -> np.ndarray:
        return self._parts[0] if len(self._parts) == 1 else np.concatenate([*self._parts, np.empty(0, _SAMPLE_DTYPE)])


def _acts(records: np.ndarray) -> np.ndarray:
    """Return what records amount to, in the order of customers, instants, kinds and amounts."""
    customers, numbers = np.unique(records["customer_hash"], return_inverse=True)
    is_purchase = records["kind"] == PURCHASE
    orders = _orders(records[is_purchase], numbers[is_purchase])
    others = _others(records[~is_purchase], numbers[~is_purchase])
    _take_back(others, orders)
    acts = np.concatenate((orders, others))
    acts = acts[np.lexsort((acts["amount_minor"], acts["kind"], acts["at_ms"], acts["key"] >> _DIGEST_BITS))]
    told = np.empty(len(acts), _TOLD_DTYPE)
    told["customer"] = customers[acts["key"] >> _DIGEST_BITS]
    for name in ("at_ms", "kind", "amount_minor"):
        told[name] = acts[name]
    return told


def _orders(records: np.ndarray, numbers: Indices) -> np.ndarray:
    """Return the orders that purchases state, each by its latest statement, as of its first instant."""
    digests = np.where(records["order_digest"], records["order_digest"], records["event_digest"])  # else one of its own
    keys = _keys(numbers, digests)
    by_statement = np.lexsort((records["amount_minor"], records["stated_at_ms"], keys))
    keys, records = keys[by_statement], records[by_statement]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    orders = _acts_of(keys[starts], records[np.append(starts[1:], len(keys))[: len(starts)] - 1])
    if len(starts):
        orders["at_ms"] = np.minimum.reduceat(records["at_ms"], starts)
    return orders


def _others(records: np.ndarray, numbers: Indices) -> np.ndarray:
    """Return engagements and returns, each once, in the order of customers, instants and kinds."""
    columns = (numbers, *(records[name] for name in ("at_ms", "kind", "amount_minor", "order_digest", "event_digest")))
    order = np.lexsort(columns[::-1])
    is_again = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        is_again &= column[order[1:]] == column[order[:-1]]
    order = order[np.append([True], ~is_again)[: len(order)]]
    return _acts_of(_keys(numbers[order], records["order_digest"][order]), records[order])


def _take_back(others: np.ndarray, orders: np.ndarray) -> None:
    """Say of returns what each took from its order, in turn."""
    returns = np.flatnonzero(others["kind"] != ENGAGEMENT)
    known = np.flatnonzero(np.isin(orders["key"], others["key"][returns]))
    left = dict(zip(orders["key"][known].tolist(), orders["amount_minor"][known].tolist(), strict=True))
    amounts = others["amount_minor"][returns].tolist()
    for place, (key, amount) in enumerate(zip(others["key"][returns].tolist(), amounts, strict=True)):
        due = left.get(key)
        amounts[place] = (due or 0) if amount < 0 else amount if due is None else min(amount, due)
        if due is not None:
            left[key] = due - amounts[place]
    others["kind"][returns] = np.where(others["amount_minor"][returns] == CANCELS, CANCELLATION, REFUND)
    others["amount_minor"] = 0
    others["amount_minor"][returns] = amounts


def _keys(numbers: Indices, digests: np.ndarray) -> npt.NDArray[np.int64]:
    """Return customers by number and orders by digest as one number each."""
    return np.asarray(numbers.astype(np.int64) << _DIGEST_BITS | digests, np.int64)


def _acts_of(keys: npt.NDArray[np.int64], records: np.ndarray) -> np.ndarray:
    acts = np.empty(len(keys), _ACT_DTYPE)
    acts["key"] = keys
    for name in ("at_ms", "kind", "amount_minor"):
        acts[name] = records[name]
    return acts
