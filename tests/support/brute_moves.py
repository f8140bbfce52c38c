"""The moves that definitions make of customers, by brute force: `stream_app.audit.brute_moves` for whole worlds.

Definitions that begin or change at an instant are evaluated part by part: what was in force before decides up to that
instant, what comes then decides from it on, and a customer that is where it was has not moved. Inputs are turned into
what the evaluator looks at here, by nothing but their JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple
from unittest import mock

from stream_app.audit import brute_rules, brute_values
from stream_app.audit.brute_moves import moves
from stream_app.audit.brute_rules import Customer, Definitions
from stream_app.audit.brute_values import Act, Observation
from tests.scenarios.inputs import PROFILES, PURCHASES, Document, Input

BEGINNING_MS = -(2**62)
"""Since when a definition is in force that names no instant."""
Held = Mapping[str, Sequence[tuple[int, str | None]]]
Figures = Callable[[str, int], tuple[float, float] | None]


class Told(NamedTuple):
    """A customer's move to a segment, None for out of an audience; as what is compared."""

    at_ms: int
    segmentation: str
    customer_id: str
    segment: str | None


class Counted(NamedTuple):
    """An input, and the instant from which on it counts."""

    input: Input
    known_ms: int


class Version(NamedTuple):
    """Entries of `segmentations.yaml` in force from an instant on."""

    from_ms: int
    entries: Sequence[Document]


@dataclass(frozen=True)
class Known:
    """All that is known of customers beside their inputs.

    Parameters
    ----------
    lists
        Ids by name.
    timezone
        Of conditions that name none.
    held
        Of each customer, where it is in segmentations that are not by rules.
    figures
        Of each customer, its figures.
    ends
        Of customers who go by another id from an instant on, that instant: they are nowhere then.
    """

    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    timezone: str = "UTC"
    held: Mapping[str, Held] = field(default_factory=dict)
    figures: Mapping[str, Figures] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)


def moves_by_brute_force(
    versions: Sequence[Version], inputs: Sequence[Counted], until_ms: int, known: Known | None = None
) -> list[Told]:
    """Return the moves of all customers before an instant, in order.

    Parameters
    ----------
    versions
        Ascending; each says all that is in force from its instant on.
    inputs
        Without those that were delivered before.
    """
    with without_margins():
        return _moves_of_all(versions, inputs, until_ms, known or Known())


@contextmanager
def without_margins() -> Iterator[None]:
    """Have sums compared as they are: numbers of tests add up without rounding, so a border is a border."""
    with mock.patch.object(brute_rules, "BORDER", 0.0), mock.patch.object(brute_values, "BORDER", 0.0):
        yield


def _moves_of_all(versions: Sequence[Version], inputs: Sequence[Counted], until_ms: int, known: Known) -> list[Told]:
    told: list[Told] = []
    for customer_id in sorted({counted.input.customer_id for counted in inputs}):
        customer = customer_of(customer_id, inputs, known)
        held: dict[str, str | None] = {}
        end_ms = min(until_ms, known.ends.get(customer_id, until_ms))
        for version, then in pairwise([*versions, Version(until_ms, [])]):
            if version.from_ms >= end_ms:
                break
            found: dict[tuple[int, str], str | None] = {}
            definitions = definitions_of(version.entries, known)
            for move in moves(definitions, customer, version.from_ms, min(then.from_ms, end_ms)):
                found[move.at_ms, move.segmentation] = move.segment
            for name in definitions.segmentations:
                if held.get(name) is not None:
                    found.setdefault((version.from_ms, name), None)
            for (at_ms, name), segment in sorted(found.items(), key=lambda item: item[0]):
                if held.get(name) != segment:
                    told.append(Told(at_ms, name, customer_id, segment))
                    held[name] = segment
        if end_ms < until_ms:
            told += [Told(end_ms, name, customer_id, None) for name, segment in held.items() if segment is not None]
    return sorted(told, key=order_of)


def order_of(move: Told) -> tuple[Any, ...]:
    """Return what lists of moves are ordered by."""
    return move.at_ms, move.segmentation, move.customer_id, move.segment or ""


def definitions_of(entries: Sequence[Document], known: Known) -> Definitions:
    """Return what the evaluator looks at."""
    lists = {name: frozenset(ids) for name, ids in known.lists.items()}
    return Definitions({entry["name"]: entry for entry in entries}, lists, known.timezone)


def customer_of(customer_id: str, inputs: Sequence[Counted], known: Known) -> Customer:
    """Return a customer as the evaluator sees it."""
    own = [counted for counted in inputs if counted.input.customer_id == customer_id]
    return Customer(
        customer_id,
        [act_of(each) for each in own if each.input.topic != PROFILES],
        [
            Observation(each.input.at_ms, each.input.fields["traits"], each.known_ms)
            for each in own
            if each.input.topic == PROFILES
        ],
        known.figures.get(customer_id),
        known.held.get(customer_id, {}),
    )


def act_of(counted: Counted) -> Act:
    """Return an act with its fields as `where` names them."""
    record = counted.input
    fields = {name: value for name, value in record.fields.items() if name != "total"}
    if record.topic == PURCHASES:
        fields["amount"] = float(record.fields["total"])
    return Act(record.at_ms, str(record.fields["type"]), fields, counted.known_ms)
