"""A scenario through the embedded runtime, and what is not as expected.

Inputs are fed in the order of their arrival. One that is late is fed once time has passed up to its arrival, and a
definition takes over once time has passed up to its instant. Who is in an audience is asked twice: of the moves, and of
the rows of a run that ends at the instant that is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from tests.scenarios.embedded import Embedded
from tests.scenarios.inputs import Document, Input
from tests.scenarios.notation import ALWAYS, Expectation, Move, Scenario, parse_scenario


class Verdict(NamedTuple):
    """What became of a scenario; nothing wrong if there are no complaints."""

    scenario: Scenario
    moves: Sequence[Move]
    complaints: Sequence[str]


def judge(document: Mapping[str, object]) -> Verdict:
    """Play a scenario and compare.

    Raises
    ------
    NotSupported
        If it asks for what does not exist.
    """
    scenario = parse_scenario(document)
    moves = play(scenario)
    complaints = [*differences(scenario, moves)]
    for expectation in scenario.expectations:
        complaints += _complaints_of_rows(scenario, expectation)
    return Verdict(scenario, moves, complaints)


def play(scenario: Scenario) -> list[Move]:
    """Return all moves of a scenario, in order."""
    return _moves_of(_play_until(scenario, scenario.end_ms))


def differences(scenario: Scenario, moves: Sequence[Move]) -> Iterator[str]:
    """Say how the moves differ from what a scenario expects."""
    for wanted in scenario.moves:
        if wanted not in moves:
            yield f"missing: {wanted}"
    if scenario.all_moves is not None:
        found = [f"missing: {move}" for move in scenario.all_moves if move not in moves]
        found += [f"too many: {move}" for move in moves if move not in scenario.all_moves]
        if not found and list(moves) != list(scenario.all_moves):
            found = [f"moves told {len(moves)} times, expected {len(scenario.all_moves)}"]
        yield from found
    for expectation in scenario.expectations:
        yield from _complaints(expectation, members_by(moves, expectation), "by its moves")


def members_by(moves: Sequence[Move], expectation: Expectation) -> frozenset[str]:
    """Return who is in an audience as of an instant, by its moves."""
    members: set[str] = set()
    for move in moves:
        if move.segmentation == expectation.segmentation and move.at_ms <= expectation.at_ms:
            (members.add if move.is_in else members.discard)(move.customer_id)
    return frozenset(members)


def _complaints_of_rows(scenario: Scenario, expectation: Expectation) -> Iterator[str]:
    embedded = _play_until(scenario, expectation.at_ms + 1)
    if expectation.segmentation in embedded.partition.table.ruled_names:
        held = embedded.members(expectation.segmentation)
        members = frozenset(customer_id for customer_id, segment in held.items() if segment is not None)
    else:
        members = frozenset()
    yield from _complaints(expectation, members, "by its rows")


def _complaints(expectation: Expectation, members: frozenset[str], source: str) -> Iterator[str]:
    if members != expectation.members:
        at = f"{expectation.segmentation} as of {expectation.at_ms} {source}"
        yield f"{at}: {sorted(members)}, expected {sorted(expectation.members)}"


def _play_until(scenario: Scenario, until_ms: int) -> Embedded:
    """Play what has arrived before an instant, and let time pass up to it."""
    embedded = Embedded(_entries(scenario, ALWAYS), scenario.lists)
    inputs = [each for each in scenario.inputs if each.arrives_ms < until_ms]
    instants = sorted({adoption.from_ms for adoption in scenario.adoptions if ALWAYS < adoption.from_ms < until_ms})
    for instant_ms in instants:
        _feed(embedded, [each for each in inputs if each.arrives_ms < instant_ms])
        inputs = [each for each in inputs if each.arrives_ms >= instant_ms]
        embedded.sweep(instant_ms)
        embedded.adopt(_entries(scenario, instant_ms))
    _feed(embedded, inputs)
    embedded.sweep(until_ms)
    return embedded


def _entries(scenario: Scenario, from_ms: int) -> list[Document]:
    """Return the definitions that take over at an instant."""
    return [adoption.entry for adoption in scenario.adoptions if adoption.from_ms == from_ms]


def _feed(embedded: Embedded, inputs: Sequence[Input]) -> None:
    """Feed inputs in the order of arrival; what comes in time, together."""
    for is_late, run in groupby(inputs, key=lambda each: each.arrives_ms > each.at_ms):
        if not is_late:
            embedded.feed(list(run))
            continue
        for arrives_ms, late in groupby(run, key=lambda each: each.arrives_ms):
            embedded.sweep(arrives_ms)
            embedded.feed(list(late))


def _moves_of(embedded: Embedded) -> list[Move]:
    told = embedded.told_by_rules()
    return sorted(Move(move.at_ms, move.segmentation, move.customer_id, move.segment is not None) for move in told)
