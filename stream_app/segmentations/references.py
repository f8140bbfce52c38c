"""What definitions say of each other, of lists and of traits: mistakes that no value has by itself.

Membership in a segment may be a condition of another segmentation, so definitions form a graph; it must have no cycle,
or nothing would say which of two is decided first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from stream_app.segmentations.configuration import LEARNED_MAX, SegmentationConfiguration
from stream_app.segmentations.guessing import guess
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.roles import KINDS
from stream_app.segmentations.mistakes import Mistake, path_of, shown
from stream_app.segmentations.rules.catalogue import FIGURES
from stream_app.segmentations.rules.codes import clashing_ids, segment_code
from stream_app.segmentations.rules.compiling.form import COUNT_MAX
from stream_app.segmentations.rules.conditions import Condition, parts_of, paths
from stream_app.segmentations.rules.definition import (
    AudienceConfiguration,
    Calendar,
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    Moving,
    Ruled,
    RulesConfiguration,
    TraitLeaf,
    conditions_of,
)
from stream_app.segmentations.sensitive import refusal_of
from stream_app.segmentations.traits import PLAIN_TYPES, TESTS_OF, TraitDefinition

DEPTH_MAX: Final = 16
"""Conditions inside one another."""
LEAVES_MAX: Final = 256
"""Of one definition."""
SEGMENTS: Final = range(3, 9)
"""So many segments people keep apart and have something to say to."""
ORDER_WORDS: Final = {
    "order": "order_completed",
    "purchase": "order_completed",
    "refund": "order_refunded",
    "refunded": "order_refunded",
}
"""What orders and refunds are called elsewhere, and here."""
EXACT_VALUES: Final = 256
"""Values of a sum or average that are kept one by one in a window of a customer; beyond, instants are rounded."""


Placed = Mapping[str, SegmentationConfiguration]
"""Segmentations that are right by themselves, by their place in the document."""


def broken_references(
    placed: Placed, names: Collection[str], lists: Collection[str], traits: Mapping[str, TraitDefinition]
) -> Iterator[Mistake]:
    """Yield the mistakes between definitions.

    Parameters
    ----------
    placed
        The segmentations.
    names
        Names of all segmentations, also of those that are not right by themselves.
    lists
        Names of all lists.
    traits
        The catalogue of traits.
    """
    yield from _repeated_names(placed)
    learned = [place for place, entry in placed.items() if isinstance(entry, LearnedConfiguration)]
    if len(learned) > LEARNED_MAX:
        yield Mistake("segmentations", f"{len(learned)} are learned, expected {LEARNED_MAX} at most")
    for name, definition in traits.items():
        refusal = refusal_of(name)
        if refusal and definition.legal_basis is None:
            yield Mistake(path_of(("traits", name)), refusal)
    by_name = {entry.name: entry for entry in placed.values()}
    for place, entry in placed.items():
        if not isinstance(entry, RulesConfiguration | AudienceConfiguration):
            continue
        yield from _sizes(place, entry)
        for path, leaf in placed_leaves(place, entry):
            match leaf:
                case MembershipLeaf():
                    yield from _membership(path, leaf, by_name, names)
                case ListLeaf(list_name=name) if name not in lists:
                    known = f"one of {', '.join(sorted(lists))}" if lists else "its file in lists:"
                    yield Mistake(f"{path}.list", f"there is no list {name!r}, expected {known}{guess(name, lists)}")
                case TraitLeaf():
                    yield from _trait(path, leaf, traits)
                case EventLeaf(aggregate=None) if _counts_too_far(leaf):
                    yield Mistake(path, f"more than {COUNT_MAX:,} events in a window that moves, expected fewer")
                case FigureLeaf() if FIGURES[leaf.figure].needs_model and not learned and len(placed) == len(names):
                    yield Mistake(
                        f"{path}.figure", f"{leaf.figure} is made of a learned model, expected a learned segmentation"
                    )
    yield from _cycles(placed)


def advice(placed: Placed) -> tuple[list[Mistake], list[Mistake]]:
    """Return what probably is not meant, and what is good to know."""
    warnings, notes = [], []
    for place, entry in placed.items():
        if isinstance(entry, RulesConfiguration) and len(entry.roster) not in SEGMENTS:
            warnings.append(
                Mistake(
                    f"{place}.segments",
                    f"{len(entry.roster)} segments with the default, expected {SEGMENTS[0]} to {SEGMENTS[-1]}: more "
                    "than people can keep apart, or fewer than a division is worth",
                )
            )
        if isinstance(entry, RulesConfiguration | AudienceConfiguration):
            for path, leaf in placed_leaves(place, entry):
                warnings += _mistyped_events(path, leaf)
                if isinstance(leaf, EventLeaf) and leaf.aggregate and leaf.window:
                    notes.append(
                        Mistake(
                            path,
                            f"the {leaf.aggregate[0]} is exact up to {EXACT_VALUES} events of a customer in the "
                            "window; beyond, instants are rounded to 1/128 of it",
                        )
                    )
    return warnings, notes


def _mistyped_events(path: str, leaf: Leaf) -> Iterator[Mistake]:
    """Yield the types that are almost those of orders and refunds; any other name may be an engagement's."""
    named = getattr(leaf, type(leaf).tag.replace(DecayedLeaf.tag, EventLeaf.tag), None)
    for event in named if isinstance(named, tuple) else (named,):
        meant = ORDER_WORDS.get(event) if isinstance(event, str) else None
        near = guess(event, ORDER_WORDS.values(), likeness=0.85) if event not in ORDER_WORDS.values() else ""
        if meant or near:
            hint = f"; did you mean {meant!r}?" if meant else near
            yield Mistake(
                path, f"{event!r} is neither an order nor a refund, and counts engagements of that type alone{hint}"
            )


