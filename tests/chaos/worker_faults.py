"""Faults of workers. Each function does a fault so many times and waits until all is moving again."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Final

from tests.chaos.feeding import ContinuousFeed
from tests.chaos.fleet import Worker
from tests.chaos.progress import Place
from tests.chaos.segmentations import names_of, write_file
from tests.chaos.stage import NothingPending, Stage
from tests.support.processes import wait_for

BEFORE: Final = 6_000
"""Records that are fed just before a fault."""
AFTER: Final = 5_000
"""Records that are fed just after it."""
STEADY_PER_SECOND: Final = 2_000
"""Rate of input in the background: every partition gets some all the time, and three workers on two processors keep up
with it, each record being assessed in three segmentations."""
STOP_SECONDS: Final = 5
"""A graceful stop takes no longer."""
TRIES: Final = 8
"""How often a fault is tried that has to meet a moment."""
BRIEF_SECONDS: Final = 20
"""A moment to be met comes by then, or it was missed."""


def kill_one_of_two(stage: Stage, repeats: int) -> None:
    """SIGKILL one worker after the other, each time amid its work."""
    for _ in range(repeats):
        ends = stage.strike(stage.random.choice(stage.fleet.workers), signal.SIGKILL, BEFORE)
        move_on(stage, ends)


def terminate_one_of_two(stage: Stage, repeats: int) -> None:
    """SIGTERM, which workers obey at once and with exit status 0."""
    for _ in range(repeats):
        worker = stage.random.choice(stage.fleet.workers)
        known = len(worker.exits)
        ends = stage.strike(worker, signal.SIGTERM, 2 * BEFORE)
        started = time.monotonic()
        wait_for(lambda worker=worker, known=known: len(worker.exits) > known, 30, "a worker to stop")  # type: ignore[misc]
        seconds, status = time.monotonic() - started, worker.exits[known]
        if status or seconds > STOP_SECONDS:
            stage.outcome.problems.append(f"{worker.name} took {seconds:.1f} s to stop, with exit status {status}")
        move_on(stage, ends, started)


def change_definitions(stage: Stage, repeats: int) -> None:
    """Change the file of segmentations and restart the workers one by one, amid their work; each second time back."""
    for number in range(2 * repeats):
        write_file(stage.folder, (number + 1) % 2)
        for worker in stage.fleet.workers:
            known = len(worker.exits)
            ends = stage.strike(worker, signal.SIGTERM, BEFORE)
            started = time.monotonic()
            wait_for(lambda worker=worker, known=known: len(worker.exits) > known, 30, "a worker to stop")  # type: ignore[misc]
            move_on(stage, ends, started)
        stage.count("definitions changed")
        stage.fleet.wait_until_ready()
        wait_for(
            lambda number=number: not stage.progress.unassessed(names_of((number + 1) % 2)),  # type: ignore[misc]
            60,
            "everybody to be assessed under the definitions",
        )


def kill_during_rebalance(stage: Stage, repeats: int) -> None:
    """SIGKILL the second worker while it hands over what the first one's death has set in motion."""
    done = 0
    for _ in range(TRIES * repeats):
        first, second = stage.random.sample(stage.fleet.workers, 2)
        ends = stage.strike(first, signal.SIGKILL, BEFORE)
        stage.feed(AFTER)
        if _meets(second) and stage.pending():
            second.signal(signal.SIGKILL)
            stage.count("SIGKILL in rebalance")
            done += 1
        move_on(stage, ends)
        stage.fleet.wait_until_ready()
        if done == repeats:
            return
    raise NothingPending(f"only {done} of {repeats} rebalances were met")


def kill_while_recovering(stage: Stage, repeats: int) -> None:
    """SIGKILL a worker, and again its successors before they are ready."""
    stage.feed(20_000)  # many customers, so that there is something to read back
    worker = stage.fleet.workers[0]
    stage.strike(worker, signal.SIGKILL, BEFORE)
    done = 0
    for _ in range(TRIES * repeats):
        wait_for(lambda: bool(worker.readiness()), BRIEF_SECONDS, "a worker to answer")
        time.sleep(stage.random.uniform(0, 1.5))
        stage.feed(AFTER)
        is_met, ends = not worker.is_ready() and stage.pending() > 0, dict(stage.feeder.ends)
        worker.signal(signal.SIGKILL)
        wait_for(lambda: not worker.is_running, BRIEF_SECONDS, "a worker to end")
        if is_met:
            stage.count("SIGKILL in recovery")
            done += 1
        if done == repeats:
            move_on(stage, ends)
            return
    raise NothingPending(f"only {done} of {repeats} recoveries were met")


def freeze_beyond_session(stage: Stage, repeats: int) -> None:
    """SIGSTOP a worker until another has its partitions, and let it go on as a zombie."""
    for _ in range(repeats):
        zombie, other = stage.random.sample(stage.fleet.workers, 2)
        known = len(zombie.exits)
        ends = stage.strike(zombie, signal.SIGSTOP, BEFORE)
        started = time.monotonic()
        stage.feed(AFTER)
        stage.recover(dict(stage.feeder.ends) | ends, started)
        assert len(other.partitions()) == 4, "the other worker must have taken over"
        with ContinuousFeed(stage.feeder, stage.traffic.take, 2_000):
            zombie.signal(signal.SIGCONT)
            time.sleep(2)
        wait_for(lambda zombie=zombie: zombie.is_ready(), 60, "the zombie or its successor to be ready")  # type: ignore[misc]
        ends_of_zombie = zombie.exits[known:] or "none, it joined again"
        stage.outcome.notes.append(f"exit status of the zombie: {ends_of_zombie}")
        stage.recover(dict(stage.feeder.ends))


def scale_up_and_down(stage: Stage, repeats: int) -> None:
    """Add a third worker and take it away again, under steady input."""
    third = stage.fleet.place()
    for _ in range(repeats):
        with ContinuousFeed(stage.feeder, stage.traffic.take, STEADY_PER_SECOND):
            stage.progress.longest_pause_seconds()
            third.start()
            wait_for(lambda: bool(third.partitions()) and stage.pending() > 0, 60, "a third worker to own partitions")
            stage.count("2→3")
            stage.recover(dict(stage.feeder.ends))
            third.retire()
            wait_for(lambda: not third.is_running and stage.pending() > 0, 30, "the third worker to stop")
            stage.count("3→2")
            stage.recover(dict(stage.feeder.ends))
            stage.note_pause()


def fill_disk(stage: Stage, repeats: int) -> None:
    """Work, die and start again in a folder where nothing can be written; the stage sees to the folder."""
    kill_one_of_two(stage, repeats)


def move_on(stage: Stage, ends: Mapping[Place, int], since: float | None = None) -> None:
    """Feed some more, and wait until what was pending at the fault is folded."""
    started = time.monotonic() if since is None else since
    stage.feed(AFTER)
    stage.recover(ends, started)


def _meets(worker: Worker) -> bool:
    """Wait for the moment at which a worker is not ready; return whether it came."""
    deadline = time.monotonic() + BRIEF_SECONDS
    while time.monotonic() < deadline:
        answer = worker.readiness()
        if answer and not answer["ready"]:
            return True
    return False
