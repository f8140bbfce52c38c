"""Sums of more than 256 values in a window: what is older leaves in steps of 1/128 of the window, and no later."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from stream_app.core.clock import DAY_MS
from tests.scenarios.embedded import Embedded
from tests.scenarios.inputs import Input, engagement
from tests.scenarios.worlds import STARTS_MS

WINDOW_MS = 7 * DAY_MS
STEP_MS = WINDOW_MS // 128
EXACT = 256


def entry(aggregate: str, limit: float) -> dict[str, object]:
    leaf = {"event": "a", aggregate: "properties.q", "last": "7d", "at_least": limit}
    return {"kind": "audience", "name": "s", "when": leaf}


def busy(seed: int, count: int, days: float) -> list[Input]:
    """Return events of one customer, with values of 1 to 9, in the order of time."""
    draw = random.Random(seed)
    start_ms = STARTS_MS[0]
    instants = sorted(draw.sample(range(start_ms, start_ms + round(days * DAY_MS)), count))
    return [
        engagement("u1", at_ms, f"e{number}", "a", properties={"q": draw.randint(1, 9)})
        for number, at_ms in enumerate(instants)
    ]


def value_of(record: Input) -> int:
    return int(record.fields["properties"]["q"])


def told(inputs: list[Input], limit: float, aggregate: str = "sum") -> list[tuple[int, bool]]:
    embedded = Embedded([entry(aggregate, limit)], {})
    for start in range(0, len(inputs), 97):
        embedded.feed(inputs[start : start + 97])
    embedded.sweep(inputs[-1].at_ms + 30 * DAY_MS)
    return [(move.at_ms, move.segment is not None) for move in embedded.told_by_rules()]


def is_in(moves: list[tuple[int, bool]], at_ms: int) -> bool:
    index = bisect_right(moves, (at_ms, True)) - 1
    return index >= 0 and moves[index][1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [400, 1_500, 6_000])
def test_a_sum_is_never_too_small_and_too_great_by_one_step_at_most(seed: int, count: int) -> None:
    inputs = busy(seed, count, 14)
    total = sum(map(value_of, inputs))
    limit = total / 2 * random.Random(seed).uniform(0.8, 1.1)
    moves = told(inputs, limit)
    draw = random.Random(-seed)
    first_ms, last_ms = inputs[0].at_ms, inputs[-1].at_ms + WINDOW_MS + STEP_MS
    for at_ms in (draw.randrange(first_ms, last_ms) for _ in range(400)):
        known = [each for each in inputs if each.at_ms <= at_ms]
        least = sum(value_of(each) for each in known if each.at_ms > at_ms - WINDOW_MS)
        most = sum(value_of(each) for each in known if each.at_ms > at_ms - WINDOW_MS - STEP_MS)
        if least >= limit:
            assert is_in(moves, at_ms)
        elif most < limit:
            assert not is_in(moves, at_ms)


def test_a_sum_of_up_to_256_values_leaves_at_the_very_millisecond() -> None:
    inputs = busy(1, EXACT, 6)
    moves = told(inputs, sum(map(value_of, inputs)))
    assert moves == [(inputs[-1].at_ms, True), (inputs[0].at_ms + WINDOW_MS, False)]


@pytest.mark.parametrize("seed", range(3))
def test_a_sum_does_not_depend_on_the_order_of_arrival(seed: int) -> None:
    inputs = busy(seed, 900, 6)
    limit = sum(map(value_of, inputs)) / 2
    shuffled = list(inputs)
    random.Random(seed).shuffle(shuffled)
    last_ms = max(each.at_ms for each in inputs)
    states = []
    for order in (inputs, shuffled):
        embedded = Embedded([entry("sum", limit)], {})
        embedded.feed(order)
        after = len(embedded.told_by_rules())
        embedded.sweep(last_ms + 30 * DAY_MS)
        states.append([move for move in embedded.told_by_rules()[after:] if move.at_ms > last_ms + 2 * len(inputs)])
    assert states[0] == states[1] != []
