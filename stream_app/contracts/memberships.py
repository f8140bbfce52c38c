"""Memberships as they are read back: by the view from their topic, by the API from a run's file."""

from __future__ import annotations

import msgspec

from stream_app.core.segments import SegmentReference


class MembershipRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-memberships`; `SegmentMembership` says what its fields may be.

    A struct of its own, for a model would take several times as long to read one.
    """

    customer_id: str
    segmentation: str
    segment: SegmentReference
    since: str
    sequence: int
    model_version: int
    as_of: str
