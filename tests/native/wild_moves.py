"""Moves that no customer makes, and some that any might: every branch of what is told of them, and numbers of any size.

What is drawn keeps what holds of all moves: who was in no segment enters, nobody else does, and silence moves nobody
out of a segment that a model does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PROFILE, PURCHASE, REFUND, Event, Position
from stream_app.core.moves import DEFINITION, ENTERED, LAPSE, MODEL, Moves
from stream_app.core.row import ACTIVITY_DTYPE
from stream_app.core.segmentation import NEVER_MS, Compiled, Due, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE, Roster, Segment
from stream_app.native.structures import FACT_DTYPE
from stream_app.segmentations.learned.model import Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import Rhythm
from stream_app.segmentations.learned.roles import KINDS, NEW
from stream_app.segmentations.rules.leaves import EventLeaf, Leaf, ListLeaf, SinceLastLeaf, TraitLeaf
from tests.support.models import EARLIER_SEGMENTS, moved_frame

START_MS = 1_700_000_000_000
IDS = (
    *("c1", 'say "hi"', "back\\slash", "a/b", "naïve", "名前", "🛒", "tab\there", "line\nbreak", "\x01\x1f\x7f", " "),
    *("x" * 256, "é" * 256, "\u2028", "</script>", "null", "0"),
)


def draw_frame(rng: np.random.Generator) -> Frame:
    """Draw what may be learned of a population."""
    rhythm = Rhythm(
        rng.uniform(0, 5),
        rng.uniform(0.05, 2.5),
        rng.uniform(0.1, 8),
        10 ** rng.uniform(-5, -1),
        rng.uniform(0.01, 0.95),
    )
    frame = Frame(
        rhythm=rhythm,
        order_value_minor=rng.choice([None, 1.0, 42.5, 999.5, 4_200.0, 1e9]),
        engagement_weight=float(rng.choice([0.0, 0.3, 0.5, 1.0])),
        new_days=float(rng.choice([0.4, 1.0, 3.5, 21.0, 90.0])),
    )
    return moved_frame(frame, int(rng.integers(1_000)))


def draw_model(rng: np.random.Generator) -> Model:
    """Draw a version of a model, with names that have to be escaped and segments of an earlier release."""
    return Model(
        'val"ue' if rng.random() < 0.1 else "value",
        version=int(rng.integers(0, 3_000)),
        frame=draw_frame(rng),
        previous=draw_frame(rng) if rng.random() < 0.7 else None,
        thresholds=Thresholds(hysteresis=float(rng.uniform(0, 1))),
        names={"loyal": 'Treue "Kunden" \\ 1', "lost": "Verloren → weg"} if rng.random() < 0.3 else {},
        retired_segments=EARLIER_SEGMENTS if rng.random() < 0.5 else (),
    )


LARGE = 1e15, 1e300, 1e306, np.nan, np.inf
FOUR_ORDERS = EventLeaf.model_validate({"event": "order_completed", "last": "30d", "at_least": 4})
ON_THE_LIST = ListLeaf.model_validate({"list": "staff"})


class PhrasedSegmentation(Compiled):
    """A segmentation by rules, as far as it is told."""

    weighs_sessions = True
    revised_by = DEFINITION

    def __init__(self, name: str, segments: Sequence[str], conditions: Sequence[Leaf], version: int = 1) -> None:
        self.name, self.version, self.conditions = name, version, tuple(conditions)
        self.kind = "rules" if len(segments) > 1 else "audience"
        self.roster = Roster(
            tuple(Segment(code + 1, segment, f"segment-{code}") for code, segment in enumerate(segments))
        )


def draw_ruled(rng: np.random.Generator) -> PhrasedSegmentation:
    """Draw a segmentation by rules, or an audience."""
    segments = ["VIPs who slip"] if rng.random() < 0.5 else ['say "hi"', "Active", "Übrige"]
    types = ["order_completed", 'say "hi"', "naïve", "back\\slash", "order_refunded", "cart_*"]
    events = [
        EventLeaf.model_validate({"event": str(rng.choice(types)), "last": f"{days}d", "at_least": 4})
        for days in range(1, 20)
    ]
    amounts = {"event": "order_completed", "sum": "amount", "more_than": 99.5, "last": "90d"}
    since = SinceLastLeaf.model_validate({"since_last": "order_completed", "at_least": "1h"})
    others = [
        EventLeaf.model_validate(amounts),
        since,
        since,
        ON_THE_LIST,
        TraitLeaf.model_validate({"trait": "a", "equals": '"'}),
    ]
    return PhrasedSegmentation("rules", segments, [*events, *others], int(rng.integers(1, 3)))


def draw_facts(rng: np.random.Generator, count: int, conditions: int) -> list[np.ndarray]:
    """Draw the facts of so many moves: few or many, with values of any sort."""
    facts = []
    for size in rng.choice([0, 1, 1, 2, 3, 5, 64], count).tolist():
        own = np.zeros(size, FACT_DTYPE)
        own["condition"] = rng.integers(0, conditions, size)
        own["held"], own["holds"] = rng.integers(-1, 2, size), rng.integers(0, 2, size)
        for name in ("before", "after"):
            values = rng.choice([0.0, -0.0, 1, 1.00001, 4, 3.5, 1 / 24, 0.3, -0.00001, 12.34565, *LARGE], size)
            own[name] = np.where(rng.random(size) < 0.5, values, rng.uniform(-1e4, 1e4, size))
        facts.append(own)
    return facts


def draw_moves(
    rng: np.random.Generator, count: int, segmentation: Segmentation, *, is_wild: bool = False, partition: int = 3
) -> Moves:
    """Draw moves of customers in a segmentation; if wild, of rows that say anything."""
    codes = [*segmentation.roster.by_code, 32_767]
    from_code = np.where(rng.random(count) < 0.3, NO_SEGMENT, rng.choice(codes, count)).astype(np.int16)
    target = rng.integers(0, len(segmentation.roster.segments), count)
    kind = rng.integers(PURCHASE, DEFINITION + 1, count)
    if isinstance(segmentation, PhrasedSegmentation):
        kind = np.where(rng.random(count) < 0.1, PROFILE, kind)
        target = np.where((from_code != NO_SEGMENT) & (rng.random(count) < 0.3), NOWHERE, target)
    if segmentation.kind == "learned":
        is_unknown = segmentation.roster.index_of_code[from_code] < 0
        target[is_unknown & (kind == LAPSE)] = rng.integers(NEW + 1, len(KINDS))
    at_ms = START_MS + rng.integers(-400 * DAY_MS, 400 * DAY_MS, count)
    before, after = (draw_activity(rng, count, is_wild=is_wild) for _ in range(2))
    is_known = rng.random(count) < 0.7
    customers = [str(rng.choice(IDS)) for _ in range(count)]
    return Moves(
        customer_ids=customers,
        cause_kind=kind,
        change=np.where(from_code == NO_SEGMENT, ENTERED, rng.integers(ENTERED + 1, 5, count)),
        from_code=from_code,
        target=target,
        sequence=rng.integers(1, 2**31 - 1, count),
        effective_at_ms=at_ms,
        decided_at_ms=at_ms + rng.integers(0, DAY_MS, count),
        before=before,
        before_ms=np.where(kind >= MODEL, at_ms, at_ms - rng.integers(0, 90 * DAY_MS, count)),
        after=after,
        following=Due(
            np.where(is_known, at_ms + rng.integers(0, 90_000 * DAY_MS, count), NEVER_MS),
            rng.integers(-1, len(segmentation.roster.segments), count),
        ),
        causes=[
            (draw_event(rng, each, customer), Position(str(rng.choice(IDS)), partition, int(rng.integers(2**62))))
            if each < LAPSE or each == PROFILE
            else None
            for each, customer in zip(kind.tolist(), customers, strict=True)
        ],
    )


def draw_event(rng: np.random.Generator, kind: int, customer_id: str) -> Event:
    """Draw an event of a kind, with amounts of up to the largest that an order may have."""
    amount_minor = int(rng.choice([0, 1, 5, 99, 10**16, 10**16 - 1, int(10 ** rng.uniform(0, 16))]))
    names = {PURCHASE: "order_completed", REFUND: "order_refunded", ENGAGEMENT: str(rng.choice(["viewed", *IDS]))}
    names[PROFILE] = "profile"
    return Event(kind, customer_id, str(rng.choice(IDS)), START_MS, names[kind], amount_minor, "o1")


def draw_activity(rng: np.random.Generator, count: int, *, is_wild: bool = False) -> np.ndarray:
    """Draw customers: some never ordered, some never came, some have more refunds than orders."""
    activity = np.zeros(count, ACTIVITY_DTYPE)
    first_ms = START_MS - rng.integers(0, 900 * DAY_MS, count)
    activity["first_at_ms"] = first_ms
    for name in ("purchased_at_ms", "ordered_at_ms", "engaged_at_ms"):
        activity[name] = np.where(rng.random(count) < 0.3, NO_TIME, _later(rng, first_ms))
    activity["first_purchased_at_ms"] = np.where(
        activity["purchased_at_ms"] == NO_TIME, -NO_TIME, _later(rng, first_ms)
    )
    activity["purchases"] = rng.choice([-2, 0, 1, 1, 2, 7, 1_200], count)
    activity["gaps"] = rng.choice([0, 0, 1, 2, 30, 366], count)
    activity["orders_decayed"] = rng.uniform(-1, 20, count)
    activity["engaged_days"] = rng.uniform(0, 30, count)
    activity["log_order_values"] = rng.uniform(-3, 12, count) * activity["purchases"]
    activity["log_gaps"] = rng.uniform(0, 6.5, count) * np.minimum(activity["gaps"], 20)
    activity["log_gaps_squared"] = activity["log_gaps"] ** 2 / np.maximum(activity["gaps"], 1) + rng.uniform(
        -1, 9, count
    )
    activity["revenue_minor"] = rng.integers(-(10**9), 10**9, count)
    if is_wild:
        _make_wild(rng, activity)
    return activity


def _later(rng: np.random.Generator, first_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return instants after others, some at exact multiples of half a day."""
    days = rng.integers(0, 900, len(first_ms)) * 0.5
    exact = first_ms + (days * DAY_MS).astype(np.int64)
    return np.where(rng.random(len(first_ms)) < 0.5, exact, first_ms + rng.integers(0, 500 * DAY_MS, len(first_ms)))


def _make_wild(rng: np.random.Generator, activity: np.ndarray) -> None:
    for name, (kind, _) in (activity.dtype.fields or {}).items():
        chosen = rng.random(len(activity)) < 0.15
        if kind.kind == "f":
            values = rng.choice([-1.0, 1.0], len(activity)) * 10.0 ** rng.uniform(-300, 300, len(activity))
        else:
            limits = np.iinfo(kind)
            values = rng.integers(limits.min, limits.max, len(activity), dtype=kind)
        activity[name] = np.where(chosen, values, activity[name])