def placed_leaves(place: str, definition: Ruled) -> Iterator[tuple[str, Leaf]]:
    """Yield all leaves of a definition with their paths in the document."""
    for path, condition in conditions_of(definition):
        yield from paths(condition, f"{place}.{path}")


def codes_of(configuration: SegmentationConfiguration) -> dict[str, int]:
    """Return the segments that conditions can name, with their codes.

    Of a learned segmentation these are the keys of its configuration, such as `champions`, and the ids of its outputs,
    such as `s1`.
    """
    if isinstance(configuration, RulesConfiguration | AudienceConfiguration):
        return {segment.id: segment_code(segment.id) for segment in configuration.roster}
    return {name: kind.code for kind in KINDS for name in (kind.key, f"s{kind.code}")}


def _repeated_names(placed: Placed) -> Iterator[Mistake]:
    seen: dict[str, str] = {}
    for place, entry in placed.items():
        earlier = seen.setdefault(entry.name, place)
        if earlier != place:
            yield Mistake(f"{place}.name", f"{entry.name!r} is the name of {earlier} already, expected another")


def _sizes(place: str, entry: Ruled) -> Iterator[Mistake]:
    clashing = clashing_ids(segment.id for segment in entry.roster)
    if clashing:
        yield Mistake(
            place,
            f"the ids {clashing[0]!r} and {clashing[1]!r} cannot be used together, as their codes are equal; expected "
            "another id for one of them",
        )
    leaves = sum(1 for _ in placed_leaves(place, entry))
    if leaves > LEAVES_MAX:
        yield Mistake(place, f"{leaves} conditions in all, expected {LEAVES_MAX} at most")
    for path, condition in conditions_of(entry):
        depth = _depth(condition)
        if depth > DEPTH_MAX:
            yield Mistake(f"{place}.{path}", f"{depth} conditions inside one another, expected {DEPTH_MAX} at most")


def _counts_too_far(leaf: EventLeaf) -> bool:
    """Return whether more events are to be counted than are kept for a window that moves."""
    return isinstance(leaf.window, Moving | Calendar) and any(value > COUNT_MAX for _, value in leaf.comparisons)


