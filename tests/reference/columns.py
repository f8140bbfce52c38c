"""Customers at their instants, column by column.

This is what the reference's segmentations read: whole arrays of numpy, with the library's own elementary functions. The
library works on one customer at a time, see `native/quantities.c`.
"""

from __future__ import annotations

from functools import cached_property

from stream_app.core import columns
from stream_app.core.arrays import Indices, Instants
from stream_app.core.quantities import Quantities
from tests.reference.quantities import quantities_at


class CustomerColumns(columns.CustomerColumns):
    """n customers, each at an instant of its own; see the class that this is of, which asks the library."""

    @cached_property
    def quantities(self) -> Quantities:
        """What is known of each customer at its instant."""
        return quantities_at(self.activity, self.at_ms)

    def at(self, rows: Indices, at_ms: Instants) -> CustomerColumns:
        """Return the same customers, or some of them (again), at other instants."""
        return CustomerColumns(self.activity.take(rows), at_ms)
