"""Ids that are one customer's, in the loop of a partition.

Four things happen here, each between two records, so that nobody sees half of one:

- An event of an id that goes by another one is renamed if that one is in the same partition, and else *passed on* to
  its partition, rewritten. What is known at that moment decides, however long the record has waited.
- An id with a row that turns out to go by another one *ends*: its row joins the other one's, or is handed over to
  another partition, as a record in the transaction in which its memberships end. Of an id that has ended nothing is
  left to be done, so this may be tried any number of times, and no position has to say how far it has come.
- A row that arrives is taken over by its customer, or passed on if that one goes by another id by now.
- Partition 0 writes the dead letters of refused statements for all, and its position says up to which.

A row and the events that are passed on after it come on different topics. An event that was delivered twice, once
before its id ended and once after, may therefore arrive before the row that knows it: then it counts once in totals,
and twice in windows of conditions, which keep no ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from stream_app.adapters.record_blocks import BlockRecord, encode_headers
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.handovers import decode_handover, encode_handover, with_alias, with_customer
from stream_app.core.arrays import Indices
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Events
from stream_app.core.handing_over import Ended, Going, end_ids, take_over
from stream_app.core.partition import Partition, Reached, Sweeps
from stream_app.core.processor import Outcome, process_events
from stream_app.core.records import Batch, Rejection, Skipped, records_of_others
from stream_app.native.structures import UNNAMED
from stream_app.worker.identity_follower import Changed, IdentityFollower
from stream_app.worker.intake import Misplaced

ENDED_AT_ONCE: Final = 64
"""Ids: other partitions wait for some 10 ms at most."""
LOOKED_AT_ONCE: Final = 4_096
"""Ids: looking for the row of each takes 2 µs."""

RecordAt = Callable[[int, int], BlockRecord]
"""Returns a record as it was fetched, by the number of its topic and its offset."""


class Part(NamedTuple):
    """Records that are folded at once, see `stream_app.core.timeline.Fold`."""

    batch: Batch
    sweeps: Sweeps
    reached: Reached | None


class Joiner:
    """Lets the ids of one partition be those of customers.

    Parameters
    ----------
    number, partition
        The partition, and its state.
    follower
        Knows which ids are one customer's.
    topics
        Names of the topics.
    input_names
        Topics by number.
    statements
        See `PartitionPosition.statements`.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        follower: IdentityFollower,
        topics: TopicNames,
        input_names: Sequence[str],
        statements: int,
    ) -> None:
        self.statements = statements
        self._number = number
        self._partition = partition
        self._follower = follower
        self._input_names = input_names
        self._rows = input_names.index(topics.handovers)
        self.home_of = follower.home_of
        self._open: dict[str, int] = {}

    # --- ids that end --------------------------------------------------------------------------------------------

    def note(self, changed: Changed) -> None:
        """Look at ids of this partition that go by another one."""
        self._open |= changed

    @property
    def waiting(self) -> int:
        """How many ids are to be looked at."""
        return len(self._open)

    @property
    def is_waiting(self) -> bool:
        """Whether there are ids to be looked at."""
        return bool(self._open) and max(self._partition.clock) != NO_TIME

    def end_some(self) -> Ended | None:
        """Let some ids end that go by another one and have a row; None if none of those looked at does."""
        table, now_ms = self._partition.table, max(self._partition.clock)
        going: list[Going] = []
        for _ in range(min(len(self._open), LOOKED_AT_ONCE)):
            customer_id = next(iter(self._open))
            offset = self._open.pop(customer_id)
            number, end = table.find(customer_id), self._follower.end_of(customer_id)
            if number < 0 or end == customer_id or table.has_ended(number):
                continue
            at_ms = min(self._follower.joined_ms(customer_id), now_ms)
            going.append(Going(customer_id, end, at_ms, offset, self._is_here(end)))
            if len(going) == ENDED_AT_ONCE:
                break
        if not going:
            return None
        return end_ids(self._partition, going)

    # --- records -------------------------------------------------------------------------------------------------

    def sort_out(self, part: Part, record_at: RecordAt) -> Part:
        """Return records with those renamed that are of ids which have ended, or marked as records to be passed on."""
        batch = part.batch
        events = Events(batch.records, batch.texts)
        known = self._follower.weaver.find_aliases(batch.records["customer_hash"])
        here, elsewhere = [], {}
        for index in known[batch.is_event[known]].tolist():
            customer_id = events.customer_id(index)
            end = self._follower.end_of(customer_id)
            if end == customer_id:
                continue
            if self._is_here(end):
                here.append(index)
            else:
                elsewhere[index] = customer_id, end
        if here:
            events = self._follower.weaver.rename(events, np.array(here))
            batch = replace(batch, records=events.records, texts=events.texts)
        if not elsewhere:
            return part._replace(batch=batch)
        return self._pass_on(part._replace(batch=batch), elsewhere, record_at)

    def pass_on_unnamed(self, batch: Batch, placed: Indices, record_at: RecordAt) -> Batch:
        """Mark records without a customer that found no order here, and whose key is an id that has ended."""
        elsewhere = {}
        for index in np.setdiff1d(np.flatnonzero(batch.records["status"] == UNNAMED), placed).tolist():
            unnamed = batch.others[int(batch.records["text_at"][index])]
            key = unnamed.key.decode(errors="replace") if isinstance(unnamed, Rejection) and unnamed.key else ""
            end = self._follower.end_of(key)
            if end != key and not self._is_here(end):
                elsewhere[index] = key, end
        return self._marked(batch, elsewhere, record_at) if elsewhere else batch

    def _pass_on(self, part: Part, elsewhere: dict[int, tuple[str, str]], record_at: RecordAt) -> Part:
        batch, sweeps, reached = part
        stays = np.ones(len(batch), np.bool_)
        stays[list(elsewhere)] = False
        folded = batch.is_folded
        kept = stays[folded]
        before = np.concatenate(([0], np.cumsum(kept)))[sweeps.before]
        if reached is not None:
            reached = Reached(reached.watermarks_ms[kept], reached.trust)
        return Part(self._marked(batch, elsewhere, record_at), Sweeps(sweeps.at_ms, before), reached)

    def _marked(self, batch: Batch, elsewhere: dict[int, tuple[str, str]], record_at: RecordAt) -> Batch:
        indices = list(elsewhere)
        skipped = [Skipped(self._rewritten(batch, index, *ids, record_at)) for index, ids in elsewhere.items()]
        moved = records_of_others(skipped)
        moved["text_at"] += len(batch.others)
        for name in ("source", "offset"):
            moved[name] = batch.records[name][indices]
        records = batch.records.copy()
        records[indices] = moved
        return replace(batch, records=records, others=[*batch.others, *skipped])

    def _rewritten(self, batch: Batch, index: int, customer_id: str, end: str, record_at: RecordAt) -> Misplaced:
        """Return a record as one of another customer."""
        source = int(batch.sources[index])
        record = record_at(source, int(batch.offsets[index]))
        value = record.value or b""
        if source == self._rows:
            value = encode_handover(decode_handover(value)._replace(into=end))
            headers = record.encoded_headers
        else:
            value = with_customer(value, end)
            headers = encode_headers(with_alias(record.headers, customer_id))
        moved = record._replace(key=end.encode(), value=value, encoded_headers=headers)
        return Misplaced(self._input_names[source], self._follower.home_of(end), moved)

    def _is_here(self, customer_id: str) -> bool:
        return self._follower.home_of(customer_id) == self._number

    # --- rows that arrive ----------------------------------------------------------------------------------------

    def process(
        self, events: Events, sweeps: Sweeps, reached: Reached | None, record_at: RecordAt
    ) -> Iterator[tuple[Outcome, Events]]:
        """Take rows over, then fold events; yield what came of each, and its events.

        Rows join in any order, so all of them come first, and time passes with the events as it would without them.
        """
        partition, is_row = self._partition, events.records["source"] == self._rows
        rows, others = np.flatnonzero(is_row), np.flatnonzero(~is_row)
        if len(rows):
            arrived = events.take(rows)
            at_first = reached and Reached(reached.watermarks_ms[rows], reached.trust)
            if partition.clock.watermark_ms != NO_TIME and (len(others) or len(sweeps.at_ms)):
                at_first = Reached(np.full(len(rows), partition.clock.watermark_ms), partition.trust)
            values = [record_at(self._rows, offset).value or b"" for offset in arrived.records["offset"].tolist()]
            yield take_over(partition, arrived, [decode_handover(each).row for each in values], at_first), arrived
            before = np.concatenate(([0], np.cumsum(~is_row)))[sweeps.before]
            events, sweeps = events.take(others), Sweeps(sweeps.at_ms, before)
            reached = reached and Reached(reached.watermarks_ms[others], reached.trust)
        if len(others) or len(sweeps.at_ms):
            yield process_events(partition, events, sweeps, reached), events

    # --- refused statements --------------------------------------------------------------------------------------

    def refusals(self) -> Iterator[tuple[int, Rejection]]:
        """Yield, in partition 0, the refused statements that have not been told of, each with its offset."""
        if self._number or self.statements >= self._follower.next_offset:
            return
        yield from self._follower.refusals_from(self.statements)
        self.statements = self._follower.next_offset

    def note_committed(self, statements: int) -> None:
        """Note up to which statement refusals have been told of for good."""
        if not self._number:
            self._follower.forget_refusals(statements)
