"""A change of segment as the event that is published: from, to, why, since when, and how clearly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.assignment import Codes, Indices, Instants, margin
from stream_app.core.clock import DAY_MS, format_instants
from stream_app.core.events import ENGAGEMENT, EVENT_KINDS, PURCHASE, Event, Position
from stream_app.core.features import (
    FEATURE_NAMES,
    Floats,
    Quantities,
    expected_gap_days,
    extract_features,
    probability_active,
    quantities_at,
)
from stream_app.core.snapshot import NO_SEGMENT, Snapshot

LAPSE: Final = 3
MODEL: Final = 4
CAUSE_KINDS: Final = (*EVENT_KINDS, "lapse", "model")
"""Names of the causes; the first three are the kinds of event."""

ENTERED: Final = 0
MOVED: Final = 1
LAPSED: Final = 2
RETURNED: Final = 3
CHANGES: Final = ("entered", "moved", "lapsed", "returned")
"""What a migration means for the customer: first assignment; another segment; gone there by silence alone; back
by an event after having lapsed."""

HOLDOUT_BUCKETS: Final = 100


class SegmentReference(msgspec.Struct, frozen=True, gc=False):
    """A segment as others see it."""

    id: str
    name: str


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What made a customer move; event and position are absent for time and model."""

    kind: str
    event_id: str | None
    position: Position | None


class Figures(msgspec.Struct, frozen=True, gc=False):
    """A customer in natural units: days, decayed counts, major units of the base currency."""

    recency_days: float
    usual_gap_days: float
    probability_active: float
    orders_90d: float
    revenue_90d: float
    engaged_days_21d: float
    tenure_days: float


class Explanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """Why a customer moved. Distances and margin are in standard deviations of the features."""

    before: Figures | None
    after: Figures
    distance_from: float | None
    distance_to: float
    margin: float | None
    decisive_feature: str | None
    sentence: str


class Holdout(msgspec.Struct, frozen=True, gc=False):
    """The customer's constant bucket, 0 to 99, and whether campaigns are to leave it alone."""

    bucket: int
    held_out: bool


