"""The position row, as it is written now and as it was written for one segmentation."""

from __future__ import annotations

import json

from stream_app.adapters.changelog import PartitionPosition
from stream_app.core.clock import NO_TIME
from stream_app.core.partition import Clock
from stream_app.core.trust import Doubt, Trust

TRUST = Trust(2, (2**64 - 1,), events=9, ahead=(Doubt(8, 1, 7, 3, (5,)),), ahead_total=1)


def test_position_comes_back_as_it_was_written() -> None:
    position = PartitionPosition(
        {"purchases": 3}, Clock(5, 4), {"value": 7}, {"value": 7, "loyal": 2}, {"a1": 4}, "Europe/Berlin", TRUST
    )
    assert PartitionPosition.decode(position.encode()) == position
    assert json.loads(position.encode()) == {
        "offsets": {"purchases": 3},
        "clock": [5, 4],
        "versions": {"value": 7},
        "adopted": {"value": 7, "loyal": 2},
        "counted_since": {"a1": 4},
        "timezone": "Europe/Berlin",
        "statements": 0,
        "trust": [2, [2**64 - 1], [], 9, [], [[8, 1, 7, 3, [5]]], [], [], 0, NO_TIME, 0, 1, 0],
    }


def test_position_of_the_only_segmentation_there_was_names_its_version() -> None:
    written = b'{"offsets": {"purchases": 3}, "clock": [5, 4], "model_version": 12}'
    assert PartitionPosition.decode(written) == PartitionPosition({"purchases": 3}, Clock(5, 4), {"value": 12})


def test_position_that_names_no_time_zone_counted_days_of_utc() -> None:
    assert PartitionPosition.decode(b'{"offsets": {"purchases": 3}, "clock": [5, 4]}').timezone == "UTC"


def test_empty_position_is_the_first_one() -> None:
    assert PartitionPosition.decode(b"{}") == PartitionPosition()
