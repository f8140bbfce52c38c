"""What one partition's state is."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.moves import MigrationContext
from stream_app.core.segmentation import Segmentation
from stream_app.native.library import function


class Clock(NamedTuple):
    """How far a partition has come: the latest event time seen, and the instant of the last whole sweep."""

    watermark_ms: int = NO_TIME
    swept_at_ms: int = NO_TIME


class Sweeps(NamedTuple):
    """Instants at which time passes within a chunk of events.

    Attributes
    ----------
    at_ms
        Ascending, shape `(n,)`.
    before
        Index of the event before which each happens, ascending; the number of events for one after them all.
    """

    at_ms: Instants
    before: Indices


NO_SWEEPS: Final = Sweeps(np.empty(0, np.int64), np.empty(0, np.intp))


class _Workspace:
    """A `seg_workspace` of the library."""

    def __init__(self) -> None:
        self.handle: int = _function("new", ctypes.c_void_p)()
        if not self.handle:
            raise MemoryError
        weakref.finalize(self, _function("free", None, ctypes.c_void_p), self.handle)


def _function(name: str, returns: Any, *arguments: Any) -> Callable[..., Any]:
    return function(f"seg_workspace_{name}", returns, *arguments)


class Partition:
    """The state of one partition; only `stream_app.core.processor` and the shell that owns it change it.

    Parameters
    ----------
    segmentations
        What customers are divided by, in the order in which their moves are told.
    context
        What migrations say beyond the move.
    table
        Customers; it must have the same segmentations. Empty if None.
    clock
        How far the partition has come.
    """

    def __init__(
        self,
        segmentations: Sequence[Segmentation],
        context: MigrationContext | None = None,
        table: CustomerTable | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.segmentations = tuple(segmentations)
        self.context = context or MigrationContext()
        self.table = CustomerTable(self.names) if table is None else table
        self.clock = clock or Clock()
        self.workspace = _Workspace()
        """Memory that steps use again and again."""
        self.revised_at_ms = [NO_TIME] * len(self.segmentations)
        """Of each segmentation, the instant at which its version took over."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the segmentations, in order."""
        return tuple(segmentation.name for segmentation in self.segmentations)

    def follow(self, segmentation: Segmentation) -> None:
        """Let a version of a segmentation take over from the one before, or add a segmentation."""
        if segmentation.name in self.names:
            index = self.names.index(segmentation.name)
            self.segmentations = (*self.segmentations[:index], segmentation, *self.segmentations[index + 1 :])
        else:
            index = len(self.segmentations)
            self.table.admit(segmentation.name)
            self.segmentations = (*self.segmentations, segmentation)
            self.revised_at_ms.append(NO_TIME)
        self.revise(index)

    def revise(self, index: int) -> None:
        """Have everybody assessed under the version of a segmentation as of now, whenever they are looked at."""
        self.revised_at_ms[index] = max(self.clock)
        self.table.outdate(index)
