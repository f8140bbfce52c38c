from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.outputs import SegmentMigration
from stream_app.core.events import Position
from stream_app.core.migration import HOLDOUT_BUCKETS, Migration, holdout_of, migration_id
from stream_app.core.moves import CAUSE_KINDS, CHANGES, MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events
from stream_app.core.segmentation import Held
from stream_app.core.segments import Segment
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.explanation import CustomerFigures, figures_of
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.support.events import START_MS, engagement, instant, positions, purchase, refund
from tests.support.models import partition_under, plain_snapshot, rules_snapshot, successor
from tests.support.playing import Step, play
from tests.support.tables import quantities_of_events

REGULAR: list[Step] = [event for day in range(0, 60, 6) for event in (purchase(day), engagement(day + 0.4))]


def told(steps: list[Step], context: MigrationContext | None = None) -> list[Migration]:
    return play(Partition([LearnedSegmentation(rules_snapshot())], context), steps)


def told_plainly(steps: list[Step], no_return_days: float = 0.0) -> list[Migration]:
    return play(partition_under(plain_snapshot(no_return_days=no_return_days)), steps)


# --- identity ----------------------------------------------------------------------------------------------------


def test_id_is_the_one_that_consumers_have_seen_before() -> None:
    assert migration_id("value", "c1", 1) == "aaca8272b666746d1bd78c6cdd2ef9d9"


@given(st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(1, 20)), st.data())
def test_id_depends_on_every_argument(arguments: tuple[str, str, int], data: st.DataObject) -> None:
    others = data.draw(st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(1, 20)))
    assert (migration_id(*arguments) == migration_id(*others)) == (arguments == others)
    assert len(bytes.fromhex(migration_id(*arguments))) == 16


def test_holdout_is_the_same_for_ever() -> None:
    rules = MigrationContext(holdout_percent=30)
    assert [holdout_of(f"c{n}", rules).bucket for n in range(5)] == [61, 63, 48, 4, 70]
    assert holdout_of("c1", rules) == holdout_of("c1", MigrationContext("JPY", 1, 30))


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
def test_holdout_holds_out_its_percentage(percent: int) -> None:
    held_out = [holdout_of(f"customer {n}", MigrationContext(holdout_percent=percent)).held_out for n in range(20_000)]
    assert np.mean(held_out) == pytest.approx(percent / 100, abs=0.015)


def test_another_salt_draws_another_holdout() -> None:
    buckets, others = (
        [holdout_of(f"c{n}", MigrationContext(holdout_salt=salt)).bucket for n in range(1_000)] for salt in "ab"
    )
    assert np.mean(np.array(buckets) == np.array(others)) < 0.03
    assert {*buckets} == set(range(HOLDOUT_BUCKETS))


# --- sentences ---------------------------------------------------------------------------------------------------


def test_first_purchase_is_told() -> None:
    (entered,) = told([purchase(0, 4_990)])
    assert entered.explanation.sentence == "Purchase of 49.90 EUR, the first event; enters New."
    assert (entered.from_segment, entered.change) == (None, "entered")
    assert entered.explanation.before is None
    assert entered.explanation.margin is entered.explanation.distance_from is None
    assert entered.explanation.decisive_feature is None


def test_first_engagement_and_first_refund_are_told() -> None:
    (engaged,) = told([engagement(0)])
    assert engaged.explanation.sentence.startswith("Engagement (product_viewed), the first event; enters ")
    (refunded,) = told([refund(0, 1_050, "unknown")])
    assert refunded.explanation.sentence.startswith("Refund of 10.50 EUR, the first event; enters ")


def test_purchase_is_told_with_what_it_changed() -> None:
    migration = told([*(purchase(day) for day in range(0, 40, 8))])[1]
    assert migration.explanation.sentence == ("Purchase of 50.00 EUR: expected orders 2.6 → 3.7; New → Loyal.")
    assert migration.explanation.decisive_feature == "expected_orders"
    assert (migration.cause.kind, migration.change) == ("purchase", "moved")


def test_engagement_is_told_with_what_it_changed() -> None:
    browsing = [engagement(day) for day in range(1, 12)]
    migration = told([purchase(0), *browsing])[1]
    assert migration.explanation.sentence.startswith("Engagement (product_viewed): expected engaged days ")
    assert migration.explanation.sentence.endswith("; New → Browsers.")
    assert migration.cause.kind == "engagement"


