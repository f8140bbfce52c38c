"""Answers about a customer, made of what the view holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stream_app.adapters.view_moves import PastMove, Reason
from stream_app.adapters.view_schema import REASON_FIELD, MembershipValue
from stream_app.api.store import CustomerMigration, CustomerSegment
from stream_app.contracts.readers import NextMove, margin_of
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.core.clock import format_instant

_decode_reason: Final = msgspec.json.Decoder(Reason).decode


def segments_of(flat: Sequence[bytes], index: SegmentIndex) -> list[CustomerSegment]:
    """Return a customer's segments in the order of their segmentations, from its hash."""
    fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
    reference = index.reference
    found = []
    for segmentation in sorted(fields):
        if segmentation.startswith(REASON_FIELD):
            continue
        membership = MembershipValue.decode(fields[segmentation])
        segment = CustomerSegment(
            segmentation,
            reference(segmentation, membership.segment),
            format_instant(membership.since_ms),
            membership.sequence,
            membership.model_version,
            format_instant(membership.as_of_ms),
            _next_move(segmentation, membership, index),
        )
        segment.consents = membership.consents or msgspec.UNSET
        reason = _read_reason(fields.get(REASON_FIELD + segmentation))
        if reason is not None and reason.sequence == membership.sequence:
            origin = reason.from_segment
            segment.change, segment.direction = reason.change, reason.direction
            segment.from_segment = None if origin is None else reference(segmentation, origin)
            segment.cause = reason.cause_of()
            segment.explanation = reason.explanation()
            segment.margin = margin_of(segment.explanation)
            segment.holdout = reason.holdout()
        found.append(segment)
    return found


def migration_of(past: PastMove, index: SegmentIndex) -> CustomerMigration:
    """Return a move of a customer's history."""
    reason, reference = past.reason, index.reference
    origin, target = (
        None if end is None else reference(past.segmentation, end) for end in (reason.from_segment, past.to_segment)
    )
    explanation = reason.explanation()
    return CustomerMigration(
        past.segmentation,
        reason.sequence,
        origin,
        target,
        reason.change,
        reason.direction,
        format_instant(past.effective_ms),
        format_instant(past.decided_ms),
        reason.cause_of(),
        past.model_version,
        margin_of(explanation),
        explanation,
        reason.holdout(),
        past.merged_into,
        past.revenue_before,
    )


def _next_move(segmentation: str, membership: MembershipValue, index: SegmentIndex) -> NextMove | None:
    if membership.next_at_ms is None:
        return None
    target = membership.next_segment
    reference = None if target is None else index.reference(segmentation, target)
    return NextMove(format_instant(membership.next_at_ms), reference)


def _read_reason(value: bytes | None) -> Reason | None:
    """Return a reason; none for one that an earlier release wrote: a rebuild of the view gives it its present form."""
    try:
        return None if value is None else _decode_reason(value)
    except msgspec.ValidationError:
        return None
