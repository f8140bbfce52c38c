"""One way of dividing customers, as the core sees it: a frozen value that reads columns and says who moves.

The core folds events into one table of customers; every segmentation reads that table and none changes it. Kinds of
segmentations are in `stream_app.segmentations`. Whatever a kind is made of, the core asks it the same three
questions, for many customers at once:

`acts`
    A customer has done something. Where does it belong now?
`silence`
    Nothing happens. When does the customer move for the first time, and where to?
`revise`
    A new version takes over. Where does the customer belong under it?

As `silence` names the first move and its exact instant, what becomes of a customer does not depend on when anybody
looks: a sweep only brings to light what has become true.

Questions are answered by the compiled library, which asks them itself, customer by customer, while it takes events in;
`Compiled` asks them from here. A kind that the library does not know answers in Python, see `Foreign`.

Segmentations by rules are not asked one by one: all rules of a partition are compiled together (`Ruled.compile_all`),
as they share what they look at and may refer to each other, and the library evaluates them where something has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple, Protocol, cast

import numpy as np

from stream_app.core.arrays import Codes, Flags, Indices, Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MigrationContext, Moves, Reason
from stream_app.core.segments import Roster
from stream_app.native.segmentations import HasNativeForm, NativeSegmentation
from stream_app.native.structures import HELD_DTYPE

NEVER_MS: Final = 2**62
"""Stands for "at no instant" where the next one is asked for; later than every valid instant."""


class Held(NamedTuple):
    """Memberships of n customers in one segmentation, shape `(n,)` each.

    Attributes
    ----------
    segment, previous
        Segment codes, `NO_SEGMENT` for none.
    since_ms
        When the present segment was entered.
    kept
        Code of the last segment that was not a lapsed one, the present one included; `NO_SEGMENT` for none.
    """

    segment: Codes
    previous: Codes
    since_ms: Instants
    kept: Codes

    @classmethod
    def of(cls, membership: np.ndarray) -> Held:
        """Return what `MEMBERSHIP_DTYPE` records hold."""
        return cls(membership["segment"], membership["previous"], membership["since_ms"], membership["kept"])

    @property
    def records(self) -> np.ndarray:
        """The same as `HELD_DTYPE`."""
        records = np.zeros(len(self.segment), HELD_DTYPE)
        for name, column in zip(self._fields, self, strict=True):
            records[name] = column
        return records

    def at(self, rows: Indices) -> Held:
        """Return those of some customers."""
        return Held(self.segment[rows], self.previous[rows], self.since_ms[rows], self.kept[rows])


class Decision(NamedTuple):
    """Where n customers belong, and which of them move there now.

    Attributes
    ----------
    target
        Index of `Roster.segments`, `NOWHERE` for a customer that leaves; shape `(n,)`.
    moves
        True where the customer changes to `target`.
    """

    target: Indices
    moves: Flags


class Due(NamedTuple):
    """When n customers move first if nothing happens, and where to.

    Attributes
    ----------
    at_ms
        Exact up to the instant that was asked about; beyond it, an instant before which nobody moves suffices.
        `NEVER_MS` where silence no longer changes anything. Shape `(n,)`.
    target
        Index of `Roster.segments`; without meaning where `at_ms` is not exact.
    """

    at_ms: Instants
    target: Indices


class Segmentation(Protocol):
    """A segmentation in one version. All methods are pure.

    Attributes
    ----------
    name
        Slug, unique in a deployment.
    kind
        Name of its kind, as in `stream_app.segmentations.registry`.
    version
        Ascends with every change of model or definition.
    roster
        The segments.
    weighs_sessions
        Whether customers are assessed at every event. If not, an event that only continues a session (see
        `native/fold.c`) is not looked at by itself.
    revised_by
        Cause of the moves that a new version makes: `MODEL` or `DEFINITION`.
    is_ruled
        Whether it is one by rules; only others answer the questions.
    warn_before_ms
        How long before silence moves a customer out of a segment a notice is given; 0 for no notice.
    compiled
        The version in the compiled library.
    """

    @property
    def name(self) -> str:
        """Slug, unique in a deployment."""
        ...

    @property
    def kind(self) -> str:
        """Name of its kind."""
        ...

    @property
    def version(self) -> int:
        """Ascends with every change of model or definition."""
        ...

    @property
    def roster(self) -> Roster:
        """The segments."""
        ...

    @property
    def weighs_sessions(self) -> bool:
        """Whether customers are assessed at every event."""
        ...

    @property
    def revised_by(self) -> int:
        """Cause of the moves that a new version makes."""
        ...

    @property
    def is_ruled(self) -> bool:
        """Whether it is one by rules."""
        ...

    @property
    def warn_before_ms(self) -> int:
        """How long before moves by time alone notices are given."""
        ...

    @property
    def compiled(self) -> NativeSegmentation:
        """The version in the compiled library."""
        ...

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say where customers belong at their instants, at which an event of theirs has just been folded.

        Customers in no segment move.
        """
        ...

    def silence(self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
        """Return the first move in `(after_ms, by_ms]` that each customer makes if nothing happens.

        The customers' own instants do not matter, only their activity. Customers in no segment of this version are
        left alone: that is for `revise`.
        """
        ...

    def revise(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say where customers belong at their instants, at which this version takes over.

        Customers in no segment of this version move.
        """
        ...


class CompiledRules(Protocol):
    """All segmentations by rules of a partition in the compiled library.

    Attributes
    ----------
    handle
        The `seg_program`; it ends with this object.
    words
        How many times 64 conditions there are.
    kept_since
        Names of the segmentations that keep when a customer entered its segment.
    """

    @property
    def handle(self) -> int:
        """The `seg_program`."""
        ...

    @property
    def words(self) -> int:
        """How many times 64 conditions there are."""
        ...

    @property
    def kept_since(self) -> Sequence[str]:
        """Of which segmentations the beginning is kept."""
        ...


class SeriesNumbers(Protocol):
    """What compiling asks of a table: numbers for what it remembers of customers' events."""

    @property
    def ruled_names(self) -> Sequence[str]:
        """Names of the segmentations by rules, in the order of its columns."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The same of the others."""
        ...

    @property
    def timezone(self) -> str:
        """Name of the zone whose days are counted."""
        ...

    def series_number(self, digest: int) -> int:
        """Return the number of a series."""
        ...


class Ruled(Protocol):
    """A segmentation by rules."""

    def compile_all(
        self, segmentations: Sequence[Segmentation], table: SeriesNumbers, minor_per_major: int, *, dated: bool
    ) -> CompiledRules:
        """Return all rules among some segmentations, this one's included, compiled together.

        Parameters
        ----------
        segmentations
            All of a partition.
        table
            Its table.
        minor_per_major
            Minor units of the base currency in a major one.
        dated
            Whether it is kept of all when a customer entered its segment.
        """
        ...


class Explains(Protocol):
    """What a kind offers beside the questions, unless the library itself says why customers move."""

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[Reason]:
        """Return why each customer moved."""
        ...


class Compiled:
    """The questions to a version of a kind that the library knows, for the kind to inherit."""

    is_ruled: bool = False
    warn_before_ms: int = 0

    @cached_property
    def compiled(self) -> NativeSegmentation:
        """The version in the compiled library."""
        return NativeSegmentation(cast(HasNativeForm, self))

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """See `Segmentation.acts`."""
        return _decision(*self.compiled.acts(customers.activity, customers.at_ms, held.records))

    def silence(self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
        """See `Segmentation.silence`."""
        at_ms, target = self.compiled.silence(customers.activity, held.records, after_ms, by_ms)
        return Due(at_ms, target.astype(np.intp))

    def revise(self, customers: CustomerColumns, held: Held) -> Decision:
        """See `Segmentation.revise`."""
        return _decision(*self.compiled.revise(customers.activity, customers.at_ms, held.records))


def _decision(target: np.ndarray, moves: Flags) -> Decision:
    return Decision(target.astype(np.intp), moves)
