"""An operator's decisions on models, on their way to the trainer and back.

A decision is a record of `population-samples`, since the trainer reads that topic in order. Its outcome is on
`segment-models`, written by the transaction that carries it out; each segmentation has one key for that, so the newest
outcome, which compaction leaves, says what is pinned whatever the last decision was.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from stream_app.contracts.outputs.fields import MAX_COUNT, SLUG
from stream_app.contracts.outputs.models import DECIDED_BY_CHARACTERS_MAX, DecisionAction
from stream_app.contracts.readers import KEY_SEPARATOR, NOTE_PREFIX

KIND: Final = "decision"
DECISION_KEY_PREFIX: Final = KIND.encode() + KEY_SEPARATOR.encode()
OUTCOME_KEY_PREFIX: Final = NOTE_PREFIX + DECISION_KEY_PREFIX


class Decision(msgspec.Struct, frozen=True, tag_field="kind", tag=KIND, kw_only=True):
    """One record of `population-samples` that is no sample; fields as in `stream_app.contracts.outputs.samples`."""

    segmentation: Annotated[str, msgspec.Meta(pattern=SLUG)]
    action: DecisionAction
    version: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None
    as_of: str | None
    decided_by: Annotated[str, msgspec.Meta(max_length=DECIDED_BY_CHARACTERS_MAX)]
    at: str


class Outcome(msgspec.Struct, frozen=True, tag_field="kind", tag=KIND, kw_only=True):
    """What became of a decision: a record of `segment-models` that is no model."""

    segmentation: str
    action: DecisionAction
    version: int | None
    status: Literal["done", "refused"]
    reason: str | None
    published_version: int | None
    pinned_version: int | None
    decided_by: str
    decided_at: str
    offset: int


class _Peek(msgspec.Struct):
    kind: Any = None


_peek: Final = msgspec.json.Decoder(_Peek)

read_decision: Final = msgspec.json.Decoder(Decision).decode
"""Return the decision of a record's value; raises `msgspec.DecodeError`, a ValueError."""
read_outcome: Final = msgspec.json.Decoder(Outcome).decode
"""Return the outcome of a record's value; raises the same."""


def is_decision(value: bytes) -> bool:
    """Say whether a record of `population-samples` is a decision and no sample."""
    try:
        return bool(_peek.decode(value).kind == KIND)
    except (msgspec.DecodeError, ValueError):
        return False


def decision_key(segmentation: str) -> bytes:
    """Return the key of a decision."""
    return DECISION_KEY_PREFIX + segmentation.encode()


def outcome_key(segmentation: str) -> bytes:
    """Return the key of what became of it."""
    return OUTCOME_KEY_PREFIX + segmentation.encode()
