"""Decided moves, column by column, with the cause and the kind of change of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Codes, Indices, Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.consent import EVERYBODY, ConsentRules
from stream_app.core.events import CANCELS, CONSENT, ENGAGEMENT, EVENT_KINDS, MERGE, PROFILE, PURCHASE, Event, Position
from stream_app.core.money import minor_digits
from stream_app.core.segments import SegmentReference

LAPSE: Final = 3
MODEL: Final = 4
DEFINITION: Final = 5
CAUSE_KINDS: Final = (*EVENT_KINDS[:LAPSE], "lapse", "model", "definition", "profile", "merge", "consent", "erasure")
"""Names of the causes; the first three and those from `profile` on are kinds of event, too."""
VERSION_CAUSES: Final = (CAUSE_KINDS[MODEL], CAUSE_KINDS[DEFINITION])
"""Causes of moves that no customer has made: a new version draws the lines elsewhere."""

ENTERED: Final = 0
MOVED: Final = 1
LAPSED: Final = 2
RETURNED: Final = 3
LEFT: Final = 4
CHANGES: Final = ("entered", "moved", "lapsed", "returned", "left")
"""What a migration means for the customer: first assignment; another segment; led into a lapsed segment by silence;
led out of one by an own act, whatever had led there; out of the segmentation altogether."""
DIRECTIONS: Final = ("up", "down", "sideways")
"""Where a move leads in the order of a segmentation's segments."""


class Following(Protocol):
    """See `stream_app.core.segmentation.Due`."""

    @property
    def at_ms(self) -> Instants:
        """When."""
        ...

    @property
    def target(self) -> Indices:
        """Where to."""
        ...


class Reason(Protocol):
    """Why a customer moved: a `msgspec.Struct` of the segmentation's kind, tagged with it under `kind`."""

    @property
    def sentence(self) -> str:
        """The reason in words."""
        ...

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        ...


@dataclass(frozen=True, slots=True)
class MigrationContext:
    """What migrations say beyond the move itself.

    Parameters
    ----------
    currency, minor_per_major
        The base currency and its minor units to one major unit.
    holdout_percent
        0 to 100.
    holdout_salt
        Another salt draws another holdout.
    leads_ms
        By segmentation, how long before silence moves customers out of segments a notice is given; of those that do not
        say it themselves (`warn_before_ms`).
    consent
        What customers agree to who have said nothing.
    """

    currency: str = "EUR"
    minor_per_major: int = 100
    holdout_percent: int = 0
    holdout_salt: str = "holdout"
    leads_ms: Mapping[str, int] = field(default_factory=dict)
    consent: ConsentRules = EVERYBODY


@dataclass(frozen=True, slots=True)
class Moves:
    """Decided moves of n customers within one segmentation; each array has shape `(n,)`.

    Attributes
    ----------
    customer_ids
        n ids.
    cause_kind, change
        Indices of `CAUSE_KINDS` and `CHANGES`.
    from_code, target
        Segment code left (`NO_SEGMENT` at entry) and target moved to (`NOWHERE` at leaving).
    sequence
        Of the migration, from 1.
    effective_at_ms, decided_at_ms
        When it became true and when it was found.
    before, before_ms
        Activity record and instant that it is compared with.
    after
        Activity record that is evaluated at `effective_at_ms`.
    following
        When each customer moves next if nothing happens, and where to.
    causes
        The event and its position where an event was the cause.
    """

    customer_ids: Sequence[str]
    cause_kind: npt.NDArray[np.int64]
    change: npt.NDArray[np.int64]
    from_code: Codes
    target: Indices
    sequence: npt.NDArray[np.int64]
    effective_at_ms: Instants
    decided_at_ms: Instants
    before: np.ndarray
    before_ms: Instants
    after: np.ndarray
    following: Following
    causes: Sequence[tuple[Event, Position] | None]

    @property
    def columns(self) -> CustomerColumns:
        """The n customers before their moves and then the n after: evaluated at once, as few moves cost only calls."""
        return CustomerColumns(
            np.concatenate((self.before, self.after)), np.concatenate((self.before_ms, self.effective_at_ms))
        )


def describe_event(event: Event, change: int, context: MigrationContext) -> str:
    """Return what a customer did, as the opening of a sentence."""
    if event.kind == PROFILE:
        return "Profile update"
    if event.kind == MERGE:
        return "Merge with another id"
    if event.kind == CONSENT:
        return "Statement on consent"
    if event.kind == ENGAGEMENT:
        what = f"Engagement ({event.type})"
    elif event.amount_minor < 0:
        what = "Cancellation of an order" if event.amount_minor == CANCELS else "Refund of a whole order"
    else:
        noun = "Purchase" if event.kind == PURCHASE else "Refund"
        amount = f"{event.amount_minor / context.minor_per_major:.{minor_digits(context.minor_per_major)}f}"
        what = f"{noun} of {amount} {context.currency}"
    return f"{what}, the first event" if change == ENTERED else what


def describe_path(origin: SegmentReference | None, destination: SegmentReference | None) -> str:
    """Return from where to where, as the end of a sentence."""
    if destination is None:
        return f"leaves {origin.name}" if origin else "leaves"
    return f"{origin.name} → {destination.name}" if origin else f"enters {destination.name}"