def _depth(condition: Condition) -> int:
    return 1 + max(map(_depth, parts_of(condition)), default=0)


def _membership(
    path: str, leaf: MembershipLeaf, by_name: Mapping[str, SegmentationConfiguration], names: Collection[str]
) -> Iterator[Mistake]:
    target = by_name.get(leaf.segmentation)
    if target is None:
        if leaf.segmentation not in names:
            known = sorted(names)
            yield Mistake(
                f"{path}.segmentation",
                f"there is no segmentation {leaf.segmentation!r}, expected one of {', '.join(known)}"
                f"{guess(leaf.segmentation, known)}",
            )
        return
    if isinstance(target, AudienceConfiguration):
        if leaf.segment not in (None, (target.name,)):
            yield Mistake(f"{path}.segment", f"{target.name} is an audience, expected no segment")
        return
    codes = codes_of(target)
    if leaf.segment is None:
        yield Mistake(f"{path}.segment", f"missing, expected one of {_shown_segments(target)}")
    for segment in leaf.segment or ():
        if segment not in codes:
            yield Mistake(
                f"{path}.segment",
                f"{target.name} has no segment {segment!r}, expected one of {_shown_segments(target)}"
                f"{guess(segment, codes)}",
            )


def _shown_segments(target: SegmentationConfiguration) -> str:
    if isinstance(target, LearnedConfiguration):
        return ", ".join(kind.key for kind in KINDS)
    return ", ".join(codes_of(target))


def _trait(path: str, leaf: TraitLeaf, catalogue: Mapping[str, TraitDefinition]) -> Iterator[Mistake]:
    definition = catalogue.get(leaf.trait)
    if definition is None:
        refusal = refusal_of(leaf.trait)
        if refusal:
            yield Mistake(f"{path}.trait", refusal)
        return
    for name, asked in leaf.tests:
        if name not in TESTS_OF[definition.type]:
            allowed = ", ".join(test for test in leaf.test_keys() if test in TESTS_OF[definition.type])
            yield Mistake(
                f"{path}.{name}",
                f"the trait {leaf.trait} is a {definition.type} by the catalogue, so this never holds; expected one of "
                f"{allowed}",
            )
        elif name in ("equals", "not_equals", "in", "not_in"):
            yield from _kinds_of(f"{path}.{name}", asked, leaf.trait, definition)


def _kinds_of(path: str, asked: Any, trait: str, definition: TraitDefinition) -> Iterator[Mistake]:
    expected = PLAIN_TYPES[definition.type]
    for value in asked if isinstance(asked, tuple) else (asked,):
        if type(value) is not expected:
            yield Mistake(
                path, f"{shown(value)}, and the trait {trait} is a {definition.type} by the catalogue; expected one"
            )


def _cycles(placed: Placed) -> Iterator[Mistake]:
    """Yield each cycle once, at the first condition that closes it."""
    edges: dict[str, list[tuple[str, str]]] = {}
    for place, entry in placed.items():
        found = edges.setdefault(entry.name, [])
        if isinstance(entry, RulesConfiguration | AudienceConfiguration):
            found += [
                (leaf.segmentation, f"{path}.segmentation")
                for path, leaf in placed_leaves(place, entry)
                if isinstance(leaf, MembershipLeaf)
            ]
    settled: set[str] = set()
    for name in edges:
        yield from _cycles_from(name, edges, [], settled)


def _cycles_from(
    name: str, edges: Mapping[str, list[tuple[str, str]]], way: list[str], settled: set[str]
) -> Iterator[Mistake]:
    if name in settled:
        return
    way.append(name)
    for target, path in edges.get(name, ()):
        if target in way:
            circle = " → ".join([*way[way.index(target) :], target])
            yield Mistake(path, f"{circle} is a cycle, expected segmentations that do not depend on themselves")
        else:
            yield from _cycles_from(target, edges, way, settled)
    way.pop()
    settled.add(name)
