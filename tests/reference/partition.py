"""What one partition's state is.

The reference: what the compiled library is compared with. Its segmentations are to answer by the reference, too; see
`tests.reference.segmentations`.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.core import partition
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Clock
from stream_app.core.segmentation import Segmentation
from tests.reference.customers import CustomerTable


class Partition(partition.Partition):
    """The state of one partition, in a table of the reference.

    Parameters
    ----------
    segmentations, context, table, clock
        As of the class that this is of.
    """

    table: CustomerTable

    def __init__(
        self,
        segmentations: Sequence[Segmentation],
        context: MigrationContext | None = None,
        table: CustomerTable | None = None,
        clock: Clock | None = None,
    ) -> None:
        own = CustomerTable([segmentation.name for segmentation in segmentations]) if table is None else table
        super().__init__(segmentations, context, own, clock)

    def _compile_rules(self) -> None:
        """Nothing: of segmentations by rules, and of what is told ahead, there is no reference of this kind."""
