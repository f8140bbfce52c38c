"""A scenario through the brute-force evaluator alone: shows that translation and expectations agree."""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.core.identities import Identities, Statement
from tests.scenarios.inputs import IDENTITIES, Document, Input
from tests.scenarios.notation import Move, Scenario
from tests.support.brute_moves import Counted, Known, Version, moves_by_brute_force


def moves_of(scenario: Scenario) -> list[Move]:
    """Return all moves of a scenario; each input counts when it arrives."""
    inputs, ends = _counted(scenario.inputs)
    known = Known(scenario.lists, ends=ends)
    told = moves_by_brute_force(versions_of(scenario), inputs, scenario.end_ms, known)
    return sorted(Move(move.at_ms, move.segmentation, move.customer_id, move.segment is not None) for move in told)


def _counted(inputs: Sequence[Input]) -> tuple[list[Counted], dict[str, int]]:
    """Return the inputs that are new, under each id that they count for, and when ids have ended."""
    seen: set[tuple[str, str]] = set()
    found: list[Counted] = []
    ends: dict[str, int] = {}
    identities = Identities()
    for each in inputs:
        if each.topic != IDENTITIES:
            each = each._replace(customer_id=identities.end_of(each.customer_id))
            if (each.customer_id, each.event_id) not in seen:
                seen.add((each.customer_id, each.event_id))
                found.append(Counted(each, each.arrives_ms))
            continue
        said = Statement(each.at_ms, each.fields["alias"], each.customer_id, "merge")
        taken = identities.take(said)
        for ended, into in taken if isinstance(taken, list) else ():
            ends[ended] = each.arrives_ms
            own = [counted for counted in found if counted.input.customer_id == ended]
            found += [Counted(one.input._replace(customer_id=into), each.arrives_ms) for one in own]
            seen |= {(into, one.input.event_id) for one in own}
    return found, ends


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
