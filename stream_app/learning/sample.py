"""What the trainer learns from: customers drawn uniformly from the population, as they are at one instant.

Not events: at its own event a customer's silence is always over, and customers who act often are counted often.

A sample carries customers' activity as it is in the table, to the last bit: so the very code that decides about
customers can be asked what a model would do to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from stream_app.core.columns import CustomerColumns
from stream_app.core.members import MemberSums
from stream_app.core.quantities import Quantities
from stream_app.core.segmentation import Held


@dataclass(frozen=True)
class PopulationSample:
    """Customers drawn without replacement at one tick; every column has one entry a customer, shape `(m,)`.

    Parameters
    ----------
    tick
        Ascending number ≥ 0 of the draw; the trainer's randomness depends on it and its seed alone.
    as_of_ms
        The instant of the draw.
    customer_ids
        Who was drawn.
    memberships
        Where the customers are in each learned segmentation, by its name.
    activity
        `ACTIVITY_DTYPE` records, see `stream_app.core.row`.
    population_size
        How many customers the sample was drawn from.
    members
        Sums over all of those who are in a segment then, drawn or not: by learned segmentation, by the segment's code.
        A segmentation is left out where somebody's are not known.
    share
        Of all hashes, the part that customers were drawn from, see `stream_app.learning.drawing`.

    Raises
    ------
    ValueError
        If the columns differ in length.
    """

    tick: int
    as_of_ms: int
    customer_ids: npt.NDArray[np.object_]
    memberships: Mapping[str, Held]
    activity: np.ndarray
    population_size: int
    members: Mapping[str, Mapping[int, MemberSums]]
    share: float = 1.0

    def __post_init__(self) -> None:
        columns = (*(column for held in self.memberships.values() for column in held), self.activity)
        lengths = {len(column) for column in columns}
        if lengths != {len(self.customer_ids)}:
            raise ValueError(f"sample: columns of lengths {sorted(lengths)}, expected {len(self.customer_ids)} each")

    def __len__(self) -> int:
        return len(self.customer_ids)

    @cached_property
    def customers(self) -> CustomerColumns:
        """The customers at the instant of the draw."""
        return CustomerColumns(self.activity, np.full(len(self), self.as_of_ms))

    @property
    def quantities(self) -> Quantities:
        """What is known of them at that instant."""
        return self.customers.quantities
