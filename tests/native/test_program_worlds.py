"""Programs over random histories: at every instant customers are where the definitions say, found event by event.

Three things are compared: what holds at an instant; that nothing holds otherwise before the due instant; and that an
event of which the library says that it moves nobody moves nobody.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from stream_app.core.clock import HOUR_MS
from stream_app.native.programs import Touched
from tests.native.subjects import NEVER_MS, Happened, audience, means, note, program
from tests.native.subjects import Subject as Customer

WORLDS: Final = 60
_HOURS: Final = (6, 12, 24, 30, 48, 72, 100)
_COMPARATORS: Final = ("at_least", "at_most", "more_than", "less_than", "equals", "not_equals")
_END_MS: Final = 2_000 * HOUR_MS


def _duration(draw: random.Random) -> str:
    return f"{draw.choice(_HOURS)}h"


def _window(draw: random.Random) -> dict[str, Any]:
    newest, oldest = sorted(draw.sample((0, *_HOURS), 2))
    calendar = {"days": draw.choice((1, 2, 3)), "timezone": "UTC", "today": draw.random() < 0.5}
    windows: tuple[dict[str, Any], ...] = (
        {},
        {"last": _duration(draw)},
        {"between_ago": [f"{newest}h", f"{oldest}h"]},
        {"calendar": calendar},
    )
    return draw.choice(windows)


def _event(draw: random.Random) -> str:
    return draw.choice(("x", "y", "x*", "xy"))


def _compared(draw: random.Random, numbers: Sequence[float]) -> dict[str, float]:
    return {draw.choice(_COMPARATORS): draw.choice(numbers)}


def _count(draw: random.Random) -> dict[str, Any]:
    return {"event": _event(draw), **_window(draw), **_compared(draw, (0, 1, 2, 3, 5))}


def _aggregate(draw: random.Random) -> dict[str, Any]:
    name = draw.choice(("sum", "min", "max", "average"))
    return {"event": _event(draw), name: "value", **_window(draw), **_compared(draw, (0, 1, 2.5, 3, 5, 10))}


def _regularly(draw: random.Random) -> dict[str, Any]:
    periods = {"times": draw.choice((1, 2, 3)), "in_at_least": 2, "of_last": draw.choice((2, 3, 4))}
    return {"regularly": _event(draw), "each": _duration(draw), **periods}


_LEAVES: Final[tuple[Callable[[random.Random], dict[str, Any]], ...]] = (
    _count,
    _count,
    _aggregate,
    _regularly,
    lambda draw: {"first_event": _event(draw), "last": _duration(draw)},
    lambda draw: {"restarted": _event(draw), "last": _duration(draw), "pause": _duration(draw)},
    lambda draw: {"since_last": _event(draw), draw.choice(_COMPARATORS[:4]): _duration(draw)},
    lambda draw: {"sequence": [_event(draw), _event(draw)], "within": _duration(draw), "last": _duration(draw)},
)


def _condition(draw: random.Random, depth: int = 2) -> dict[str, Any]:
    sort = draw.random()
    if depth == 0 or sort < 0.4:
        return draw.choice(_LEAVES)(draw)
    parts = [_condition(draw, depth - 1) for _ in range(draw.randint(1, 3))]
    if sort < 0.75:
        return {"all" if sort < 0.6 else "any": parts}
    if sort < 0.85:
        return {"not": parts[0]}
    return {"score": [{"when": part, "points": draw.randint(1, 3)} for part in parts], "at_least": draw.randint(1, 5)}


def _holds(condition: dict[str, Any], happened: Sequence[Happened], now_ms: int) -> bool:
    match condition:
        case {"all": parts}:
            return all(_holds(part, happened, now_ms) for part in parts)
        case {"any": parts}:
            return any(_holds(part, happened, now_ms) for part in parts)
        case {"not": part}:
            return not _holds(part, happened, now_ms)
        case {"score": parts, "at_least": least}:
            return sum(part["points"] for part in parts if _holds(part["when"], happened, now_ms)) >= least
        case _:
            return means(condition, happened, now_ms)


class World:
    """A customer and what it has done, with the memberships that were found last."""

    def __init__(self, conditions: Sequence[dict[str, Any]]) -> None:
        self.conditions = conditions
        named = [audience(f"a{number}", condition) for number, condition in enumerate(conditions)]
        self.customer = Customer(program(*named), "c")
        self.happened: list[Happened] = []
        self.held: list[bool] = []
        self.due_ms = NEVER_MS
        self.now_ms = -1

    def expected(self, at_ms: int) -> list[bool]:
        """Return the memberships that the definitions mean."""
        return [_holds(condition, self.happened, at_ms) for condition in self.conditions]

    def evaluate(self, at_ms: int) -> None:
        """Have the library say where the customer is; it must be where the definitions say."""
        verdict = self.customer.evaluate(at_ms)
        self.held = [target == 0 for target in verdict.targets]
        assert self.held == self.expected(at_ms), (at_ms, self.conditions, self.happened)
        assert verdict.due_ms > at_ms
        self.now_ms, self.due_ms = at_ms, verdict.due_ms

    def pass_until(self, at_ms: int, draw: random.Random) -> None:
        """Let time pass; nothing changes between the instants at which the library looks."""
        while self.held and self.due_ms < at_ms:
            if self.due_ms - 1 > self.now_ms:
                assert self.expected(self.due_ms - 1) == self.held, (self.due_ms, self.conditions, self.happened)
            self.evaluate(self.due_ms)
        if self.held and at_ms - 1 > self.now_ms:
            assert self.expected(draw.randint(self.now_ms + 1, at_ms - 1)) == self.held

    def take(self, event: Happened) -> None:
        """Let something happen; an event that is late counts right after what is known."""
        at_ms = max(event.at_ms, self.now_ms + 1)
        note(self.customer, event, at_ms)
        self.happened.append(event)
        if not self.held:
            self.evaluate(at_ms)
            return
        may_move, due_ms = self.customer.may_move(at_ms, self.due_ms)
        if may_move:
            self.evaluate(at_ms)
            return
        assert self.expected(at_ms) == self.held, (at_ms, self.conditions, self.happened)
        assert at_ms < due_ms <= self.due_ms
        self.customer.touched = Touched()
        self.now_ms, self.due_ms = at_ms, due_ms

    def check_silence(self) -> None:
        """Check that each audience's next move by silence is the first one, to the millisecond."""
        for number, condition in enumerate(self.conditions):
            at_ms, target = self.customer.silence(number, self.now_ms, NEVER_MS)
            if at_ms < NEVER_MS:
                assert _holds(condition, self.happened, at_ms) == (target == 0) != self.held[number]
                assert _holds(condition, self.happened, at_ms - 1) == self.held[number]


