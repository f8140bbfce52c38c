"""Why a customer moved under a learned model: figures before and after, distances, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.events import Event
from stream_app.core.moves import DEFINITION, MODEL, MigrationContext, Moves, describe_event, describe_path
from stream_app.core.quantities import Quantities
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.decision import margin
from stream_app.segmentations.learned.features import (
    FEATURE_NAMES,
    expected_gap_days,
    extract_features,
    probability_active,
)
from stream_app.segmentations.learned.model import Model


class CustomerFigures(msgspec.Struct, frozen=True, gc=False):
    """A customer in natural units: days, decayed counts, major units of the base currency."""

    recency_days: float
    usual_gap_days: float
    probability_active: float
    orders_90d: float
    revenue_90d: float
    engaged_days_21d: float
    tenure_days: float


class LearnedReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """Why a customer moved. Distances and margin are in standard deviations of the features."""

    before: CustomerFigures | None
    after: CustomerFigures
    distance_from: float | None
    distance_to: float
    margin: float | None
    decisive_feature: str | None
    sentence: str

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        return self.decisive_feature is not None


def explain_moves(model: Model, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
    """Return why each customer moved, in the same order."""
    count = len(moves.customer_ids)
    both = moves.columns.quantities
    features = extract_features(both, model.parameters)
    standardised = model.standardise(features)
    z_before, z_after = standardised[:count], standardised[count:]
    current = model.roster.index_of_code[moves.from_code]
    known = current >= 0
    margins = margin(model, model.score(features[count:]), current, moves.target)
    centroids = model.scaled_centroids
    pull = (z_after - z_before) * (centroids[moves.target] - centroids[current])
    decisive = pull.argmax(axis=1)
    has_decisive = known & (pull.max(axis=1) > 0)
    figures = _figures(both, model, context)
    names = FEATURE_NAMES[model.parameters.feature_set]
    references = model.roster.references
    targets = [references[code] for code in model.roster.codes[:-1].tolist()]
    columns = zip(
        moves.cause_kind.tolist(),
        moves.change.tolist(),
        moves.from_code.tolist(),
        moves.target.tolist(),
        moves.waited.tolist(),
        moves.causes,
        figures[:count],
        figures[count:],
        known.tolist(),
        np.round(_distances(z_after, centroids[current]), 4).tolist(),
        np.round(_distances(z_after, centroids[moves.target]), 4).tolist(),
        np.round(margins, 4).tolist(),
        has_decisive.tolist(),
        decisive.tolist(),
        strict=True,
    )
    reasons = []
    for (
        kind, change, from_code, target, waited, event_at, b, a, has_origin, distance_from, distance_to, margin_sd,
        decided_by_one, feature,
    ) in columns:  # fmt: skip
        lead = _lead(kind, change, event_at[0] if event_at else None, a, waited, model, context)
        because = f": {_shift(feature, b, a, context, model)}" if decided_by_one else ""
        reasons.append(
            LearnedReason(
                b if from_code != NO_SEGMENT else None,
                a,
                distance_from if has_origin else None,
                distance_to,
                margin_sd if has_origin else None,
                names[feature] if decided_by_one else None,
                f"{lead}{because}; {describe_path(references.get(from_code), targets[target])}.",
            )
        )
    return reasons


def figures_of(quantities: Quantities, prior_gap_days: float, minor_per_major: int) -> Floats:
    """Return the figures people see, shape `(n, 7)`, rounded, in the order of `CustomerFigures`."""
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


def _figures(quantities: Quantities, model: Model, context: MigrationContext) -> list[CustomerFigures]:
    rows = figures_of(quantities, model.parameters.prior_gap_days, context.minor_per_major)
    return [CustomerFigures(*row) for row in rows.tolist()]


def _distances(standardised: Floats, centroids: Floats) -> Floats:
    return np.asarray(np.sqrt(((standardised - centroids) ** 2).sum(axis=1)))


def _lead(
    kind: int,
    change: int,
    event: Event | None,
    after: CustomerFigures,
    waited: bool,
    model: Model,
    context: MigrationContext,
) -> str:
    """Return the sentence's opening: what happened."""
    if event is not None:
        return describe_event(event, change, context)
    if kind == MODEL:
        return f"Model {model.version} draws the line elsewhere"
    if kind == DEFINITION:
        return f"Segmentation {model.name} is new"
    if waited:
        return f"{model.no_return_days:.0f} days after leaving it, may return"
    return f"Silent for {after.recency_days:.0f} days, usually active every {after.usual_gap_days:.0f}"


def _shift(
    feature: int, before: CustomerFigures, after: CustomerFigures, context: MigrationContext, model: Model
) -> str:
    """Return how the decisive feature changed, in the customer's units."""
    if model.parameters.feature_set == "plain":
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
    unit = f" {context.currency}" if feature == 2 else ""
    digits = 2 if feature in (0, 2) else 1
    return f"{words[feature]} {b:.{digits}f} → {a:.{digits}f}{unit}"
