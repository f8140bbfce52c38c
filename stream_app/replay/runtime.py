"""The replay: files through the core, with time taken from the events. This file is the main loop on files.

`stream_app.core.timeline` says how time passes. At each tick the trainers learn from a sample; if that gives a model,
it takes over at that very instant and everybody is assessed again under it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import numpy as np

from stream_app.contracts.dead_letters import dead_letter
from stream_app.contracts.inputs.identities import payload_of
from stream_app.core.arrays import NO_INDICES
from stream_app.core.clock import NO_TIME, WEEK_MS
from stream_app.core.events import Events, Position
from stream_app.core.local_days import boundary_number, is_boundary
from stream_app.core.marks import SALT_BYTES, Mark, Marks
from stream_app.core.partition import Partition, Reached, Sweeps
from stream_app.core.privacy import (
    customer_hash,
    leave_everything,
    next_mark,
    parts_at_requests,
    readmit,
    request_places,
    requests_of,
    set_requests_aside,
)
from stream_app.core.processor import Outcome, begin_anew, named, process_events, sweep
from stream_app.core.records import NO_RECORDS, Batch, Positions, Rejection
from stream_app.core.timeline import Begin, Pace, Step, Sweep, judge, pass_time, steps
from stream_app.core.trust import GAP_MS, ending
from stream_app.core.weaving import Weaver, Woven
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.learning.drawing import SampleDrawer, share_of
from stream_app.learning.trainer import Trainer
from stream_app.replay.outputs import OutputFolder, Outputs
from stream_app.replay.statistics import RunStatistics
from stream_app.segmentations.describing import NO_CHUNK, Chunk, Describer
from stream_app.segmentations.learned.document import model_document
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import encode_segmentation
from stream_app.sources.files import Reader, merge_by_time

SOURCES_MAX: Final = 65_535
"""A record's source is a number of 16 bits."""
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
        Let time pass up to this instant after the last event; None stops at the last event that is not in doubt.
    gap_ms
        How far a single record may lead time, see `stream_app.core.trust`.
    """

    sweep_interval_ms: int
    tick_ms: int
    sample_size: int
    seed: int
    keep_payload: bool = True
    until_ms: int | None = None
    gap_ms: int = GAP_MS


@dataclass(eq=False, slots=True)
class OpenedInput:
    """Where records came from: the name of a file, its topic, and how many there were."""

    file: str
    topic: str
    records: int = 0


class Run:
    """Carries records through the core, and results to the outputs.

    Parameters
    ----------
    partition
        Empty, and nothing learned yet, unless the run continues another.
    trainers
        Of each learned segmentation, by its name; fresh, likewise.
    outputs
        Where migrations, models and dead letters go.
    settings
        How time passes.
    watch
        Called at every multiple of the sweep interval, once everything that it brought is done, with the partition
        and the instant; it must not change the partition.
    earlier
        State of the run that this one continues, to which partition, trainers and outputs belong; see `state`.
    weaver
        What follows statements on identities; by the default rules if None.
    """

    def __init__(
        self,
        partition: Partition,
        trainers: Mapping[str, Trainer],
        outputs: Outputs,
        settings: ReplaySettings,
        watch: Callable[[Partition, int], None] | None = None,
        earlier: Mapping[str, Any] | None = None,
        weaver: Weaver | None = None,
    ) -> None:
        self.partition = partition
        self.trainers = trainers
        self.statistics = RunStatistics(partition.names)
        self._outputs = outputs
        self._settings = settings
        self._describer = Describer(partition.context)
        self._weaver = weaver or Weaver()
        self._marks = Marks(bytes(SALT_BYTES))
        self._drawer = SampleDrawer(partition, settings.sample_size, settings.seed)
        self._share = 1.0
        self._watch = watch
        self._names: Sequence[str] = []
        self._opened: list[OpenedInput] = []
        self._numbers = np.empty(0, np.uint16)
        self._interrupted: Callable[[], bool] = lambda: False
        self._stopped = False
        self._pace = Pace(
            settings.sweep_interval_ms,
            settings.sweep_interval_ms if watch else math.gcd(settings.tick_ms, WEEK_MS),
            CHUNK_EVENTS,
            timezone=partition.table.timezone,
            gap_ms=settings.gap_ms,
        )
        if earlier is not None:
            self._load_state(earlier)
            return
        for segmentation in partition.segmentations:
            self._announce(encode_segmentation(segmentation), customers_moved=0)

    def state(self) -> dict[str, Any]:
        """Return as JSON values all that the run knows beside its partition and trainers, for `earlier`."""
        inputs = [asdict(each) for each in self._opened]
        state = {"inputs": inputs, "share": self._share, "statistics": self.statistics.state()}
        if len(self._marks):
            state["marks"] = [[each, msgspec.to_builtins(mark)] for each, mark in self._marks.by_hash.items()]
        return state | {"identities": self._weaver.identities.state()}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._opened = [OpenedInput(**each) for each in state["inputs"]]
        self._names = [each.file for each in self._opened]
        self._share = state["share"]
        self.statistics.load_state(state["statistics"])
        for mark_hash, mark in state.get("marks", ()):
            self._marks.put(mark_hash, msgspec.convert(mark, Mark))
        if "identities" in state:
            self._weaver.load_state(state["identities"])

    def take_in(
        self,
        readers: Sequence[Reader],
        advance: Callable[[int, int], None] = lambda _bytes, _events: None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Carry the records of some files through, merged by time; others may follow.

        Parameters
        ----------
        readers
            The input files.
        advance
            Called with the bytes and records read so far.
        interrupted
            Asked again and again; once true, nothing more is read.
        """
        self._interrupted, self._stopped = interrupted, False
        files = sorted(file for reader in readers for file in reader.inputs)
        self.open_inputs([(file.name, file.topic) for file in files])
        for batch in merge_by_time(readers, self._settings.gap_ms):
            self.process(batch)
            advance(sum(reader.bytes_read for reader in readers), self.statistics.events)
            self._stopped = self._stopped or interrupted()
            if self._stopped:
                break

    def go_on(self) -> None:
        """Forget that the last load was interrupted."""
        self._interrupted, self._stopped = (lambda: False), False

    def open_inputs(self, inputs: Sequence[tuple[str, str]]) -> None:
        """Say where the next records come from: name and topic of each source, by its number.

        Sources that have been opened before by the same name and topic are the same ones.
        """
        earlier = {(each.file, each.topic): number for number, each in enumerate(self._opened)}
        fresh = [OpenedInput(name, topic) for name, topic in inputs if (name, topic) not in earlier]
        following = iter(range(len(self._opened), len(self._opened) + len(fresh)))
        self._opened += fresh
        if len(self._opened) > SOURCES_MAX:
            raise ConfigurationError(f"inputs: {len(self._opened)} by different names, expected at most {SOURCES_MAX}")
        self._numbers = np.array([earlier[key] if key in earlier else next(following) for key in inputs], np.uint16)
        self._names = [each.file for each in self._opened]

    def summary(self) -> dict[str, Any]:
        """Return the results of all inputs so far, as one document of JSON values."""
        inputs = [asdict(each) for each in self._opened]
        return self.statistics.summary(self.partition, inputs, self._settings.seed, interrupted=self._stopped)

    def history(self) -> dict[str, Any]:
        """Return what has happened day by day so far, see `stream_app.replay.history`."""
        return self.statistics.history(self.partition)

    def process(self, batch: Batch) -> None:
        """Process records of the opened sources in the order of the stream, letting time pass between them."""
        batch.records["source"] = self._numbers[batch.sources]
        batch = set_requests_aside(batch)
        if not request_places(batch):
            self._process_records(batch)
            return
        for part in parts_at_requests(batch):
            if len(part.records):
                self._process_records(part.records)
            if self._stopped:
                return
            if len(part.requests):
                self._carry_out(part.requests)

    def _carry_out(self, batch: Batch) -> None:
        """Forget customers, or note that they may be known again; see `stream_app.core.privacy`."""
        for number, count in enumerate(np.bincount(batch.sources).tolist()):
            self._opened[number].records += count
        requests = requests_of(batch)
        outcome, events, sequences = leave_everything(self.partition, requests)
        if outcome is not None:
            self._take(outcome, Chunk(events, self._names))  # rows stay, blank: what is counted goes by their numbers
        for request in requests:
            mark_hash = self._marks.hash_of(customer_hash(request.customer_id))
            left = sequences.get(request.customer_id, b"")
            mark = next_mark(self._marks.by_hash.get(mark_hash), request, {}, request.at_ms, request.at_ms, left)
            if mark is not None:
                self._marks.put(mark_hash, mark)

    def _process_records(self, batch: Batch) -> None:
        if len(self._marks):
            sifted = self._marks.sift(batch)
            readmit(self.partition, self._marks, sifted)
            batch = sifted.batch
        verdicts = judge(self.partition, batch, self._pace)
        known = verdicts.watermarks_ms != NO_TIME
        if max(self.partition.clock) == NO_TIME and known.any():
            self.statistics.observe_sizes(self.partition, int(verdicts.watermarks_ms[known.argmax()]))
        for step in steps(self.partition, batch, self._pace, verdicts):
            self._do(step, batch)
            if self._stopped:
                return

    def _do(self, step: Step, batch: Batch = NO_RECORDS) -> None:
        if isinstance(step, Sweep):
            self._pass_boundary(step.at_ms)
        elif isinstance(step, Begin):
            begin_anew(self.partition)
            self.statistics.begin_anew(len(self.partition.table), step.at_ms)
        else:
            self._fold(batch.part(step.start, step.stop), step.sweeps, step.reached)

    def _fold(self, records: Batch, sweeps: Sweeps, reached: Reached | None) -> None:
        for number, count in enumerate(np.bincount(records.sources).tolist()):
            self._opened[number].records += count
        events, placed = records.folded(), NO_INDICES
        woven = self._weaver.weave(events)
        if woven is not None:
            self._refuse(events, woven, records)
            events, sweeps, reached = woven.events, woven.sweeps(sweeps), woven.reached(reached)
        if len(events) or len(sweeps.at_ms):
            outcome = process_events(self.partition, events, sweeps, reached)
            placed = records.placed(outcome.owners)
            self._take(outcome, Chunk(named(self.partition, events, outcome.owners), self._names))
            for at_ms, customers in zip(outcome.swept_at_ms.tolist(), outcome.customers.tolist(), strict=True):
                self.statistics.count_customers(customers, at_ms)
        for index, other in records.others_by_index(placed):
            if isinstance(other, Rejection):
                self._reject(other, Positions(records.records[index : index + 1], self._names)[0])

    def _refuse(self, events: Events, woven: Woven, records: Batch) -> None:
        """Write the statements on identities that do not count to the dead letters."""
        places = np.flatnonzero(records.is_folded)
        for index, refused in woven.refused:
            payload = payload_of(events.event(index))
            error = InvalidRecord(refused.reason, "alias", refused.message)
            place = int(places[index])
            self._reject(Rejection(error, payload), Positions(records.records[place : place + 1], self._names)[0])

    def _reject(self, rejection: Rejection, position: Position) -> None:
        error = rejection.error
        self.statistics.rejected[error.reason] += 1
        letter = dead_letter(error, rejection.payload, position, None, keep_payload=self._settings.keep_payload)
        self._outputs.write_dead_letter(letter.model_dump_json())

    def _take(self, outcome: Outcome, chunk: Chunk = NO_CHUNK) -> None:
        """Write what came of a step."""
        described = self._describer.describe_step(self.partition, outcome.moves, chunk, outcome.facts)
        self._outputs.write_migrations(described)
        if len(outcome.notices):
            self._outputs.write_notices(self._describer.describe_step_notices(self.partition, outcome.notices, chunk))
        self.statistics.observe(self.partition, outcome, described)

    def _pass_boundary(self, at_ms: int) -> None:
        """Assess everybody at an instant, learn if it is a tick's, and look at the sizes if it is a week's."""
        self._take(sweep(self.partition, at_ms))
        if is_boundary(at_ms, self._settings.tick_ms, self.partition.table.timezone):
            self._tick(at_ms)
        self.statistics.observe_sizes(self.partition, at_ms)
        self._stopped = self._interrupted()  # asked here too, as a gap of years takes its time
        if self._watch is not None:
            self._watch(self.partition, at_ms)

    def _tick(self, at_ms: int) -> None:
        """Let the trainers learn; follow the models that they give."""
        tick = boundary_number(at_ms, self._settings.tick_ms, self.partition.table.timezone)
        sample = self._drawer.draw(tick, at_ms, self._share)
        self._share = share_of(self._settings.sample_size, sample.population_size)
        for trainer in self.trainers.values():
            proposal = trainer.learn(sample)
            if proposal is None:
                continue
            if proposal.held:
                self._announce(model_document(proposal), customers_moved=0)
                continue
            self.partition.follow(LearnedSegmentation(proposal.model))
            outcome = sweep(self.partition, at_ms)
            self._take(outcome)
            self._announce(model_document(proposal), customers_moved=len(outcome.moves))

    def _announce(self, document: dict[str, Any], customers_moved: int) -> None:
        self._outputs.write_model(document)
        self.statistics.observe_model(document, customers_moved)

    def settle(self) -> None:
        """Look at everybody as of now, and write the moves that silence has made by then."""
        if (at_ms := max(self.partition.clock)) != NO_TIME:
            self._take(sweep(self.partition, at_ms))
            self.statistics.count_customers(len(self.partition.table), at_ms)

    def pass_time(self, until_ms: int) -> None:
        """Let time pass up to an instant, or to where it stands if that is later; then look at everybody."""
        if max(self.partition.clock) == NO_TIME:
            return
        end_ms = max(*self.partition.clock, until_ms)
        for step in pass_time(self.partition, end_ms, self._pace):
            if self._stopped:
                break
            self._do(step)
        if self._stopped:
            end_ms = max(self.partition.clock)
        self._take(sweep(self.partition, end_ms))
        self.statistics.observe_sizes(self.partition, end_ms)


