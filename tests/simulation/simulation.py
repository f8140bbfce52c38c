"""One run: a world, its workers, their inputs, what goes wrong, and what is right at the end. READ FIRST here.

Everything is drawn from one seed. A run goes on until no fault is left, all inputs are sent and every worker that
lives has folded and written them; then the topics are judged by `tests.simulation.verdict`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.learning.trainer import TrainerSettings
from stream_app.worker import sweeping
from stream_app.worker.loop_settings import LoopSettings
from tests.simulation.faults import DISTURBED_SECONDS, STEP_FAULTS, TIMED_FAULTS, Fault, drawn_faults
from tests.simulation.group import Group
from tests.simulation.inputs import DAYS, END_MS, Input, drawn_inputs, drawn_statements, last_inputs, poison
from tests.simulation.memory_log import Latencies, MemoryLog, OutgoingRecord, Transaction
from tests.simulation.segmentations import drawn_segmentations
from tests.simulation.verdict import judge
from tests.simulation.worker import STOP_SECONDS, SimulatedWorker, WorkerParts
from tests.support.simulated_loop import Process, SimulatedLoop

SETTLING_SECONDS_MAX = 80.0
"""Virtual; a run that has not folded everything so long after the last fault stands still."""
LOOK_SECONDS = 0.25
CALM_LOOKS = 3
"""So often in a row everything must be found done."""


@dataclass(frozen=True)
class Variant:
    """What may be broken on purpose, to see that a run finds it."""

    parts: WorkerParts = field(default_factory=WorkerParts)
    checks_epochs: bool = True


@dataclass
class Outcome:
    """What came of a run; `breaches` is empty if all is right."""

    seed: int
    breaches: list[str]
    steps: int
    seconds: float
    figures: dict[str, int]


class Simulation:
    """The world of one seed."""

    def __init__(self, seed: int, variant: Variant | None = None, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.variant = variant or Variant()
        self.drawn = drawn = random.Random(seed)
        self.loop = SimulatedLoop(drawn)
        self.drawn_of_identities = other = random.Random(f"people {seed}")
        self.topics = TopicNames("", "sim", with_identities=other.random() < 0.5)
        self.partitions = drawn.choice([1, 2, 2, 3])
        if self.topics.with_identities:
            self.partitions = other.choice([1, 2, 3, 4, 4])
        self.customers = drawn.randrange(8, 24)
        self.records = drawn.randrange(40, 110)
        self.base_ms = END_MS + drawn.choice([0, 0, 3, 40]) * DAY_MS
        latencies = Latencies(
            usual=drawn.choice([0.002, 0.01, 0.03]),
            slow_share=drawn.choice([0.0, 0.02]),
            refused_share=drawn.choice([0.0, 0.0, 0.01]),
            lost_share=drawn.choice([0.0, 0.0, 0.005]),
        )
        self.log = MemoryLog(self, latencies, self.variant.checks_epochs)
        self.group = Group(self, self.partitions)
        self.workers: dict[str, SimulatedWorker] = {}
        self.steps = 0
        self.figures = dict.fromkeys(("workers", "killed", "fatal", "stopped", "pauses", "waits", "expired"), 0)
        faults = drawn_faults(drawn)
        self._step_faults = [fault for fault in faults if fault.kind in STEP_FAULTS]
        self._timed_faults = sorted((fault for fault in faults if fault.kind in TIMED_FAULTS), key=lambda f: f.at)
        self._steps_of: dict[str, int] = {}
        self._planned: dict[tuple[str, int], Fault] = {}
        self._tell = tell
        self._overtaking_share = drawn.choice([0.0, 1.0])
        self._lost_chunk_share = drawn.choice([0.0, 0.0, 0.0, 0.05])
        self._is_sent = False
        self._is_ending = False
        self._to_be_started = 0
        self._leaked: list[str] = []
        self.segmentations = drawn_segmentations(drawn)
        self._next_segmentations = drawn_segmentations(drawn) if drawn.random() < 0.5 else self.segmentations
        self.lane_settings = self._draw_lane_settings()
        self._trainer_settings = TrainerSettings(max_publish_churn=drawn.choice([0.05, 1.0]), sample_size=100)

    def _draw_lane_settings(self) -> LoopSettings:
        drawn = self.drawn
        sweep_days, tick_days = drawn.choice([(20, 60), (40, 40), (50, 100)])
        return LoopSettings(
            sweep_interval_ms=sweep_days * DAY_MS,
            live_interval_ms=drawn.choice([1, 30]) * SECOND_MS,
            tick_ms=tick_days * DAY_MS,
            sample_size=100,
            seed=self.seed,
            keep_payload=True,
            follows_wall_clock=drawn.random() < 0.5,
            idle_ms=drawn.choice([500, 3_000]),
            chunk_records_max=drawn.choice([5, 25, 100]),
            transaction_records_max=drawn.choice([5, 20, 150]),
            model_moves_per_second=drawn.choice([20, 2_000]),
            tick_wait_ms=drawn.choice([0, 2_000, 10_000]),
            live_tick_wait_ms=drawn.choice([0, 1_000]),
            figures_interval_ms=5 * SECOND_MS,
            gap_ms=drawn.choice([7, 7, 36_500]) * DAY_MS,
        )

    # --- what others ask ------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the wall clock's time."""
        return self.base_ms + round(self.loop.time() * 1000)

    def step(self, process: Process, what: str) -> None:
        """Note a step, and kill its process if that is due."""
        self.steps += 1
        self.tell(process, what)
        name = process.name
        count = self._steps_of[name] = self._steps_of.get(name, 0) + 1
        fault = self._planned.pop((name, count), None)
        if fault is None or process.is_dead:
            return
        if fault.kind == "kill":
            self.kill(name)
        else:
            self.pause(name, fault.seconds)

    def tell(self, process: Process, what: str) -> None:
        """Print a line of the trace, if it is wanted."""
        if self._tell is not None:
            self._tell(f"{self.loop.time():8.4f} {process.name:6} {what}")

    def is_overtaken(self) -> bool:
        """See `Surroundings`."""
        return self._overtaking_share > 0 and self.drawn.random() < self._overtaking_share

    def loses_chunk(self) -> bool:
        """Draw whether a chunk never reaches its agent; others follow, so that this can be seen."""
        return self._lost_chunk_share > 0 and not self._is_sent and self.drawn.random() < self._lost_chunk_share

    # --- processes ------------------------------------------------------------------------------------------------

    def start_worker(self) -> None:
        """Start one more worker."""
        self.figures["workers"] += 1
        name = f"w{self.figures['workers']}"
        worker = SimulatedWorker(self, self.variant.parts, self.lane_settings, self._trainer_settings)
        self.workers[name] = worker
        if self._step_faults:
            fault = self._step_faults.pop(0)
            self._planned[name, fault.step] = fault
        worker.process = self.loop.start(name, worker.main)

    def _restart_worker(self) -> None:
        self._to_be_started -= 1
        self.start_worker()

    def kill(self, name: str) -> None:
        """Kill a worker as SIGKILL does."""
        self.figures["killed"] += 1
        self.end(self.workers[name], "KILLED")

    def end(self, worker: SimulatedWorker, why: str) -> None:
        """Note that a worker has ended, and have the supervisor start another one."""
        self.figures["fatal"] += why.startswith("FATAL")
        self.figures["stopped"] += why == "stopped"
        self.tell(worker.process, why)
        self.loop.kill(worker.process)
        self.workers.pop(worker.process.name, None)
        if not self._is_ending:
            self._to_be_started += 1
            self.loop.in_world(self.drawn.choice([0.05, 0.5]), self._restart_worker)

    # --- faults ---------------------------------------------------------------------------------------------------

    def pause(self, name: str, seconds: float) -> None:
        """Stop a worker as SIGSTOP does, for a while."""
        process = self.workers[name].process
        self.figures["pauses"] += 1
        self.tell(process, f"PAUSED for {seconds:.2f} s")
        self.loop.pause(process)
        self.loop.in_world(seconds, self.loop.resume, process)

    async def _disturb(self) -> None:
        """Let what is planned for an instant happen then."""
        for fault in self._timed_faults:
            await asyncio.sleep(max(0.0, fault.at - self.loop.time()))
            if fault.kind == "add":
                self.start_worker()
                continue
            if not self.workers:
                continue
            name = self.drawn.choice(list(self.workers))
            worker = self.workers[name]
            if fault.kind == "strike":
                self.kill(name)
            elif fault.kind == "stop":
                self.loop.run_in(worker.process, worker.stop)
            elif fault.kind == "pause":
                self.pause(name, fault.seconds)
            else:
                for tp in self.log:
                    if tp[0] in (self.topics.changelog, self.topics.trainer_changelog):
                        self.log[tp].compact()

    async def _reconfigure(self) -> None:
        """Add, remove or change segmentations: each worker is restarted with the new configuration, one by one."""
        await asyncio.sleep(self.drawn.random() * DISTURBED_SECONDS)
        self.segmentations = self._next_segmentations
        for worker in list(self.workers.values()):
            await asyncio.sleep(self.drawn.random())
            if worker.segmentations is not self.segmentations and self.workers.get(worker.process.name) is worker:
                self.loop.run_in(worker.process, worker.stop)

    # --- inputs ---------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        """Send the inputs: some are there from the beginning, the rest trickles in; some in transactions."""
        drawn = self.drawn
        inputs = list(drawn_inputs(drawn, self.records, self.customers, self.partitions))
        if self.lane_settings.gap_ms < DAYS * DAY_MS:
            poison(drawn, inputs)
        backlog = drawn.choice([0, len(inputs) // 2, len(inputs)])
        self._append(inputs[:backlog])
        start = backlog
        stating = asyncio.create_task(self._state()) if self.topics.with_identities else None
        pause_seconds = drawn.choice([0.05, 0.2])
        while start < len(inputs):
            await asyncio.sleep(drawn.random() * pause_seconds)
            end = start + drawn.choice([1, 5, 25])
            batch = inputs[start:end]
            if drawn.random() < 0.1:
                await self._send_in_transaction(batch)
            else:
                self._append(batch)
            start = end
        if stating is not None:
            await stating
        self._is_sent = True
        self._append(last_inputs(self.customers, self.partitions))

    async def _state(self) -> None:
        """Say of some customers that they are others: some of it from the beginning, the rest now and then."""
        drawn = self.drawn_of_identities
        statements = drawn_statements(drawn, self.customers)
        known = drawn.choice([0, 0, 0, len(statements)])
        self._append(statements[:known])
        for statement in statements[known:]:
            await asyncio.sleep(drawn.random() * drawn.choice([0.2, 2.0]))
            self._append([statement])

    def _append(self, inputs: list[Input], transaction: Transaction | None = None) -> None:
        for topic, partition, key, value in inputs:
            self.log[topic, partition].append([OutgoingRecord(key, value)], self.now_ms(), transaction)

    async def _send_in_transaction(self, inputs: list[Input]) -> None:
        """Send in a producer's own transaction, perhaps once more after an abort."""
        is_aborted = True
        while is_aborted:
            is_aborted = self.drawn.random() < 0.5
            transaction = Transaction()
            self._append(inputs, transaction)
            await asyncio.sleep(self.drawn.random() * 0.1)
            transaction.verdict = not is_aborted
            for tp in sorted({(record.topic, record.partition) for record in inputs}):
                self.log[tp].mark(transaction, self.now_ms())

    # --- the run --------------------------------------------------------------------------------------------------

    async def _main(self) -> str:
        """Run to the end; return why it stands still, if it does."""
        self.group.watch()
        sending = asyncio.create_task(self._send())
        for _ in range(self.drawn.choice([1, 2, 2])):
            self.start_worker()
        reconfiguring = asyncio.create_task(self._reconfigure())
        await self._disturb()
        await reconfiguring
        await sending
        self.log.is_reliable = True
        self._planned.clear()
        self._step_faults.clear()
        deadline = self.loop.time() + SETTLING_SECONDS_MAX
        calm = 0
        while self.loop.time() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            reason = self._unsettled()
            calm = 0 if reason else calm + 1
            if calm == CALM_LOOKS:
                return await self._stop_all()
        return reason

    async def _stop_all(self) -> str:
        """Stop every worker gracefully, for good."""
        self._leaked = self._leaks()
        self._is_ending = True
        for worker in self.workers.values():
            self.loop.run_in(worker.process, worker.stop)
        await asyncio.sleep(2 * STOP_SECONDS)
        return f"{', '.join(self.workers)} did not stop" if self.workers else ""

    def _unsettled(self) -> str:
        """Return what is not done yet."""
        if self._to_be_started or not self.group.is_stable:
            return "the group is rebalancing"
        for worker in self.workers.values():
            if worker.process.is_paused or not hasattr(worker, "owned") or not worker.owned.is_open:
                return f"{worker.process} is not open"
            if worker.segmentations is not self.segmentations:
                return f"{worker.process} has an old configuration"
            if worker.follower.position < self.log[self.topics.models, 0].stable_end:
                return f"{worker.process} has not read all models"
            if worker.identities is not None:
                if worker.identities.next_offset < self.log[self.topics.identities, 0].end:
                    return f"{worker.process} has not read all statements"
                if any(lane.folding.joiner and lane.folding.joiner.is_waiting for lane in worker.owned.lanes.values()):
                    return f"{worker.process} has ids to look at"
            if any(lane.waiting_records for lane in worker.owned.lanes.values()):
                return f"{worker.process} has a backlog"
            versions = {name: segmentation.version for name, segmentation in worker.follower.current.items()}
            if any(lane._sweeper.versions != versions for lane in worker.owned.lanes.values()):
                return f"{worker.process} has not assessed everybody under {versions}"
        if sum(len(worker.owned.lanes) for worker in self.workers.values()) < self.partitions:
            return "a partition is still with a worker that has died"
        if not any(worker.owned.training for worker in self.workers.values()):
            return "nobody who lives has the trainers"
        for topic in self.topics.taken_in:
            for number in range(self.partitions):
                visible = self.log[topic, number].visible()
                last = visible[-1].offset if visible else -1
                if self.log[topic, number].stable_end != self.log[topic, number].end:
                    return f"{topic}[{number}] has an open transaction"
                if self.group.committed.get((topic, number), 0) <= last:
                    return f"{topic}[{number}]: the group's offset does not reach {last}"
        return ""

    def run(self) -> Outcome:
        """Run to the end and judge."""
        before = sweeping.PART_ROWS_MIN, sweeping.PART_ROWS_MAX
        # Else the size of a sweep's parts follows the machine's speed.
        sweeping.PART_ROWS_MIN = sweeping.PART_ROWS_MAX = self.drawn.choice([2, 5, 1_024])
        try:
            reason = self.loop.run_until_complete(self._main())
            breaches = [f"stands still: {reason}"] if reason else []
            breaches += [f"{type(error).__name__}: {error}" for error in self.loop.errors]
            breaches += self._leaked
            verdict = self.loop.run_until_complete(judge(self))
            breaches += verdict
        finally:
            sweeping.PART_ROWS_MIN, sweeping.PART_ROWS_MAX = before
            seconds = self.loop.time()
            self.loop.close()
        return Outcome(self.seed, breaches, self.steps, seconds, self.figures)

    def _leaks(self) -> list[str]:
        """Return workers with more producers than they need."""
        found = []
        for worker in self.workers.values():
            if hasattr(worker, "owned"):
                count = sum(delivery.is_open for delivery in worker.state_log.deliveries)
                needed = len(worker.owned.lanes) + (worker.owned.training is not None)
                if count > needed:
                    found.append(f"{worker.process}: {count} producers are open, {needed} are in use")
        return found
