"""Every form of a leaf in English."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from stream_app.segmentations.rules.conditions import Condition
from stream_app.segmentations.rules.definition import AudienceConfiguration, RulesConfiguration
from stream_app.segmentations.rules.sentences import counted_of, phrase_of, sentence_of

CONDITION: TypeAdapter[Any] = TypeAdapter(Condition)
PHRASES = """
{figure: purchases, at_least: 3, less_than: 9}
    3 or more and fewer than 9 purchases | orders
{figure: revenue, more_than: 100.5}
    revenue of more than 100.5 EUR | EUR
{figure: revenue, equals: 100}
    revenue of exactly 100 EUR | EUR
{figure: revenue, not_equals: 100}
    revenue of anything but 100 EUR | EUR
{event: x, from: "2026-01-01T00:00:00Z"}
    1 or more x since 2026-01-01T00:00:00Z | events
{event: x, to: "2026-01-01T00:00:00Z"}
    1 or more x before 2026-01-01T00:00:00Z | events
{since_last: x, at_most: 3d}
    the last x was 3 days ago or less | days
{since_last: x, more_than: 3d}
    the last x was more than 3 days ago | days
{trait: b, before: "2026-01-01T00:00:00Z"}
    the trait b is a date before 2026-01-01T00:00:00Z | -
{trait: b, begins_with: a}
    the trait b begins with a | -
{figure: probability_active, less_than: .5}
    probability of being active of less than 0.5 | -
{event: order_completed, last: 30d, at_least: 3}
    3 or more order_completed in the last 30 days | orders
{event: order_completed}
    1 or more order_completed ever | orders
{event: cart_*, last: 1h, equals: 0}
    no cart_* in the last hour | events
{event: x, between_ago: [30d, 90d], where: [{field: channel, equals: e-mail}, {field: amount, at_least: 10}]}
    1 or more x whose channel is “e-mail” and amount is 10 or more between 90 days and 30 days ago | events
{event: x, from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", at_most: 2}
    at most 2 x from 2026-01-01T00:00:00Z until before 2026-02-01T00:00:00Z | events
{event: x, calendar: {days: 7, timezone: Europe/Rome}}
    1 or more x in the last 7 calendar days, today included (Europe/Rome) | events
{event: x, calendar: {days: 1, today: false}}
    1 or more x yesterday (UTC) | events
{event: order_completed, sum: amount, last: 90d, at_least: 200}
    the sum of amount over order_completed in the last 90 days is 200 EUR or more | EUR
{event: x, average: properties.rating, at_least: 4}
    the average properties.rating of x ever is 4 or more | -
{event: x, decayed_sum: count, half_life: 1d, at_least: 4}
    a decayed number of x (half-life 1 day) of 4 or more | events
{first_event: x, last: 7d}
    the first x ever, in the last 7 days | -
{restarted: x, last: 7d, pause: 30d}
    x in the last 7 days, after none in the 30 days before and some earlier | -
{regularly: x, times: 2, each: 7d, in_at_least: 3, of_last: 4}
    2 or more x in each of at least 3 of the last 4 periods of 7 days | periods
{sequence: [a, b], within: 1h, last: 1d}
    a in the last day, with b after it within 1 hour | -
{last_event: x, has: [{field: channel, in: [web, app]}]}
    the latest x is one whose channel is web or app | -
{since_last: x, at_least: 14d, less_than: 30d}
    the last x was 14 days ago or longer and less than 30 days ago | days
{trait: country, equals: IT}
    the trait country is IT | -
{trait: country, not_equals: IT}
    the trait country is not IT, or unknown | -
{trait: country, not_in: [IT]}
    the trait country is not IT, or unknown | -
{trait: country, not_in: [IT, NO]}
    the trait country is not IT or false, or unknown | -
{trait: age, at_least: 18}
    the trait age is 18 or more | -
{trait: a, exists: false}
    the trait a is unknown | -
{trait: tags, contains: vip}
    the trait tags contains vip | -
{trait: b, in_last: 30d}
    the trait b is a date in the last 30 days | -
{trait: b, after: "2026-01-01T00:00:00Z"}
    the trait b is a date on or after 2026-01-01T00:00:00Z | -
{trait: b, anniversary: {in_next: 7d}}
    the trait b is a date whose anniversary is within 7 days, today included (UTC) | -
{trait: b, anniversary: {in_month: true, timezone: Asia/Tokyo}}
    the trait b is a date whose anniversary is in the present month (Asia/Tokyo) | -
{trait: s, equals: trial, held_for: {less_than: 7d}}
    the trait s is trial and has been so for less than 7 days | -
{segmentation: lifecycle, segment: [a, b], for_at_least: 3d}
    in the segment a or b of lifecycle for 3 days or longer | -
{segmentation: vip}
    in vip | -
{list: staff}
    on the list staff | -
{random: {salt: s, to_percent: 10}}
    in the random share from 0 % up to 10 % by the salt s | -
"""


def table() -> list[tuple[str, ...]]:
    lines = PHRASES.strip().splitlines()
    return [
        (leaf, *(part.strip() for part in said.split(" | ")))
        for leaf, said in zip(lines[::2], lines[1::2], strict=True)
    ]


@pytest.mark.parametrize(("leaf", "phrase", "counted"), table())
def test_leaf_reads_as_english_and_names_what_its_number_counts(leaf: str, phrase: str, counted: str) -> None:
    parsed = CONDITION.validate_python(yaml.safe_load(leaf))
    assert phrase_of(parsed, "EUR") == phrase
    assert counted_of(parsed, "EUR") == counted.removeprefix("-")


def test_dates_of_a_condition_without_a_zone_are_those_of_the_file() -> None:
    parsed = CONDITION.validate_python({"event": "x", "calendar": {"days": 7}})
    assert phrase_of(parsed, timezone="Europe/Rome").endswith("today included (Europe/Rome)")


def test_audience_is_one_sentence_that_says_where_windows_end() -> None:
    audience = AudienceConfiguration.model_validate(
        {
            "kind": "audience",
            "name": "carts",
            "title": "Abandoned carts",
            "warn_before": "1d",
            "when": {
                "all": [
                    {"event": "cart_*", "last": "3d"},
                    {"any": [{"figure": "purchases", "equals": 0}, {"not": {"list": "staff"}}]},
                ]
            },
        }
    )
    assert sentence_of(audience) == (
        "A customer is in Abandoned carts [carts] while this holds: 1 or more cart_* in the last 3 days and (no "
        "purchases or not (on the list staff)); who will leave by silence alone is announced 1 day before (half-open: "
        "an event is out of the last 3 days exactly 3 days after it)."
    )


def test_rules_are_one_sentence_in_the_order_in_which_they_are_tried() -> None:
    rules = RulesConfiguration.model_validate(
        {
            "kind": "rules",
            "name": "stage",
            "segments": [
                {"id": "new", "name": "New", "when": {"figure": "tenure_days", "less_than": 30}},
                {
                    "id": "warm",
                    "name": "Warm",
                    "when": {
                        "score": [{"when": {"event": "visit", "calendar": {"days": 1}}, "points": 2}],
                        "at_least": 2,
                    },
                },
            ],
            "otherwise": {"id": "other", "name": "Other"},
        }
    )
    assert sentence_of(rules, timezone="Europe/Rome") == (
        "stage puts a customer into the first of these that holds: New [new] for tenure of less than 30 days; Warm "
        "[warm] for 2 or more points in sum: 2 for (1 or more visit today (Europe/Rome)); otherwise into Other [other]."
    )
