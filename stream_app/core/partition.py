"""What one partition's state is, and what a step may change of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stream_app.core.assignment import Indices
from stream_app.core.clock import NO_TIME
from stream_app.core.migration import Migration, MigrationContext
from stream_app.core.row import Memories
from stream_app.core.snapshot import Snapshot
from stream_app.core.table import CustomerTable


class Clock(NamedTuple):
    """How far a partition has come: the latest event time seen, and the instant of the last whole sweep."""

    watermark_ms: int = NO_TIME
    swept_at_ms: int = NO_TIME


@dataclass
class Partition:
    """The state of one partition; only `apply_effects` and the shell that owns it change it."""

    snapshot: Snapshot
    rules: MigrationContext = field(default_factory=MigrationContext)
    table: CustomerTable = field(default_factory=CustomerTable)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Effects:
    """What a chunk or a sweep does. Arrays have one entry for each customer touched.

    Attributes
    ----------
    customer_ids
        Of the touched customers.
    numbers
        Their row numbers, −1 for those the table does not hold yet.
    activity, memories
        Their rows; None if these did not change.
    membership
        Their memberships.
    migrations
        In the order decided.
    clock
        The partition's clock afterwards.
    applied, late, duplicates
        Number of events folded in time order, folded behind the watermark, and seen before.
    """

    customer_ids: Sequence[str]
    numbers: Indices
    activity: np.ndarray | None
    memories: Sequence[Memories] | None
    membership: np.ndarray
    migrations: Sequence[Migration]
    clock: Clock
    applied: int = 0
    late: int = 0
    duplicates: int = 0
