"""Where customers stand, and when silence moves them next."""

from __future__ import annotations

import pytest

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.core.standing import standing_of
from tests.segmentations.examples import BY_RULES, COLD_START
from tests.support.events import instant, purchase
from tests.support.playing import play


@pytest.mark.parametrize("segmentation", [COLD_START, BY_RULES], ids=lambda each: each.kind)
def test_next_move_of_each_customer_is_what_then_happens(segmentation: Segmentation) -> None:
    partition = Partition([COLD_START, BY_RULES], dated=True)
    entered = play(partition, [purchase(0), purchase(3, customer_id="c2"), instant(4)])
    own = [move for move in entered if move.segmentation == segmentation.name]
    standing = standing_of(partition, segmentation, 0, 2, instant(4))
    codes = {segment.segment_id: code for code, segment in segmentation.roster.by_code.items()}
    assert standing.segment.tolist() == [codes[move.to_segment.id] for move in own if move.to_segment]
    assert standing.since_ms.tolist() == [instant(0), instant(3)]
    assert standing.sequence.tolist() == [1, 1]
    ends_ms = int(standing.following.at_ms.max()) + DAY_MS
    first = {m.customer_id: m for m in reversed(play(partition, [ends_ms])) if m.segmentation == segmentation.name}
    targets = [segmentation.roster.segments[index].segment_id for index in standing.following.target.tolist()]
    assert targets == [first[customer_id].to_segment.id for customer_id in ("c1", "c2")]  # type: ignore[union-attr]


def test_when_segments_by_rules_were_entered_is_known_only_where_it_is_kept() -> None:
    partition = Partition([BY_RULES])
    play(partition, [purchase(0)])
    assert standing_of(partition, BY_RULES, 0, 1, instant(1)).since_ms.tolist() == [NO_TIME]


def test_rows_beyond_the_table_are_an_error() -> None:
    partition = Partition([BY_RULES])
    play(partition, [purchase(0)])
    with pytest.raises(IndexError, match="rows: 5 to 4, expected rows of the table"):
        standing_of(partition, BY_RULES, 5, 6, instant(1))
