"""Which ids are one customer's: statements in any order, one end for each id.

A statement says that an alias (a device, the hash of an address, another customer) is a customer's, from an instant on.
Ids that statements connect are a *group*: one customer, who goes by the group's *end*. Statements are gone through in
the order of their times: each lets the end of its alias go by the end of its customer. What connects ids that are
connected already says nothing new. So the statements that count are the spanning forest that is the earliest in time,
and the end follows from the statements alone, in whatever order they came; one that comes late may give a group another
end. No id goes by an id that goes by a third one.

A statement is refused, by a reason of its own, if it is not to be believed (see `IdentityRules`). An alias that is
linked to two customers is *shared*, such as a kiosk: it goes by neither from then on, and what it did later is its own.
What was taken over by then stays, as rows are sums. Refusals look at what is known when a statement comes, so which of
too many is refused depends on the order of arrival, and nothing else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args

LINK: Final = "link"
MERGE_STATEMENT: Final = "merge"
NAMESPACE_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
"""Of the name of a sort of identifiers, such as `device` or `email_hash`."""
Reason = Literal[
    "blocked_identity",
    "identity_cycle",
    "shared_alias",
    "too_many_identifiers",
    "too_many_merges",
    "both_identified",
]
IDENTITY_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a statement is refused."""


class Statement(NamedTuple):
    """That an alias is a customer's; statements are ordered by time, and those of one instant by their ids.

    Attributes
    ----------
    at_ms
        From when on.
    alias, customer_id
        The ids.
    kind
        `LINK` of an identifier, or `MERGE_STATEMENT` of two customers.
    namespace
        What sort of an identifier the alias is; empty where nobody says.
    """

    at_ms: int
    alias: str
    customer_id: str
    kind: str = LINK
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A sort of identifiers.

    Parameters
    ----------
    priority
        1 for those that identify a person, such as the id of a login; others have a greater one.
    limit
        How many of a customer's there may be.
    """

    priority: int = 2
    limit: int = 5


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What is not to be believed.

    Parameters
    ----------
    namespaces
        By name; of others the defaults of `Namespace` hold, but for the empty one, which has no limit.
    merges_max
        Ids that may go by one customer's.
    blocked
        Ids that are nobody's, as `blocked_form` gives them.
    blocked_form
        Returns the form of an id that is looked for among them.
    merge_identified
        Whether two customers may be one who are identified both, each by an identifier of priority 1.
    """

    namespaces: Mapping[str, Namespace] = field(default_factory=lambda: {"user_id": Namespace(1, 1)})
    merges_max: int = 100
    blocked: frozenset[str] = frozenset()
    blocked_form: Callable[[str], str] = str.lower
    merge_identified: bool = False


NO_RULES: Final = IdentityRules()


class Merge(NamedTuple):
    """What one id has and is goes over to another one."""

    ended: str
    into: str


class Refused(NamedTuple):
    """Why a statement does not count."""

    reason: Reason
    message: str


class Group:
    """Ids of one customer, and the statements that connect them.

    Parameters
    ----------
    statements
        One fewer than ids.
    """

    def __init__(self, statements: Iterable[Statement]) -> None:
        self.statements: Final = tuple(sorted(statements))
        self.end, self.unneeded = _connect(self.statements)
        self.ids: Final = {each for said in self.statements for each in (said.alias, said.customer_id)}

    def joined_ms(self, customer_id: str) -> int:
        """Return from when on an id goes by the end: statements up to then connect both."""
        known: dict[str, set[str]] = {}
        both: set[str] = set()
        following = iter(self.statements)
        said = self.statements[0]
        while not {customer_id, self.end} <= both:
            said = next(following)
            both = known.get(said.alias, {said.alias}) | known.get(said.customer_id, {said.customer_id})
            known |= dict.fromkeys(both, both)
        return said.at_ms

    def identifiers(self) -> Counter[str]:
        """Return how many identifiers there are of each namespace."""
        known = {(said.namespace, said.alias) for said in self.statements if said.kind == LINK and said.namespace}
        return Counter(namespace for namespace, _ in known)


def _connect(statements: Sequence[Statement]) -> tuple[str, Statement | None]:
    """Return the end of connected ids, and a statement that says nothing new, if there is one."""
    above: dict[str, str] = {}
    unneeded = None
    last = ""

    def find(each: str) -> str:
        while (next_ := above.get(each)) is not None:
            each = next_
        return each

    for said in statements:
        start, end = find(said.alias), find(said.customer_id)
        if start == end:
            unneeded = said
        else:
            above[start] = end
            last = end
    return find(last), unneeded


