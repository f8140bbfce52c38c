"""Segments that nobody can enter, as far as that can be decided simply.

A condition *never* holds if its parts exclude each other: an empty range, two values of one trait, an event in a window
and none in a wider one. A segment is *shadowed* if its condition implies that of those before it. Both are decided from
the forms of conditions alone: whatever is reported is so, and not everything that is so is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stream_app.segmentations.mistakes import Mistake
from stream_app.segmentations.rules.definition import (
    AllOf,
    AnyOf,
    AudienceConfiguration,
    Condition,
    EventLeaf,
    NotThat,
    Ruled,
    RulesConfiguration,
    conditions_of,
)
from stream_app.segmentations.rules.implying import Implications
from stream_app.segmentations.rules.sentences import condition_in_words

WORDS_CHARACTERS = 160
"""A condition is quoted up to here."""


def unreachable(placed: Mapping[str, Ruled]) -> Iterator[Mistake]:
    """Yield the segments and audiences that nobody can be in."""
    for place, definition in placed.items():
        implied = Implications()
        for path, condition in conditions_of(definition):
            if implied.never(condition):
                yield Mistake(f"{place}.{path}", f"nobody can be in it: {_why_never(condition, implied)}")
        if isinstance(definition, RulesConfiguration):
            yield from _shadowed(place, definition, implied)


def everybody(placed: Mapping[str, Ruled]) -> Iterator[Mistake]:
    """Yield the audiences that everybody is in."""
    for place, definition in placed.items():
        if isinstance(definition, AudienceConfiguration) and Implications().always(definition.when):
            yield Mistake(f"{place}.when", "everybody who is known is in it")


def _shadowed(place: str, definition: RulesConfiguration, implied: Implications) -> Iterator[Mistake]:
    segments = definition.segments
    for index, segment in enumerate(segments):
        earlier = segments[:index]
        if not earlier or implied.never(segment.when):
            continue
        hiding = next((each for each in earlier if implied.implies(segment.when, each.when)), None)
        together = AnyOf.model_construct(any=tuple(each.when for each in earlier))
        if hiding is not None:
            yield Mistake(
                f"{place}.segments[{index}]",
                f"nobody can be in {segment.id!r}: everybody it is for is in {hiding.id!r} first; expected the "
                "narrower condition first",
            )
        elif implied.implies(segment.when, together):
            yield Mistake(
                f"{place}.segments[{index}]",
                f"nobody can be in {segment.id!r}: everybody it is for is in one of the segments before it",
            )
    if implied.always(AnyOf.model_construct(any=tuple(segment.when for segment in segments))):
        yield Mistake(
            f"{place}.otherwise", f"nobody can be in {definition.otherwise.id!r}: the segments before take everybody"
        )


def _why_never(condition: Condition, implied: Implications) -> str:
    """Return the part, or the two parts, that make a condition impossible."""
    match condition:
        case AllOf(all=parts):
            for part in parts:
                if implied.never(part):
                    return _why_never(part, implied)
            pair = implied.exclusive_parts(condition)
            assert pair is not None, "what never holds has such a part, or two that exclude each other"
            return _why_exclusive(*pair)
        case AnyOf(any=parts):
            return _why_never(parts[0], implied)
    return f"“{_quoted(condition)}” never holds"


def _why_exclusive(one: Condition, other: Condition) -> str:
    text = f"“{_quoted(one)}” and “{_quoted(other)}” exclude each other"
    events = [part.negated if isinstance(part, NotThat) else part for part in (one, other)]
    if all(isinstance(part, EventLeaf) and part.window for part in events):
        text += ", expected the window without events to be the shorter or the later one"
    return text


def _quoted(condition: Condition) -> str:
    text = condition_in_words(condition)
    return text if len(text) <= WORDS_CHARACTERS else f"{text[:WORDS_CHARACTERS]}…"
