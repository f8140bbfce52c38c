"""What one partition's state is, and what a step may change of it.

The reference: what the compiled library is compared with. Its segmentations are to answer by the reference, too; see
`tests.reference.segmentations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_app.core import partition
from stream_app.core.arrays import Indices, Instants
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Clock
from stream_app.core.segmentation import Segmentation
from tests.reference.customers import CustomerTable
from tests.reference.migration import Migration
from tests.reference.row import CustomerHistory


class Partition(partition.Partition):
    """The state of one partition, in a table of the reference; only `apply_effects` and its owner change it.

    Parameters
    ----------
    segmentations, context, table, clock
        As of the class that this is of.
    describes
        Whether moves are described, too.
    """

    table: CustomerTable

    def __init__(
        self,
        segmentations: Sequence[Segmentation],
        context: MigrationContext | None = None,
        table: CustomerTable | None = None,
        clock: Clock | None = None,
        *,
        describes: bool = True,
    ) -> None:
        own = CustomerTable([segmentation.name for segmentation in segmentations]) if table is None else table
        super().__init__(segmentations, context, own, clock)
        self.describes = describes


@dataclass(frozen=True)
class Effects:
    """What a chunk or a sweep does.

    Attributes
    ----------
    customer_ids
        Of the n customers whose rows change: those with events, then others that move.
    numbers
        Their row numbers, −1 for those the table does not hold yet.
    activity, histories
        Of the first customers, those with events.
    memberships
        Shape `(m, n)`.
    due_at_ms
        Of each, the instant before which silence moves it in no segmentation; `NO_TIME` if that is not known.
    examined, examined_due_at_ms
        Row numbers of customers who were looked at and do not change, and the same instant for each.
    moves, migrations
        In the order decided: `MOVE_DTYPE`, and as they are published.
    clock
        The partition's clock afterwards.
    swept_at_ms, customers
        Of each sweep, its instant and how many customers there were.
    applied, late, duplicates
        Number of events folded in time order, folded behind the watermark, and seen before.
    """

    customer_ids: Sequence[str]
    numbers: Indices
    activity: np.ndarray
    histories: Sequence[CustomerHistory]
    memberships: np.ndarray
    due_at_ms: Instants
    examined: Indices
    examined_due_at_ms: Instants
    moves: np.ndarray
    migrations: Sequence[Migration]
    clock: Clock
    swept_at_ms: Instants = field(default_factory=lambda: np.empty(0, np.int64))
    customers: Indices = field(default_factory=lambda: np.empty(0, np.intp))
    applied: int = 0
    late: int = 0
    duplicates: int = 0
