"""Consents in notebooks: as a dictionary among others."""

from __future__ import annotations

import stream_app as seg


def test_withdrawal_is_learned_as_any_other_event() -> None:
    segmenter = seg.Segmenter()
    order = {"customer_id": "ada", "order_id": "o1", "total": "59.90", "occurred_at": "2024-05-01T12:00:00Z"}
    segmenter.learn_one(order)
    said = {"customer_id": "ada", "purpose": "segmentation", "decision": "withdrawn"}
    moves = segmenter.learn_one(said | {"observed_at": "2024-05-02T12:00:00Z"})
    assert {(move.cause.kind, move.to_segment) for move in moves} == {("consent", None)}
    assert segmenter.memberships(as_="dicts") == []
