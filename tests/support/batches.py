"""Batches seen record by record."""

from __future__ import annotations

from stream_app.core.records import Batch, Content


def contents_of(batch: Batch) -> list[Content]:
    """Return what became of each record; of orders' ids only the digests are left."""
    events = batch.events()
    others = dict(batch.others_by_index())
    of_event = (events.event(index) for index in range(len(events)))
    return [others[index] if index in others else next(of_event) for index in range(len(batch))]
