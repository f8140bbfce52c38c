"""What a table holds of customers, read back for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.core.customers import CustomerTable
from stream_app.core.events import Event
from stream_app.core.partition import Partition
from stream_app.core.quantities import Quantities, quantities_at
from tests.reference.row import ACTIVITY, ACTIVITY_DTYPE, Row, decode_row
from tests.support.events import engagement, instant, purchase, refund
from tests.support.totals import fold


def row_of(table: CustomerTable, number: int) -> Row:
    """Return what a row says, but for its memberships."""
    return decode_row(table.encode(number))[0]


def outdated_in(table: CustomerTable) -> np.ndarray:
    """Say who has not been assessed under the present version of each segmentation, shape `(m, len(table))`."""
    return table._columns["outdated"][:, : len(table)]


def held_in(partition: Partition, name: str) -> np.ndarray:
    """Return the memberships of a segmentation, or the places in one by rules, customer by customer."""
    table = partition.table
    if name in table.names:
        return table.memberships[table.names.index(name)]
    return table.places[table.ruled_names.index(name)]


def activity_of(*customers: Sequence[Event]) -> np.ndarray:
    """Return the records of customers with these events, shape `(n_customers,)`."""
    packed = bytearray(len(customers) * ACTIVITY.size)
    for number, events in enumerate(customers):
        fold(events).pack_activity_into(packed, number * ACTIVITY.size)
    return np.frombuffer(packed, ACTIVITY_DTYPE)


def quantities_of_events(at_days: float = 100.0) -> Quantities:
    """Return quantities of four customers of different kinds."""
    return quantities_at(
        activity_of(
            [purchase(day, 4_000) for day in range(0, 100, 9)],
            [purchase(3), engagement(4), engagement(60)],
            [engagement(day) for day in range(90, 100)],
            [refund(50, 2_000, "unknown")],
        ),
        instant(at_days),
    )
