"""Rules in the audit: places and moves are recounted from the inputs, whatever conditions look at."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from stream_app.audit.verification import Verification
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.segmentations.registry import parse_segmentations
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.kind import AUDIENCE
from stream_app.segmentations.rules.segmentation import AudienceSegmentation, RulesSegmentation
from tests.audit.stories import VALUE, Append, Story, audited, drawn_inputs, partition_of, told
from tests.contracts.records import PROFILE
from tests.support.events import START_MS

STAFF = IdList.of(["c1", "c3"])
AUDIENCES: dict[str, dict[str, Any]] = {
    "back": {"event": "order_completed", "last": "30d", "at_least": 2},
    "spent": {"event": "order_completed", "last": "90d", "sum": "amount", "at_least": 40},
    "online": {"event": "*", "last": "20d", "where": [{"field": "channel", "equals": "app"}]},
    "italian": {"trait": "country", "equals": "IT"},
    "settled": {"trait": "country", "equals": "IT", "held_for": {"at_least": "30d"}},
    "renewing": {"trait": "renewal", "in_next": "14d"},
    "guests": {"all": [{"segmentation": "back"}, {"not": {"list": "staff"}}, {"not": {"segmentation": "italian"}}]},
    "away": {"all": [{"figure": "recency_days", "at_least": 25}, {"event": "order_completed", "last": "90d"}]},
    "slow": {"event": "order_completed", "decayed_sum": "amount", "half_life": "30d", "at_least": 20},
}


def audience(name: str, when: dict[str, Any], version: int = 1) -> AudienceSegmentation:
    (configuration,) = parse_segmentations([{"kind": "audience", "name": name, "when": when}])
    return AudienceSegmentation(configuration, version, lists={"staff": STAFF})


def lifecycle() -> RulesSegmentation:
    (configuration,) = parse_segmentations(
        [
            {
                "kind": "rules",
                "name": "lifecycle",
                "segments": [
                    {"id": "active", "name": "Active", "when": {"event": "*", "last": "14d"}},
                    {"id": "quiet", "name": "Quiet", "when": {"event": "*", "calendar": {"days": 60}}},
                ],
                "otherwise": {"id": "gone", "name": "Gone"},
            }
        ]
    )
    return RulesSegmentation(configuration)


SEGMENTATIONS = (VALUE, lifecycle(), *(audience(name, when) for name, when in AUDIENCES.items()))


def profile(number: int, customer_id: str, day: float, **traits: Any) -> Append:
    at_ms = START_MS + round(day * DAY_MS)
    own = {"customer_id": customer_id, "observed_at": format_instant(at_ms), "traits": traits}
    value = json.dumps(PROFILE | {"event_id": f"profile {number}"} | own).encode()
    return Append("profiles", partition_of(customer_id.encode()), customer_id.encode(), value, at_ms)


def with_profiles(seed: int = 0) -> Iterator[Append]:
    """Give drawn inputs, with channels and with profiles among them, some late, some of customers who never act."""
    drawn = random.Random(seed)
    for number, record in enumerate(drawn_inputs(30, 400, seed)):
        is_whole = (record.value or b"").endswith(b"}")
        yield record.with_json(channel=drawn.choice(["app", "web"])) if is_whole else record
        if drawn.random() < 0.2:
            day = max(number + drawn.choice([0, 0, -9]), 0)
            renewal = format_instant(START_MS + (number + drawn.randrange(90)) * DAY_MS)
            customer_id, country = f"c{drawn.randrange(35)}", drawn.choice(["IT", "FR"])
            late = profile(number, customer_id, day, country=country, renewal=renewal)
            yield replace(late, timestamp_ms=START_MS + number * DAY_MS)


@pytest.fixture
def story() -> Story:
    return told(with_profiles(), segmentations=SEGMENTATIONS)


def verified(story: Story) -> Verification:
    return asyncio.run(audited(story))


def breaches(story: Story) -> dict[str, list[str]]:
    tally = verified(story).tally
    return {check: [str(each) for each in tally.examples[check]] for check in tally.breaches}


def test_rules_on_everything_are_clean(story: Story) -> None:
    found = verified(story)
    assert not found.tally.breaches, found.tally.examples
    assert found.figures["places by rules checked"] >= 30 * (len(AUDIENCES) + 1)
    assert found.figures["moves by rules checked"] > 300
    moved = {append.json["segmentation"] for append in story.written(story.names.migrations)}
    assert moved == {"value", "lifecycle", *AUDIENCES}


def test_rules_on_everything_are_clean_in_another_time_zone() -> None:
    present = [audience(f"present{n}", {"figure": "active_days", "at_least": n}) for n in (2, 3, 5, 8)]
    story = told(with_profiles(1), segmentations=(*SEGMENTATIONS, *present), timezone="America/New_York")
    assert breaches(story) == {}


@pytest.mark.parametrize("seed", range(1, 4))
def test_other_worlds_are_clean(seed: int) -> None:
    assert breaches(told(with_profiles(seed), segmentations=SEGMENTATIONS, chunk=3)) == {}


def migrations_of(story: Story, name: str) -> list[Append]:
    return [append for append in story.written(story.names.migrations) if append.json["segmentation"] == name]


@pytest.mark.parametrize("name", ["lifecycle", "back", "spent", "online", "settled", "renewing", "away", "slow"])
def test_move_by_silence_at_another_instant_is_found(story: Story, name: str) -> None:
    by_silence = [append for append in migrations_of(story, name) if append.json["cause"]["event_id"] is None]
    inputs = Counter(append.key for append in story.inputs)
    move = min(by_silence, key=lambda append: inputs[append.key])
    at = move.json["effective_at"]
    later = format_instant(_ms(at) + 6 * 3_600_000)
    story.change(move, move.with_json(effective_at=later))
    assert "rules" in breaches(story)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize("name", ["back", "online", "italian", "settled"])
def test_definition_that_says_otherwise_is_found(story: Story, name: str) -> None:
    other = audience(name, {"not": AUDIENCES[name]})
    (model,) = [append for append in story.written(story.names.models) if append.key == name.encode()]
    story.change(model, model.with_json(definition=AUDIENCE.encode(other)["definition"]))
    assert set(breaches(story)) == {"rules"}


def test_list_that_lacks_somebody_is_found(story: Story) -> None:
    (model,) = [append for append in story.written(story.names.models) if append.key == b"guests"]
    story.change(model, model.with_json(lists={"staff": IdList.of(f"c{n}" for n in range(40)).encode()}))
    assert set(breaches(story)) == {"rules"}


def test_trait_that_came_otherwise_is_found(story: Story) -> None:
    records = [append for append in story.inputs if append.topic.endswith("profiles")]
    for record in records:
        traits = record.json["traits"] | {"country": "DE"}
        story.change(record, replace(record, value=json.dumps(record.json | {"traits": traits}).encode()))
    assert set(breaches(story)) == {"rules", "traits"}


def test_trait_of_another_time_is_found(story: Story) -> None:
    record = next(append for append in story.inputs if append.topic.endswith("profiles"))
    value = record.json | {"traits": {**record.json["traits"], "nobody_asks": 1}}
    story.change(record, replace(record, value=json.dumps(value).encode()))
    assert set(breaches(story)) == {"traits"}


def test_window_that_reaches_back_before_anybody_counted_proves_nothing() -> None:
    later = audience("later", {"event": "order_completed", "at_least": 3})
    story = told(drawn_inputs(30, 400), later=[later])
    assert set(breaches(story)) == {"rules"}, "events before it took over were not counted"
    story = told(drawn_inputs(30, 400), later=[later], counted_since=True)
    assert breaches(story) == {}
