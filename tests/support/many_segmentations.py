"""Sixteen segmentations as a shop may have them: a learned one, three by rules, and twelve audiences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from stream_app.contracts.readers import (
    Cause,
    Condition,
    Holdout,
    MigrationRecord,
    NextMove,
    RulesExplanation,
    SegmentReference,
)
from stream_app.core.clock import DAY_MS, format_instant
from tests.reference.migration import migration_id
from tests.support.output_records import FIRST_DAY_MS, SEGMENTS, drawn_model, migration

RULED = {
    name: [SegmentReference(f"{name}-{number}", f"{name.title()} {number}") for number in range(count)]
    for name, count in (("lifecycle", 6), ("region", 4), ("tier", 3))
}
AUDIENCES = {
    name: [SegmentReference(name, name.replace("_", " ").capitalize())]
    for name in (
        *("cart_abandoners", "vip_slipping", "one_and_done", "lapsed_but_browsing", "price_sensitive", "advocates"),
        *("renewal_due", "birthday_month", "new_parents", "vip_in_italy", "staff", "bucket_a"),
    )
}
NAMES = ["value", *RULED, *AUDIENCES]
CAUSES = ["purchase", "engagement", "profile", "lapse", "definition"]


def documents() -> list[dict[str, Any]]:
    """Return the version of each that is in force."""
    return [
        drawn_model(1),
        *(_ruled(name, "rules") for name in RULED),
        *(_ruled(name, "audience") for name in AUDIENCES),
    ]


def _ruled(name: str, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "segmentation": name,
        "version": 1,
        "status": "published",
        "as_of": "2026-01-01T00:00:00.000Z",
        "segments": [
            {"id": each.id, "name": each.name, "level": None, "action": None, "sentence": f"Of {each.name}."}
            for each in (RULED | AUDIENCES)[name]
        ],
        "retired_segments": [],
        "definition": {"kind": kind, "name": name},
        "lists": {},
        "together": {},
    }


def drawn_moves(customers: int, moves: int, seed: int = 0) -> Iterator[MigrationRecord]:
    """Yield moves in all of them over thirty days; audiences are entered and left, again and again."""
    generator = random.Random(seed)
    places: dict[tuple[str, str], tuple[int, int | None]] = {}
    for number in range(moves):
        customer_id, name = f"customer-{generator.randrange(customers)}", generator.choice(NAMES)
        sequence, origin = places.get((name, customer_id), (0, None))
        segments = SEGMENTS if name == "value" else (RULED | AUDIENCES)[name]
        choices = [index for index in range(len(segments)) if index != origin]
        target = generator.choice(choices) if choices else None
        places[name, customer_id] = sequence + 1, target
        at_ms = FIRST_DAY_MS + number * 30 * DAY_MS // moves
        following = _following(generator, name, target, at_ms)
        if name == "value":
            assert target is not None
            yield migration(customer_id, sequence + 1, origin, target, at_ms, next_move=following)
        else:
            ends = tuple(None if index is None else segments[index] for index in (origin, target))
            yield _move(generator, name, customer_id, sequence + 1, ends, at_ms, following)


def _following(generator: random.Random, name: str, target: int | None, at_ms: int) -> NextMove | None:
    if target is None or generator.random() < 0.3:
        return None
    due_ms = FIRST_DAY_MS + 30 * DAY_MS + generator.randrange(0, 30) * DAY_MS // 2
    others = [] if name in AUDIENCES else (RULED | {"value": SEGMENTS})[name]
    return NextMove(format_instant(max(due_ms, at_ms)), generator.choice(others) if others else None)


def _move(
    generator: random.Random,
    name: str,
    customer_id: str,
    sequence: int,
    ends: tuple[SegmentReference | None, ...],
    at_ms: int,
    following: NextMove | None,
) -> MigrationRecord:
    origin, target = ends
    condition = Condition("4 or more order_completed in the last 30 days", 3.0, 4.0, held=False, holds=True)
    kind = generator.choice(CAUSES)
    event_id = None if kind in ("lapse", "definition") else f"event-{customer_id}-{sequence}"
    return MigrationRecord(
        migration_id(name, customer_id, sequence),
        sequence,
        customer_id,
        name,
        origin,
        target,
        "left" if target is None else "entered" if origin is None else "moved",
        format_instant(at_ms),
        format_instant(at_ms),
        Cause(kind, event_id, None),
        1,
        RulesExplanation(f"Time has passed; leads from {origin} to {target}.", (condition,)),
        Holdout(42, held_out=False),
        None,
        following,
    )
