"""What records do to one partition, and what is to be written of it; nothing here waits.

Records go through four hands: those of customers who are not to be known are taken out (`stream_app.core.marks`), those
of ids that go by another one are renamed or passed on (`stream_app.worker.joining`), the rest is folded, and what comes
of it is described into the outbox, with what could not be folded. The position moves in the same call, so whatever
transaction takes the outbox takes both.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec.structs
import numpy as np

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Outgoing
from stream_app.adapters.topics import TopicNames
from stream_app.core.arrays import NO_INDICES, Indices
from stream_app.core.events import Events, Position
from stream_app.core.marks import Marks
from stream_app.core.partition import Partition, Reached, Sweeps
from stream_app.core.privacy import leave_everything, readmit, remove_rows, requests_of
from stream_app.core.processor import Outcome, process_events
from stream_app.core.records import Batch
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.describing import NO_CHUNK, Chunk, Describer
from stream_app.worker.counters import ACCEPTED, PartitionCounters
from stream_app.worker.doubts import DoubtLog
from stream_app.worker.figures import PartitionFigures
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.intake import no_record, offsets_after
from stream_app.worker.joining import Joiner, Part, RecordAt
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.outbox import Outbox
from stream_app.worker.privacy import PrivacyDesk


class Folding:
    """Folds the records of one partition.

    Parameters
    ----------
    number, partition
        The partition, and its state as restored.
    position
        Where that state is in the inputs.
    topics, settings
        Names and numbers.
    now_ms
        The wall clock.
    figures
        What is counted.
    marks
        Who is not to be known, as restored; nobody if None.
    identities
        Knows which ids are one customer's, if statements on them are followed.

    Attributes
    ----------
    outbox
        What is to be written.
    folded_to
        By topic, the offset after the last record that is folded.
    record_at
        Returns records of the chunk at hand as they were fetched.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        position: PartitionPosition,
        topics: TopicNames,
        settings: LoopSettings,
        now_ms: Callable[[], int],
        figures: PartitionCounters,
        marks: Marks | None,
        identities: IdentityFollower | None,
    ) -> None:
        self.folded_to: dict[str, int] = dict(position.offsets)
        self.outbox = Outbox(topics, number)
        self.record_at: RecordAt = no_record
        self._number = number
        self._partition = partition
        self._topics = topics
        self._settings = settings
        self._now_ms = now_ms
        self._figures = figures
        self._input_names = list(position.offsets)
        self._describer = Describer(partition.context, topics.group)
        self._doubts = DoubtLog(number, self._input_names, partition.trust)
        self._members = PartitionFigures(partition, number, settings.figures_interval_ms, now_ms)
        self.privacy = PrivacyDesk(number, Marks() if marks is None else marks, settings.privacy, now_ms)
        self.joiner = (
            Joiner(number, partition, identities, topics, self._input_names, position.statements)
            if identities is not None
            else None
        )

    # --- records -------------------------------------------------------------------------------------------------

    def sift(self, batch: Batch) -> Batch:
        """Return records without those of customers who are not to be known."""
        if not len(self.privacy.marks):
            return batch
        sifted = self.privacy.marks.sift(batch)
        readmit(self._partition, self.privacy.marks, sifted)
        return sifted.batch

    def fold(self, batch: Batch, sweeps: Sweeps, reached: Reached | None) -> None:
        """Fold records, and move the partition's position past them."""
        if self.joiner is not None:
            batch, sweeps, reached = self.joiner.sort_out(Part(batch, sweeps, reached), self.record_at)
        events, placed, figures = batch.folded(), NO_INDICES, self._figures
        self.outbox.touch((), len(batch))
        if len(events) or len(sweeps.at_ms):
            started = perf_counter()
            placed = batch.placed(self._process(events, sweeps, reached))
            took = perf_counter() - started
            self._doubts.note(self._partition.trust)
            if len(events):
                figures.processing_seconds.observe(took / len(events), len(events))
                figures.note_accepted(batch, self._input_names, self._now_ms(), placed)
            else:
                figures.note_sweep(took)
        if self.joiner is not None:
            batch = self.joiner.pass_on_unnamed(batch, placed, self.record_at)
        self.outbox.set_aside(batch, self._input_names, self._settings.keep_payload, figures, placed)
        self._move_past(batch)

    def _process(self, events: Events, sweeps: Sweeps, reached: Reached | None) -> Indices:
        """Fold events and take down what comes of it; return whose those are that name no customer."""
        if self.joiner is None:
            outcome = process_events(self._partition, events, sweeps, reached)
            self.take(outcome, Chunk(events, self._input_names, self._number))
            return outcome.owners
        owners = []
        for outcome, piece in self.joiner.process(events, sweeps, reached, self.record_at):
            self.take(outcome, Chunk(piece, self._input_names, self._number))
            owners.append(outcome.owners)
        return np.concatenate(owners)

    def take(self, outcome: Outcome, chunk: Chunk = NO_CHUNK) -> None:
        """Note what came of a step, to be written."""
        self.outbox.touch(outcome.changed.tolist(), 0)
        if len(outcome.changed):
            self._members.note_change()
        if len(outcome.moves):
            self.outbox.migrate(self._describer.describe_step(self._partition, outcome.moves, chunk, outcome.facts))
            self._figures.note_moves(self._partition.segmentations, outcome.moves)
        if len(outcome.notices):
            self.outbox.notify(self._describer.describe_step_notices(self._partition, outcome.notices, chunk))
        self._figures.late += outcome.late
        self._figures.duplicates += outcome.duplicates
        self._figures.not_profiled += outcome.not_profiled

    # --- people --------------------------------------------------------------------------------------------------

    def carry_out(self, batch: Batch) -> None:
        """Forget customers, or note that they may be known again; all in one transaction with the requests' offsets."""
        requests, topics = requests_of(batch), self._topics
        self.outbox.touch((), len(batch))
        outcome, events, sequences = leave_everything(self._partition, requests)
        if outcome is not None:
            self.take(outcome, Chunk(events, self._input_names, self._number))
            for erased in remove_rows(self._partition.table, sequences):
                self.outbox.forget(erased)
        for request in requests:
            left = sequences.get(request.customer_id, b"")
            done = self.privacy.take(request, self.folded_to, left, was_known=bool(left))
            for record in done.changelog:
                self.outbox.add(topics.changelog, self._number, record)
            self.outbox.add(topics.receipts, self._number, done.receipt)
            if done.marker is not None:
                self.outbox.mark_forgotten(done.marker)
            self._figures.outcomes[topics.privacy_requests, ACCEPTED] += 1
        self._move_past(batch)

    def drop_expired_marks(self) -> None:
        """Forget whom nobody has to know any longer as erased."""
        for record in self.privacy.drop_expired():
            self.outbox.add(self._topics.changelog, self._number, record)

    def end_ids(self, joiner: Joiner) -> None:
        """Let some ids end that go by another one, and give out refusals of statements that do not count."""
        ended = joiner.end_some() if joiner.is_waiting else None
        if ended is not None:
            self.outbox.touch((), len(ended.events))
            self.take(ended.outcome, Chunk(ended.events, [self._topics.identities]))
            self.outbox.hand_over(ended.handed, joiner.home_of)
            self._figures.handed_over += len(ended.handed)
            self._figures.joined += len(ended.events) - len(ended.handed)
        for offset, refused in joiner.refusals():
            position = Position(self._topics.identities, 0, offset)
            self.outbox.reject(refused, position, self._settings.keep_payload)
            self._figures.note_rejected(position.topic, refused.error.reason)

    # --- what is to be written -----------------------------------------------------------------------------------

    def add_figures(self, *, at_once: bool = False) -> None:
        """Add the figures of members to the outbox, if they are due."""
        for record in self._members.due(at_once=at_once):
            self.outbox.add(self._topics.figures, self._number, record)

    def seal(self, position: PartitionPosition) -> tuple[Outgoing, PartitionPosition, list[PopulationSample]]:
        """Return what has gathered as the records of one transaction, its position, and the samples in it."""
        outbox, self.outbox = self.outbox, Outbox(self._topics, self._number)
        if self.joiner is not None:
            position = msgspec.structs.replace(position, statements=self.joiner.statements)
        return outbox.seal(self._partition.table, position), position, outbox.samples

    def note_committed(self, position: PartitionPosition) -> None:
        """Note that a position is written for good."""
        if self.joiner is not None:
            self.joiner.note_committed(position.statements)

    def _move_past(self, batch: Batch) -> None:
        self.folded_to = offsets_after(batch, self._input_names, self.folded_to)