def test_refund_is_told_with_what_it_changed() -> None:
    history: list[Step] = [purchase(day, order_id=f"o{day}") for day in range(6)]
    refunds = [refund(6 + day / 10, 5_000, f"o{day}") for day in range(6)]
    migration = play(partition_under(rules_snapshot(no_return_days=0.0)), [*history, *refunds])[-1]
    assert migration.cause.kind == "refund"
    assert migration.explanation.sentence.startswith("Refund of 50.00 EUR: expected orders ")


def test_lapse_is_told_with_silence_and_habit() -> None:
    migration = told([*REGULAR, instant(400)])[-1]
    after = migration.explanation.after
    assert migration.explanation.sentence.startswith(
        f"Silent for {after.recency_days:.0f} days, usually active every {after.usual_gap_days:.0f}: "
    )
    assert (migration.cause.kind, migration.change) == ("lapse", "lapsed")
    assert migration.explanation.before is not None
    assert migration.explanation.before.recency_days == 0
    assert migration.explanation.before.probability_active == 1


def test_probability_is_told_in_hundredths() -> None:
    migration = told([purchase(0), purchase(9), instant(400)])[-1]
    assert migration.explanation.decisive_feature == "inactivity"
    assert ": probability of being active 1.00 → 0." in migration.explanation.sentence


def test_move_by_the_model_is_told_as_such() -> None:
    rules = rules_snapshot()
    centroids = rules.centroids.copy()
    centroids[rules.roster.index_of_code[3]] += 5
    migration = told([purchase(0), instant(1), successor(rules, centroids=centroids), instant(1)])[-1]
    assert migration.explanation.sentence.startswith("Model 1 draws the line elsewhere; New → ")
    assert (migration.cause.kind, migration.change, migration.model_version) == ("model", "moved", 1)
    assert migration.explanation.before == migration.explanation.after
    assert migration.explanation.decisive_feature is None


def test_move_after_waiting_is_told_as_a_return() -> None:
    steps: list[Step] = [
        *(engagement(day) for day in (0, 0.5)),
        purchase(1, 90_000, order_id="o"),
        refund(1.01, 90_000, "o"),
        instant(12),
    ]
    migration = told_plainly(steps, no_return_days=10.0)[-1]
    assert migration.explanation.sentence.startswith("10 days after leaving it, may return")
    assert migration.explanation.sentence.endswith("; Regulars → Visitors.")
    assert (migration.cause.kind, migration.change) == ("lapse", "moved")


def test_plain_model_tells_silence_orders_and_revenue() -> None:
    migrations = told_plainly([engagement(0), *(purchase(day, 3_000) for day in range(1, 20, 3)), instant(900)])
    assert [m.explanation.decisive_feature for m in migrations] == [None, "revenue", "revenue"]
    assert ": revenue " in migrations[1].explanation.sentence
    assert " EUR; " in migrations[1].explanation.sentence


def test_plain_model_tells_days_of_silence() -> None:
    snapshot = plain_snapshot()
    far = snapshot.centroids.copy()
    far[2] = (3.0, *far[1, 1:3], far[1, 3])
    partition = partition_under(successor(snapshot, centroids=far))
    migration = play(partition, [engagement(0), instant(900)])[-1]
    assert migration.explanation.decisive_feature == "recency"
    assert ": days of silence 0.00 → " in migration.explanation.sentence


def test_segment_of_an_earlier_model_is_told_by_its_name() -> None:
    rules, plain = rules_snapshot(), plain_snapshot()
    steps: list[Step] = [purchase(0), instant(1)]
    heir = successor(plain, retired_segments=rules.segments)
    migration = told([*steps, heir, instant(1)])[-1]
    assert migration.from_segment is not None
    assert (migration.from_segment.id, migration.from_segment.name) == ("s3", "New")
    assert "; New → " in migration.explanation.sentence
    assert migration.explanation.before is not None
    assert migration.explanation.distance_from is migration.explanation.margin is None


def test_segment_no_model_remembers_is_left_out() -> None:
    migration = told([purchase(0), instant(1), successor(plain_snapshot()), instant(1)])[-1]
    assert migration.from_segment is None
    assert "; enters " in migration.explanation.sentence


def test_present_name_of_a_segment_wins_over_a_former_one() -> None:
    snapshot = successor(plain_snapshot(), retired_segments=(Segment(11, "Former"),))
    migrations = play(partition_under(snapshot), [purchase(0, 40_000)])
    assert migrations[0].to_segment.name == "Regulars"


