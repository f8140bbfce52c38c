"""A scenario through the brute-force evaluator alone: shows that translation and expectations agree."""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.core.identities import Identities, Statement
from tests.scenarios.inputs import CONSENTS, IDENTITIES, Document, Input, profile
from tests.scenarios.notation import Move, Scenario
from tests.support.brute_moves import Counted, Known, Version, moves_by_brute_force

LIFE = "\0"
"""Before the number of a customer's life."""


def moves_of(scenario: Scenario) -> list[Move]:
    """Return all moves of a scenario; each input counts when it arrives."""
    counting = _Counting()
    for each in scenario.inputs:
        counting.take(each)
    lists = {name: counting.with_lives(ids) for name, ids in scenario.lists.items()}
    known = Known(lists, ends=counting.ends)
    told = moves_by_brute_force(versions_of(scenario), counting.found, scenario.end_ms, known)
    return sorted(
        Move(move.at_ms, move.segmentation, move.customer_id.partition(LIFE)[0], move.segment is not None)
        for move in told
    )


class _Counting:
    """Finds the inputs that are new, under each id that they count for, and when ids have ended.

    Who withdraws its consent ends, and who gives it again is somebody else to the evaluator: another life.
    """

    def __init__(self) -> None:
        self.found: list[Counted] = []
        self.ends: dict[str, int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._identities = Identities()
        self._lives: dict[str, int] = {}
        self._said: dict[str, dict[str, tuple[int, bool]]] = {}
        self._since_ms: dict[str, int] = {}

    def with_lives(self, ids: Sequence[str]) -> list[str]:
        """Return ids of customers, and of their further lives."""
        return [f"{each}{LIFE}{life}" if life else each for each in ids for life in range(self._lives.get(each, 0) + 1)]

    def take(self, each: Input) -> None:
        """Take an input in as it arrives."""
        if each.topic == IDENTITIES:
            self._merge(each)
            return
        each = each._replace(customer_id=self._identities.end_of(each.customer_id))
        if each.topic == CONSENTS:
            self._follow(each)
        elif not self._is_barred(each.customer_id) and each.at_ms >= self._since_ms.get(each.customer_id, each.at_ms):
            self._count(each)

    def _life(self, customer_id: str) -> str:
        life = self._lives.get(customer_id, 0)
        return f"{customer_id}{LIFE}{life}" if life else customer_id

    def _is_barred(self, customer_id: str) -> bool:
        return not self._said.get(customer_id, {}).get("segmentation", (0, True))[1]

    def _count(self, each: Input, known_ms: int | None = None) -> None:
        life = self._life(each.customer_id)
        if (life, each.event_id) not in self._seen:
            self._seen.add((life, each.event_id))
            self.found.append(Counted(each._replace(customer_id=life), known_ms or each.arrives_ms))

    def _follow(self, each: Input) -> None:
        customer_id, purpose = each.customer_id, each.fields["purpose"]
        was_barred, said = self._is_barred(customer_id), self._said.setdefault(customer_id, {})
        new = each.at_ms, each.fields["decision"] == "granted"
        if purpose in said and (new[0], not new[1]) <= (said[purpose][0], not said[purpose][1]):
            return
        said[purpose] = new
        if self._is_barred(customer_id):
            self.ends.setdefault(self._life(customer_id), each.arrives_ms)
            return
        if was_barred:
            self._lives[customer_id] = self._lives.get(customer_id, 0) + 1
            self._since_ms[customer_id] = each.at_ms
        for name, (at_ms, is_granted) in said.items():
            traits = {f"consent.{name}": is_granted}
            made = profile(customer_id, at_ms, f"{name} {at_ms} {is_granted}", traits)
            self._count(made._replace(arrives_ms=each.arrives_ms))

    def _merge(self, each: Input) -> None:
        said = Statement(each.at_ms, each.fields["alias"], each.customer_id, "merge")
        taken = self._identities.take(said)
        for ended, into in taken if isinstance(taken, list) else ():
            self.ends[ended] = each.arrives_ms
            own = [counted for counted in self.found if counted.input.customer_id == ended]
            self.found += [Counted(one.input._replace(customer_id=into), each.arrives_ms) for one in own]
            self._seen |= {(into, one.input.event_id) for one in own}


def versions_of(scenario: Scenario) -> list[Version]:
    """Return what is in force from when on."""
    versions: list[Version] = []
    in_force: dict[str, Document] = {}
    for adoption in scenario.adoptions:
        in_force[adoption.entry["name"]] = adoption.entry
        if versions and versions[-1].from_ms == adoption.from_ms:
            versions.pop()
        versions.append(Version(adoption.from_ms, list(in_force.values())))
    return versions
