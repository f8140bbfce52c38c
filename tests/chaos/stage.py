"""A deployment under fire: topics, workers under a supervisor, traffic, and the verdict at the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from stream_app.adapters.topics import TopicNames
from tests.chaos.evidence import Evidence, gather, input_ends
from tests.chaos.feeding import Feeder
from tests.chaos.fleet import COMMAND, ROOT, Fleet, Worker
from tests.chaos.progress import Group, Place, Progress
from tests.chaos.segmentations import KINDS, NAMES, write_file
from tests.chaos.traffic import Record, Traffic
from tests.support.kafka import KafkaBroker
from tests.support.processes import wait_for

PARTITIONS: Final = 4
MOVING_SECONDS: Final = 30
"""All partitions have to move again so soon after the last fault; not in the short forms, for tests assert no time."""
PATIENCE_SECONDS: Final = 240
"""How long is waited for it, so as to tell how long it took."""
SETTLING_SECONDS: Final = 0.5
"""What is forwarded is read by then, and what it leads to is written."""
COMMAND_SECONDS: Final = 1_200
"""A command that takes longer hangs: `verify` recounts everything in Python, which takes a minute on a busy machine."""
ATTEMPTS: Final = 60
"""How often more input is produced where workers were faster than the fault."""


@dataclass
class Outcome:
    """What became of a scenario.

    Attributes
    ----------
    faults
        Number of faults done, by kind.
    longest_seconds
        Longest time from a fault until all partitions had folded what was pending then; from a broker's outage, since
        it serves again.
    exits
        Number of workers' ends, by exit status.
    rate_kept, backlog_rate_kept
        Events folded per second while Redis was away, as a share of those before: of an even load, and of a backlog.
    view_seconds
        From the return of Redis until the view equalled the memberships topic.
    problems
        Why the scenario has failed; empty if it has passed.
    """

    name: str
    faults: dict[str, int] = field(default_factory=dict)
    records: int = 0
    evidence: Evidence = field(default_factory=Evidence)
    longest_seconds: float = 0.0
    exits: dict[int, int] = field(default_factory=dict)
    rate_kept: float | None = None
    backlog_rate_kept: float | None = None
    view_seconds: float | None = None
    verdict: str = "not reached"
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class NothingPending(Exception):
    """Workers were done with all input before the fault, time and again."""


class Stage:
    """One scenario's deployment, which runs while it is entered.

    Parameters
    ----------
    name, prefix
        Of the scenario, and of its topics.
    bootstrap_servers
        The broker.
    folder
        For workers' logs and whatever they write.
    traffic
        The input.
    workers
        How many are started.
    is_static
        Whether workers have instance ids.
    settings
        More settings of the workers, by the environment variable's name without `SEGMENTER_`.
    command
        What starts a worker.
    broker
        Where a scenario has one of its own, to do harm to.
    seed
        Fixes which worker is hit and when, as far as processes can be told.
    is_timed
        Whether it is a problem if partitions stand still for longer than `MOVING_SECONDS`.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        bootstrap_servers: str,
        folder: Path,
        traffic: Traffic,
        *,
        workers: int = 2,
        is_static: bool = False,
        settings: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = COMMAND,
        broker: KafkaBroker | None = None,
        seed: int = 0,
        is_timed: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.random = random.Random(seed)
        self.broker = broker
        self.outcome = Outcome(name)
        self.traffic = traffic
        self.names = TopicNames(prefix, "segmenter", "IDENTITIES__ENABLED" in (settings or {}))
        self.bootstrap_servers = bootstrap_servers
        self.environment = {
            f"SEGMENTER_{name}": value
            for name, value in {
                "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
                "KAFKA__TOPIC_PREFIX": prefix,
                "KAFKA__PARTITIONS": str(PARTITIONS),
                "KAFKA__SESSION_TIMEOUT_SECONDS": "6",
                "WORKER__CLOCK": "event",
                "LEARNING__SAMPLE_SIZE": "500",
                "SEGMENTATIONS_FILE": str(write_file(folder)),
                **(settings or {}),
            }.items()
        }
        self.feeder = Feeder(bootstrap_servers, prefix)
        self.fleet = Fleet(folder, self.environment, is_static)
        self.progress = Progress(bootstrap_servers, self.names, PARTITIONS)
        self.group = Group(bootstrap_servers, self.names)
        self._worker_count = workers
        self._command = command
        self._is_timed = is_timed
        self._opened = ExitStack()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self.run_command("topics", "create")
        with ExitStack() as opened:
            opened.enter_context(self.progress)
            opened.enter_context(self.fleet)
            for _ in range(self._worker_count):
                self.fleet.add(self._command)
            self.fleet.wait_until_ready()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    # --- input -------------------------------------------------------------------------------------------------------

    def feed(self, records: Sequence[Record] | int) -> None:
        """Produce records, or so many of the traffic's next ones, and wait until the broker has them."""
        self.feeder.feed(self.traffic.take(records) if isinstance(records, int) else records)

    def pending(self, partitions: Sequence[int] = range(PARTITIONS)) -> int:
        """Return how many acknowledged records are not folded yet."""
        return self.progress.pending(self.feeder.ends, partitions)

    # --- faults ------------------------------------------------------------------------------------------------------

    def count(self, fault: str) -> None:
        self.outcome.faults[fault] = self.outcome.faults.get(fault, 0) + 1

    def strike(self, worker: Worker, signum: signal.Signals, portion: int) -> dict[Place, int]:
        """Send a signal to a worker in the midst of its work; return the ends of the input at that moment.

        Raises
        ------
        NothingPending
            If the worker had always folded everything before.
        """
        for _ in range(ATTEMPTS):
            wait_for(lambda: bool(worker.partitions()), PATIENCE_SECONDS, f"{worker.name} to own partitions")
            partitions = worker.partitions()
            self.feed(portion)
            time.sleep(self.random.uniform(0, 0.05))
            if not self.pending(partitions):
                continue
            ends = dict(self.feeder.ends)
            assert self.pending(partitions) > 0, "input must be pending when a fault comes"
            worker.signal(signum)
            if signum == signal.SIGKILL and not self._is_left_pending(ends, partitions):
                self.outcome.notes.append("a kill came when all was folded, and does not count")
                self.recover(ends)
                continue
            self.count(f"{signum.name} worker")
            return ends
        raise NothingPending(f"{worker.name} has folded {portion} records {ATTEMPTS} times before the fault came")

    def _is_left_pending(self, ends: Mapping[Place, int], partitions: Sequence[int]) -> bool:
        """Tell whether a dead worker has left work, once its last transaction is seen."""
        time.sleep(0.3)
        return self.progress.pending(ends, partitions) > 0

    def recover(self, ends: Mapping[Place, int], since: float | None = None) -> float:
        """Wait until all that was pending at a fault is folded; return the seconds since the fault."""
        started = time.monotonic() if since is None else since
        self.progress.wait_for(ends, PATIENCE_SECONDS)
        seconds = time.monotonic() - started
        self.outcome.longest_seconds = max(self.outcome.longest_seconds, seconds)
        return seconds

    def note_pause(self) -> None:
        """Count the longest time for which a partition stood still under steady input."""
        seconds = self.progress.longest_pause_seconds()
        self.outcome.longest_seconds = max(self.outcome.longest_seconds, seconds)

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait until everything is folded, stop the workers, and judge."""
        outcome = self.outcome
        self.feeder.settle()
        self.progress.wait_for(self.feeder.ends, PATIENCE_SECONDS)
        ends: dict[Place, int] = {}
        while ends != (
            now := input_ends(self.bootstrap_servers, self.names, PARTITIONS)
        ):  # what workers have forwarded
            ends = now  # with what workers have forwarded
            self.progress.wait_for(ends, PATIENCE_SECONDS)
            time.sleep(SETTLING_SECONDS)
        self.fleet.wait_until_ready()
        try:
            wait_for(lambda: self.group.lag(ends) == 0, 15, "the group's offsets to reach the ends")
        except TimeoutError as error:
            outcome.problems.append(str(error))
        self.fleet.stop()
        outcome.records = self.traffic.records
        outcome.evidence = gather(self.bootstrap_servers, self.names, PARTITIONS, KINDS, self.traffic.truth)
        outcome.problems += outcome.evidence.breaches(self.traffic.refused)
        outcome.problems += self.progress.unassessed(NAMES)
        outcome.verdict = self._verify()
        if outcome.verdict != "clean":
            outcome.problems.append(f"verify: {outcome.verdict}")
        if self._is_timed and outcome.longest_seconds > MOVING_SECONDS:
            outcome.problems.append(f"moving again after {outcome.longest_seconds:.1f} s, at most {MOVING_SECONDS} s")

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `segmenter`; it may fail only by finding something."""
        environment = os.environ | self.environment | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "stream_app", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def close_outcome(self) -> Outcome:
        """Return the outcome, with what became of the workers."""
        outcome = self.outcome
        outcome.seconds = time.monotonic() - self._started
        for worker in self.fleet.workers:
            for code in worker.exits:
                outcome.exits[code] = outcome.exits.get(code, 0) + 1
            outcome.notes += [f"{worker.name}: {reason}" for reason in worker.fatal_reasons()]
        outcome.problems += self.fleet.bad_exits()
        return outcome

    def _verify(self) -> str:
        done = self.run_command("verify", "--drained", "--json")
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return f"failed: {done.stderr.strip()[-300:]}"
        if found["clean"] != (done.returncode == 0):
            return f"contradicts its exit status {done.returncode}"
        if found["clean"]:
            return "clean"
        checks = {name: check for name, check in found["checks"].items() if check["breaches"]}
        return "; ".join(
            f"{name}: {check['breaches']}, such as {check['examples'][0]}" for name, check in checks.items()
        )
