"""One way of dividing customers, as the core sees it: a frozen value that reads columns and says who moves.

The core folds events into one table of customers; every segmentation reads that table and none changes it. Kinds of
segmentations stand in `stream_app.segmentations`. Whatever a kind is made of, the core asks it the same questions, for
many customers at once: one customer is n = 1, so there is no second rule to keep in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from stream_app.core.arrays import Codes, Flags, Indices, Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MigrationContext, Moves, Reason
from stream_app.core.segments import Roster

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
    """

    segment: Codes
    previous: Codes
    since_ms: Instants

    @classmethod
    def of(cls, membership: np.ndarray) -> Held:
        """Return what `MEMBERSHIP_DTYPE` records hold."""
        return cls(membership["segment"], membership["previous"], membership["since_ms"])

    def at(self, rows: Indices) -> Held:
        """Return those of some customers."""
        return Held(self.segment[rows], self.previous[rows], self.since_ms[rows])


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
    reads
        The columns of `CustomerColumns` that decisions and explanations look at.
    moves_with_time
        Whether time alone can move a customer; if not, only `version` and events do.
    weighs_sessions
        Whether customers are assessed at every event. If not, an event that only continues a session (see
        `stream_app.core.folding`) is not looked at by itself.
    revised_by
        Cause of the moves that a new version makes: `MODEL` or `DEFINITION`.
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
    def reads(self) -> frozenset[str]:
        """The columns that are looked at."""
        ...

    @property
    def moves_with_time(self) -> bool:
        """Whether time alone can move a customer."""
        ...

    @property
    def weighs_sessions(self) -> bool:
        """Whether customers are assessed at every event."""
        ...

    @property
    def revised_by(self) -> int:
        """Cause of the moves that a new version makes."""
        ...

    def score(self, customers: CustomerColumns) -> np.ndarray[Any, Any]:
        """Return what decisions are made from, first axis n."""
        ...

    def decide(self, scores: np.ndarray[Any, Any], held: Held, at_ms: Instants) -> Decision:
        """Say where customers belong and who moves there. Whoever is in no segment of this version moves."""
        ...

    def first_due(
        self, customers: CustomerColumns, held: Held, target: Indices, after_ms: Instants, by_ms: Instants
    ) -> Instants:
        """Return the first millisecond in `(after_ms, by_ms]` at which silence moves each customer to `target`.

        The move is not due at `after_ms`, and due at `by_ms`, which is also the answer where no other is found.
        """
        ...

    def next_due(self, customers: CustomerColumns, held: Held) -> Instants:
        """Return an instant for each customer before which silence does not move it, counted from its own instant.

        A bound from below suffices: a customer is not looked at before it. `NO_TIME` says that nothing is known.
        """
        ...

    def ends_wait(self, held: Held, effective_at_ms: Instants) -> Flags:
        """Say which customers had only been kept from moving for a time that ends at that very instant."""
        ...

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[Reason]:
        """Return why each customer moved."""
        ...