@pytest.mark.parametrize("seed", range(4))
def test_customers_are_where_the_definitions_say_at_every_instant(seed: int) -> None:
    for number in range(seed * WORLDS, (seed + 1) * WORLDS):
        draw = random.Random(number)
        world = World([_condition(draw) for _ in range(draw.randint(1, 3))])
        grid_ms = draw.choice((1, HOUR_MS, 6 * HOUR_MS))
        instants = [draw.randrange(0, 400 * HOUR_MS) // grid_ms * grid_ms for _ in range(draw.choice((3, 10, 40)))]
        if draw.random() < 0.7:
            instants.sort()
        for at_ms in instants:
            world.pass_until(max(at_ms, world.now_ms + 1), draw)
            fields = {"value": draw.choice((0.5, 1.0, 2.0, -1.0, 3.25))}
            world.take(Happened(at_ms, draw.choice(("x", "y", "xy")), fields))
            if draw.random() < 0.2:
                world.evaluate(world.now_ms)
                world.check_silence()
        world.pass_until(_END_MS, draw)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_customer_is_in_does_not_depend_on_the_order_of_arrival(seed: int) -> None:
    draw = random.Random(1_000 + seed)
    for _ in range(30):
        conditions = [_condition(draw) for _ in range(3)]
        rules = program(*(audience(f"a{number}", condition) for number, condition in enumerate(conditions)))
        happened = [
            Happened(draw.randrange(300) * HOUR_MS, draw.choice(("x", "y", "xy")), {"value": draw.choice((0.5, 2.0))})
            for _ in range(60)
        ]
        verdicts = set()
        for _ in range(3):
            customer = Customer(rules, "c")
            for each in happened:
                note(customer, each, 301 * HOUR_MS)
            for hours in range(301, 500, 7):
                verdicts.add((hours, tuple(customer.evaluate(hours * HOUR_MS).targets)))
            draw.shuffle(happened)
        assert len(verdicts) == len(range(301, 500, 7))
