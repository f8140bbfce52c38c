"""Random definitions of every kind, and random histories for them.

Worlds are small, so that a slow evaluator can look at everything: three customers, two dozen inputs within ten days,
windows of the same lengths. Instants lie on a coarse grid in half of the worlds, so that edges and events meet; days
lie around changes of clocks. What comes out of one seed is the same everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stream_app.core.clock import DAY_MS, HOUR_MS, format_instant
from tests.scenarios.inputs import Document, Input, engagement, merge, order, profile
from tests.segmentations.third_kind import TiersSegmentation

STARTS_MS: Final = (1_772_668_800_000, 1_792_713_600_000, 1_774_396_800_000)
"""2026-03-05, 2026-10-23 and 2026-03-25, all 00:00Z: clocks change within ten days in many zones."""
ZONES: Final = (
    "UTC",
    "America/New_York",
    "Europe/Rome",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
DURATIONS: Final = ("30m", "6h", "1d", "36h", "2d", "3d", "5d", "7d")
TYPES: Final = ("a", "a", "b", "b", "x_1", "x_2")
CUSTOMERS: Final = ("u1", "u2", "u3")
LISTS: Final = {"chosen": ("u1", "u3")}
TIERS: Final = TiersSegmentation("tiers", [1, 2])
"""Of a kind of its own, and moved by purchases: what conditions on learned segments look at."""
LEAVES: Final = (
    *("last", "last", "last", "ago", "ago", "calendar", "calendar", "fixed", "ever", "where", "where"),
    *("sum", "sum", "extreme", "extreme", "first", "restarted", "regular", "sequence", "latest", "since_last"),
    *("decayed", "trait", "trait", "date", "anniversary", "held", "list", "random", "figure", "score", "segment"),
)


def leaves_without(*names: str) -> tuple[str, ...]:
    """Return the kinds of leaves but for some."""
    return tuple(leaf for leaf in LEAVES if leaf not in names)


@dataclass(frozen=True)
class World:
    """Entries of `segmentations.yaml`, and inputs in the order of the log."""

    seed: int
    entries: Sequence[Document]
    inputs: Sequence[Input]
    end_ms: int
    has_tiers: bool = False
    """Whether `TIERS` is there, too, and definitions look at it."""


def draw_world(
    seed: int, leaves: Sequence[str] = LEAVES, starts_ms: Sequence[int] = STARTS_MS, zones: Sequence[str] = ZONES
) -> World:
    """Return the world of a seed."""
    draw = random.Random(seed)
    start_ms = draw.choice(starts_ms)
    has_tiers = draw.random() < 0.25
    definitions = Definitions(draw, start_ms, leaves, zones)
    if has_tiers:
        definitions.targets += [
            {"segmentation": TIERS.name, "segment": "tier-1"},
            {"segmentation": TIERS.name, "segment": ["tier-0", "tier-2"]},
        ]
    entries = [definitions.entry(f"s{number}") for number in range(draw.randint(1, 4))]
    inputs = draw_inputs(draw, start_ms)
    return World(seed, entries, inputs, start_ms + 30 * DAY_MS, has_tiers)


def with_merges(world: World) -> World:
    """Return a world in which customers turn out to be others, at instants of inputs or between them."""
    draw = random.Random(world.seed + 10**6)
    inputs = list(world.inputs)
    ids = list(CUSTOMERS)
    draw.shuffle(ids)
    instants = sorted(draw.sample(range(len(inputs)), min(draw.choice((1, 1, 2)), len(inputs))))
    for number, place in enumerate(reversed(instants)):
        ended, into = (ids[0], ids[1]) if number == len(instants) - 1 else (ids[1], ids[2])
        at_ms = inputs[place].at_ms + draw.choice((0, 0, 1, HOUR_MS // 2))
        said = merge(ended, into, at_ms, f"merge {number}")
        inputs.insert(place + draw.choice((0, 1)), said)
    return replace(world, inputs=inputs)


def draw_other_entries(seed: int, world: World) -> list[Document]:
    """Return other definitions of the names of a world, and perhaps one more, each of the kind that it is."""
    draw = random.Random(-seed - 1)
    definitions = Definitions(draw, draw.choice(STARTS_MS))
    entries = []
    for entry in world.entries:
        while (other := definitions.entry(entry["name"]))["kind"] != entry["kind"]:
            definitions.targets = [target for target in definitions.targets if target["segmentation"] != entry["name"]]
        entries.append(entry if draw.random() < 0.4 and not _refers(entry) else other)
    return [*entries, definitions.entry("added")] if draw.random() < 0.5 else entries


def _refers(entry: object) -> bool:
    """Say whether a definition looks at segments, which another version may not have."""
    if isinstance(entry, dict):
        return "segmentation" in entry or any(map(_refers, entry.values()))
    return isinstance(entry, list) and any(map(_refers, entry))


def draw_long_world(seed: int, leaves: Sequence[str]) -> World:
    """Return a world of 30 to 90 inputs in twelve days, so that series outgrow what is kept of them."""
    draw = random.Random(seed)
    start_ms = draw.choice(STARTS_MS)
    definitions = Definitions(draw, start_ms, leaves)
    entries = [definitions.entry(f"s{number}") for number in range(draw.randint(1, 4))]
    inputs = draw_inputs(draw, start_ms, 30, 90, days=12, repeats=0)
    return World(seed, entries, inputs, start_ms + 32 * DAY_MS)


class Definitions:
    """Draws definitions; later ones may look at earlier ones.

    Parameters
    ----------
    draw
        The chance.
    start_ms
        When histories begin.
    leaves, zones
        Which to draw from.
    """

    def __init__(
        self,
        draw: random.Random,
        start_ms: int,
        leaves: Sequence[str] = LEAVES,
        zones: Sequence[str] = ZONES,
    ) -> None:
        self._draw = draw
        self._start_ms = start_ms
        self._leaves = leaves
        self._zones = zones
        self.targets: list[Document] = []
        """Memberships that conditions can ask for."""

    def entry(self, name: str, depth: int = 3) -> Document:
        """Return a segmentation, or an audience."""
        draw = self._draw
        if draw.random() < 0.6:
            entry = {"kind": "audience", "name": name, "when": self.tree(depth)}
            self.targets.append({"segmentation": name})
            return entry
        segments = [
            {"id": f"{name}{letter}", "name": f"{name} {letter}", "when": self.tree(depth - 1)}
            for letter in "abc"[: draw.randint(1, 3)]
        ]
        otherwise = {"id": f"{name}z", "name": f"{name} z"}
        self.targets += [
            {"segmentation": name, "segment": segments[0]["id"]},
            {"segmentation": name, "segment": [otherwise["id"], segments[-1]["id"]]},
        ]
        return {"kind": "rules", "name": name, "segments": segments, "otherwise": otherwise}

    def tree(self, depth: int) -> Document:
        """Return a condition that nests at most so deep."""
        draw = self._draw
        if depth == 0 or draw.random() < 0.25:
            return self.leaf()
        joint = draw.choice(("all", "any", "not"))
        if joint == "not":
            return {"not": self.tree(depth - 1)}
        return {joint: [self.tree(depth - 1) for _ in range(draw.randint(1, 3))]}

    def leaf(self) -> Document:
        """Return a condition that looks at one thing."""
        kind = self._draw.choice(self._leaves)
        if kind == "segment" and not self.targets:
            kind = "last"
        leaf: Document = getattr(self, f"_{kind}")()
        return leaf

    # --- counts -------------------------------------------------------------------------------------------------

    def _last(self) -> Document:
        return self._event() | {"last": self._duration()} | self._count()

    def _ago(self) -> Document:
        nearer, farther = sorted(self._draw.sample((6, 24, 48, 72, 120, 168), 2))
        return self._event() | {"between_ago": [f"{nearer}h", f"{farther}h"]} | self._count()

    def _calendar(self) -> Document:
        return self._event() | {"calendar": self._days()} | self._count()

    def _fixed(self) -> Document:
        day = _day(self._start_ms)
        bounds = {"from": day(1), "to": day(4)}
        chosen = self._draw.choice((("from", "to"), ("from", "to"), ("from",), ("to",)))
        return self._event() | {name: bounds[name] for name in chosen} | self._count()

    def _ever(self) -> Document:
        return self._event() | self._count()

    def _where(self) -> Document:
        tests = [self._property() for _ in range(self._draw.randint(1, 2))]
        return {"event": self._type(), "where": tests, "last": self._duration()} | self._count()

    # --- sums ---------------------------------------------------------------------------------------------------

    def _sum(self) -> Document:
        window: Document = self._draw.choice(
            ({"last": self._duration()}, {"between_ago": ["1d", "4d"]}, {"calendar": self._days()}, {})
        )
        number = {self._comparator(): self._draw.randint(-4, 9)}
        if self._draw.random() < 0.3:
            return {"event": "order_*", "sum": "amount"} | window | {"at_least": self._draw.choice((10, 12.5, 30))}
        return self._numeric("sum") | window | number

    def _extreme(self) -> Document:
        window: Document = self._draw.choice(({"last": self._duration()}, {"calendar": self._days()}))
        aggregate = self._draw.choice(("min", "max", "average"))
        return self._numeric(aggregate) | window | {self._comparator(): self._draw.randint(-3, 6)}

    def _decayed(self) -> Document:
        half_life = self._draw.choice(("12h", "1d", "3d"))
        limit = {self._draw.choice(("at_least", "less_than")): self._draw.choice((0.3, 1, 2, 4.5))}
        field = self._draw.choice(("properties.q", "count", "count"))
        return {"event": self._type(), "decayed_sum": field, "half_life": half_life} | limit

    # --- order and rhythm ---------------------------------------------------------------------------------------

    def _first(self) -> Document:
        return self._filtered({"first_event": self._type(), "last": self._duration()})

    def _restarted(self) -> Document:
        return self._filtered(
            {"restarted": self._type(), "last": self._duration(), "pause": self._draw.choice(("6h", "1d", "2d"))}
        )

    def _regular(self) -> Document:
        periods = self._draw.randint(2, 4)
        leaf = {
            "regularly": self._type(),
            "times": self._draw.randint(1, 2),
            "each": self._draw.choice(("1d", "36h", "2d")),
            "in_at_least": self._draw.randint(1, periods),
            "of_last": periods,
        }
        return self._filtered(leaf)

    def _sequence(self) -> Document:
        steps = self._draw.choice((["a", "b"], ["b", "a"], ["a", "a"], ["a", "x_*"], ["a", "order_completed"]))
        return {"sequence": steps, "within": self._draw.choice(("1h", "12h", "2d")), "last": self._duration()}

    def _latest(self) -> Document:
        where = [{"field": "properties.c", "equals": "web"}] if self._draw.random() < 0.3 else None
        leaf = {"last_event": self._type(), "has": [self._property()]}
        return leaf | {"where": where} if where else leaf

    def _since_last(self) -> Document:
        return self._filtered({"since_last": self._type(), self._comparator(): self._duration()})

    # --- traits, memberships, others ----------------------------------------------------------------------------

    def _trait(self) -> Document:
        test = self._draw.choice(
            (
                {"equals": "p"},
                {"not_equals": "p"},
                {"in": ["p", "q"]},
                {"not_in": ["p", "r"]},
                {"exists": True},
                {"exists": False},
                {"at_least": 3},
                {"less_than": 3},
                {"contains": "p"},
                {"begins_with": "p"},
            )
        )
        return {"trait": self._draw.choice(("t1", "t2"))} | test

    def _date(self) -> Document:
        day = _day(self._start_ms)
        test = self._draw.choice(
            (
                {"in_last": self._duration()},
                {"in_next": self._duration()},
                {"after": day(3)},
                {"before": day(3)},
            )
        )
        return {"trait": "d"} | test

    def _anniversary(self) -> Document:
        zone = self._draw.choice(self._zones)
        test = self._draw.choice(({"in_next": "7d"}, {"in_next": "1d"}, {"in_month": True}))
        return {"trait": "born", "anniversary": {**test, "timezone": zone}}

    def _held(self) -> Document:
        limit = {self._draw.choice(("at_least", "less_than")): self._duration()}
        return {"trait": self._draw.choice(("t1", "t2")), "equals": self._draw.choice(("p", "q")), "held_for": limit}

    def _segment(self) -> Document:
        target = self._draw.choice(self.targets)
        return target | {"for_at_least": self._duration()} if self._draw.random() < 0.3 else target

    def _list(self) -> Document:
        return {"list": "chosen"}

    def _random(self) -> Document:
        return {"random": {"salt": "x", "from_percent": 0, "to_percent": self._draw.choice((30, 60))}}

    def _figure(self) -> Document:
        name, values = self._draw.choice(
            (
                ("recency_days", (0.5, 2, 4)),
                ("tenure_days", (1, 3)),
                ("order_recency_days", (1, 3)),
                ("order_tenure_days", (1, 3)),
                ("engagement_recency_days", (1, 3)),
                ("orders_decayed", (0.98, 1, 1.9)),
                ("revenue_decayed", (5, 24.5)),
                ("engaged_days_decayed", (0.9, 1.8)),
                ("purchases", (1, 2)),
                ("refunds", (1, 2)),
                ("engagements", (2, 3)),
                ("revenue", (10, 12.5, 30)),
                ("average_order_value", (10, 12.5, 30)),
            )
        )
        return {"figure": name, self._comparator(): self._draw.choice(values)}

    def _score(self) -> Document:
        parts = [{"when": self.leaf(), "points": self._draw.randint(1, 3)} for _ in range(self._draw.randint(2, 3))]
        return {"score": parts, "at_least": self._draw.randint(1, 5)}

    # --- parts --------------------------------------------------------------------------------------------------

    def _duration(self) -> str:
        return self._draw.choice(DURATIONS)

    def _type(self) -> str:
        return self._draw.choice(("a", "b", "a", "b", "x_*", "order_completed", "order_*"))

    def _event(self) -> Document:
        return self._filtered({"event": self._type()})

    def _filtered(self, leaf: Document) -> Document:
        return leaf | {"where": [self._property()]} if self._draw.random() < 0.25 else leaf

    def _numeric(self, aggregate: str) -> Document:
        leaf = {"event": self._type(), aggregate: "properties.q"}
        return leaf | {"where": [{"field": "properties.q", "exists": True}]} if self._draw.random() < 0.5 else leaf

    def _property(self) -> Document:
        return self._draw.choice(
            (
                {"field": "properties.q", "at_least": 3},
                {"field": "properties.q", "less_than": 4},
                {"field": "properties.q", "exists": False},
                {"field": "properties.c", "equals": "web"},
                {"field": "properties.c", "not_equals": "web"},
                {"field": "properties.c", "in": ["web", "tv"]},
                {"field": "properties.c", "not_in": ["web", "tv"]},
                {"field": "properties.deep.tags", "contains": "p"},
                {"field": "channel", "begins_with": "st"},
                {"field": "amount", "at_least": 10},
            )
        )

    def _days(self) -> Document:
        days = {"days": self._draw.randint(1, 4), "timezone": self._draw.choice(self._zones)}
        return days | {"today": False} if self._draw.random() < 0.3 else days

    def _comparator(self) -> str:
        return self._draw.choice(("at_least", "more_than", "at_most", "less_than"))

    def _count(self) -> Document:
        comparator = self._draw.choice(
            ("at_least", "at_least", "more_than", "at_most", "less_than", "equals", "not_equals")
        )
        if comparator == "at_least" and self._draw.random() < 0.2:
            return {}
        return {comparator: self._draw.randint(0, 3)}


def _day(start_ms: int) -> Callable[[float], str]:
    """Return how the instants are written that lie so many days behind another one."""
    return lambda days: format_instant(start_ms + round(days * DAY_MS))


# --- histories ------------------------------------------------------------------------------------------------------


def draw_inputs(
    draw: random.Random, start_ms: int, least: int = 1, most: int = 18, days: int = 10, repeats: float = 0.15
) -> list[Input]:
    """Return inputs in the order of the log: in time, shuffled, or with some late; some delivered twice."""
    customers = CUSTOMERS[: draw.randint(1, 3)]
    is_coarse = draw.random() < 0.5
    inputs = []
    for number in range(draw.randint(least, most)):
        at_ms = start_ms + (draw.randrange(days * 4) * 6 * HOUR_MS if is_coarse else draw.randrange(days * DAY_MS))
        inputs.append(_draw_input(draw, draw.choice(customers), at_ms, f"e{number}", start_ms))
    inputs.sort(key=lambda each: each.at_ms)
    disorder = draw.random()
    if disorder < 0.4:
        draw.shuffle(inputs)
    elif disorder < 0.8:
        for _ in range(draw.randint(1, 3)):
            moved = inputs.pop(draw.randrange(len(inputs)))
            inputs.insert(draw.randint(0, len(inputs)), moved)
    for each in list(inputs):
        if draw.random() < repeats:
            inputs.insert(draw.randint(0, len(inputs)), each)
    return inputs


def _draw_input(draw: random.Random, customer_id: str, at_ms: int, event_id: str, start_ms: int) -> Input:
    chance = draw.random()
    if chance < 0.3:
        return profile(customer_id, at_ms, event_id, _draw_traits(draw, start_ms))
    if chance < 0.5:
        total = draw.choice(("5.00", "10.00", "12.50", "30"))
        channel = draw.choice(("store", "web"))
        return order(customer_id, at_ms, event_id, "order_completed", total, f"o {event_id}", channel=channel)
    fields: Document = {}
    properties: Document = {}
    if draw.random() < 0.75:
        properties["q"] = draw.choice((1, 2, 3, 4, 5, -2, 2.5, "3"))
    if draw.random() < 0.7:
        properties["c"] = draw.choice(("web", "app", ""))
    if draw.random() < 0.2:
        properties["deep"] = {"tags": draw.choice((["p"], ["q", "p"], [], "p"))}
    if properties:
        fields["properties"] = properties
    if draw.random() < 0.3:
        fields["channel"] = draw.choice(("store", "app"))
    return engagement(customer_id, at_ms, event_id, draw.choice(TYPES), **fields)


def _draw_traits(draw: random.Random, start_ms: int) -> Document:
    day = _day(start_ms)
    traits: Document = {}
    if draw.random() < 0.6:
        traits["t1"] = draw.choice(("p", "q", "p", 3, ["p"], "", None))
    if draw.random() < 0.5:
        traits["t2"] = draw.choice(("p", "q", "pq", 2, 5, True))
    if draw.random() < 0.4:
        traits["d"] = draw.choice((day(3), day(7.5), "soon", day(1.25), "2026-03-09"))
    if draw.random() < 0.4:
        traits["born"] = draw.choice(("1990-03-10", "1988-02-29", "1975-10-25", "2001-04-01", "never"))
    return traits or {"z": 1}
