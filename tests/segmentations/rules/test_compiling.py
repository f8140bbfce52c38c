"""What definitions become: equal conditions are one, layers are compiled together, and what cannot be is refused."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stream_app.core.local_days import FIRST_DAY, LAST_DAY, zone_runs
from stream_app.errors import ConfigurationError
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.rules.compiling.form import LISTS
from stream_app.segmentations.rules.compiling.program import Compiler, Definition
from stream_app.segmentations.rules.native_form import compile_rules
from tests.native.subjects import NEVER_MS, Numbers, Subject, audience, program, segmentation
from tests.segmentations.examples import LEARNED

ORDERED = {"event": "order_completed", "last": "14d"}


def sizes(*whens: dict[str, Any]) -> dict[str, int]:
    """Return how long the lists of the form are that some conditions, an audience each, become."""
    ruled = [segmentation(audience(f"a{number}", when)) for number, when in enumerate(whens)]
    definitions = [Definition(each.name, each.definition, each.roster) for each in ruled]
    form = Compiler(definitions, [], {}).compile(Numbers([]).series_number, 100, dated=False).form
    return dict(zip(LISTS, struct.unpack_from("<15i", form, 4), strict=True))


@pytest.mark.parametrize(
    "other",
    [
        ORDERED,
        {"event": "order_completed", "last": "2w", "at_least": 1},
        {"event": "order_completed", "last": "14d", "more_than": 0.5},
        {"not": {"event": "order_completed", "last": "14d", "equals": 0}},
        {"any": [ORDERED, {"all": [ORDERED, ORDERED]}]},
        {"not": {"not": ORDERED}},
        {"since_last": "order_completed", "less_than": "14d"},
    ],
)
def test_equal_conditions_are_one_in_whatever_words(other: dict[str, Any]) -> None:
    assert sizes(ORDERED, other)["series"] == 1
    if "since_last" not in other:
        assert sizes(ORDERED, other)["literals"] == 1


def test_conditions_on_the_same_events_share_a_series_and_a_selector() -> None:
    where = [{"field": "channel", "equals": "app"}, {"field": "amount", "at_least": 5}]
    one = {"event": "order_completed", "last": "7d", "where": where}
    other = {"event": "order_completed", "last": "30d", "where": where[::-1], "at_most": 0}
    found = sizes(one, other)
    assert (found["series"], found["selectors"], found["literals"]) == (1, 1, 2)


def test_number_that_everything_reaches_needs_no_condition() -> None:
    assert sizes({"event": "x", "at_least": 0}, {"event": "x", "last": "3d", "less_than": 0})["literals"] == 0


def test_layers_that_refer_to_each_other_are_refused_with_their_path() -> None:
    circle = [audience(name, {"not": {"segmentation": other}}) for name, other in ("ab", "bc", "ca")]
    with pytest.raises(ConfigurationError, match="a → b → c → a refer to each other in a circle"):
        program(*circle)


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ({"segmentation": "b"}, "no segmentation is named 'b'"),
        ({"segmentation": "habits", "segment": "s999"}, "segmentation habits has no segment 's999'"),
        ({"list": "staff"}, "no list is named 'staff'"),
        ({"event": "x", "last": "3d", "at_least": 5_000}, "5,000 in a window that moves, expected 4,096 at most"),
        ({"any": [{"trait": f"t{n}", "exists": True} for n in range(129)]}, "129 different traits, expected at most"),
    ],
)
def test_condition_that_cannot_be_evaluated_is_refused(when: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        program(when, others=[LEARNED])


def test_series_that_are_too_many_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.segmentations.rules.compiling.form.SERIES_MAX", 2)
    with pytest.raises(ConfigurationError, match="conditions count 3 different series of events, expected at most 2"):
        program({"any": [{"event": name} for name in "xyz"]})


def test_segmentations_that_are_too_many_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.segmentations.rules.native_form.SEGMENTATIONS_MAX", 1)
    with pytest.raises(ConfigurationError, match="2 by rules, those that have ended included, expected at most 1"):
        program(audience("a", ORDERED), audience("b", ORDERED))


def test_latest_event_is_one_series_in_whatever_order_its_tests_stand() -> None:
    tests = [{"field": "channel", "equals": "app"}, {"field": "amount", "at_least": 5}]
    assert sizes(*({"last_event": "x", "has": has} for has in (tests, tests[::-1])))["series"] == 1


def test_beginning_of_a_stay_is_kept_once_for_all_who_ask_for_it() -> None:
    stays = [{"segmentation": "a", "for_at_least": span} for span in ("1d", "2d")]
    assert program(audience("a", ORDERED), audience("b", {"any": stays})).kept_since == ("a",)


@pytest.mark.parametrize(
    ("when", "target"),
    [
        ({"figure": "active_days", "at_least": 0}, 0),
        ({"figure": "active_days", "at_least": 1_000}, -1),
        ({"event": "x", "at_least": 5_000_000_000}, -1),
    ],
)
def test_number_that_everybody_or_nobody_reaches_needs_no_series(when: dict[str, Any], target: int) -> None:
    assert sizes(when)["series"] == 0
    assert Subject(program(when), "c").evaluate(0).targets == [target]


def test_ended_segmentation_is_left_and_nobody_is_in_it_for_others() -> None:
    gone = EndedSegmentation("gone", segmentation(audience("gone", ORDERED)))
    looks = segmentation(audience("a", {"not": {"segmentation": "gone"}}))
    customer = Subject(compile_rules([gone, looks], Numbers(["gone", "a"])), "c")
    verdict = customer.evaluate(0)
    assert (verdict.targets, verdict.codes[0], verdict.due_ms) == ([-1, 0], 0, NEVER_MS)


@pytest.mark.parametrize("name", ["UTC", "Europe/Rome", "Africa/Casablanca", "Pacific/Apia", "America/Havana"])
def test_days_of_a_zone_begin_when_the_clock_first_shows_them(name: str) -> None:
    zone, runs = ZoneInfo(name), zone_runs(name)
    number = 0
    for day in range(FIRST_DAY, LAST_DAY // 2):
        if number + 1 < len(runs) and runs[number + 1][0] <= day:
            number += 1
        midnight = datetime.fromordinal(datetime(1970, 1, 1).toordinal() + day).replace(tzinfo=zone)
        assert day * 86_400 - runs[number][1] == midnight.timestamp(), midnight
