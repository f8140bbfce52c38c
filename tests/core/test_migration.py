from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.outputs.migrations import SegmentMigration
from stream_app.core.events import ALL_LEFT, CANCELS, REFUND, Event, Position, pack_events
from stream_app.core.moves import CAUSE_KINDS, CHANGES, DIRECTIONS, LAPSE, MOVED, MigrationContext, describe_event
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events, sweep
from stream_app.core.segments import Segment
from stream_app.native.structures import MOVE_DTYPE
from stream_app.segmentations.describing import NO_CHUNK, Chunk, Describer
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.presentation import Texts
from tests.segmentations.examples import BY_RULES
from tests.segmentations.third_kind import TiersSegmentation
from tests.support.events import engagement, instant, purchase, refund
from tests.support.models import learned_model, partition_under, prior_model, successor
from tests.support.playing import Step, play, play_events
from tests.support.published import Holdout, Migration, read_migration

REGULAR: list[Step] = [event for day in range(0, 60, 6) for event in (purchase(day), engagement(day + 0.4))]


def told(steps: list[Step], context: MigrationContext | None = None) -> list[Migration]:
    return play(Partition([LearnedSegmentation(prior_model())], context), steps)


# --- identity ----------------------------------------------------------------------------------------------------


def described(
    customer_ids: Sequence[str], context: MigrationContext, name: str = "value", sequence: int = 1
) -> list[Migration]:
    """Return what is published of a move of each customer."""
    moves = np.zeros(len(customer_ids), MOVE_DTYPE)
    moves["event"], moves["cause"], moves["change"], moves["sequence"] = -1, LAPSE, MOVED, sequence
    describer = Describer(context)
    describer.follow([TiersSegmentation(name, [2])])
    published = describer.describe(moves, Texts.of(customer_id.encode() for customer_id in customer_ids))
    return [read_migration(published.migration(number)) for number in range(len(published))]


def migration_id(name: str, customer_id: str, sequence: int) -> str:
    (migration,) = described([customer_id], MigrationContext(), name, sequence)
    return migration.migration_id


def holdouts(customer_ids: Sequence[str], context: MigrationContext) -> list[Holdout]:
    return [migration.holdout for migration in described(customer_ids, context)]


def test_id_is_the_one_that_consumers_have_seen_before() -> None:
    assert migration_id("value", "c1", 1) == "aaca8272b666746d1bd78c6cdd2ef9d9"


@given(st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(1, 20)), st.data())
def test_id_depends_on_every_argument(arguments: tuple[str, str, int], data: st.DataObject) -> None:
    others = data.draw(st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(1, 20)))
    assert (migration_id(*arguments) == migration_id(*others)) == (arguments == others)
    assert len(bytes.fromhex(migration_id(*arguments))) == 16


def test_holdout_is_the_same_for_ever() -> None:
    ids = [f"c{n}" for n in range(5)]
    found = holdouts(ids, MigrationContext(holdout_percent=30))
    assert [holdout.bucket for holdout in found] == [61, 63, 48, 4, 70]
    assert found == holdouts(ids, MigrationContext("JPY", 1, 30))


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
def test_holdout_holds_out_its_percentage(percent: int) -> None:
    found = holdouts([f"customer {n}" for n in range(20_000)], MigrationContext(holdout_percent=percent))
    assert np.mean([holdout.held_out for holdout in found]) == pytest.approx(percent / 100, abs=0.015)


def test_another_salt_draws_another_holdout() -> None:
    ids = [f"c{n}" for n in range(1_000)]
    buckets, others = (
        [holdout.bucket for holdout in holdouts(ids, MigrationContext(holdout_salt=salt))] for salt in "ab"
    )
    assert np.mean(np.array(buckets) == np.array(others)) < 0.03
    assert {*buckets} == set(range(100))


# --- where moves lead ----------------------------------------------------------------------------------------------


def test_moves_are_told_with_where_they_lead_in_the_order_of_segments() -> None:
    migrations = told([*REGULAR, instant(600), purchase(601), refund(601.5, 5_000, "order c1 601")])
    found = [(m.change, m.direction, m.to_segment and m.to_segment.name) for m in migrations]
    assert found[0] == ("entered", None, "New")
    assert found[1][:2] == ("moved", "up")
    assert found[-4:-1] == [
        ("lapsed", "down", "At risk"),
        ("lapsed", "down", "Hibernating"),
        ("lapsed", "down", "Lost"),
    ]
    assert found[-1][:2] == ("returned", "up")


def test_segments_without_an_order_have_no_direction() -> None:
    migrations = play(Partition([BY_RULES]), [*REGULAR, instant(400)])
    assert len(migrations) > 2
    assert {migration.direction for migration in migrations} == {None}


def test_refund_of_who_has_lapsed_is_no_return() -> None:
    history: list[Step] = [*REGULAR, instant(200)]
    assert [m.change for m in told(history)][-2:] == ["lapsed", "lapsed"]
    assert told([*history, refund(200.5, 5_000, "order c1 54"), instant(201)]) == told(history)


