from __future__ import annotations
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_app.core.partition import Partition
from stream_app.core.events import Event
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.segmentations.examples import BY_RULES
from tests.support.events import instant
from tests.support.logs import logs, snapshots
from tests.support.models import partition_under
from tests.support.oracle import expected_migrations, told
from tests.support.playing import play

@given(logs(), snapshots, st.sets(st.integers(0, 28)))
@settings(max_examples=300)
def test_customers_do_what_asking_event_by_event_says(log, snapshot, cuts) -> None:
    steps = [*log, instant(4_000)]
    expected = expected_migrations(LearnedSegmentation(snapshot), steps)
    assert told(play(partition_under(snapshot), steps, cuts)) == expected


@given(logs(), st.sets(st.integers(0, 28)))
def test_customers_do_what_asking_event_by_event_says_by_rules(log, cuts: set[int]) -> None:
    steps = [*(step for step in log if isinstance(step, Event | int)), instant(4_000)]
    assert told(play(Partition([BY_RULES]), steps, cuts)) == expected_migrations(BY_RULES, steps)
