"""A model as a plain document (the `segment-models` contract), and back.

The document is what workers follow, what a trainer restarts from, and what an operator reads before releasing a held
model; so it carries, beside the model, what the model would do and how the population has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from stream_app.core.clock import format_instant, to_milliseconds
from stream_app.core.segments import Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.features import FEATURE_NAMES, FeatureParameters
from stream_app.segmentations.learned.model import Model

PUBLISHED = "published"
HELD = "held"


class SegmentProfile(NamedTuple):
    """Mean figures of the sampled customers who are nearest to a segment's centroid.

    Attributes
    ----------
    share
        Share of the sample in [0, 1]. Where it is 0 the figures are those of the one nearest customer.
    recency_days, tenure_days
        Days since the last and since the first activity.
    orders_90d, revenue_90d
        Decayed orders and net revenue (90 days); revenue in major units of the base currency.
    engaged_days_21d
        Decayed days with an engagement (21 days).
    """

    share: float
    recency_days: float
    orders_90d: float
    revenue_90d: float
    engaged_days_21d: float
    tenure_days: float


class Drift(NamedTuple):
    """How far the population has moved since the last published model.

    Attributes
    ----------
    centroid_shift
        Mean distance between matched centroids, in standard deviations of the new model.
    psi
        Population stability index of each feature, ≥ 0.
    """

    centroid_shift: float
    psi: dict[str, float]


@dataclass(frozen=True)
class ModelProposal:
    """A learned model, with what it would do.

    Parameters
    ----------
    model
        The model; its version is that of the last published model plus 1.
    held
        True if it would move too many customers at once and waits for an operator.
    profiles
        One for each segment, in the model's order; None for rules that were not learned.
    drift
        Against the last published model; None if there is none to compare with.
    """

    model: Model
    held: bool = False
    profiles: tuple[SegmentProfile, ...] | None = None
    drift: Drift | None = None


def model_document(proposal: ModelProposal) -> dict[str, Any]:
    """Return the model as a document of JSON values, keys as in the `segment-models` contract."""
    model = proposal.model
    profiles = proposal.profiles or (None,) * len(model.segments)
    segments = [
        {
            "id": segment.segment_id,
            "name": segment.name,
            "centroid": centroid,
            "share": 0.0 if profile is None else profile.share,
            "profile": None if profile is None else _without_share(profile),
        }
        for segment, centroid, profile in zip(model.segments, model.centroids.tolist(), profiles, strict=True)
    ]
    return {
        "kind": "learned",
        "segmentation": model.name,
        "version": model.version,
        "status": HELD if proposal.held else PUBLISHED,
        "as_of": format_instant(max(model.as_of_ms, 0)),  # rules that always held are dated at the epoch
        "feature_set": model.parameters.feature_set,
        "prior_gap_days": model.parameters.prior_gap_days,
        "order_value_minor": model.parameters.order_value_minor,
        "feature_names": list(FEATURE_NAMES[model.parameters.feature_set]),
        "weights": model.weights.tolist(),
        "mean": model.mean.tolist(),
        "scale": model.scale.tolist(),
        "hysteresis": model.hysteresis,
        "no_return_days": model.no_return_days,
        "segments": segments,
        "retired_segments": [{"id": segment.segment_id, "name": segment.name} for segment in model.retired_segments],
        "expected_churn": model.expected_churn,
        "training": dict(model.training) or None,
        "drift": None if proposal.drift is None else proposal.drift._asdict(),
    }


def _without_share(profile: SegmentProfile) -> dict[str, float]:
    figures = profile._asdict()
    del figures["share"]
    return figures


def model_from_document(document: Mapping[str, Any]) -> Model:
    """Return the model that a document describes.

    Raises
    ------
    ModelInvalid
        If a key is missing, a value has the wrong type, or the model is inconsistent.
    """
    return proposal_from_document(document).model


def proposal_from_document(document: Mapping[str, Any]) -> ModelProposal:
    """Return all that a document of `model_document` describes.

    Raises
    ------
    ModelInvalid
        If a key is missing, a value has the wrong type, or the model is inconsistent.
    """
    try:
        return _parse(document)
    except KeyError as error:
        raise ModelInvalid(f"model: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelInvalid(f"model: {error}") from error


def _parse(document: Mapping[str, Any]) -> ModelProposal:
    segments = document["segments"]
    drift = document["drift"]
    churn = document["expected_churn"]
    feature_set = document["feature_set"]
    if feature_set not in FEATURE_NAMES:
        raise ModelInvalid(f"feature_set: {feature_set!r}, expected one of {', '.join(FEATURE_NAMES)}")
    model = Model(
        name=document["segmentation"],
        version=document["version"],
        as_of_ms=to_milliseconds(datetime.fromisoformat(document["as_of"])),
        parameters=FeatureParameters(
            feature_set, float(document["prior_gap_days"]), float(document["order_value_minor"])
        ),
        mean=np.array(document["mean"], np.float64),
        scale=np.array(document["scale"], np.float64),
        centroids=np.array([segment["centroid"] for segment in segments], np.float64),
        segments=_parse_segments(segments),
        hysteresis=float(document["hysteresis"]),
        no_return_days=float(document["no_return_days"]),
        weights=np.array(document["weights"], np.float64),
        expected_churn=None if churn is None else float(churn),
        retired_segments=_parse_segments(document.get("retired_segments", ())),  # absent from the first documents
        training=dict(document["training"] or {}),
    )
    profiles = [
        SegmentProfile(share=segment["share"], **segment["profile"])
        for segment in segments
        if segment["profile"] is not None
    ]
    return ModelProposal(
        model=model,
        held=document["status"] == HELD,
        profiles=tuple(profiles) if len(profiles) == len(segments) else None,
        drift=None if drift is None else Drift(**drift),
    )


def _parse_segments(documents: Iterable[Mapping[str, Any]]) -> tuple[Segment, ...]:
    return tuple(Segment(_parse_code(document["id"]), document["name"]) for document in documents)


def _parse_code(segment_id: str) -> int:
    """Return the code in an id such as `s3`; the inverse of `Segment.segment_id`."""
    digits = segment_id.removeprefix("s")
    if digits == segment_id or not digits.isdecimal():
        raise ModelInvalid(f"segment id: {segment_id!r}, expected s and a number")
    return int(digits)
