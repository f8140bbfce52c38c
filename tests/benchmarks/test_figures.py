"""The figures of `make quality`, on migrations and histories small enough to be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.__main__ import compare
from benchmarks.quality.calibration import Forecast, act_probability, calibration_error, expected_error
from benchmarks.quality.datasets import EVERYWHERE, START_MS, Bar, DataSet, Files, at_least, at_most, data_sets
from benchmarks.quality.explained import eta_squared, explained, looks
from benchmarks.quality.judge import YARDSTICK
from benchmarks.quality.measuring import Measured, measure
from benchmarks.quality.migrations import (
    NEVER_MS,
    OUTSIDE,
    Migrations,
    against_direction,
    customer_months,
    false_alarms,
    moved_per_publish,
    next_act_ms,
    panel,
    read_migrations,
    unranked_names,
)
from benchmarks.quality.watch import Watch
from stream_app.core.clock import DAY_MS, MONTH_DAYS
from stream_app.core.columns import CustomerColumns
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile
from tests.support.histories import history


def migrations(*rows: tuple[int, float, str, str, str, int]) -> Migrations:
    """Make them from customer, day, origin, destination, cause and version, ordered by customer and time."""
    customer, day, origin, destination, cause, version = zip(*rows, strict=True)
    return Migrations(
        np.array(customer),
        (np.array(day) * DAY_MS).astype(np.int64),
        np.array(origin),
        np.array(destination),
        np.array(cause),
        np.array(version),
    )


def test_own_acts_down_or_among_the_lapsed_and_silence_up_are_against_direction() -> None:
    moves = migrations(
        (0, 0, OUTSIDE, "New", "purchase", 0),
        (0, 1, "New", "Loyal", "purchase", 0),
        (0, 2, "Loyal", "Regular", "engagement", 0),  # an own act down
        (0, 3, "Regular", "Champions", "lapse", 0),  # silence up
        (0, 4, "Champions", "At risk", "lapse", 0),
        (0, 5, "At risk", "One-time", "purchase", 0),  # an own act among the lapsed
        (0, 6, "One-time", "Occasional", "purchase", 0),
        (0, 7, "Occasional", "At risk", "model", 1),
        (0, 8, "At risk", "Lost", "refund", 1),
        (0, 9, "Lost", "Hibernating", "lapse", 1),  # silence up
        (1, 0, OUTSIDE, "At risk", "purchase", 0),  # an entry
        (1, 1, "At risk", "Hibernating", "lapse", 0),
        (1, 2, "Hibernating", "Lost", "lapse", 0),
    )
    assert against_direction(moves) == (2, 2)


def test_a_move_from_lapsed_to_lapsed_by_an_own_act_is_against_direction_even_if_upwards() -> None:
    moves = migrations((0, 0, OUTSIDE, "Lost", "model", 0), (0, 1, "Lost", "At risk", "purchase", 0))
    assert against_direction(moves) == (1, 0)


def test_sideways_moves_keep_their_direction() -> None:
    moves = migrations(
        (0, 0, OUTSIDE, "Browsers", "engagement", 0),
        (0, 1, "Browsers", "Regular", "purchase", 0),
        (0, 2, "Regular", "Browsers", "lapse", 0),
    )
    assert against_direction(moves) == (0, 0)


def test_names_without_a_level_are_listed_and_not_judged() -> None:
    moves = migrations((0, 0, OUTSIDE, "Potential", "purchase", 0), (0, 1, "Potential", "VIP", "lapse", 0))
    assert against_direction(moves) == (0, 0)
    assert unranked_names(moves) == ["Potential"]


def test_the_panel_holds_the_last_migration_up_to_each_instant() -> None:
    moves = migrations(
        (0, 0.5, OUTSIDE, "New", "purchase", 0),
        (0, 2, "New", "Loyal", "purchase", 0),
        (0, 2, "Loyal", "Champions", "purchase", 0),
        (2, 1, OUTSIDE, "New", "purchase", 0),
        (2, 3, "New", OUTSIDE, "definition", 0),
    )
    places = panel(moves, 3, [day * DAY_MS for day in (0, 1, 2, 3)])
    assert places.tolist() == [
        [OUTSIDE, OUTSIDE, OUTSIDE],
        ["New", OUTSIDE, "New"],
        ["Champions", OUTSIDE, "New"],
        ["Champions", OUTSIDE, OUTSIDE],
    ]


def test_time_in_segments_runs_to_the_next_migration_or_to_the_end() -> None:
    moves = migrations(
        (0, 0, OUTSIDE, "New", "purchase", 0),
        (0, 10, "New", "Loyal", "purchase", 0),
        (0, 30, "Loyal", "At risk", "lapse", 0),
        (1, 50, OUTSIDE, "Loyal", "purchase", 0),
    )
    assert customer_months(moves, 100 * DAY_MS) * MONTH_DAYS == pytest.approx(100 + 50)
    assert customer_months(moves, 100 * DAY_MS, frozenset({"Loyal"})) * MONTH_DAYS == pytest.approx(20 + 50)


def test_silence_taken_for_a_lapse_is_a_false_alarm_if_an_own_act_follows_within_two_weeks() -> None:
    moves = migrations(
        (0, 0, OUTSIDE, "Regular", "purchase", 0),
        (0, 20, "Regular", "At risk", "lapse", 0),  # acts on day 34
        (1, 0, OUTSIDE, "Regular", "purchase", 0),
        (1, 20, "Regular", "At risk", "lapse", 0),  # acts on day 35, a day too late
        (2, 0, OUTSIDE, "Regular", "purchase", 0),
        (2, 20, "Regular", "At risk", "lapse", 0),  # only a refund follows
        (3, 0, OUTSIDE, "Regular", "purchase", 0),
        (3, 20, "Regular", "Occasional", "lapse", 0),  # no lapse
        (4, 0, OUTSIDE, "Regular", "purchase", 0),
        (4, 20, "Regular", "At risk", "model", 1),  # not by silence
    )
    happened = history(
        (2, 21, REFUND, 5), (3, 21, PURCHASE, 5), (4, 21, PURCHASE, 5), (0, 34, ENGAGEMENT, 0), (1, 35, PURCHASE, 5),
        end_day=50,
    )  # fmt: skip
    months = (5 * 20 + 30) / MONTH_DAYS  # customer 3 stays in value roles to the end
    assert false_alarms(moves, happened) == pytest.approx(1 / months)


def test_no_time_in_value_roles_means_no_false_alarms() -> None:
    moves = migrations((0, 0, OUTSIDE, "New", "purchase", 0))
    assert false_alarms(moves, history((0, 0, PURCHASE, 1), end_day=9)) == 0


def test_the_next_act_is_the_first_own_one_after_the_instant() -> None:
    happened = history(
        (0, 1, PURCHASE, 1), (1, 2, REFUND, 1), (1, 3, ENGAGEMENT, 0), (0, 4, ENGAGEMENT, 0), (0, 6, PURCHASE, 1),
        end_day=9,
    )  # fmt: skip
    found = next_act_ms(happened, np.array([0, 0, 0, 1, 1]), np.array([0, 1, 6, 0, 3]) * DAY_MS)
    assert found.tolist() == [DAY_MS, 4 * DAY_MS, NEVER_MS, 3 * DAY_MS, NEVER_MS]


def test_a_publish_counts_the_moves_that_the_model_caused_among_those_who_had_entered() -> None:
    moves = migrations(
        (0, 0, OUTSIDE, "New", "purchase", 0),
        (0, 7, "New", "Loyal", "model", 1),
        (0, 7, "Loyal", "At risk", "lapse", 1),
        (1, 1, OUTSIDE, "New", "purchase", 0),
        (2, 8, OUTSIDE, "New", "purchase", 1),
        (3, 8, OUTSIDE, "New", "purchase", 1),
        (3, 21, "New", "Loyal", "model", 3),
    )
    published = {1: 7 * DAY_MS, 2: 14 * DAY_MS, 3: 21 * DAY_MS}
    assert moved_per_publish(moves, published) == [1 / 2, 0, 1 / 4]


def test_eta_squared_is_the_share_of_variance_between_places() -> None:
    assert eta_squared(np.array(["a", "a", "b", "b"]), np.array([1, 1, 3, 3])) == pytest.approx(1)
    assert eta_squared(np.array(["a", "b", "a", "b"]), np.array([1, 1, 3, 3])) == pytest.approx(0)
    assert eta_squared(np.array([0, 0, 1, 1]), np.array([0, 2, 2, 4])) == pytest.approx(0.5)
    assert np.isnan(eta_squared(np.array([0, 1]), np.array([2, 2])))
    assert np.isnan(eta_squared(np.empty(0), np.empty(0)))


def test_what_is_explained_are_the_90_days_after_each_look() -> None:
    first = [(0, 0.0, PURCHASE, 1), (1, 0.0, PURCHASE, 1), (2, 0.0, PURCHASE, 1)]
    happened = history(
        *first,
        (1, 122.0, PURCHASE, 10),
        (1, 130.0, ENGAGEMENT, 0),
        (0, 210.9, PURCHASE, 30),
        (0, 211.5, PURCHASE, 99),
        end_day=212,
    )
    assert looks(happened) == [120]
    places, inside = np.array([["a", "a", "b"]]), np.array([[True, True, True]])
    orders, spend = explained(places, inside, happened)
    assert orders == pytest.approx(1)
    assert spend == pytest.approx(eta_squared(places[0], np.array([30, 10, 0])))
    assert explained(places, np.array([[True, False, True]]), happened)[0] == pytest.approx(1)


def test_nothing_is_explained_of_a_history_that_is_too_short() -> None:
    happened = history((0, 0, PURCHASE, 1), end_day=100)
    assert np.isnan(explained(np.empty((0, 1)), np.empty((0, 1), np.bool_), happened)).all()


def test_the_chance_of_an_act_follows_from_the_odds_of_being_active_at_two_instants() -> None:
    dropout, shape, scale, regularity = 0.2, 4.0, 30.0, 1.5

    def survival(days: np.ndarray) -> np.ndarray:
        return (1 + (days / scale) ** regularity / shape) ** -shape

    def active(days: np.ndarray) -> np.ndarray:
        return (1 - dropout) * survival(days) / ((1 - dropout) * survival(days) + dropout)

    silence = np.array([0.0, 10.0, 80.0])
    expected = active(silence) * (1 - survival(silence + 25) / survival(silence))
    assert act_probability(active(silence), active(silence + 25)) == pytest.approx(expected)


def test_certainties_give_finite_chances() -> None:
    chances = act_probability(np.array([1.0, 1.0, 0.0, 0.5]), np.array([1.0, 0.0, 0.0, 0.6]))
    assert chances == pytest.approx([0, 1, 0, 0], abs=1e-3)


def test_calibration_error_is_the_mean_distance_within_tenths() -> None:
    probability = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    came = np.array([False, True, True, True, True])
    low, high = abs(0.1 - 1) / 2, abs(2.9 - 3) / 3
    assert expected_error(probability, came) == pytest.approx((2 * low + 3 * high) / 5)
    assert np.isnan(expected_error(np.empty(0), np.empty(0, np.bool_)))


def test_forecasts_that_reach_beyond_the_end_are_left_out() -> None:
    happened = history((0, 0, PURCHASE, 1), (1, 0, PURCHASE, 1), (0, 14, PURCHASE, 1), end_day=20)
    forecast = Forecast(10 * DAY_MS, ["c1", "c0", "c0"], np.array([10.5, 5, 3]), np.array([0.9, 0.9, 0.35]))
    assert calibration_error([forecast], happened) == pytest.approx((0.1 + 0.35) / 2)


def test_a_watch_finds_the_month_with_most_untrue_names_and_what_was_expected_every_four_weeks() -> None:
    table = CustomerTable()
    for customer_id in ("a", "b", "c"):
        table.insert(customer_id)
    table.memberships["segment"] = [[1, 1, NO_SEGMENT]]
    partition = Partition([EndedSegmentation("value", None)], table=table)
    untrue = {day: [day == 40, day in range(40, 43), True] for day in range(59)}

    def ask_untrue(_segmentation: object, columns: CustomerColumns, _held: Held) -> np.ndarray:
        return np.array(untrue[int(columns.at_ms[0]) // DAY_MS])

    def ask_expect(_segmentation: object, columns: CustomerColumns) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(columns), 5.0), np.full(len(columns), 0.5)

    watch = Watch(ask_untrue, ask_expect)
    for day in range(59):
        watch.observe(partition, day * DAY_MS)
    assert watch.untrue_names == 4 / (2 * 28)  # February 1970; c is in no segment
    assert not watch.forecasts
    later = Watch(None, ask_expect)
    for day in (7, 14, 112, 140, 141, 168):
        later.observe(partition, day * DAY_MS)
    assert [forecast.at_ms // DAY_MS for forecast in later.forecasts] == [140, 168]
    assert later.forecasts[0].customer_ids == ["a", "b", "c"]
    assert later.untrue_names is None


def test_a_data_set_goes_through_the_product_and_past_its_rivals(tmp_path: Path) -> None:
    population = POPULATIONS["plans"]

    def lay_out(folder: Path) -> Files:
        simulate(300, 240, 1, folder, population=population)
        sources = [SourceFile(folder / "purchases.jsonl.gz", "purchases", {}, {}, None)]
        return Files(sources, START_MS + 240 * DAY_MS, gone=frozenset({"c1"}))

    measured = measure(DataSet(lay_out), tmp_path, with_rivals=True)
    assert list(measured.rivals) == ["RFM rules", "k-means", "before"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    ours = {name: figure for name, figure in measured.ours.items() if figure is not None}
    assert ours["segments in use at the end"] >= 1
    assert 0 <= ours["next 90 days' spend explained"] <= 1
    assert 0 <= ours["wrongly at risk or lapsed at the end"] <= 1
    assert 0 < ours["moves a customer"] < 50
    assert summary["customers"] == 300
    assert set(measured.rivals["before"]) <= set(measured.ours)


def test_every_bar_is_of_a_figure_that_is_measured(tmp_path: Path) -> None:
    if not (YARDSTICK / "quality").is_dir():
        pytest.skip(f"{YARDSTICK / 'quality'} is not here")

    def lay_out(folder: Path) -> Files:
        simulate(300, 540, 1, folder)
        topics = ("purchases", "engagements")
        sources = [SourceFile(folder / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in topics]
        return Files(sources, START_MS + 540 * DAY_MS, judged=folder, gone=frozenset())

    measured = measure(DataSet(lay_out), tmp_path, with_rivals=False)
    figures = {*measured.ours, "orders explained beyond RFM rules"}
    assert all(set(data_set.bars) <= figures for data_set in data_sets([7], 7).values())
    assert set(EVERYWHERE) <= figures


def test_migrations_are_read_in_the_order_of_customers_and_sequences(tmp_path: Path) -> None:
    def record(customer: str, sequence: int, origin: str | None, name: str | None, **others: object) -> str:
        fields = {
            "customer_id": customer,
            "sequence": sequence,
            "segmentation": "value",
            "from_segment": {"id": "s1", "name": origin} if origin else None,
            "to_segment": {"id": "s2", "name": name} if name else None,
            "effective_at": f"1970-01-0{sequence}T00:00:00.000Z",
            "cause": {"kind": "purchase", "event_id": "e", "position": None},
            "model_version": 4,
            "explanation": {},
        }
        return json.dumps(fields | others)

    lines = [
        record("b", 1, None, "New"),
        record("a", 2, "New", None),
        record("b", 1, None, "other", segmentation="rules"),
        record("a", 1, None, "New"),
    ]
    (tmp_path / "migrations.jsonl").write_text("\n".join(lines) + "\n")
    read = read_migrations(tmp_path / "migrations.jsonl", ["a", "b"])
    assert read.customer.tolist() == [0, 0, 1]
    assert read.at_ms.tolist() == [0, DAY_MS, 0]
    assert read.origin.tolist() == [OUTSIDE, "New", OUTSIDE]
    assert read.destination.tolist() == ["New", OUTSIDE, "New"]
    assert read.version.tolist() == [4, 4, 4]
    assert read.is_move.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("bar", "figure", "is_met"),
    [
        (at_most(0.1), 0.1, True),
        (at_most(0.1), 0.11, False),
        (at_least(0.5), 0.5, True),
        (at_least(0.5), 0.49, False),
        (Bar(">", 0), 0.0, False),
        (Bar(">", 0), 0.01, True),
        (at_most(1), float("nan"), False),
        (at_least(1), float("nan"), False),
    ],
)
def test_a_bar_is_met_at_its_limit_unless_it_is_to_be_exceeded(bar: Bar, figure: float, is_met: bool) -> None:
    assert bar.is_met(figure) == is_met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    ours = {"a": None, "b": 2.0, "c": float("nan"), "d": float("nan"), "e": 1.0}
    measured = Measured(ours, {"rules": {"a": float("nan"), "b": 3.0}}, seconds=0.0)
    rows = compare(measured, {"a": at_most(1), "b": at_most(1), "c": at_most(1), "f": at_least(0.5)})
    assert {name: row["met"] for name, row in rows.items()} == {
        "a": None, "b": False, "c": False, "f": None, "e": None,
    }  # fmt: skip
    assert rows["b"] == {"bar": "≤ 1", "ours": 2.0, "met": False, "rivals": {"rules": 3.0}}
    assert rows["c"]["ours"] is rows["a"]["rivals"]["rules"] is None