class Migration(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-migrations`."""

    migration_id: str
    sequence: int
    customer_id: str
    segmentation: str
    from_segment: SegmentReference | None
    to_segment: SegmentReference
    change: str
    effective_at: str
    decided_at: str
    cause: Cause
    model_version: int
    explanation: Explanation
    holdout: Holdout


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
    """

    currency: str = "EUR"
    minor_per_major: int = 100
    holdout_percent: int = 0
    holdout_salt: str = "holdout"


@dataclass(frozen=True, slots=True)
class Moves:
    """Decided moves of n customers, column by column; each array has shape `(n,)`.

    Attributes
    ----------
    customer_ids
        n ids.
    cause_kind, change
        Indices of `CAUSE_KINDS` and `CHANGES`.
    from_code, target
        Segment code left (`NO_SEGMENT` at entry) and index of the centroid moved to.
    sequence
        Of the migration, from 1.
    effective_at_ms, decided_at_ms
        When it became true and when it was found.
    before, before_ms
        Activity record and instant that it is compared with.
    after
        Activity record that is evaluated at `effective_at_ms`.
    waited
        True where the customer had only been kept out by the no-return rule.
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
    waited: npt.NDArray[np.bool_]
    causes: Sequence[tuple[Event, Position] | None]


def migration_id(segmentation: str, customer_id: str, sequence: int) -> str:
    """Return 32 hexadecimal digits that depend on the arguments alone, so that a repeated delivery is recognised."""
    return blake2b(f"{segmentation}\0{customer_id}\0{sequence}".encode(), digest_size=16).hexdigest()


def holdout_of(customer_id: str, rules: MigrationContext) -> Holdout:
    """Return the customer's holdout bucket; the same in every segmentation and for ever."""
    bucket = xxh3_64_intdigest(f"{rules.holdout_salt}:{customer_id}".encode()) % HOLDOUT_BUCKETS
    return Holdout(bucket, bucket < rules.holdout_percent)


def describe_moves(moves: Moves, snapshot: Snapshot, rules: MigrationContext) -> list[Migration]:
    """Return the migration event of each move, in the same order."""
    if not len(moves.customer_ids):
        return []
    # Before and after at once: with few moves, calls into numpy cost more than their work.
    count = len(moves.customer_ids)
    both = quantities_at(
        np.concatenate((moves.before, moves.after)), np.concatenate((moves.before_ms, moves.effective_at_ms))
    )
    features = extract_features(both, snapshot.parameters)
    standardised = snapshot.standardise(features)
    z_before, z_after = standardised[:count], standardised[count:]
    current = snapshot.index_of_code[moves.from_code]
    known = current >= 0
    margins = margin(snapshot, snapshot.score(features[count:]), current, moves.target)
    centroids = snapshot.scaled_centroids
    pull = (z_after - z_before) * (centroids[moves.target] - centroids[current])
    decisive = pull.argmax(axis=1)
    moved = known & (pull.max(axis=1) > 0)
    figures = _figures(both, snapshot, rules)
    distances_from = _distances(z_after, centroids[current])
    distances_to = _distances(z_after, centroids[moves.target])
    names = FEATURE_NAMES[snapshot.parameters.feature_set]
    references = {code: SegmentReference(s.segment_id, s.name) for code, s in snapshot.segment_by_code.items()}
    targets = [references[code] for code in snapshot.codes.tolist()]
    columns = zip(
        moves.customer_ids,
        moves.cause_kind.tolist(),
        moves.change.tolist(),
        moves.from_code.tolist(),
        moves.target.tolist(),
        moves.sequence.tolist(),
        format_instants(moves.effective_at_ms),
        format_instants(moves.decided_at_ms),
        moves.waited.tolist(),
        moves.causes,
        figures[:count],
        figures[count:],
        known.tolist(),
        np.round(distances_from, 4).tolist(),
        np.round(distances_to, 4).tolist(),
        np.round(margins, 4).tolist(),
        moved.tolist(),
        decisive.tolist(),
        strict=True,
    )
    migrations = []
    for (
        customer_id, kind, change, from_code, target, sequence, effective_at, decided_at, waited,
        event_at, b, a, has_origin, distance_from, distance_to, margin_sd, has_decisive, feature,
    ) in columns:  # fmt: skip
        origin = references.get(from_code)
        destination = targets[target]
        event = event_at[0] if event_at else None
        lead = _lead(kind, change, event, a, waited, snapshot, rules)
        reason = f": {_shift(feature, b, a, rules, snapshot)}" if has_decisive else ""
        path = f"{origin.name} → {destination.name}" if origin else f"enters {destination.name}"
        migrations.append(
            Migration(
                migration_id(snapshot.segmentation, customer_id, sequence),
                sequence,
                customer_id,
                snapshot.segmentation,
                origin,
                destination,
                CHANGES[change],
                effective_at,
                decided_at,
                Cause(CAUSE_KINDS[kind], event.event_id if event else None, event_at[1] if event_at else None),
                snapshot.version,
                Explanation(
                    b if from_code != NO_SEGMENT else None,
                    a,
                    distance_from if has_origin else None,
                    distance_to,
                    margin_sd if has_origin else None,
                    names[feature] if has_decisive else None,
                    f"{lead}{reason}; {path}.",
                ),
                holdout_of(customer_id, rules),
            )
        )
    return migrations


def figures_of(quantities: Quantities, prior_gap_days: float, minor_per_major: int) -> Floats:
    """Return the figures people see, shape `(n, 7)`, rounded, in the order of `Figures`."""
    columns = np.stack(
        (
            quantities.recency_days,
            expected_gap_days(quantities, prior_gap_days),
            probability_active(quantities, prior_gap_days),
            quantities.orders,
            quantities.revenue_minor / minor_per_major,
            quantities.engaged_days,
            quantities.tenure_days,
        ),
        axis=1,
    )
    return np.round(columns, 4)


def _figures(quantities: Quantities, snapshot: Snapshot, rules: MigrationContext) -> list[Figures]:
    rows = figures_of(quantities, snapshot.parameters.prior_gap_days, rules.minor_per_major)
    return [Figures(*row) for row in rows.tolist()]


def _distances(standardised: Floats, centroids: Floats) -> Floats:
    return np.asarray(np.sqrt(((standardised - centroids) ** 2).sum(axis=1)))


def _lead(
    kind: int,
    change: int,
    event: Event | None,
    after: Figures,
    waited: bool,
    snapshot: Snapshot,
    rules: MigrationContext,
) -> str:
    """Return the sentence's opening: what happened."""
    if event is not None:
        if kind == ENGAGEMENT:
            what = f"Engagement ({event.type})"
        else:
            noun = "Purchase" if kind == PURCHASE else "Refund"
            what = f"{noun} of {event.amount_minor / rules.minor_per_major:.2f} {rules.currency}"
        return f"{what}, the first event" if change == ENTERED else what
    if kind == MODEL:
        return f"Model {snapshot.version} draws the line elsewhere"
    if waited:
        return f"{snapshot.no_return_days:.0f} days after leaving it, may return"
    return f"Silent for {after.recency_days:.0f} days, usually active every {after.usual_gap_days:.0f}"


def _shift(feature: int, before: Figures, after: Figures, rules: MigrationContext, snapshot: Snapshot) -> str:
    """Return how the decisive feature changed, in the customer's units."""
    if snapshot.parameters.feature_set == "plain":
        weights = (1.0, 1.0)
        words = ("days of silence", "orders", "revenue", "engaged days")
        first = (before.recency_days, after.recency_days)
    else:
        weights = (before.probability_active, after.probability_active)
        words = ("probability of being active", "expected orders", "expected revenue", "expected engaged days")
        first = weights
    b, a = (
        first,
        (before.orders_90d * weights[0], after.orders_90d * weights[1]),
        (before.revenue_90d * weights[0], after.revenue_90d * weights[1]),
        (before.engaged_days_21d * weights[0], after.engaged_days_21d * weights[1]),
    )[feature]
    unit = f" {rules.currency}" if feature == 2 else ""
    digits = 2 if feature in (0, 2) else 1
    return f"{words[feature]} {b:.{digits}f} → {a:.{digits}f}{unit}"


def no_return_ends_ms(since_ms: Instants, snapshot: Snapshot) -> Instants:
    """Return the instants from which customers may go back to the segment they last left, shape `(n,)`."""
    return np.asarray(since_ms + math.ceil(snapshot.no_return_days * DAY_MS), np.int64)
