"""Ids that are one customer's in different partitions: the row goes from the one to the other.

The alias's partition lets the alias end and gives its row away, in one step; the customer's partition takes it in, in
another one, whenever it arrives. Rows join in any order, so it does not matter how many events and other rows come in
between. Whoever carries a row has to do so once: this module knows of no carrier.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_app.core.events import MERGE, Event, Events, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events

HANDS_OVER: Final = 1
TAKES_OVER: Final = 2
"""What an event of the kind `MERGE` says in place of an amount, as `native/joining.c` has it."""
BROUGHT_ID: Final = "\0brought"
"""Under this id a row lies that has arrived and is being taken in: no customer's, as ids hold no control characters."""


class Handed(NamedTuple):
    """A row on its way.

    Attributes
    ----------
    ended, into
        Whose it was, and whose it is to be.
    at_ms
        From when on that is known.
    row
        As it stood, encoded.
    """

    ended: str
    into: str
    at_ms: int
    row: bytes


def hand_over(partition: Partition, ended: str, into: str, at_ms: int) -> tuple[Outcome, Events, Handed | None]:
    """Let an id end whose customer is in another partition.

    Returns
    -------
    tuple
        What came of it, the event that its moves name, and the row; None if nothing is known of the id.
    """
    number = partition.table.find(ended)
    is_here = number >= 0 and not partition.table.has_ended(number)
    handed = Handed(ended, into, at_ms, partition.table.encode(number)) if is_here else None
    events = _event(ended, into, at_ms, HANDS_OVER)
    return process_events(partition, events), events, handed


def take_over(partition: Partition, handed: Handed) -> tuple[Outcome, Events]:
    """Let a customer go on with a row that was handed over; return what came of it, and the event that moves name.

    Raises
    ------
    RowVersionUnknown, RowDamaged
        If the row cannot be read.
    """
    partition.table.bring(BROUGHT_ID, handed.row)
    events = _event(BROUGHT_ID, handed.into, handed.at_ms, TAKES_OVER)
    outcome = process_events(partition, events)
    return outcome, events


def _event(ended: str, into: str, at_ms: int, part: int) -> Events:
    events = pack_events([Event(MERGE, into, ended, at_ms, "merge")], [0], 0)
    events.records["amount_minor"] = part
    return events
