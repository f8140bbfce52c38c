"""What a partition tells of its members: when, and that it is what its table holds."""

from __future__ import annotations

import json
from typing import Any

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.adapters.metrics import package_version
from stream_app.contracts.outputs.figures import SegmentFigures
from stream_app.contracts.readers import read_figures
from stream_app.core.events import Event
from stream_app.core.members import MemberSums
from stream_app.core.partition import Partition
from stream_app.core.processor import sweep
from stream_app.native.library import ABI
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker.figures import PartitionFigures
from tests.support.events import instant, purchase
from tests.support.models import prior_model
from tests.support.playing import play_events

INTERVAL_MS = 5_000


class Stage:
    """A partition, a clock, and what is told."""

    def __init__(self) -> None:
        self.partition = Partition([LearnedSegmentation(prior_model())])
        self.now_ms = 0
        self.figures = PartitionFigures(self.partition, 3, INTERVAL_MS, lambda: self.now_ms)

    def fold(self, *events: Event) -> None:
        play_events(self.partition, events)
        self.figures.note_change()

    def told(self, after_ms: int = 0) -> list[OutgoingRecord]:
        self.now_ms += after_ms
        return list(self.figures.due())


def document_of(records: list[OutgoingRecord]) -> dict[str, Any]:
    (record,) = records
    assert record.key == b"value/3"
    return json.loads(record.value or b"null")


def test_document_holds_the_sums_of_the_table_and_keeps_the_contract() -> None:
    stage = Stage()
    stage.fold(purchase(0, 500, "a"), purchase(1, 700, "b"), purchase(2, 900, "a"))
    document = document_of(stage.told(INTERVAL_MS))
    assert SegmentFigures.model_validate(document)
    assert (document["as_of"], document["currency"]) == ("2024-01-03T00:00:00.000Z", "EUR")
    told = [MemberSums(*list(each.values())[1:]) for each in document["segments"]]
    assert told == list(stage.partition.table.members().values())
    assert sum(each.customers for each in told) == 2
    assert sum(each.revenue_minor for each in told) == 2_100


def test_nothing_is_told_before_the_interval_is_over_nor_twice() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    assert stage.told() == stage.told(INTERVAL_MS - 1) == []
    assert len(stage.told(1)) == 1
    stage.fold(purchase(1, customer_id="b"))
    assert stage.told(INTERVAL_MS - 1) == []
    assert len(stage.told(1)) == 1
    assert stage.told(INTERVAL_MS) == []


def test_whoever_gives_a_partition_up_tells_what_has_changed_and_does_not_wait() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    assert len(list(stage.figures.due(at_once=True))) == 1
    assert list(stage.figures.due(at_once=True)) == []


def test_changes_that_leave_the_sums_as_they_were_are_not_told() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    assert len(stage.told(INTERVAL_MS)) == 1
    sweep(stage.partition, instant(1))
    stage.figures.note_change()
    assert stage.told(INTERVAL_MS) == []


def test_partition_that_nothing_has_come_to_tells_nothing() -> None:
    assert Stage().told(INTERVAL_MS) == []


def test_whoever_opens_a_partition_tells_once_and_says_what_it_runs() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    again = PartitionFigures(stage.partition, 3, INTERVAL_MS, lambda: stage.now_ms)
    stage.now_ms += INTERVAL_MS
    (record,) = again.due()
    assert json.loads(record.value or b"")["written_by"] == {"version": package_version(), "library": ABI}


def test_segmentation_that_has_ended_is_taken_back_once_everybody_has_left() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    stage.partition.follow(EndedSegmentation("value", stage.partition.segmentations[0]))
    document = document_of(stage.told(INTERVAL_MS))
    assert [each["customers"] for each in document["segments"]] == [1]
    sweep(stage.partition, instant(1))
    stage.figures.note_change()
    (record,) = stage.told(INTERVAL_MS)
    assert (record.key, record.value) == (b"value/3", None)


def test_segment_that_no_version_knows_is_named_by_its_code() -> None:
    stage = Stage()
    stage.fold(purchase(0, customer_id="a"))
    stage.partition.table.memberships[0]["segment"] = 77
    (record,) = stage.told(INTERVAL_MS)
    assert [each.segment for each in read_figures(record.value or b"").segments] == ["s77"]