def test_what_is_heard_late_of_who_has_lapsed_is_no_return() -> None:
    history: list[Step] = [*REGULAR, instant(200)]
    assert told([*history, purchase(58), instant(201)]) == told(history)


def test_customer_first_heard_of_after_a_long_silence_enters_where_it_belongs() -> None:
    entered = told([instant(400), purchase(3), purchase(8), instant(401)])
    assert [(m.change, m.to_segment and m.to_segment.name) for m in entered] == [
        ("entered", "One-time"),
        ("moved", "Lost"),
    ]


def test_next_move_is_told_with_its_instant_and_where_it_leads() -> None:
    (entered,) = told([purchase(0)])
    assert entered.next_move is not None
    assert entered.next_move.at == "2024-02-05T00:00:00.000Z"  # 35 days later
    lost = told([*REGULAR, instant(600)])[-1]
    assert (lost.to_segment and lost.to_segment.name, lost.next_move) == ("Lost", None)


def test_present_name_of_a_segment_wins_over_a_former_one() -> None:
    model = successor(learned_model(), retired_segments=(Segment(3, "Former"),))
    (entered,) = play(partition_under(model), [purchase(0)])
    assert entered.to_segment is not None
    assert entered.to_segment.name == "New"


def test_segment_no_model_remembers_is_left_out() -> None:
    partition = partition_under(prior_model())
    (entered,) = play(partition, [purchase(0)])
    partition.follow(EndedSegmentation("value", None))
    (left,) = play(partition, [instant(1)])
    assert (entered.to_segment is not None, left.from_segment, left.to_segment) == (True, None, None)


# --- contract ----------------------------------------------------------------------------------------------------

LAST_MODEL = successor(learned_model(), dataclasses.replace(Frame(), centres=Frame().centres + 5))
"""Nobody orders often enough for it."""
EVERYTHING: list[Step] = [
    *REGULAR,
    purchase(61, order_id="o"),
    refund(62, 5_000, "o"),
    engagement(63, customer_id="ünï ☃"),
    refund(64, 70_000, "unknown", customer_id="c3"),
    *(purchase(64 + day, 90_000, "c4", f"c4 {day}") for day in range(8)),
    *(refund(73 + day, 90_000, f"c4 {day}", "c4") for day in range(8)),
    instant(400),
    *(purchase(401 + hour / 24) for hour in range(9)),
    LAST_MODEL,
    instant(402),
    purchase(403, customer_id="c3"),
    instant(900),
]


def published_json(steps: Sequence[Step], context: MigrationContext) -> Iterator[bytes]:
    """Yield what is published, event by event."""
    partition, describer = Partition([LearnedSegmentation(prior_model())], context), Describer(context)
    for number, step in enumerate(steps):
        if isinstance(step, Event):
            events = pack_events([step], [number], 0)
            outcome, chunk = process_events(partition, events), Chunk(events, ["log"])
        elif isinstance(step, int):
            outcome, chunk = sweep(partition, step), NO_CHUNK
        else:
            partition.follow(LearnedSegmentation(step) if isinstance(step, Model) else step)
            continue
        published = describer.describe_step(partition, outcome.moves, chunk)
        yield from (published.migration(place) for place in range(len(published)))


def test_every_migration_keeps_its_contract() -> None:
    ended: list[Step] = [EndedSegmentation("value", LearnedSegmentation(LAST_MODEL)), instant(901)]
    encoded = list(published_json([*EVERYTHING, *ended], MigrationContext(holdout_percent=50)))
    migrations = [read_migration(each) for each in encoded]
    assert {migration.cause.kind for migration in migrations} >= {"purchase", "refund", "engagement", "lapse", "model"}
    assert {migration.change for migration in migrations} == set(CHANGES)
    for each, migration in zip(encoded, migrations, strict=True):
        assert migration.direction in (None, *DIRECTIONS)
        contract = SegmentMigration.model_validate_json(each)
        assert contract.model_dump() == msgspec.json.decode(each)


def test_event_is_named_with_its_position_and_time_and_model_with_none() -> None:
    for migration in told(EVERYTHING):
        by_event = migration.cause.kind in CAUSE_KINDS[:3]
        assert (migration.cause.event_id is not None) == (migration.cause.position is not None) == by_event
    (entered,) = play_events(partition_under(prior_model()), [purchase(0)], first=7, name="purchases.csv").migrations
    assert entered.cause.position == Position("purchases.csv", 0, 7)


def test_returns_of_whole_orders_are_told_without_an_amount() -> None:
    whole = Event(REFUND, "c", "e", 0, "order_refunded", ALL_LEFT, "o")
    cancelled = Event(REFUND, "c", "e", 0, "order_cancelled", CANCELS, "o")
    assert describe_event(whole, 0, MigrationContext()).startswith("Refund of a whole order")
    assert describe_event(cancelled, 0, MigrationContext()).startswith("Cancellation of an order")
