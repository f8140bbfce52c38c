"""What one partition's state is."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.local_days import UTC
from stream_app.core.moves import MigrationContext
from stream_app.core.segmentation import CompiledRules, Ruled, Segmentation
from stream_app.core.trust import Trust
from stream_app.native.library import function
from stream_app.native.structures import WARNING_DTYPE


class Clock(NamedTuple):
    """How far a partition has come: the latest event time believed, and the instant of the last whole sweep."""

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


class Reached(NamedTuple):
    """How far time has come with each of n events, shape `(n,)`, and what later verdicts on times depend on."""

    watermarks_ms: Instants
    trust: Trust


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
        What customers are divided by, in the order in which their moves are published.
    context
        What migrations say beyond the move.
    table
        Customers; it must have the same segmentations. Empty if None.
    clock
        How far the partition has come.
    trust
        What is known of the times of its records.
    dated
        Whether the table keeps of all segmentations when a customer has entered its segment, also of those by rules.
    timezone
        Name of the zone whose days are counted, of a table that is not given.
    """

    def __init__(
        self,
        segmentations: Sequence[Segmentation],
        context: MigrationContext | None = None,
        table: CustomerTable | None = None,
        clock: Clock | None = None,
        trust: Trust | None = None,
        *,
        dated: bool = False,
        timezone: str = UTC,
    ) -> None:
        self.segmentations = tuple(segmentations)
        self.context = context or MigrationContext()
        self.consent = self.context.consent.encoded()
        """What customers agree to who have said nothing, for steps."""
        self.table = CustomerTable(*_names(self.segmentations), timezone) if table is None else table
        self.clock = clock or Clock()
        self.trust = trust or Trust()
        self.workspace = _Workspace()
        """Memory that steps use again and again."""
        self.revised_at_ms = dict.fromkeys(self.names, NO_TIME)
        """By name, the instant at which the version of each segmentation took over."""
        self.rules: CompiledRules | None = None
        """All segmentations by rules, compiled together; None if there are none."""
        self.rules_revised_at_ms = NO_TIME
        """The instant at which the present rules took over."""
        self.warnings = np.empty(0, WARNING_DTYPE)
        """`WARNING_DTYPE`: the segmentations that announce moves by time alone."""
        self._dated = dated
        self._compile_rules()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the segmentations, in order."""
        return tuple(segmentation.name for segmentation in self.segmentations)

    @property
    def by_column(self) -> list[Segmentation]:
        """The segmentations in the order in which the table has them: those that are not by rules come first."""
        by_name = {segmentation.name: segmentation for segmentation in self.segmentations}
        return [by_name[name] for name in (*self.table.names, *self.table.ruled_names)]

    def column_of(self, name: str) -> int:
        """Return where the table has a segmentation, as `CustomerTable.members` counts."""
        return [*self.table.names, *self.table.ruled_names].index(name)

    def follow(self, segmentation: Segmentation) -> None:
        """Let a version of a segmentation take over from the one before, or add a segmentation."""
        self.follow_all([segmentation])

    def follow_all(self, segmentations: Sequence[Segmentation]) -> None:
        """Let versions of several segmentations take over at the same instant."""
        for segmentation in segmentations:
            if segmentation.name in self.names:
                index = self.names.index(segmentation.name)
                self.segmentations = (*self.segmentations[:index], segmentation, *self.segmentations[index + 1 :])
            else:
                self.segmentations = (*self.segmentations, segmentation)
                (self.table.admit_ruled if segmentation.is_ruled else self.table.admit)(segmentation.name)
        for segmentation in segmentations:
            if segmentation.name in self.table.names:
                self.revise(segmentation.name)
        self._compile_rules()
        if any(segmentation.name in self.table.ruled_names for segmentation in segmentations):
            self.revise_rules()

    def forget(self, customer_ids: Iterable[str]) -> None:
        """Remove the rows of customers who have been erased; others take their numbers."""
        for customer_id in customer_ids:
            self.table.remove(customer_id)

    def revise(self, name: str) -> None:
        """Have everybody assessed under the version of a segmentation as of now, whenever they are looked at."""
        self.revised_at_ms[name] = max(self.clock)
        self.table.outdate(self.table.names.index(name))

    def revise_rules(self) -> None:
        """Have everybody assessed under the present rules, too, as of now."""
        self.rules_revised_at_ms = max(self.clock)
        self.table.outdate_rules()

    def _compile_rules(self) -> None:
        ruled = [segmentation for segmentation in self.segmentations if segmentation.name in self.table.ruled_names]
        kept_since: list[str] = []
        if ruled:
            self.rules = cast(Ruled, ruled[0]).compile_all(
                self.segmentations, self.table, self.context.minor_per_major, dated=self._dated
            )
            self.table.set_words(self.rules.words)
            kept_since += self.rules.kept_since
        others = self.context.leads_ms
        leads_ms = {each.name: each.warn_before_ms or others.get(each.name, 0) for each in self.segmentations}
        warned = [name for name, lead_ms in leads_ms.items() if lead_ms]
        places = self.table.keep_notices(warned)
        self.table.keep_since([*kept_since, *places])
        self.warnings = np.array(
            [
                (leads_ms[name], self.column_of(name), place, len(kept_since) + number, 0)
                for number, (name, place) in enumerate(zip(warned, places.values(), strict=True))
            ],
            WARNING_DTYPE,
        )


def _names(segmentations: Sequence[Segmentation]) -> tuple[list[str], list[str]]:
    """Return the names of the segmentations that are not by rules, and of those that are."""
    ruled = [segmentation.name for segmentation in segmentations if segmentation.is_ruled]
    return [segmentation.name for segmentation in segmentations if not segmentation.is_ruled], ruled
