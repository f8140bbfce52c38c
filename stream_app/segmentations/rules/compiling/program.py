"""All rules of a partition → one program: conditions that mean the same are one, and layers are compiled together.

Membership in a segmentation by rules is the node that decides it there, found by compiling that one first; definitions
that refer to each other in a circle are refused with the path. Membership in other segmentations is looked up in the
customer's row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from stream_app.core.local_days import UTC
from stream_app.core.segments import NO_SEGMENT, NOWHERE, Roster
from stream_app.errors import ConfigurationError
from stream_app.segmentations.learned.roles import KINDS as LEARNED_SEGMENTS
from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.events import Compiled, EventConditions
from stream_app.segmentations.rules.compiling.others import COUNTED_FROM_SERIES, OtherConditions
from stream_app.segmentations.rules.compiling.pool import Pool
from stream_app.segmentations.rules.compiling.series import SeriesPool
from stream_app.segmentations.rules.definition import (
    AllOf,
    AnyOf,
    AudienceConfiguration,
    Condition,
    FigureLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    NotThat,
    Ruled,
    Score,
    TraitLeaf,
    canonical,
    conditions_of,
    leaves_of,
)

LEARNED: Final = "learned"


class _Segmentation(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def roster(self) -> Roster: ...


class Definition(NamedTuple):
    """A segmentation by rules, as it is compiled.

    Attributes
    ----------
    name
        Its name.
    conditions
        Its definition; None of one that has ended, which everybody leaves.
    roster
        Its segments, in the order in which they are tried.
    """

    name: str
    conditions: Ruled | None
    roster: Roster


class ProgramForm(NamedTuple):
    """What the library is given.

    Attributes
    ----------
    form
        See `native/program.h`.
    kept_since
        Names of the segmentations that keep when a customer entered its segment.
    """

    form: bytes
    kept_since: tuple[str, ...]


@dataclass
class _Rule:
    definition: Definition
    number: int
    roots: list[int] = field(default_factory=list)
    memberships: list[int] = field(default_factory=list)
    """Of each target, a reference to being there."""


class Compiler:
    """Compiles definitions that may refer to each other.

    Parameters
    ----------
    ruled
        Those by rules, in the order of the table.
    others
        The same for those of other kinds.
    lists
        Hashes of the ids of each list.
    timezone
        Whose days figures count.
    """

    def __init__(
        self,
        ruled: Sequence[Definition],
        others: Sequence[_Segmentation],
        lists: Mapping[str, Sequence[int]],
        timezone: str = UTC,
    ) -> None:
        learned = next((index for index, other in enumerate(others) if other.kind == LEARNED), -1)
        self._pool = Pool()
        self._series = SeriesPool(self._pool)
        self._events = EventConditions(self._pool, self._series, timezone)
        self._plain = OtherConditions(self._pool, self._series, learned, lists)
        self._definitions = {each.name: (number, each) for number, each in enumerate(ruled)}
        self._others = {each.name: (index, each) for index, each in enumerate(others)}
        self._rules: dict[str, _Rule] = {}
        self._path: list[str] = []
        self._leaves: dict[str, Compiled] = {}
        self._kept_since: list[str] = []

    def compile(self, number_of: Callable[[int], int], minor_per_major: int, *, dated: bool) -> ProgramForm:
        """Return the program.

        Parameters
        ----------
        number_of
            From the digest of a series to its number in the table.
        minor_per_major
            Minor units of the base currency in a major one.
        dated
            Whether it is kept of all when a customer entered its segment, and not only where a condition asks for it.

        Raises
        ------
        ConfigurationError
            If definitions refer to each other in a circle, to something that is not there, or are too many.
        """
        for name in self._definitions:
            self._rule(name)
        if dated:
            self._kept_since += [name for name in self._definitions if name not in self._kept_since]
        rules, roots, conditions = self._lists_of_rules()
        series = self._series.lists(number_of, self._pool.trait_places)
        lists = series | self._pool.lists()
        settled = self._pool.settled
        lists |= {
            "rules": rules,
            "roots": [(settled(to), code) for to, code in roots],
            "conditions": [
                (settled(each.to), -1 if each.measured is None else each.measured >> 1) for each in conditions
            ],
        }
        return ProgramForm(form.encode(lists, self._pool.texts, minor_per_major), tuple(self._kept_since))

    def _lists_of_rules(self) -> tuple[list[tuple[int, ...]], list[tuple[int, int]], list[Compiled]]:
        rules: list[tuple[int, ...]] = []
        roots: list[tuple[int, int]] = []
        conditions: list[Compiled] = []
        for name, (_, definition) in self._definitions.items():
            rule = self._rules[name]
            codes = definition.roster.codes.tolist()
            otherwise = NOWHERE if _has_outside(definition) else len(rule.roots)
            leaves = () if definition.conditions is None else told_conditions(definition.conditions)
            since = self._kept_since.index(name) if name in self._kept_since else -1
            row = (len(roots), len(rule.roots), otherwise, codes[otherwise] if otherwise >= 0 else NO_SEGMENT, since)
            rules.append((*row, len(conditions), len(leaves), 0))
            roots.extend(zip(rule.roots, codes, strict=False))
            conditions.extend(self._leaf(leaf) for leaf in leaves)
        return rules, roots, conditions

    # --- rules ---

    def _rule(self, name: str) -> _Rule:
        if name in self._path:
            circle = [*self._path[self._path.index(name) :], name]
            raise ConfigurationError(
                f"segmentations: {' → '.join(circle)} refer to each other in a circle, expected layers"
            )
        if name in self._rules:
            return self._rules[name]
        number, definition = self._definitions[name]
        rule = _Rule(definition, number)
        self._path.append(name)
        if definition.conditions is not None:
            rule.roots = [self._condition(condition) for _, condition in conditions_of(definition.conditions)]
        self._path.pop()
        earlier: list[int] = []
        for root in rule.roots:
            rule.memberships.append(self._pool.all_of([*earlier, root]))
            earlier.append(root ^ 1)
        if not _has_outside(definition):
            rule.memberships.append(self._pool.all_of(earlier))
        self._rules[name] = rule
        return rule

    # --- conditions ---

    def _condition(self, condition: Condition) -> int:
        match condition:
            case AllOf(all=parts):
                return self._pool.all_of(map(self._condition, parts))
            case AnyOf(any=parts):
                return self._pool.any_of(map(self._condition, parts))
            case NotThat(negated=part):
                return self._condition(part) ^ 1
            case Score(score=scored, at_least=least):
                return self._pool.points([(self._condition(each.when), each.points) for each in scored], least)
            case _:
                return self._leaf(condition).to

    def _leaf(self, leaf: Any) -> Compiled:
        key = canonical(leaf)
        if key not in self._leaves:
            self._leaves[key] = self._events.compile(leaf) or self._other(leaf)
        return self._leaves[key]

    def _other(self, leaf: Any) -> Compiled:
        match leaf:
            case FigureLeaf(figure=name) if name in COUNTED_FROM_SERIES:
                return self._events.figure_of_days(leaf)
            case FigureLeaf():
                return self._plain.figure(leaf)
            case TraitLeaf():
                return self._plain.trait(leaf)
            case MembershipLeaf():
                return Compiled(self._member(leaf))
            case ListLeaf(list_name=name):
                return self._plain.listed(name)
            case _:  # a RandomLeaf, the only one left
                return self._plain.drawn(leaf)

    # --- membership ---

    def _member(self, leaf: MembershipLeaf) -> int:
        name = leaf.segmentation
        for_ms = leaf.for_at_least.milliseconds if leaf.for_at_least else 0
        if name in self._definitions:
            return self._member_by_rules(name, leaf.segment, for_ms)
        if name not in self._others:
            raise ConfigurationError(f"segmentation: no segmentation is named {name!r}")
        index, other = self._others[name]
        codes = {segment.segment_id: code for code, segment in other.roster.by_code.items()}
        if other.kind == LEARNED:
            codes |= {kind.key: kind.code for kind in LEARNED_SEGMENTS}  # as configurations name them
        return self._pool.any_of(
            self._pool.literal(form.IS_MEMBER, other=index, n=codes[_known(segment, codes, name)], b=for_ms)
            for segment in leaf.segment or codes
        )

    def _member_by_rules(self, name: str, segments: tuple[str, ...] | None, for_ms: int) -> int:
        rule = self._rule(name)
        targets = {segment.segment_id: index for index, segment in enumerate(rule.definition.roster.segments)}
        wanted = [targets[_known(segment, targets, name)] for segment in segments or targets]
        if not for_ms:
            return self._pool.any_of(rule.memberships[target] for target in wanted)
        if name not in self._kept_since:
            self._kept_since.append(name)
        return self._pool.any_of(
            self._pool.held(rule.memberships[target], rule.number, target, for_ms) for target in wanted
        )


def told_conditions(definition: Ruled) -> tuple[Leaf, ...]:
    """Return the leaves of a definition, each once, in order: facts and presentations number them so."""
    return tuple({canonical(leaf): leaf for leaf in leaves_of(definition)}.values())


def _has_outside(definition: Definition) -> bool:
    """Return whether customers can be in none of its segments."""
    return definition.conditions is None or isinstance(definition.conditions, AudienceConfiguration)


def _known(segment: str, there: Mapping[str, int], name: str) -> str:
    if segment not in there:
        raise ConfigurationError(
            f"segment: segmentation {name} has no segment {segment!r}, expected one of {', '.join(there)}"
        )
    return segment
