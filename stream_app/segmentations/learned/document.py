"""A model as a plain document (the `segment-models` contract), and back.

The document is what workers follow, what a trainer restarts from, and what an operator reads before releasing a held
model; so it carries, beside the model, what the model would do, how the population has changed, and who is in which
segment before it takes over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream_app.core.clock import NO_TIME, format_instant, to_milliseconds
from stream_app.core.members import MemberFigures
from stream_app.core.segments import Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.axes import AXES
from stream_app.segmentations.learned.model import Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import Rhythm
from stream_app.segmentations.learned.roles import KINDS, ROLES
from stream_app.segmentations.learned.words import statement_of

PUBLISHED = "published"
HELD = "held"
REJECTED = "rejected"
"""Was held, and an operator has refused it."""


class Drift(NamedTuple):
    """How far the population has moved since the last published model.

    Attributes
    ----------
    psi
        Population stability index of each axis, ≥ 0.
    roles
        How far each role's centre would move to fit the sample, in log units, by the role's key.
    """

    psi: dict[str, float]
    roles: dict[str, float]


@dataclass(frozen=True)
class ModelProposal:
    """A learned model, with what it would do.

    Parameters
    ----------
    model
        The model; its version is that of the last published model plus 1.
    held
        True if it is not published, but shown to an operator.
    drift
        Against the last published model; None if there is nothing to compare with.
    rejected
        True if an operator has refused it; only of a held one.
    members
        Figures by segment code of those who were in it when the model was learned, before it takes over; None if they
        are not known, as of the prior numbers.
    """

    model: Model
    held: bool = False
    drift: Drift | None = None
    rejected: bool = False
    members: Mapping[int, MemberFigures] | None = None

    @property
    def status(self) -> str:
        """As in its document."""
        return REJECTED if self.rejected else HELD if self.held else PUBLISHED


def is_waiting(status: str, version: int, published_version: int) -> bool:
    """Say whether a model waits for an operator: it is held, and nothing was published since that took its version."""
    return status == HELD and version > published_version


def model_document(proposal: ModelProposal) -> dict[str, Any]:
    """Return the model as a document of JSON values, keys as in the `segment-models` contract."""
    model, frame, members = proposal.model, proposal.model.frame, proposal.members
    segments = [
        {
            "id": segment.segment_id,
            "name": segment.name,
            "level": kind.level,
            "action": model.actions.get(kind.key, kind.action),
            "statement": statement_of(model, target),
            "centre": frame.centres[target].tolist() if target < ROLES else None,
            "open": bool(frame.is_open[target]) if target < ROLES else True,
            "members": None if members is None else msgspec.to_builtins(members[segment.code]),
        }
        for target, (segment, kind) in enumerate(zip(model.roster.segments, KINDS, strict=True))
    ]
    return {
        "kind": "learned",
        "segmentation": model.name,
        "version": model.version,
        "status": proposal.status,
        "as_of": format_instant(max(model.as_of_ms, 0)),  # prior numbers, which always held, are dated at the epoch
        "axes": list(AXES),
        "frame": frame_document(frame),
        "previous_frame": None if model.previous is None else frame_document(model.previous),
        "thresholds": model.thresholds._asdict(),
        "names": dict(model.names),
        "actions": dict(model.actions),
        "segments": segments,
        "retired_segments": [{"id": segment.segment_id, "name": segment.name} for segment in model.retired_segments],
        "expected_churn": model.expected_churn,
        "training": dict(model.training) or None,
        "drift": None if proposal.drift is None else proposal.drift._asdict(),
    }


def frame_document(frame: Frame) -> dict[str, Any]:
    """Return a frame as JSON values."""
    return {
        "rhythm": asdict(frame.rhythm),
        "order_value_minor": frame.order_value_minor,
        "engagement_weight": frame.engagement_weight,
        "new_days": frame.new_days,
        "centres": frame.centres.tolist(),
        "open": frame.is_open.tolist(),
    }


def parse_frame(document: Mapping[str, Any]) -> Frame:
    """Return the frame that `frame_document` was made of."""
    value = document["order_value_minor"]
    return Frame(
        rhythm=Rhythm(**{name: float(number) for name, number in document["rhythm"].items()}),
        order_value_minor=None if value is None else float(value),
        engagement_weight=float(document["engagement_weight"]),
        new_days=float(document["new_days"]),
        centres=np.array(document["centres"], np.float64),
        is_open=np.array(document["open"], np.bool_),
    )


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

    A document of an earlier release, whose segments were clusters, is taken for its version and its segments alone: the
    prior numbers take over from it, as the next version.

    Raises
    ------
    ModelInvalid
        If a key is missing, a value has the wrong type, or the model is inconsistent.
    """
    try:
        return _parse_clusters(document) if "frame" not in document else _parse(document)
    except KeyError as error:
        raise ModelInvalid(f"model: {error} is missing") from error
    except (TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
        raise ModelInvalid(f"model: {error}") from error


def _parse(document: Mapping[str, Any]) -> ModelProposal:
    drift, churn, previous = document["drift"], document["expected_churn"], document["previous_frame"]
    version = int(document["version"])
    model = Model(
        name=document["segmentation"],
        version=version,
        as_of_ms=to_milliseconds(datetime.fromisoformat(document["as_of"])) if version else NO_TIME,
        frame=parse_frame(document["frame"]),
        previous=None if previous is None else parse_frame(previous),
        thresholds=Thresholds(**{name: float(number) for name, number in document["thresholds"].items()}),
        names=dict(document["names"]),
        actions=dict(document["actions"]),
        expected_churn=None if churn is None else float(churn),
        retired_segments=_parse_segments(document["retired_segments"]),
        training=dict(document["training"] or {}),
    )
    return ModelProposal(
        model=model,
        held=document["status"] != PUBLISHED,
        drift=None if drift is None else Drift(**drift),
        rejected=document["status"] == REJECTED,
        members=_parse_members(document["segments"]),
    )


def _parse_members(segments: Iterable[Mapping[str, Any]]) -> dict[int, MemberFigures] | None:
    told = {_parse_code(segment["id"]): segment["members"] for segment in segments}
    if None in told.values():
        return None
    return {code: msgspec.convert(members, MemberFigures) for code, members in told.items()}


def _parse_clusters(document: Mapping[str, Any]) -> ModelProposal:
    own = {kind.code for kind in KINDS}
    former = _parse_segments([*document["segments"], *document.get("retired_segments", ())])
    model = Model(
        name=document["segmentation"],
        version=int(document["version"]),
        as_of_ms=to_milliseconds(datetime.fromisoformat(document["as_of"])),
        retired_segments=tuple(segment for segment in former if segment.code not in own),
        is_of_clusters=True,
    )
    return ModelProposal(model, held=document["status"] == HELD)


def _parse_segments(documents: Iterable[Mapping[str, Any]]) -> tuple[Segment, ...]:
    return tuple(Segment(_parse_code(document["id"]), document["name"]) for document in documents)


def _parse_code(segment_id: str) -> int:
    """Return the code in an id such as `s3`; the inverse of `Segment.segment_id`."""
    digits = segment_id.removeprefix("s")
    if digits == segment_id or not digits.isdecimal():
        raise ModelInvalid(f"segment id: {segment_id!r}, expected s and a number")
    return int(digits)
