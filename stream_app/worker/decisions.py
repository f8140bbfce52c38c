"""Carrying out what an operator has decided on a model.

What a decision changes is written in one transaction with its outcome and the trainers' state, by the worker that holds
the right to write for the trainers. So each is carried out once, whatever fails, in the order of the topic on which it
came.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.contracts.decisions import Decision, Outcome, outcome_key
from stream_app.contracts.fields import parse_instant
from stream_app.errors import DecisionRefused
from stream_app.learning.trainer import Trainer
from stream_app.segmentations.learned.document import ModelProposal, model_document

logger = logging.getLogger(__name__)

HELD_SUFFIX: Final = "/held"
"""A held model has a key of its own, so that compaction never takes it for the successor of the published one."""


class CarriedOut(NamedTuple):
    """What comes of a decision.

    Attributes
    ----------
    published
        The version that it published; None if it did not.
    records
        For `segment-models`: the outcome comes last, so a reader who has it has the rest.
    """

    published: int | None
    records: Sequence[OutgoingRecord]


def carry_out(decision: Decision, offset: int, trainers: Mapping[str, Trainer]) -> CarriedOut:
    """Change the trainer as an operator has decided, and return what there is to write.

    Parameters
    ----------
    offset
        Of the decision's record.
    trainers
        Of each learned segmentation, by name.
    """
    trainer = trainers.get(decision.segmentation)
    had_held = trainer is not None and trainer.releases.held is not None
    proposal, reason = None, None
    try:
        proposal = _decide(trainer, decision, trainers)
    except DecisionRefused as error:
        reason = str(error)
    outcome = Outcome(
        segmentation=decision.segmentation,
        action=decision.action,
        version=decision.version,
        status="refused" if reason else "done",
        reason=reason,
        published_version=None if trainer is None else trainer.published.version,
        pinned_version=None if trainer is None else trainer.releases.pinned,
        decided_by=decision.decided_by,
        decided_at=decision.at,
        offset=offset,
    )
    records = [] if proposal is None else [model_record(proposal)]
    if had_held and proposal is not None and not proposal.held:
        records.append(OutgoingRecord((decision.segmentation + HELD_SUFFIX).encode(), None))
    records.append(OutgoingRecord(outcome_key(decision.segmentation), msgspec.json.encode(outcome)))
    version = "" if decision.version is None else f" {decision.version}"
    said = f"{decision.action} {decision.segmentation}{version}, decided by {decision.decided_by!r}"
    if reason:
        logger.warning("%s, is refused: %s", said, reason)
    else:
        logger.info("%s, is done", said)
    published = None if proposal is None or proposal.held else proposal.model.version
    return CarriedOut(published, records)


def _decide(trainer: Trainer | None, decision: Decision, known: Iterable[str]) -> ModelProposal | None:
    """Have a trainer do it; return the model that is to be written, if there is one."""
    if trainer is None:
        names = ", ".join(sorted(known)) or "none"
        raise DecisionRefused(f"no learned segmentation of this name is configured; there are: {names}")
    if decision.action == "unpin":
        trainer.unpin()
        return None
    if decision.version is None:
        raise DecisionRefused("version: null, expected the number of one")
    if decision.action == "pin":
        return trainer.pin(decision.version)
    try:
        as_of_ms = None if decision.as_of is None else parse_instant(decision.as_of)
    except ValueError as error:
        raise DecisionRefused(f"as_of: {decision.as_of!r}, expected an instant") from error
    if decision.action == "approve":
        return trainer.approve(decision.version, as_of_ms)
    return trainer.reject(decision.version, as_of_ms)


def model_record(proposal: ModelProposal) -> OutgoingRecord:
    """Return a model as its record in `segment-models`."""
    key = proposal.model.name + (HELD_SUFFIX if proposal.held else "")
    return OutgoingRecord(key.encode(), msgspec.json.encode(model_document(proposal)))
