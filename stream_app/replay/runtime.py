"""The replay: files through the core, with time taken from the events. This file is the main loop on files.

Between two multiples of the sweep interval events are folded in chunks. At each multiple every customer is
assessed, and once in a tick the trainer learns from a sample; if a model comes of it, it takes over at that very
instant and everyone is assessed again under it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from stream_app.contracts.dead_letters import dead_letter
from stream_app.core.clock import NO_TIME, next_boundary
from stream_app.core.events import Event, Position
from stream_app.core.partition import Effects, Partition
from stream_app.core.processor import apply_effects, process_events, sweep
from stream_app.core.records import Batch, Positions, Rejection
from stream_app.core.snapshot_document import Proposal, snapshot_document
from stream_app.learning.drawing import draw_sample
from stream_app.learning.trainer import Trainer
from stream_app.replay.outputs import OutputFolder
from stream_app.replay.statistics import RunStatistics
from stream_app.sources.files import FileReader, merge_by_time

CHUNK_EVENTS: Final = 16_384
"""Events folded at once; more saves nothing, as the fixed cost of a chunk is spread thin already."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How time passes in a replay.

    Parameters
    ----------
    sweep_interval_ms
        Time between two assessments of everyone, > 0.
    tick_ms
        Time between two ticks of the trainer, a multiple of `sweep_interval_ms`.
    sample_size
        Customers drawn at a tick.
    seed
        Fixes every random choice.
    keep_payload
        Whether dead letters carry the rejected record itself.
    until_ms
        Let time pass up to this instant after the last event; None stops at the last event.
    """

    sweep_interval_ms: int
    tick_ms: int
    sample_size: int
    seed: int
    keep_payload: bool = True
    until_ms: int | None = None


class Replay:
    """Carries records through the core and what comes of them to the outputs.

    Parameters
    ----------
    partition
        Empty, under the cold-start rules.
    trainer
        Fresh.
    outputs
        Where migrations, models and dead letters go.
    settings
        How time passes.
    watch
        Called at every multiple of the sweep interval, once everything that it brought is done, with the partition
        and the instant; it must not change the partition.
    """

    def __init__(
        self,
        partition: Partition,
        trainer: Trainer,
        outputs: OutputFolder,
        settings: ReplaySettings,
        watch: Callable[[Partition, int], None] | None = None,
    ) -> None:
        self.partition = partition
        self.trainer = trainer
        self.statistics = RunStatistics()
        self._outputs = outputs
        self._settings = settings
        self._watch = watch
        self._names: Sequence[str] = []
        self._records: Counter[int] = Counter()
        self._interrupted: Callable[[], bool] = lambda: False
        self._stopped = False
        self._boundary_ms: int | None = None
        self._announce(Proposal(partition.snapshot), customers_moved=0)

    def run(
        self,
        readers: Sequence[FileReader],
        advance: Callable[[int, int], None] = lambda _bytes, _events: None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Replay all files, write all outputs, and return the summary.

        Parameters
        ----------
        readers
            The input files.
        advance
            Called with the bytes and records read so far.
        interrupted
            Asked again and again; once true, the outputs are finished as of then.
        """
        try:
            return self._run(readers, advance, interrupted)
        except BaseException:
            self._outputs.discard()
            raise

    def _run(
        self,
        readers: Sequence[FileReader],
        advance: Callable[[int, int], None],
        interrupted: Callable[[], bool],
    ) -> dict[str, Any]:
        self._names = [reader.name for reader in readers]
        self._interrupted = interrupted
        for batch in merge_by_time(readers):
            self._process(batch)
            advance(sum(reader.bytes_read for reader in readers), self.statistics.events)
            self._stopped = self._stopped or interrupted()
            if self._stopped:
                break
        self._finish()
        inputs = [
            {"file": reader.name, "topic": reader.source.topic, "records": self._records[number]}
            for number, reader in enumerate(readers)
        ]
        summary = self.statistics.summary(self.partition, inputs, self._settings.seed, interrupted=self._stopped)
        self._outputs.write_memberships(self.partition, max(self.partition.clock))
        self._outputs.complete(summary)
        return summary

    def _process(self, batch: Batch) -> None:
        """Process records in the order of the stream, letting time pass between them."""
        start, count = 0, len(batch.contents)
        while start < count and not self._stopped:
            if self._boundary_ms is None:
                self._start_clock(batch)
            if self._boundary_ms is None:  # nothing but rejected records so far: no time is known yet
                limit = count
            else:
                limit = int(np.searchsorted(batch.watermarks_ms, self._boundary_ms))
                if limit <= start:
                    self._pass_boundary(self._boundary_ms)
                    continue
            end = min(limit, start + CHUNK_EVENTS)
            self._fold(batch.part(start, end))
            start = end

    def _start_clock(self, batch: Batch) -> None:
        """Begin with the first accepted record's time."""
        known = batch.watermarks_ms[batch.watermarks_ms != NO_TIME]
        if len(known):
            first_ms = int(known[0])
            self._boundary_ms = next_boundary(first_ms, self._settings.sweep_interval_ms)
            self.statistics.observe_sizes(self.partition, first_ms)

    def _fold(self, records: Batch) -> None:
        self._records.update(dict(enumerate(np.bincount(records.sources).tolist())))
        chosen: Sequence[int] = range(len(records.contents))
        events = [content for content in records.contents if type(content) is Event]
        if len(events) < len(records.contents):
            chosen = [index for index in chosen if type(records.contents[index]) is Event]
            for index, content in enumerate(records.contents):
                if isinstance(content, Rejection):
                    self._reject(content, Positions(records, [index], self._names)[0])
        if events:
            self._take(process_events(self.partition, events, Positions(records, chosen, self._names)))

    def _reject(self, rejection: Rejection, position: Position) -> None:
        error = rejection.error
        self.statistics.rejected[error.reason] += 1
        letter = dead_letter(error, rejection.payload, position, None, keep_payload=self._settings.keep_payload)
        self._outputs.write_dead_letter(letter.model_dump_json())

    def _take(self, effects: Effects) -> None:
        """Make effects durable, then true."""
        self._outputs.write_migrations(effects.migrations)
        self.statistics.observe(effects)
        apply_effects(self.partition, effects)

    def _pass_boundary(self, at_ms: int) -> None:
        """Let the clock reach a multiple of the sweep interval."""
        self._take(sweep(self.partition, at_ms))
        if at_ms % self._settings.tick_ms == 0:
            self._tick(at_ms)
        self.statistics.observe_sizes(self.partition, at_ms)
        self._boundary_ms = at_ms + self._settings.sweep_interval_ms
        self._stopped = self._interrupted()  # asked here too, as a gap of years takes its time
        if self._watch is not None:
            self._watch(self.partition, at_ms)

    def _tick(self, at_ms: int) -> None:
        """Let the trainer learn; follow the model that comes of it."""
        settings = self._settings
        tick = at_ms // settings.tick_ms
        proposal = self.trainer.learn(draw_sample(self.partition, tick, at_ms, settings.sample_size, settings.seed))
        if proposal is None:
            return
        if proposal.held:
            self._announce(proposal, customers_moved=0)
            return
        self.partition.snapshot = proposal.snapshot
        effects = sweep(self.partition, at_ms)
        self._take(effects)
        self._announce(proposal, customers_moved=len(effects.migrations))

    def _announce(self, proposal: Proposal, customers_moved: int) -> None:
        document = snapshot_document(proposal)
        self._outputs.write_model(document)
        self.statistics.observe_model(document, customers_moved)

    def _finish(self) -> None:
        """Let time pass up to the end of the run."""
        if self._boundary_ms is None:
            return
        end_ms = max(self.partition.clock)
        if self._settings.until_ms is not None:
            end_ms = max(end_ms, self._settings.until_ms)
        while self._boundary_ms <= end_ms and not self._stopped:
            self._pass_boundary(self._boundary_ms)
        if self._stopped:
            end_ms = max(self.partition.clock)
        self._take(sweep(self.partition, end_ms))
        self.statistics.observe_sizes(self.partition, end_ms)