# --- figures -----------------------------------------------------------------------------------------------------


def test_figures_are_in_peoples_units_and_rounded() -> None:
    found = quantities_of_events()
    figures = figures_of(found, 30.0, 100)
    assert figures.shape == (4, len(CustomerFigures.__struct_fields__))
    assert (figures == np.round(figures, 4)).all()
    columns = dict(zip(CustomerFigures.__struct_fields__, figures.T, strict=True))
    assert columns["revenue_90d"] == pytest.approx(found.revenue_minor / 100, abs=1e-4)
    assert columns["orders_90d"] == pytest.approx(found.orders, abs=1e-4)
    assert columns["recency_days"].tolist() == [1.0, 40.0, 1.0, 50.0]
    assert columns["tenure_days"].tolist() == [100.0, 97.0, 10.0, 50.0]


def test_currency_without_minor_units_is_told_in_whole_units() -> None:
    (migration,) = told([purchase(0, 4_990)], MigrationContext(currency="JPY", minor_per_major=1))
    assert migration.explanation.sentence.startswith("Purchase of 4990")
    assert migration.explanation.after.revenue_90d == 4_990


def test_margin_is_how_far_past_the_border_and_distances_say_so() -> None:
    for migration in told([*REGULAR, instant(400)])[1:]:
        explanation = migration.explanation
        assert explanation.distance_from is not None
        assert explanation.margin is not None
        assert explanation.distance_to < explanation.distance_from
        assert explanation.margin >= 0.5  # the hysteresis
        assert explanation.margin == round(explanation.margin, 4)


def test_silent_move_is_told_at_the_border_not_at_the_sweep() -> None:
    migration = told([*REGULAR, instant(63), instant(64), *(instant(day) for day in range(65, 140))])[-1]
    assert migration.cause.kind == "lapse"
    assert migration.explanation.margin == pytest.approx(0.5, abs=1e-3)


# --- contract ----------------------------------------------------------------------------------------------------

LAST_MODEL = successor(plain_snapshot(0.0), retired_segments=rules_snapshot().segments)
EVERYTHING: list[Step] = [
    *REGULAR,
    purchase(61, order_id="o"),
    refund(62, 5_000, "o"),
    engagement(63, customer_id="ünï ☃"),
    refund(64, 70_000, "unknown", customer_id="c3"),
    instant(400),
    purchase(401),
    LAST_MODEL,
    instant(402),
    purchase(403, customer_id="c3"),
    instant(900),
]


def test_every_migration_keeps_its_contract() -> None:
    ended: list[Step] = [EndedSegmentation("value", LearnedSegmentation(LAST_MODEL)), instant(901)]
    migrations = told([*EVERYTHING, *ended], MigrationContext(holdout_percent=50))
    assert {migration.cause.kind for migration in migrations} >= {"purchase", "refund", "engagement", "lapse", "model"}
    assert {migration.change for migration in migrations} == set(CHANGES)
    for migration in migrations:
        encoded = msgspec.json.encode(migration)
        contract = SegmentMigration.model_validate_json(encoded)
        assert contract.model_dump() == msgspec.to_builtins(migration)


def test_event_is_named_with_its_position_and_time_and_model_with_none() -> None:
    for migration in told(EVERYTHING):
        by_event = migration.cause.kind in CAUSE_KINDS[:3]
        assert (migration.cause.event_id is not None) == (migration.cause.position is not None) == by_event
    effects = process_events(partition_under(rules_snapshot()), [purchase(0)], [Position("purchases.csv", 0, 7)])
    assert effects.migrations[0].cause.position == Position("purchases.csv", 0, 7)
    assert positions(2, 7)[1] == Position("log", 0, 8)


@pytest.mark.parametrize(("days", "expected_ms"), [(0.0, 0), (1.0, 86_400_000), (1.1, 95_040_001), (1e-9, 1)])
def test_no_return_ends_with_the_first_whole_millisecond(days: float, expected_ms: int) -> None:
    segmentation = LearnedSegmentation(rules_snapshot(no_return_days=days))
    codes = np.ones(3, np.int16)
    held = Held(codes, codes, np.full(3, START_MS))
    ends = segmentation.ends_wait(held, START_MS + expected_ms + np.array([-1, 0, 1]))
    assert ends.tolist() == [False, True, False]
