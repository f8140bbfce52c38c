"""Ids that are one customer's, in the same partition or in different ones: a row goes from one to the other.

In one partition two rows are joined by an event (`native/joining.c`). Over two, the partition of the alias lets it end
and gives its row away, in one step; the customer's partition takes it in, in another one, whenever it arrives. Rows
join in any order, so it does not matter how many events and other rows come in between. A carrier has to bring
each row once: this module knows of none.

Nobody moves time by this: a statement on an id counts when it is known, at an instant that the partition has come to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.events import MERGE, Event, Events, pack_events
from stream_app.core.partition import NO_SWEEPS, Partition, Reached
from stream_app.core.processor import Outcome, process_events

JOINS: Final = 0
HANDS_OVER: Final = 1
TAKES_OVER: Final = 2
"""What an event of the kind `MERGE` says in place of an amount, as `native/joining.c` has it."""
_BROUGHT: Final = "\0"
"""Begins the ids under which rows lie that are being taken in: no customer's, as ids hold no control characters."""


class Going(NamedTuple):
    """That an id ends.

    Attributes
    ----------
    ended, into
        Which, and the one that its customer goes by.
    at_ms
        From when on.
    offset
        Of the statement by which that is known.
    stays
        Whether the other one is in the same partition.
    """

    ended: str
    into: str
    at_ms: int
    offset: int
    stays: bool


class Handed(NamedTuple):
    """A row on its way.

    Attributes
    ----------
    ended, into
        Whose it was, and whose it is to be.
    at_ms
        When it was given away, by the time of its customers.
    row
        As it stood, encoded.
    """

    ended: str
    into: str
    at_ms: int
    row: bytes


class Ended(NamedTuple):
    """What came of ids that end.

    Attributes
    ----------
    outcome
        Moves and changed rows.
    events
        What moves name as their cause.
    handed
        Rows that go to other partitions.
    """

    outcome: Outcome
    events: Events
    handed: list[Handed]


def end_ids(partition: Partition, going: Sequence[Going]) -> Ended:
    """Let ids end that have rows here, each one once, at instants that the partition has come to."""
    table = partition.table
    numbers = [table.find(each.ended) for each in going]
    leaving = [(number, each) for number, each in zip(numbers, going, strict=True) if not each.stays]
    rows = table.encode_all([number for number, _ in leaving])
    events = pack_events(
        [Event(MERGE, each.into, each.ended, each.at_ms, "merge") for each in going],
        [each.offset for each in going],
        0,
    )
    events.records["amount_minor"] = [JOINS if each.stays else HANDS_OVER for each in going]
    watermarks_ms = np.full(len(going), partition.clock.watermark_ms, np.int64)
    outcome = process_events(partition, events, NO_SWEEPS, Reached(watermarks_ms, partition.trust))
    ended_at_ms = table.closed_at_ms[[number for number, _ in leaving]].tolist()
    handed = [
        Handed(each.ended, each.into, at_ms, row)
        for (_, each), at_ms, row in zip(leaving, ended_at_ms, rows, strict=True)
    ]
    return Ended(outcome, events, handed)


def event_of(handed: Handed) -> Event:
    """Return the event that a row which arrives is."""
    return Event(MERGE, handed.into, handed.ended, handed.at_ms, "merge", TAKES_OVER)


def take_over(partition: Partition, events: Events, rows: Sequence[bytes], reached: Reached | None = None) -> Outcome:
    """Let customers continue with rows that were handed over.

    Parameters
    ----------
    events
        As `event_of` gives them, nothing else.
    rows
        Of each, what it brings.
    reached
        See `process_events`.

    Raises
    ------
    RowVersionUnknown, RowDamaged
        If a row cannot be read; nothing has changed then but that its customer may have an empty one.
    """
    table = partition.table
    brought = [f"{_BROUGHT}{number}" for number in range(len(rows))]
    for customer_id in dict.fromkeys(map(events.customer_id, range(len(events)))):
        if table.find(customer_id) < 0:
            table.insert(customer_id)
    table.bring(brought, rows)
    taking = [
        Event(MERGE, events.customer_id(index), name, int(events.records["at_ms"][index]), "merge", TAKES_OVER)
        for index, name in enumerate(brought)
    ]
    outcome = process_events(partition, pack_events(taking, events.records["offset"], 0), NO_SWEEPS, reached)
    table.take_back(brought)
    return outcome
