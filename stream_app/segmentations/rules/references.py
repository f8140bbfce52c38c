"""What definitions look at beside the customer's own figures: fields of events, traits, lists, other segmentations.

A record's fields are only decoded where a definition looks at them, so workers have to know these beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from pydantic import TypeAdapter
from xxhash import xxh3_64_hexdigest

from stream_app.segmentations.rules.definition import (
    Condition,
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    LastEventLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    RandomLeaf,
    Ruled,
    TraitLeaf,
    canonical,
    leaves_of,
)


def fields_of(definition: Ruled) -> frozenset[str]:
    """Return the fields of events that a definition looks at."""
    return frozenset(field for leaf in leaves_of(definition) for field in _fields(leaf))


def traits_of(definition: Ruled) -> frozenset[str]:
    """Return the traits that it looks at."""
    return frozenset(leaf.trait for leaf in leaves_of(definition) if isinstance(leaf, TraitLeaf))


def lists_of(definition: Ruled) -> frozenset[str]:
    """Return the lists of ids that it looks at."""
    return frozenset(leaf.list_name for leaf in leaves_of(definition) if isinstance(leaf, ListLeaf))


def segmentations_of(definition: Ruled) -> frozenset[str]:
    """Return the other segmentations that it looks at."""
    return frozenset(leaf.segmentation for leaf in leaves_of(definition) if isinstance(leaf, MembershipLeaf))


def counted(definition: Ruled) -> Iterator[Leaf]:
    """Yield the leaves whose answers begin when a definition first asks for them.

    These are those on events, which are counted from then on, and those on how long somebody has been in a segment.
    """
    for leaf in leaves_of(definition):
        is_dated = isinstance(leaf, MembershipLeaf) and leaf.for_at_least is not None
        if is_dated or not isinstance(leaf, FigureLeaf | TraitLeaf | ListLeaf | MembershipLeaf | RandomLeaf):
            yield leaf


def leaf_key(leaf: Leaf) -> str:
    """Return a short text that is the same for leaves of the same meaning."""
    return xxh3_64_hexdigest(canonical(leaf).encode())


def read_leaf(document: Mapping[str, Any]) -> Leaf:
    """Return the leaf that a document describes.

    Raises
    ------
    ValidationError
        If it describes none.
    """
    return cast(Leaf, _CONDITION.validate_python(document))


_CONDITION: Final[TypeAdapter[Any]] = TypeAdapter(Condition)


def _fields(leaf: Leaf) -> Iterator[str]:
    tests: Iterable[object] = getattr(leaf, "where", ())
    yield from (test.field for test in tests)  # type: ignore[attr-defined]
    match leaf:
        case EventLeaf(aggregate=(_, field)):
            yield field
        case DecayedLeaf(decayed_sum=field) if field != "count":
            yield field
        case LastEventLeaf(has=has):
            yield from (test.field for test in has)
        case _:
            pass
