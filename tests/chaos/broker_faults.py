"""Faults of the broker, while input arrives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.chaos.feeding import ContinuousFeed
from tests.chaos.progress import Place
from tests.chaos.stage import ATTEMPTS, NothingPending, Stage
from tests.support.kafka import KafkaBroker

PORTION: Final = 6_000
SIGKILL: Final = "SIGKILL broker"
SIGTERM: Final = "SIGTERM broker"


def kill_broker(stage: Stage, repeats: int) -> None:
    """SIGKILL the broker and start it again, until so many times input was pending."""
    while stage.outcome.faults.get(SIGKILL, 0) < repeats:
        _interrupt(stage, KafkaBroker.kill, SIGKILL)


def stop_broker(stage: Stage, repeats: int) -> None:
    """SIGTERM the broker and start it again, until so many times input was pending."""
    while stage.outcome.faults.get(SIGTERM, 0) < repeats:
        _interrupt(stage, KafkaBroker.stop, SIGTERM)


def freeze_broker(stage: Stage, seconds: int) -> None:
    """Let the broker answer nothing for so long, with all connections open."""
    broker = _broker(stage)
    ends = _load(stage)
    broker.pause()
    stage.count(f"{seconds} s frozen broker")
    with ContinuousFeed(stage.feeder, stage.traffic.take, 500):
        time.sleep(seconds)
        broker.resume()
        resumed = time.monotonic()
    stage.recover(ends | dict(stage.feeder.ends), resumed)


def _interrupt(stage: Stage, fault: Callable[[KafkaBroker], None], name: str) -> None:
    broker = _broker(stage)
    ends = _load(stage)
    fault(broker)
    time.sleep(0.3)  # for what the broker had still sent
    if stage.pending():
        stage.count(name)
    stage.feeder.begin(stage.traffic.take(PORTION // 2))
    time.sleep(stage.random.uniform(0, 2))
    broker.start()
    serving_since = time.monotonic()
    stage.feeder.settle()
    stage.recover(ends, serving_since)


def _load(stage: Stage) -> dict[Place, int]:
    """Feed until something is pending; return the ends of the input."""
    for _ in range(ATTEMPTS):
        stage.feed(PORTION)
        if stage.pending():
            return dict(stage.feeder.ends)
    raise NothingPending(f"workers have folded {PORTION} records {ATTEMPTS} times before the fault came")


def _broker(stage: Stage) -> KafkaBroker:
    assert stage.broker is not None, "a broker of its own is needed"
    return stage.broker
