"""Why a customer moved by rules; the reference that `native/outputs_rules.c` is compared with, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from stream_app.core.money import minor_digits
from stream_app.core.moves import (
    DEFINITION,
    ENTERED,
    LAPSE,
    MODEL,
    MOVED,
    MigrationContext,
    Moves,
    describe_event,
    describe_path,
)
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.rules.explanation import Phrase, phrases_of

FACTS_TOLD: Final = 4


class ConditionReason(msgspec.Struct, frozen=True, gc=False):
    """A condition that is otherwise than before."""

    condition: str
    before: float | None
    after: float | None
    held: bool | None
    holds: bool


class RulesReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="rules"):
    """Why a customer moved."""

    sentence: str
    conditions: tuple[ConditionReason, ...]

    @property
    def is_specific(self) -> bool:
        return bool(self.conditions)


def explain_by_rules(
    segmentation: Segmentation, moves: Moves, facts: Sequence[np.ndarray], context: MigrationContext
) -> list[RulesReason]:
    """Return why each customer moved; `facts` are those of each move, `FACT_DTYPE`."""
    phrases = phrases_of(segmentation, context.currency)  # type: ignore[arg-type]
    references = segmentation.roster.references
    targets = [references.get(code) for code in segmentation.roster.codes.tolist()]
    reasons = []
    for number, own in enumerate(facts):
        found = [(phrases[fact["condition"]], _condition(phrases[fact["condition"]], fact)) for fact in own]
        told = [
            _fact(phrase, fact, context)
            for (phrase, each), fact in zip(found, own, strict=True)
            if (each.holds if each.held is None else _turned(each))
        ]
        more = [f"{len(told) - FACTS_TOLD} more"] if len(told) > FACTS_TOLD else []
        what = "; ".join(told[:FACTS_TOLD] + more)
        path = describe_path(references.get(int(moves.from_code[number])), targets[moves.target[number]])
        opening = _opening(segmentation, moves, number, context)
        sentence = f"{opening}{f': {what}' if what else ''}; {path}."
        reasons.append(RulesReason(sentence, tuple(each for _, each in found)))
    return reasons


def _opening(segmentation: Segmentation, moves: Moves, number: int, context: MigrationContext) -> str:
    event_at, cause, change = moves.causes[number], int(moves.cause_kind[number]), int(moves.change[number])
    is_audience = len(segmentation.roster.segments) == 1
    is_first = change == ENTERED and not is_audience
    if event_at is not None:
        return describe_event(event_at[0], ENTERED if is_first else MOVED, context)
    if cause in (LAPSE, MODEL):
        return "Time has passed" if cause == LAPSE else "A model has changed"
    assert cause == DEFINITION
    is_new = is_first or (is_audience and segmentation.version <= 1)
    return "The definition is new" if is_new else "The definition has changed"


def _condition(phrase: Phrase, fact: np.void) -> ConditionReason:
    held, holds = int(fact["held"]), bool(fact["holds"])
    before = None if held < 0 else _told(fact["before"])
    return ConditionReason(phrase.text, before, _told(fact["after"]), None if held < 0 else bool(held), holds)


def _turned(condition: ConditionReason) -> bool:
    return condition.held != condition.holds


def _fact(phrase: Phrase, fact: np.void, context: MigrationContext) -> str:
    digits = minor_digits(context.minor_per_major)
    is_money = phrase.counted == context.currency
    is_time = phrase.counted == "days"
    in_hours = is_time and 0 < fact["after"] < 1
    rounding = digits if is_money else 1 if is_time else 4
    with np.errstate(over="ignore", invalid="ignore"):
        before, after = (_told(fact[name] * (24 if in_hours else 1), rounding) for name in ("before", "after"))
    text = phrase.text if fact["holds"] else f"no longer {phrase.text}"
    if after is None:
        return text

    def plain(value: float) -> str:
        return f"{value:.{digits}f}" if is_money else _plain(value)

    unit = "hours" if in_hours else phrase.counted
    counted = unit.removesuffix("s") if after == 1 else unit
    was = "" if before in (None, after) or fact["held"] < 0 else f", was {plain(before)}"
    return f"{f'{plain(after)} {counted}'.rstrip()}{was}: {text}"


def _told(value: np.float64, digits: int = 4) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = float(np.round(value, digits)) + 0.0
    return rounded if np.isfinite(rounded) else None


def _plain(value: float) -> str:
    return msgspec.json.encode(value).decode().removesuffix(".0")
