"""Privacy requests carried out: a customer is erased, kept out, or let in again.

A request comes among the events by its time. It is carried out between two instants, behind all that happened at its
own: the customer leaves every segment, by one last move each that says `erasure`; the row goes, and with it everything
that was folded; what is left is a mark (`stream_app.core.marks`), without an id. Whatever is dated before the request
and comes later is refused by the mark.

A request is nobody's act: it moves no clock, starts no time and is no sign of life. So it is set aside as it comes out
of the merge (`set_requests_aside`), and never seen by a step.

What is done depends on the inputs and on the order in which a partition takes them, not on how they were cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ERASURE, NO_EVENTS, PRIVACY_REQUEST, Event, Events, pack_events
from stream_app.core.marks import Mark, Marks, Sifted
from stream_app.core.partition import Partition, Reached
from stream_app.core.processor import Outcome, process_events
from stream_app.core.records import Batch, Skipped
from stream_app.core.row import MERGED_MS
from stream_app.native.structures import SKIPPED

ERASE: Final = "erase"
SUPPRESS: Final = "suppress"
UNSUPPRESS: Final = "unsuppress"
EXPORT: Final = "export"
REQUEST_TYPES: Final = (ERASE, SUPPRESS, UNSUPPRESS, EXPORT)


class Request(NamedTuple):
    """A privacy request: in place of the content of its record, once it is set aside.

    `source` and `offset` are the record's.
    """

    request_id: str
    type: str
    customer_id: str
    at_ms: int
    jurisdiction: str = ""
    source: int = 0
    offset: int = 0


class Part(NamedTuple):
    """Records up to requests, and these.

    Attributes
    ----------
    records
        Without the requests.
    requests
        What is to be done behind them, as records.
    """

    records: Batch
    requests: Batch


class Erased(NamedTuple):
    """A customer whose row is gone.

    Attributes
    ----------
    customer_id
        Who it was.
    row, last
        The number that the row had, and that of the row that has taken it: the last one.
    """

    customer_id: str
    row: int
    last: int


class CarriedOut(NamedTuple):
    """What came of requests.

    Attributes
    ----------
    outcome
        The last moves; None where nobody was there to move. Its row numbers are those before rows were removed.
    events
        That the moves name as their causes.
    sequences
        By customer who had a row, what is left of it, see `stream_app.core.marks`.
    """

    outcome: Outcome | None
    events: Events
    sequences: dict[str, bytes]


def set_requests_aside(batch: Batch) -> Batch:
    """Return records of which privacy requests are no events: others of this kind, with a `Request` as content."""
    places = np.flatnonzero(batch.records["kind"] == PRIVACY_REQUEST)
    places = places[batch.is_event[places]]
    if not len(places):
        return batch
    events = Events(batch.records, batch.texts)
    others = list(batch.others)
    records = batch.records.copy()
    for place in places.tolist():
        event = events.event(place)
        records["text_at"][place] = len(others)
        request = Request(event.event_id, event.type, event.customer_id, event.at_ms, event.kept.decode())
        others.append(Skipped(request))
    records["status"][places], records["at_ms"][places], records["kind"][places] = SKIPPED, NO_TIME, 0
    return Batch(batch.watermarks_ms, records, batch.texts, others, batch.rows)


def request_places(batch: Batch) -> list[int]:
    """Return the indices of requests that were set aside, ascending."""
    if not batch.others:
        return []
    return [
        index
        for index, other in batch.others_by_index()
        if isinstance(other, Skipped) and isinstance(other.record, Request)
    ]


def requests_of(batch: Batch) -> list[Request]:
    """Return the requests among records."""
    sources, offsets = batch.sources.tolist(), batch.offsets.tolist()
    return [
        other.record._replace(source=sources[index], offset=offsets[index])
        for index, other in batch.others_by_index()
        if isinstance(other, Skipped) and isinstance(other.record, Request)
    ]


def parts_at_requests(batch: Batch) -> Iterator[Part]:
    """Cut records behind the instants at which there are requests; the last part may have none."""
    places = request_places(batch)
    boundaries, start = batch.instants(), 0
    while places:
        found = int(np.searchsorted(boundaries, places[0]))
        end = int(boundaries[found]) if found < len(boundaries) else len(batch)
        within = [place for place in places if place < end]
        is_request = np.zeros(end - start, np.bool_)
        is_request[np.array(within) - start] = True
        part = batch.part(start, end)
        yield Part(part.take(np.flatnonzero(~is_request)), part.take(np.flatnonzero(is_request)))
        places, start = places[len(within) :], end
    if start < len(batch):
        yield Part(batch.part(start, len(batch)), batch.part(0, 0))


def readmit(partition: Partition, marks: Marks, sifted: Sifted) -> None:
    """Let customers who may be known again continue from the sequences that their marks have kept."""
    events, table = Events(sifted.batch.records, sifted.batch.texts), partition.table
    for index in sifted.returning.tolist():
        customer_id = events.customer_id(index)
        mark = marks.by_hash.get(marks.hash_of(int(sifted.batch.records["customer_hash"][index])))
        if mark is not None and mark.sequences and table.find(customer_id) < 0:
            table.reserve(1)
            table.restore(customer_id, mark.sequences)


def forgets(request_type: str) -> bool:
    """Return whether a request of this type erases what is known."""
    return request_type in (ERASE, SUPPRESS)


def leave_everything(partition: Partition, requests: Sequence[Request]) -> CarriedOut:
    """Have those customers who are to be forgotten, and are known, leave all segments; their rows stay, blank.

    `remove_rows` is to follow, once it is noted which rows have changed.
    """
    table = partition.table
    wanted = {request.customer_id: request for request in requests if forgets(request.type)}
    known = {customer_id: row for customer_id in wanted if (row := table.find(customer_id)) >= 0}
    if not known:
        return CarriedOut(None, NO_EVENTS, {})
    asked = [wanted[customer_id] for customer_id in known]
    offsets = [request.offset for request in asked]
    events = pack_events([_erasure(request) for request in asked], offsets, asked[0].source)
    before = {row: _Sequences.of(table, row) for row in known.values()}
    moves_no_clock = Reached(np.full(len(events), NO_TIME), partition.trust)
    outcome = process_events(partition, events, reached=moves_no_clock)._replace(applied=0, late=0)
    sequences = {
        customer_id: before[row].left(partition, row, outcome, wanted[customer_id].at_ms)
        for customer_id, row in known.items()
    }
    return CarriedOut(outcome, events, sequences)


def _erasure(request: Request) -> Event:
    return Event(ERASURE, request.customer_id, "", request.at_ms, request.type)


class _Sequences(NamedTuple):
    """The sequences of a row: of memberships, of places, and up to when its moves have been published."""

    memberships: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]
    closed_at_ms: int

    @classmethod
    def of(cls, table: CustomerTable, row: int) -> _Sequences:
        """Return those that a row has now."""
        memberships, places = table.memberships["sequence"], table.places["sequence"]
        return cls(memberships[:, row].copy(), places[:, row].copy(), int(table.closed_at_ms[row]))

    def left(self, partition: Partition, row: int, outcome: Outcome, at_ms: int) -> bytes:
        """Return what is left of the row once it has left everything, encoded."""
        table = partition.table
        memberships, places = self.memberships.copy(), self.places.copy()
        for move in outcome.moves[outcome.moves["row"] == row]:
            column = partition.column_of(partition.names[int(move["segmentation"])])
            of_rules = column - len(table.names)
            sequences, place = (memberships, column) if of_rules < 0 else (places, of_rules)
            sequences[place] = max(int(sequences[place]), int(move["sequence"]))
        places[len(table.ruled_names) :] += 1  # of notices: one may have been averted just now
        table.memberships["sequence"][:, row], table.places["sequence"][:, row] = memberships, places
        table.closed_at_ms[row] = max(self.closed_at_ms, at_ms)
        table.activity["first_at_ms"][row] = MERGED_MS
        return table.encode(row)


def remove_rows(table: CustomerTable, customer_ids: Iterable[str]) -> list[Erased]:
    """Remove the rows of customers who have left everything."""
    erased = []
    for customer_id in customer_ids:
        row = table.find(customer_id)
        table.remove(customer_id)
        erased.append(Erased(customer_id, row, len(table)))
    return erased


def next_mark(
    before: Mark | None, request: Request, offsets: Mapping[str, int], accepted_ms: int, due_ms: int, sequences: bytes
) -> Mark | None:
    """Return the mark that a customer has after a request; None where none is to be made.

    Parameters
    ----------
    before
        The one it has.
    offsets
        How far the inputs are folded.
    accepted_ms, due_ms
        See `Mark`.
    sequences
        What its row has left; empty if there was none.
    """
    was_suppressed = before is not None and before.is_suppressed
    if request.type == EXPORT or (request.type == UNSUPPRESS and not was_suppressed):
        return None
    return Mark(
        before_ms=max(request.at_ms, 0 if before is None else before.before_ms),
        offsets=dict(offsets),
        is_suppressed=request.type == SUPPRESS or (was_suppressed and request.type != UNSUPPRESS),
        requested_ms=request.at_ms,
        accepted_ms=accepted_ms,
        due_ms=due_ms,
        sequences=sequences or (b"" if before is None else before.sequences),
    )


def customer_hash(customer_id: str) -> int:
    """Return the hash of an id that events carry, too."""
    return xxh3_64_intdigest(customer_id.encode())
