"""What a sample of customers did, for pages that show a customer over time.

Customers are sampled by a hash of their id, the smallest first (bottom-k sampling): a customer in the sample is there
with all events, and the choice depends on neither their order nor chance.

Records are kept as they came, and shown as what they amount to: an order once, by its latest statement
(`native/orders.c`), a repeated record once, and a refund or cancellation with what it took from its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec
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
        ("order_digest", "<u4"),
        ("event_digest", "<u4"),
    ]
)
"""The lower halves of digests suffice among the records of one customer."""
_NAMES: Final = _SAMPLE_DTYPE.names or ()


class _Act(NamedTuple):
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
        whole = self._whole()
        order = np.argsort(whole["customer_hash"], kind="stable")
        starts = np.unique(whole["customer_hash"][order], return_index=True)[1].tolist()
        columns = {name: bytearray() for name in ("customer", "at_ms", "kind", "amount_minor")}
        for start, stop in pairwise([*starts, len(order)]):
            rows = whole[order[start:stop]].tolist()
            acts = sorted(_acts(rows))
            told = ([rows[0][0]] * len(acts), *zip(*acts, strict=True))
            for column, values in zip(columns.values(), told, strict=True):
                column += b"," if column else b"["
                column += msgspec.json.encode(values)[1:-1]
        written = {name: msgspec.Raw(bytes(column or b"[") + b"]") for name, column in columns.items()}
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


def _acts(rows: Iterable[tuple[int, ...]]) -> list[_Act]:
    """Return what the records of a customer amount to."""
    orders: dict[int, _Order] = {}
    others: set[tuple[int, int, int, int, int]] = set()
    for _, at_ms, kind, amount, stated_at_ms, order_digest, event in rows:
        if kind == PURCHASE:
            order = order_digest or event  # without an id it is an order of its own
            told = _Order(at_ms, stated_at_ms, amount)
            known = orders.get(order, told)
            latest = max(known, told, key=lambda each: (each.stated_at_ms, each.amount_minor))
            orders[order] = latest._replace(at_ms=min(known.at_ms, at_ms))
        else:
            others.add((at_ms, kind, amount, order_digest, event))
    left = {order: told.amount_minor for order, told in orders.items()}
    acts = [_Act(order.at_ms, PURCHASE, order.amount_minor) for order in orders.values()]
    for at_ms, kind, amount, order, _ in sorted(others):
        if kind == ENGAGEMENT:
            acts.append(_Act(at_ms, kind, 0))
            continue
        due = left.get(order)
        taken = (due or 0) if amount < 0 else amount if due is None else min(amount, due)
        if due is not None:
            left[order] = due - taken
        acts.append(_Act(at_ms, CANCELLATION if amount == CANCELS else REFUND, taken))
    return acts
