"""Compares rows of the library with the reference's after each of many events.

`python -m tests.native.equality --events 400000`
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream_app.core.customers import CustomerTable
from stream_app.core.events import Event
from tests.native.histories import FOLDED, QUIET, REPEATED, TOO_OLD, as_records, fold, mixed_events
from tests.reference.folding import fold_events
from tests.reference.row import ACTIVITY, NO_MEMBERSHIP, Row, encode_row

_MEMBERSHIPS = {"value": NO_MEMBERSHIP.tobytes()}
_BLOCK = 50_000


class Difference(NamedTuple):
    """The first event after which a row of the library is another than the reference's."""

    number: int
    event: Event
    row: bytes
    expected: bytes


def first_difference(events: Sequence[Event], table: CustomerTable, rows: dict[str, Row]) -> Difference | None:
    """Fold events into both, and compare the encoded row after each, and what is said of the event."""
    trail = bytearray(ACTIVITY.size)
    for number, (event, record) in enumerate(zip(events, as_records(events)[:, np.newaxis], strict=True)):
        row = table.insert(event.customer_id)
        (outcome,) = fold(table, np.array([row]), record)
        folded = fold_events(rows.get(event.customer_id, Row()), [event], trail, 0, table.timezone)
        rows[event.customer_id] = folded.row
        said = QUIET if folded.in_session[0] else FOLDED
        if folded.duplicates:
            said = TOO_OLD if folded.too_old else REPEATED
        encoded, expected = table.encode(row), encode_row(folded.row, _MEMBERSHIPS)
        if encoded != expected or outcome != said:
            return Difference(number, event, encoded, expected)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    compared = 0
    table, rows = CustomerTable(), dict[str, Row]()
    for block in range(-(-arguments.events // _BLOCK)):
        events = mixed_events(arguments.seed + 1_000 * block, min(_BLOCK, arguments.events - compared))
        if (difference := first_difference(events, table, rows)) is not None:
            raise SystemExit(f"event {compared + difference.number}: {difference}")
        compared += len(events)
        table, rows = CustomerTable(), {}
    print(f"{compared} events: rows equal after each")


if __name__ == "__main__":
    main()
