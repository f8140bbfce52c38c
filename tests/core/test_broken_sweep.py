"""A sweep that is broken off: rows are written, its instant is not; nothing is told twice afterwards."""

from __future__ import annotations

import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.partition import Partition
from stream_app.core.processor import sweep
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import build_segmentation, parse_segmentations
from tests.support.events import START_MS, purchase
from tests.support.playing import play_events

BUYERS = {
    "kind": "rules",
    "name": "buyers",
    "segments": [{"id": "away", "name": "Away", "when": {"figure": "recency_days", "more_than": 45.5}}],
    "otherwise": {"id": "here", "name": "Here"},
}


def rules() -> Segmentation:
    (configuration,) = parse_segmentations([BUYERS])
    return build_segmentation(configuration, {})


@pytest.mark.parametrize(
    "segmentation", [rules(), LearnedSegmentation(Model("value"))], ids=lambda segmentation: segmentation.kind
)
def test_moves_of_a_sweep_that_was_broken_off_are_not_told_again(segmentation: Segmentation) -> None:
    partition = Partition([segmentation])
    play_events(partition, [purchase(day, customer_id=f"c{day}") for day in range(2)])
    sweep(partition, START_MS + 5 * DAY_MS)
    told = sweep(partition, START_MS + 900 * DAY_MS, 0, 1).moves
    assert len(told) > 0
    table = CustomerTable(partition.table.names, partition.table.ruled_names)
    rows = partition.table.encode_all(range(len(partition.table)))
    table.restore_many([(each.encode(), row) for each, row in zip(partition.table.customer_ids, rows, strict=True)])
    restored = Partition([segmentation], partition.context, table, partition.clock)
    again = sweep(restored, START_MS + 900 * DAY_MS).moves
    assert {int(move["row"]) for move in again} == {1}
