"""Whole definitions in English, one sentence each: what `check` prints, to be compared with what was meant.

A sentence names the time zone of every condition on dates, says whether today counts, and that windows are half-open.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_app.segmentations.durations import Duration
from stream_app.segmentations.rules.conditions import AllOf, AnyOf, Condition, NotThat, Score
from stream_app.segmentations.rules.definition import AudienceConfiguration, Ruled, leaves_of
from stream_app.segmentations.rules.leaves import (
    EventLeaf,
    FirstEventLeaf,
    Leaf,
    RestartedLeaf,
    SequenceLeaf,
    TraitLeaf,
)
from stream_app.segmentations.rules.phrases import counted_of, phrase_of, span

__all__ = ["condition_in_words", "counted_of", "phrase_of", "sentence_of"]


def sentence_of(definition: Ruled, currency: str = "", timezone: str = "UTC") -> str:
    """Return a definition as one sentence.

    Parameters
    ----------
    definition
        The segmentation or audience.
    currency
        Name of the base currency, such as `EUR`.
    timezone
        Whose dates a condition means that names no time zone.
    """
    if isinstance(definition, AudienceConfiguration):
        who = condition_in_words(definition.when, currency, timezone)
        text = f"A customer is in {_named(definition.name, definition.title)} while this holds: {who}"
    else:
        cases = [
            f"{_named(segment.id, segment.name)} for {condition_in_words(segment.when, currency, timezone)}"
            for segment in definition.segments
        ]
        last = _named(definition.otherwise.id, definition.otherwise.name)
        text = (
            f"{_named(definition.name, definition.title)} puts a customer into the first of these that holds: "
            f"{'; '.join(cases)}; otherwise into {last}"
        )
    if definition.warn_before is not None:
        text += f"; who will leave by silence alone is announced {span(definition.warn_before)} before"
    moving = next((length for leaf in leaves_of(definition) for length in _lengths(leaf)), None)
    if moving is not None:
        length = span(moving)
        text += f" (half-open: an event is out of the last {length.removeprefix('1 ')} exactly {length} after it)"
    return f"{text}."


def condition_in_words(condition: Condition, currency: str = "", timezone: str = "UTC") -> str:
    """Return a condition in words, with brackets where its parts could be misread."""
    match condition:
        case AllOf(all=parts):
            return " and ".join(_in_brackets(part, currency, timezone) for part in parts)
        case AnyOf(any=parts):
            return " or ".join(_in_brackets(part, currency, timezone) for part in parts)
        case NotThat(negated=part):
            return f"not ({condition_in_words(part, currency, timezone)})"
        case Score(score=scored, at_least=least):
            each = ", ".join(
                f"{entry.points} for ({condition_in_words(entry.when, currency, timezone)})" for entry in scored
            )
            return f"{least} or more points in sum: {each}"
        case _:
            return phrase_of(condition, currency, timezone)


def _in_brackets(condition: Condition, currency: str, timezone: str) -> str:
    text = condition_in_words(condition, currency, timezone)
    joins = isinstance(condition, AllOf | AnyOf) and len(_parts(condition)) > 1
    return f"({text})" if joins or isinstance(condition, Score) else text


def _parts(condition: AllOf | AnyOf) -> tuple[Condition, ...]:
    return condition.all if isinstance(condition, AllOf) else condition.any


def _named(identity: str, name: str | None) -> str:
    return f"{name} [{identity}]" if name and name != identity else identity


def _lengths(leaf: Leaf) -> Iterator[Duration]:
    """Yield the length of a leaf's moving window, if it has one."""
    if isinstance(leaf, EventLeaf | FirstEventLeaf | RestartedLeaf | SequenceLeaf) and leaf.last is not None:
        yield leaf.last
    elif isinstance(leaf, TraitLeaf) and leaf.in_last is not None:
        yield leaf.in_last
