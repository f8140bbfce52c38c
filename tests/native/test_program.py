"""Conditions in the compiled library, kind by kind: what holds, and the very millisecond at which silence turns it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.core.segmentation import NEVER_MS
from stream_app.native.programs import Subject
from stream_app.segmentations.rules.id_lists import IdList
from tests.native.customers import lived as lives_of
from tests.native.subjects import (
    PROFILE,
    PURCHASE,
    Happened,
    audience,
    is_in,
    kept,
    lived,
    note,
    program,
    share_of,
    traits,
)
from tests.native.versions import random_rules
from tests.reference import rules as reference
from tests.reference.columns import CustomerColumns
from tests.segmentations.examples import LEARNED


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def with_traits(when: Mapping[str, Any], values: Mapping[str, Any], observed_ms: int = 0) -> Subject:
    customer = Subject(program(when), "c")
    customer.traits = traits(values, observed_ms)
    return customer


def holds(customer: Subject, at_ms: int = 0) -> bool:
    return customer.evaluate(at_ms).targets[0] == 0


# --- events ----------------------------------------------------------------------------------------------------------


def test_window_is_left_exactly_its_length_after_the_event() -> None:
    customer = lived(program({"event": "visit", "last": "7d"}), [Happened(5, "visit")])
    assert [holds(customer, at) for at in (5, 7 * DAY_MS + 4, 7 * DAY_MS + 5)] == [True, True, False]
    assert customer.silence(0, 5, NEVER_MS) == (7 * DAY_MS + 5, -1)


def test_second_youngest_event_decides_of_two() -> None:
    rules = program({"event": "visit", "last": "1d", "at_least": 2})
    customer = lived(rules, [Happened(hour * HOUR_MS, "visit") for hour in (0, 1, 23)])
    assert customer.silence(0, 23 * HOUR_MS, NEVER_MS) == (25 * HOUR_MS, -1)


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ({"field": "amount", "at_least": 12.5}, True),
        ({"field": "amount", "more_than": 12.5}, False),
        ({"field": "type", "begins_with": "order_"}, True),
        ({"field": "channel", "equals": "app"}, True),
        ({"field": "channel", "not_equals": "app"}, False),
        ({"field": "channel", "in": ["web", "app", 1]}, True),
        ({"field": "channel", "not_in": ["web", "app", 1]}, False),
        ({"field": "properties.n", "in": [120.0]}, True),
        ({"field": "properties.n", "at_most": 120, "at_least": 120}, True),
        ({"field": "properties.text", "at_least": 0}, False),
        ({"field": "properties.text", "at_most": 1e9}, False),
        ({"field": "properties.text", "equals": 120}, False),
        ({"field": "properties.yes", "equals": True}, True),
        ({"field": "properties.yes", "equals": 1}, False),
        ({"field": "properties.no", "equals": False}, True),
        ({"field": "properties.none", "exists": False}, True),
        ({"field": "properties.empty", "exists": True}, False),
        ({"field": "properties.absent", "not_equals": "x"}, True),
        ({"field": "properties.absent", "at_most": 5}, False),
        ({"field": "products", "contains": "b"}, True),
        ({"field": "products", "contains": 2}, False),
        ({"field": "channel", "contains": "app"}, False),
    ],
)
def test_event_counts_where_its_fields_pass(where: dict[str, Any], counts: bool) -> None:
    properties = {"n": 120.0, "text": "120", "yes": True, "no": False, "none": None, "empty": ""}
    fields = {f"properties.{name}": value for name, value in properties.items()}
    bought = Happened(0, "order_completed", {"channel": "app", "products": ["a", "b"], **fields}, PURCHASE, 1_250)
    assert is_in(program({"event": "order_*", "where": [where]}), [bought], 0) == counts


def test_amounts_are_summed_in_units_of_the_base_currency() -> None:
    when = {"event": "order_completed", "sum": "amount", "last": "30d", "at_least": 99.95}
    orders = [Happened(day * DAY_MS, "order_completed", {}, PURCHASE, 1_999) for day in range(5)]
    assert is_in(program(when), orders, 5 * DAY_MS)
    assert not is_in(program(when), orders[1:], 5 * DAY_MS)


def test_events_without_the_number_are_left_out_of_an_average() -> None:
    when = {"event": "rated", "average": "value", "at_least": 4}
    rated = [Happened(0, "rated", {"value": 4.0}), Happened(1, "rated"), Happened(2, "rated", {"value": "1"})]
    assert is_in(program(when), rated, 5)
    assert not is_in(program({"not": when}), rated, 5)
    assert is_in(program({"not": {**when, "at_most": 9, "at_least": 0}}), rated[1:], 5)


def test_fixed_range_counts_what_lies_in_it_for_ever() -> None:
    when = {"event": "buy", "from": "2000-07-15T00:00:00Z", "to": "2001-01-15T00:00:00Z", "at_least": 1, "at_most": 2}
    instants = [ms(day) for day in ("2000-07-14T23:59:59.999", "2000-07-15", "2001-01-14", "2001-01-15")]
    customer = lived(program(when), [Happened(at_ms, "buy") for at_ms in instants])
    assert holds(customer, ms("2026-01-05"))
    assert customer.silence(0, ms("2026-01-05"), NEVER_MS)[0] == NEVER_MS
    note(customer, Happened(ms("2000-08-01"), "buy"))
    assert not holds(customer, ms("2026-01-05"))


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00"),  # its midnight does not exist
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),  # the date before was left out
        ("America/Havana", "2018-11-04", "2018-11-04T04:00"),  # it has two midnights
        ("Australia/Lord_Howe", "2024-04-08", "2024-04-07T13:30"),  # behind a day of 24.5 hours
        ("Europe/Rome", "2026-03-29", "2026-03-28T23:00"),
        ("Europe/Rome", "2090-01-01", "2089-12-31T23:00"),
    ],
)
def test_local_date_ends_at_the_first_instant_of_the_next(zone: str, day: str, begins: str) -> None:
    when = {"event": "visit", "calendar": {"days": 1, "timezone": zone}}
    customer = lived(program(when), [Happened(ms(begins) - 1, "visit")])
    assert customer.silence(0, ms(begins) - 1, NEVER_MS) == (ms(begins), -1), day


def test_yesterday_comes_in_at_one_midnight_and_goes_at_the_next() -> None:
    when = {"event": "visit", "calendar": {"days": 1, "timezone": "Europe/Rome", "today": False}}
    customer = lived(program(when), [Happened(ms("2026-03-28T12:00"), "visit")])
    assert customer.silence(0, ms("2026-03-28T12:00"), NEVER_MS) == (ms("2026-03-28T23:00"), 0)
    assert customer.silence(0, ms("2026-03-28T23:00"), NEVER_MS) == (ms("2026-03-29T22:00"), -1)  # 23 hours


def test_last_event_is_the_latest_by_its_own_instant() -> None:
    rules = program({"last_event": "plan_set", "has": [{"field": "properties.plan", "equals": "pro"}]})
    customer = lived(rules, [Happened(9, "plan_set", {"properties.plan": "pro"})])
    note(customer, Happened(8, "plan_set", {"properties.plan": "free"}), 10)
    assert holds(customer, 10)
    note(customer, Happened(11, "plan_set", {"properties.plan": "free"}))
    assert not holds(customer, 11)


@pytest.mark.parametrize("comparator", ["at_least", "more_than"])
def test_decayed_count_falls_below_its_bound_to_the_millisecond(comparator: str) -> None:
    when = {"event": "open", "decayed_sum": "count", "half_life": "7d", comparator: 0.75}
    customer = lived(program(when), [Happened(0, "open"), Happened(DAY_MS, "open")])
    leaves_ms, target = customer.silence(0, DAY_MS, NEVER_MS)
    worth = [2 ** (-(at / DAY_MS) / 7) + 2 ** (-(at / DAY_MS - 1) / 7) for at in (leaves_ms - 1, leaves_ms)]
    assert target == -1
    assert worth[0] > 0.75 - 1e-12 > worth[1] - 2e-12


def test_days_with_engagements_are_counted_once_each() -> None:
    visits = [Happened(day * DAY_MS + hour * HOUR_MS, "visit") for day in range(3) for hour in range(3)]
    assert is_in(program({"figure": "engaged_days", "equals": 3}), visits, 3 * DAY_MS)
    bought = [Happened(0, "order_completed", {}, PURCHASE, 1)]
    assert is_in(program({"figure": "active_days", "equals": 1}), [*visits, *bought], 3 * DAY_MS)


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_rules_on_figures_are_the_references_to_the_millisecond(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lives = lives_of(np.random.default_rng(9), 60)
    for _ in range(12):
        segmentation = random_rules(rng)
        rules = program(segmentation.definition.model_dump(mode="json", by_alias=True, exclude_none=True))
        for row in rng.choice(len(lives), 12):
            customer = Subject(rules, "c")
            customer.activity[:] = lives[row]
            last_ms = int(max(lives[row]["engaged_at_ms"], lives[row]["ordered_at_ms"], lives[row]["first_at_ms"]))
            for at_ms in (last_ms, last_ms + int(rng.integers(200 * DAY_MS))):
                one = CustomerColumns(lives[row : row + 1], np.array([at_ms]))
                target = reference.targets(segmentation, one)
                assert customer.evaluate(at_ms).targets == target.tolist()
                codes = segmentation.roster.codes[target]
                held = reference.Held(codes, codes, np.zeros(1, np.int64), codes)
                due = reference.silence(segmentation, one, held, np.array([at_ms]), np.array([NEVER_MS // 4]))
                found_ms, there = customer.silence(0, at_ms, NEVER_MS // 4)
                if due.at_ms[0] < NEVER_MS:
                    assert (found_ms, there) == (due.at_ms[0], due.target[0])
                else:
                    assert there == target[0]


def test_figure_that_is_not_there_compares_with_nothing() -> None:
    for when in ({"figure": "order_recency_days", "at_most": 30}, {"figure": "average_order_value", "not_equals": 5}):
        assert not holds(Subject(program(when), "c"))
        assert holds(Subject(program({"not": when}), "c"))


def test_probability_of_being_active_falls_in_silence_and_is_the_models() -> None:
    rules = program({"figure": "probability_active", "at_least": 0.5}, others=[LEARNED])
    customer = Subject(rules, "c", [LEARNED.compiled.handle])
    customer.activity[:] = lives_of(np.random.default_rng(3), 5)[-1]
    last_ms = int(max(customer.activity["purchased_at_ms"][0], customer.activity["engaged_at_ms"][0]))
    assert holds(customer, last_ms)
    falls_ms, target = customer.silence(0, last_ms, NEVER_MS)
    assert (target, holds(customer, falls_ms - 1), holds(customer, falls_ms)) == (-1, True, False)
    assert not holds(Subject(program({"figure": "usual_gap_days", "at_least": 0}), "c"))


# --- traits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "value", "passes"),
    [
        ({"equals": "pro"}, "pro", True),
        ({"not_equals": "pro"}, "free", True),
        ({"at_least": 3, "less_than": 4}, 3.5, True),
        ({"at_most": 3}, "2", False),
        ({"exists": True}, "", False),
        ({"exists": False}, "", True),
        ({"exists": True}, [], True),
        ({"in": ["a", 2, True]}, True, True),
        ({"not_in": ["a", 2, True]}, 1.0, True),
        ({"contains": "a"}, ["b", "a"], True),
        ({"contains": "a"}, "a", False),
        ({"begins_with": "Vi"}, "Vienna", True),
        ({"begins_with": "vi"}, "Vienna", False),
        ({"before": "2026-01-01T00:00:00Z"}, "2025-12-31", True),
        ({"after": "2026-01-01T00:00:00+01:00"}, "2025-12-31T23:00:00Z", True),
        ({"after": "2026-01-01T00:00:00Z"}, "soon", False),
        ({"before": "2026-01-01T00:00:00Z"}, "2025-02-29", False),
    ],
)
def test_trait_is_tested_as_it_is(when: dict[str, Any], value: Any, passes: bool) -> None:
    assert holds(with_traits({"trait": "t", **when}, {"a": 1.0, "t": value, "z": "x"})) == passes


@pytest.mark.parametrize("when", [{"equals": "x"}, {"at_most": 9}, {"contains": "x"}, {"exists": True}])
def test_absent_trait_passes_no_test_and_every_opposite(when: dict[str, Any]) -> None:
    assert not holds(with_traits({"trait": "t", **when}, {"s": 1.0}))
    assert holds(with_traits({"not": {"trait": "t", **when}}, {"s": 1.0}))


def test_date_is_in_the_last_and_in_the_next_days_by_silence() -> None:
    renewal = {"renewal": "2026-02-01T00:00:00Z"}
    coming = with_traits({"trait": "renewal", "in_next": "14d"}, renewal)
    assert coming.silence(0, ms("2026-01-05"), NEVER_MS) == (ms("2026-01-18"), 0)
    assert coming.silence(0, ms("2026-01-18"), NEVER_MS) == (ms("2026-02-01"), -1)
    past = with_traits({"trait": "renewal", "in_last": "30d"}, renewal)
    assert past.silence(0, ms("2026-01-05"), NEVER_MS) == (ms("2026-02-01"), 0)
    assert past.silence(0, ms("2026-02-01"), NEVER_MS) == (ms("2026-03-03"), -1)


@pytest.mark.parametrize(
    ("born", "anniversary", "asked", "enters", "leaves"),
    [
        ("1990-05-10", {"in_next": "7d"}, "2026-01-01", "2026-05-04", "2026-05-11"),
        ("1990-01-02", {"in_next": "7d"}, "2026-03-01", "2026-12-27", "2027-01-03"),
        ("1992-02-29", {"in_next": "1d"}, "2026-01-01", "2026-03-01", "2026-03-02"),
        ("1992-02-29", {"in_next": "1d"}, "2028-01-01", "2028-02-29", "2028-03-01"),
        ("1990-05-10T23:30:00Z", {"in_month": True}, "2026-01-01", "2026-05-01", "2026-06-01"),
        ("1992-02-29", {"in_month": True}, "2026-01-01", "2026-03-01", "2026-04-01"),
    ],
)
def test_anniversary_comes_round_on_local_dates(
    born: str, anniversary: dict[str, Any], asked: str, enters: str, leaves: str
) -> None:
    customer = with_traits({"trait": "born", "anniversary": anniversary}, {"born": born})
    assert customer.silence(0, ms(asked), NEVER_MS) == (ms(enters), 0)
    assert customer.silence(0, ms(enters), NEVER_MS) == (ms(leaves), -1)


def test_value_is_held_since_it_was_first_set() -> None:
    when = {"trait": "status", "equals": "trial", "held_for": {"at_least": "7d"}}
    fresh = when | {"held_for": {"less_than": "7d"}}
    customer = Subject(program(audience("stuck", when), audience("fresh", fresh)), "c")
    for day, status in ((0, "trial"), (3, "trial")):
        note(customer, Happened(day * DAY_MS, "", {"status": status}, PROFILE))
        customer.traits = traits({"status": status}, day * DAY_MS)
    assert customer.evaluate(3 * DAY_MS).targets == [-1, 0]
    assert [customer.silence(r, 3 * DAY_MS, NEVER_MS) for r in (0, 1)] == [(7 * DAY_MS, 0), (7 * DAY_MS, -1)]
    note(customer, Happened(2 * DAY_MS, "", {"status": "paid"}, PROFILE), 3 * DAY_MS)  # late: it was paid between
    assert customer.silence(0, 3 * DAY_MS, NEVER_MS) == (10 * DAY_MS, 0)
    for day in range(4, 40):
        note(customer, Happened(day * DAY_MS, "", {"status": "trial"}, PROFILE))
    assert customer.evaluate(9 * DAY_MS).targets == [-1, 0]
    assert customer.evaluate(10 * DAY_MS).targets == [0, -1]


# --- segments, lists, shares -----------------------------------------------------------------------------------------


def test_layers_turn_at_one_instant() -> None:
    rules = program(
        audience("rest", {"all": [{"trait": "country", "equals": "IT"}, {"not": {"segmentation": "targets"}}]}),
        audience("targets", {"all": [{"trait": "country", "equals": "IT"}, {"segmentation": "buyers"}]}),
        audience("buyers", {"event": "buy", "last": "30d"}),
    )
    customer = lived(rules, [Happened(0, "buy")])
    customer.traits = traits({"country": "IT"})
    assert customer.evaluate(0).targets == [-1, 0, 0]
    assert {customer.silence(r, 0, NEVER_MS) for r in (0, 1, 2)} == {(30 * DAY_MS, 0), (30 * DAY_MS, -1)}


STAGES = {
    "kind": "rules",
    "name": "stage",
    "segments": [
        {"id": "hot", "name": "Hot", "when": {"event": "buy", "last": "3d"}},
        {"id": "warm", "name": "Warm", "when": {"event": "buy", "last": "9d"}},
    ],
    "otherwise": {"id": "cold", "name": "Cold"},
}


def test_first_segment_that_holds_decides_and_the_default_else() -> None:
    member = {"segmentation": "stage", "segment": ["warm", "cold"]}
    customer = lived(program(STAGES, audience("a", member)), [Happened(0, "buy")])
    verdicts = [customer.evaluate(day * DAY_MS).targets for day in (0, 3, 9)]
    assert verdicts == [[0, -1], [1, 0], [2, 0]]
    assert customer.silence(0, 0, NEVER_MS) == (3 * DAY_MS, 1)
    assert customer.silence(1, 3 * DAY_MS, NEVER_MS) == (NEVER_MS, 0)


def test_time_in_a_segment_by_rules_is_counted_from_its_beginning() -> None:
    long_warm = audience("a", {"segmentation": "stage", "segment": "warm", "for_at_least": "2d"})
    customer = lived(program(STAGES, long_warm), [Happened(0, "buy")])
    assert customer.program.kept_since == ("stage",)
    assert customer.silence(1, 0, NEVER_MS) == (5 * DAY_MS, 0)  # begins by silence, too
    warm = customer.evaluate(3 * DAY_MS)
    assert (warm.targets, warm.due_ms) == ([1, -1], 5 * DAY_MS)  # begins with this very evaluation
    customer.places["segment"][0], customer.since_ms[0] = warm.codes[0], 3 * DAY_MS
    assert customer.evaluate(4 * DAY_MS).due_ms == 5 * DAY_MS
    assert customer.evaluate(5 * DAY_MS).targets == [1, 0]
    assert customer.silence(1, 5 * DAY_MS, NEVER_MS) == (9 * DAY_MS, -1)


def test_membership_of_other_kinds_is_as_the_row_says() -> None:
    segment = LEARNED.roster.segments[2]
    when = {"segmentation": LEARNED.name, "segment": segment.segment_id}
    rules = program(audience("a", when), audience("b", when | {"for_at_least": "30d"}), others=[LEARNED])
    customer = Subject(rules, "c", [LEARNED.compiled.handle])
    assert customer.evaluate(0).targets == [-1, -1]
    customer.memberships["segment"], customer.memberships["since_ms"] = segment.code, 5
    verdict = customer.evaluate(9)
    assert (verdict.targets, verdict.due_ms) == ([0, -1], 30 * DAY_MS + 5)


def test_list_and_share_are_the_same_for_ever() -> None:
    drawn = {"random": {"salt": "mail", "from_percent": 10, "to_percent": 35.5}}
    rules = program(audience("staff", {"list": "staff"}), audience("half", drawn), lists={"staff": IdList.of(["ü7"])})
    for customer_id in ("ü7", "u1", "u2", "u3", "u4", "u5"):
        staff, half = (target == 0 for target in Subject(rules, customer_id).evaluate(0).targets)
        assert (staff, half) == (customer_id == "ü7", 10 <= share_of("mail", customer_id) < 35.5)
    assert xxh3_64_intdigest(b"mail:u1") % 10_000 / 100 == share_of("mail", "u1")


# --- facts -----------------------------------------------------------------------------------------------------------


def test_facts_are_the_conditions_that_differ_with_their_numbers() -> None:
    parts = [{"event": "buy", "last": "30d", "at_least": 2}, {"event": "buy", "sum": "value", "more_than": 5}]
    rules = program({"all": [{"trait": "country", "equals": "IT"}, *parts]})
    customer = lived(rules, [Happened(0, "buy", {"value": 5.0})])
    customer.traits = traits({"country": "IT"})
    before = customer.copy()
    note(customer, Happened(DAY_MS, "buy", {"value": 2.5}))
    facts = customer.explain(0, before, 0, DAY_MS)
    assert facts[["condition", "held", "holds", "before", "after"]].tolist() == [(1, 0, 1, 1, 2), (2, 0, 1, 5.0, 7.5)]
    assert customer.explain(0, None, 0, DAY_MS)["held"].tolist() == [-1, -1, -1]
    lapsed = customer.explain(0, customer, 30 * DAY_MS - 1, 30 * DAY_MS)
    assert lapsed[["condition", "held", "holds", "after"]].tolist() == [(1, 1, 0, 1.0)]


def test_kept_fields_that_are_cut_off_end_the_walk() -> None:
    whole = kept({"channel": "app"})
    rules = program({"event": "x", "where": [{"field": "channel", "equals": "app"}]})
    customer = lived(rules, [])
    for size in range(len(whole)):
        customer.traits = traits({"a": "b"})[:size]
        assert not holds(customer)