class Identities:
    """All groups of a deployment.

    Parameters
    ----------
    rules
        What is refused.
    """

    def __init__(self, rules: IdentityRules = NO_RULES) -> None:
        self.rules = rules
        self._groups: dict[str, Group] = {}
        self._linked: dict[str, str] = {}
        self._shared: set[str] = set()
        self.ends: dict[str, str] = {}
        """Of each id that goes by another one, that one."""

    def __len__(self) -> int:
        return len(self.ends)

    def end_of(self, customer_id: str) -> str:
        """Return the id that a customer goes by."""
        return self.ends.get(customer_id, customer_id)

    def group_of(self, customer_id: str) -> Group | None:
        """Return the group of an id; None if it is alone."""
        return self._groups.get(customer_id)

    def is_shared(self, customer_id: str) -> bool:
        """Return whether an id has turned out to be of several customers."""
        return customer_id in self._shared

    def take(self, said: Statement) -> list[Merge] | Refused:
        """Take a statement in; return whose state goes over to whom, in order, or why it does not count."""
        refused = self._refuse_alone(said)
        if refused is not None:
            return refused
        own, other = self._groups.get(said.alias), self._groups.get(said.customer_id)
        if own is not None and own is other:
            return self._take_within(said, own)
        if said.kind == LINK and (shared := self._share(said)) is not None:
            return shared
        refused = self._refuse_joined(said, own, other)
        if refused is not None:
            return refused
        self._note_link(said)
        return self._put(self._joined(said), [self.end_of(said.alias), self.end_of(said.customer_id)])

    def state(self) -> list[list[Any]]:
        """Return as JSON values all statements that count, and those that show what is shared."""
        groups = {id(group): group for group in self._groups.values()}
        said = sorted(each for group in groups.values() for each in group.statements)
        linked = [[alias, customer_id] for alias, customer_id in sorted(self._linked.items())]
        return [[list(each) for each in said], linked, sorted(self._shared)]

    def load_state(self, state: Sequence[Sequence[Any]]) -> None:
        """Go on from where `state` was taken."""
        said, linked, shared = state
        self._linked, self._shared = dict(linked), set(shared)
        for each in said:
            self._put(self._joined(Statement(*each)), [])

    # --- what is refused ---

    def _refuse_alone(self, said: Statement) -> Refused | None:
        for name, value in (("alias", said.alias), ("customer_id", said.customer_id)):
            if self.rules.blocked_form(value) in self.rules.blocked:
                return Refused("blocked_identity", f"{name}: {value!r}, expected an id of one person")
        if said.alias == said.customer_id:
            return Refused("identity_cycle", f"alias: {said.alias!r}, expected another id than customer_id")
        if said.kind == LINK and said.alias in self._shared:
            return Refused("shared_alias", f"alias: {said.alias!r} is of several customers, expected one of one")
        return None

    def _refuse_joined(self, said: Statement, own: Group | None, other: Group | None) -> Refused | None:
        rules = self.rules
        size = (len(own.ids) if own else 1) + (len(other.ids) if other else 1)
        if size - 1 > rules.merges_max:
            return Refused(
                "too_many_merges", f"customer_id: {said.customer_id!r} with {size - 1} ids, expected {rules.merges_max}"
            )
        counts = [group.identifiers() if group else Counter[str]() for group in (own, other)]
        identifying = {name for count in counts for name in count if self._namespace(name).priority == 1}
        if all(identifying & count.keys() for count in counts):
            if rules.merge_identified:
                return None
            return Refused("both_identified", f"alias: {said.alias!r}, expected that one of both is not identified")
        if said.kind == LINK and said.namespace:
            counts[0][said.namespace] += not _is_known(said, own)
        for name, count in (counts[0] + counts[1]).items():
            if count > self._namespace(name).limit:
                limit = self._namespace(name).limit
                return Refused("too_many_identifiers", f"namespace: {count} of {name!r}, expected at most {limit}")
        return None

    def _namespace(self, name: str) -> Namespace:
        return self.rules.namespaces.get(name, _OTHERS)

    # --- what counts ---

    def _take_within(self, said: Statement, group: Group) -> list[Merge] | Refused:
        """Take in what connects ids that are connected already: it counts in place of a later one, if there is one."""
        fuller = Group((*group.statements, said))
        unneeded = fuller.unneeded
        self._note_link(said)
        if unneeded is None or unneeded == said:
            if said.alias in _followed(group, said.customer_id):
                return Refused(
                    "identity_cycle", f"alias: {said.alias!r}, expected none that {said.customer_id!r} goes by"
                )
            return []
        kept = list(fuller.statements)
        kept.remove(unneeded)
        return self._put(Group(kept), [group.end])

    def _note_link(self, said: Statement) -> None:
        if said.kind == LINK:
            self._linked.setdefault(said.alias, said.customer_id)

    def _share(self, said: Statement) -> Refused | None:
        """See whether an alias turns out to be of two customers; it goes by none then."""
        known = self._linked.get(said.alias)
        if known is None or self.end_of(known) == self.end_of(said.customer_id):
            return None
        self._shared.add(said.alias)
        self._take_apart(self._groups[said.alias], said.alias)
        return Refused("shared_alias", f"alias: {said.alias!r} is {known!r}'s already, expected one of one customer")

    def _take_apart(self, group: Group, alias: str) -> None:
        """Forget that an alias is anybody's, but not who is connected otherwise."""
        for each in group.ids:
            self._groups.pop(each, None)
            self.ends.pop(each, None)
        for said in group.statements:
            if said.alias == alias and said.kind == LINK:
                continue
            self._put(self._joined(said), [])

    def _joined(self, said: Statement) -> Group:
        """Return the groups of both ids as one that a statement connects."""
        groups = (self._groups.get(said.alias), self._groups.get(said.customer_id))
        return Group([*(each for group in groups if group for each in group.statements), said])

    def _put(self, group: Group, ends: Iterable[str]) -> list[Merge]:
        """Let a group be that of its ids; return whose state goes over to its end, of those who were ends so far."""
        for each in group.ids:
            self._groups[each] = group
            self.ends[each] = group.end
        self.ends.pop(group.end, None)
        return [Merge(end, group.end) for end in dict.fromkeys(ends) if end != group.end]


_OTHERS: Final = Namespace()


def _is_known(said: Statement, group: Group | None) -> bool:
    return group is not None and any(
        each.alias == said.alias and each.namespace == said.namespace and each.kind == LINK for each in group.statements
    )


def _followed(group: Group, customer_id: str) -> set[str]:
    """Return the ids that an id goes by according to the statements of its group, one after the other."""
    found: set[str] = set()
    open_ = [customer_id]
    while open_:
        each = open_.pop()
        following = {said.customer_id for said in group.statements if said.alias == each} - found
        found |= following
        open_ += following
    return found
