"""What a program is made of while it grows: each literal, node, test and name once, however often it is meant.

`not` is the sign of a reference, `any` is "not all not", and what is always true is an `all` of nothing: so equal
conditions become one, in whatever words they were written.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from stream_app.core.local_days import zone_runs
from stream_app.errors import ConfigurationError
from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.form import NODES_FROM
from stream_app.segmentations.rules.values import Literal

_NUMBER: Final = struct.Struct("<d")
_FALSE_KIND, _TRUE_KIND, _NUMBER_KIND, _TEXT_KIND = 1, 2, 3, 4
"""`SEG_FIELD_…`, by which hashes of values are seeded."""
_LITERAL_DEFAULTS: Final = dict.fromkeys(form.LITERAL_DTYPE.names or (), 0) | {
    "series": -1,
    "zone": -1,
    "trait": -1,
    "test": -1,
}
FieldAt = tuple[int, int, int, int, int, int, float]
"""A test: field, test, negated, place and size, reserved, number."""


class Pool:
    """Literals, nodes, tests, names, zones and hashes of a program."""

    def __init__(self) -> None:
        self.texts = form.Texts()
        self.literals: dict[tuple[Any, ...], int] = {}
        self.nodes: dict[tuple[Any, ...], int] = {}
        self.tests: list[FieldAt] = []
        self.fields: dict[str, int] = {}
        self.traits: dict[str, int] = {}
        self.zones: dict[str, int] = {}
        self.hashes: list[int] = []
        self._hashes_at: dict[tuple[int, ...], int] = {}
        self._single_tests: dict[FieldAt, int] = {}
        self.true: Final = self._node((form.ALL, (), -1, -1, 0))

    # --- conditions ---

    def literal(self, kind: int, **fields: Any) -> int:
        """Return a reference to a literal; what is not given is 0, or none."""
        key = tuple((_LITERAL_DEFAULTS | fields | {"kind": kind}).values())
        number = self.literals.setdefault(key, len(self.literals))
        return 2 * number

    def all_of(self, parts: Iterable[int]) -> int:
        """Return a reference to what is true where all parts are."""
        distinct = sorted(set(parts) - {self.true})
        if self.true ^ 1 in distinct or any(part ^ 1 in distinct for part in distinct):
            return self.true ^ 1
        if len(distinct) == 1:
            return distinct[0]
        return self._node((form.ALL, tuple((part, 0) for part in distinct), -1, -1, 0)) if distinct else self.true

    def any_of(self, parts: Iterable[int]) -> int:
        """Return a reference to what is true where one of the parts is."""
        return self.all_of([part ^ 1 for part in parts]) ^ 1

    def points(self, parts: Sequence[tuple[int, int]], least: int) -> int:
        """Return a reference to what is true where the points of the parts that hold are enough."""
        if sum(points for _, points in parts) < least:
            return self.true ^ 1
        return self._node((form.POINTS, tuple(sorted(parts)), -1, -1, least))

    def held(self, membership: int, rule: int, root: int, at_least_ms: int) -> int:
        """Return a reference to what is true where a customer has been in a segment by rules for a duration."""
        return self._node((form.HELD, ((membership, 0),), rule, root, at_least_ms))

    def _node(self, key: tuple[Any, ...]) -> int:
        number = self.nodes.setdefault(key, len(self.nodes))
        return 2 * (NODES_FROM + number)

    # --- names ---

    def field(self, name: str) -> int:
        """Return the number of an event's field."""
        if name in ("amount", "type"):
            return form.AMOUNT if name == "amount" else form.TYPE
        return self.fields.setdefault(name, len(self.fields))

    def trait(self, name: str) -> int:
        """Return the number of a trait; they are put in order when the form is made."""
        return self.traits.setdefault(name, len(self.traits))

    def zone(self, name: str) -> int:
        """Return the number of a time zone."""
        return self.zones.setdefault(name, len(self.zones))

    def listed(self, hashes: Iterable[int]) -> tuple[int, int]:
        """Return where some hashes stand, ascending, and how many they are."""
        ordered = tuple(sorted(set(hashes)))
        if ordered not in self._hashes_at:
            self._hashes_at[ordered] = len(self.hashes)
            self.hashes.extend(ordered)
        return self._hashes_at[ordered], len(ordered)

    # --- tests ---

    def tests_of(self, field: int, asked: Iterable[tuple[str, Any]]) -> list[FieldAt]:
        """Return the tests that must all be passed, of pairs such as `("at_least", 5)`."""
        return [test for name, value in asked for test in self._tests_of(field, name, value)]

    def run_of_tests(self, tests: Sequence[FieldAt]) -> tuple[int, int]:
        """Return where some tests stand, one after the other, and how many they are."""
        first = len(self.tests)
        self.tests.extend(tests)
        return first, len(tests)

    def single_test(self, test: FieldAt) -> int:
        """Return the number of a test."""
        if test not in self._single_tests:
            self._single_tests[test] = self.run_of_tests([test])[0]
        return self._single_tests[test]

    def _tests_of(self, field: int, name: str, value: Any) -> list[FieldAt]:
        is_number = _test(field, form.NUMBER_FROM, number=-math.inf)
        match name:
            case "at_least":
                return [_test(field, form.NUMBER_FROM, number=value)]
            case "more_than":
                return [_test(field, form.NUMBER_ABOVE, number=value)]
            case "at_most":
                return [is_number, _test(field, form.NUMBER_ABOVE, number=value, negated=True)]
            case "less_than":
                return [is_number, _test(field, form.NUMBER_FROM, number=value, negated=True)]
            case "equals" | "not_equals":
                return [self._equals(field, value, negated=name == "not_equals")]
            case "in" | "not_in":
                at, size = self.listed(map(value_hash, value))
                return [_test(field, form.AMONG, at, size, negated=name == "not_in")]
            case "exists":
                return [_test(field, form.EXISTS, negated=not value)]
            case "contains" if isinstance(value, str):
                return [_test(field, form.CONTAINS, *self.texts.keep(value))]
            case "contains":
                return [_test(field, form.AMONG, *self.listed(()))]  # lists hold texts only
            case _:  # begins_with, the only one left that looks at a value
                return [_test(field, form.BEGINS, *self.texts.keep(value))]

    def _equals(self, field: int, value: Literal, *, negated: bool) -> FieldAt:
        if isinstance(value, bool):
            return _test(field, form.IS_TRUE if value else form.IS_FALSE, negated=negated)
        if isinstance(value, str):
            return _test(field, form.TEXT_IS, *self.texts.keep(value), negated=negated)
        return _test(field, form.NUMBER_IS, number=value, negated=negated)

    # --- the form ---

    @property
    def trait_places(self) -> dict[int, int]:
        """Places of the traits by their numbers, once they are in order."""
        return {self.traits[name]: place for place, name in enumerate(sorted(self.traits, key=str.encode))}

    def lists(self) -> dict[str, list[Any]]:
        """Return the lists of the form that stand here."""
        for found, most, what in (
            (self.literals, form.LITERALS_MAX, "conditions"),
            (self.nodes, form.NODES_MAX, "groups of conditions"),
            (self.traits, form.TRAITS_MAX, "traits"),
            (self.fields, form.FIELDS_MAX, "fields of events"),
        ):
            if len(found) > most:
                raise ConfigurationError(
                    f"segmentations: their rules are made of {len(found):,} different {what}, expected at most {most:,}"
                )
        places = self.trait_places
        zones, runs = self._zones()
        nodes, edges = self._nodes()
        trait = (form.LITERAL_DTYPE.names or ()).index("trait")
        literals = [(*key[:trait], places.get(key[trait], -1), *key[trait + 1 :]) for key in self.literals]
        names = {
            "fields": [self.texts.keep(name) for name in self.fields],
            "traits": [self.texts.keep(name) for name in sorted(self.traits, key=str.encode)],
        }
        own = {"tests": self.tests, "literals": literals, "nodes": nodes, "edges": edges, "zones": zones, "runs": runs}
        return own | names | {"hashes": self.hashes}

    def settled(self, reference: int) -> int:
        """Return a reference as the form has it: nodes follow the literals."""
        return reference - 2 * (NODES_FROM - len(self.literals)) if reference >= 2 * NODES_FROM else reference

    def _zones(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        zones: list[tuple[int, int]] = []
        runs: list[tuple[int, int]] = []
        for name in self.zones:
            own = zone_runs(name)
            zones.append((len(runs), len(own)))
            runs.extend(own)
        return zones, runs

    def _nodes(self) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
        nodes: list[tuple[int, ...]] = []
        edges: list[tuple[int, int]] = []
        for kind, parts, rule, root, least in self.nodes:
            nodes.append((kind, len(edges), len(parts), rule, root, 0, least))
            edges.extend((self.settled(part), points) for part, points in parts)
        return nodes, edges


def value_hash(value: Literal) -> int:
    """Return the hash by which a value is found among others, `seg_value_hash`."""
    if isinstance(value, bool):
        return xxh3_64_intdigest(b"", _TRUE_KIND if value else _FALSE_KIND)
    if isinstance(value, str):
        return xxh3_64_intdigest(value.encode(), _TEXT_KIND)
    return xxh3_64_intdigest(_NUMBER.pack(value + 0.0), _NUMBER_KIND)


def _test(field: int, test: int, at: int = 0, size: int = 0, *, number: float = 0.0, negated: bool = False) -> FieldAt:
    return field, test, int(negated), at, size, 0, float(number)
