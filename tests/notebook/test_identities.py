"""Statements on identities, one by one, and in a run that is gone on with."""

from __future__ import annotations

from typing import Any

import stream_app as seg

BUSY = {
    "version": 1,
    "segmentations": [
        {"kind": "audience", "name": "busy", "when": {"event": "product_viewed", "last": "7d", "at_least": 2}}
    ],
}
NOW = "2024-02-01T00:00:00Z"


def visit(customer_id: str, day: int) -> dict[str, Any]:
    return {"customer_id": customer_id, "occurred_at": f"2024-01-{day:02}T10:00:00Z", "type": "product_viewed"}


def said(alias: str, customer_id: str, day: int) -> dict[str, Any]:
    return {"customer_id": customer_id, "alias": alias, "observed_at": f"2024-01-{day:02}T10:00:00Z"}


def test_link_is_learned_like_any_event() -> None:
    segmenter = seg.Segmenter(segmentations=BUSY, now=NOW)
    segmenter.learn_one(visit("phone", 5))
    segmenter.learn_one(visit("u1", 6))
    (move,) = segmenter.learn_one(said("phone", "u1", 7))
    assert (move.customer_id, move.segmentation, move.cause.kind) == ("u1", "busy", "merge")


def test_run_that_is_gone_on_with_knows_who_is_who() -> None:
    segmenter = seg.Segmenter(segmentations=BUSY, now=NOW)
    segmenter.learn_one(said("phone", "u1", 4))
    segmenter.learn_one(visit("phone", 5))
    (move,) = segmenter.copy().learn_one(visit("phone", 6))
    assert move.customer_id == "u1"