class Replay(Run):
    """A run of files from the first record to the last, into a folder.

    Parameters
    ----------
    outputs
        The folder.
    partition, trainers, settings, watch, weaver
        See `Run`.
    """

    def __init__(
        self,
        partition: Partition,
        trainers: Mapping[str, Trainer],
        outputs: OutputFolder,
        settings: ReplaySettings,
        watch: Callable[[Partition, int], None] | None = None,
        weaver: Weaver | None = None,
    ) -> None:
        super().__init__(partition, trainers, outputs, settings, watch, weaver=weaver)
        self._folder, self._until_ms = outputs, settings.until_ms

    def run(
        self,
        readers: Sequence[Reader],
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
            self.take_in(readers, advance, interrupted)
            self._end()
            summary = self.summary()
            self._folder.write_memberships(self.partition, max(self.partition.clock))
            self._folder.complete(summary, self.history())
        except BaseException:
            self._folder.discard()
            raise
        return summary

    def _end(self) -> None:
        """Let time pass to the end, believing the last records where too few customers are known to agree."""
        partition = self.partition
        ends_ms, trust = ending(
            partition.trust, max(partition.clock), self._settings.gap_ms, partition.table.count_known()
        )
        self.pass_time(ends_ms if self._until_ms is None else max(ends_ms, self._until_ms))
        if not self._stopped:
            partition.trust = trust
            partition.clock = partition.clock._replace(watermark_ms=max(partition.clock.watermark_ms, ends_ms))
