"""A customer's figures in natural units.

This is the reference that the compiled library is compared with, byte by byte: whole arrays of numpy, with the
library's own elementary functions. Theory: `native/outputs_figures.c`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from stream_app.core.arrays import Flags, Floats
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.money import minor_digits
from stream_app.core.moves import MigrationContext
from stream_app.native.mathematics import exp
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.model import Frame
from tests.reference.axes import value_axes
from tests.reference.columns import CustomerColumns
from tests.reference.rhythm import rhythm_of


class CustomerFigures(msgspec.Struct, frozen=True, gc=False):
    """A customer at an instant; money in major units of the base currency.

    Parameters
    ----------
    recency_days, tenure_days
        Days since the last purchase or engagement, and since the first event.
    usual_gap_days
        Median number of days between two active days, as its own gaps and the population's have it.
    probability_active
        That it still is a customer.
    orders
        Orders so far, without those that refunds have undone.
    order_recency_days, order_tenure_days
        Days since the last purchase and since the first one; None before any.
    order_interval_days
        Estimated days from order to order, as of late: what statements about orders are compared with.
    order_value
        Estimated value of an order; None while the model knows no usual one.
    engagement_recency_days
        Days since the last engagement; None before any.
    engagement_interval_days
        Estimated days from one day with an engagement to the next, as of late.
    """

    recency_days: float
    tenure_days: float
    usual_gap_days: float
    probability_active: float
    orders: int
    order_recency_days: float | None
    order_tenure_days: float | None
    order_interval_days: float
    order_value: float | None
    engagement_recency_days: float | None
    engagement_interval_days: float


def figures_of(customers: CustomerColumns, frame: Frame, context: MigrationContext) -> list[CustomerFigures]:
    """Return the figures of each customer at its instant, as a model's frame has them, rounded."""
    quantities, activity, at_ms = customers.quantities, customers.activity, customers.at_ms
    axes = value_axes(quantities, frame.order_value_minor)
    own = rhythm_of(quantities, frame.rhythm)
    has_ordered, has_engaged = activity["purchased_at_ms"] > NO_TIME, activity["engaged_at_ms"] > NO_TIME
    value: list[float | None] = [None] * len(axes)
    if frame.order_value_minor is not None:
        major = frame.order_value_minor * exp(axes[:, VALUE]) / context.minor_per_major
        value = np.round(major, minor_digits(context.minor_per_major)).tolist()

    def since(instants: np.ndarray, is_known: Flags) -> list[float | None]:
        elapsed = _rounded(np.where(is_known, np.maximum(at_ms - np.where(is_known, instants, 0), 0) / DAY_MS, 0.0))
        return [days if known else None for days, known in zip(elapsed, is_known.tolist(), strict=True)]

    columns = (
        _rounded(quantities.recency_days),
        _rounded(quantities.tenure_days),
        _rounded(own.usual_gap_days),
        _rounded(own.probability_active(quantities.recency_days)),
        np.maximum(activity["purchases"], 0).tolist(),
        since(activity["purchased_at_ms"], has_ordered),
        since(activity["first_purchased_at_ms"], has_ordered),
        _rounded(exp(-axes[:, ORDERS])),
        value,
        since(activity["engaged_at_ms"], has_engaged),
        _rounded(exp(-axes[:, ENGAGEMENT])),
    )
    return [CustomerFigures(*row) for row in zip(*columns, strict=True)]


def _rounded(column: Floats) -> list[float]:
    numbers: list[float] = np.round(column, 4).tolist()
    return numbers
