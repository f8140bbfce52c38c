"""A scenario through the brute-force evaluator alone: shows that translation and expectations agree."""

from __future__ import annotations

from tests.scenarios.inputs import Document
from tests.scenarios.notation import Move, Scenario
from tests.support.brute_moves import Counted, Known, Version, moves_by_brute_force


def moves_of(scenario: Scenario) -> list[Move]:
    """Return all moves of a scenario; each input counts when it arrives."""
    seen: set[tuple[str, str]] = set()
    inputs = []
    for each in scenario.inputs:
        if (each.customer_id, each.event_id) not in seen:
            seen.add((each.customer_id, each.event_id))
            inputs.append(Counted(each, each.arrives_ms))
    told = moves_by_brute_force(versions_of(scenario), inputs, scenario.end_ms, Known(scenario.lists))
    return sorted(Move(move.at_ms, move.segmentation, move.customer_id, move.segment is not None) for move in told)


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
