"""Faults of the input, and of what learns from it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from stream_app.worker.training import PROGRESS_KEY, Progress
from tests.chaos.progress import follower
from tests.chaos.stage import PARTITIONS, NothingPending, Stage
from tests.chaos.traffic import PURCHASES, Record
from tests.chaos.worker_faults import move_on
from tests.support.processes import wait_for

BURST: Final = 2_000
TRIES: Final = 40


def poison(stage: Stage, repeats: int) -> None:
    """One record in ten is refused, whatever is wrong with it; some are empty or misplaced; and a worker is killed."""
    traffic = stage.traffic
    odd = traffic.take_poison(repeats) + [Record(PURCHASES, b"c1", None)] * (repeats // 100)
    for _ in range(repeats // 20):
        odd += traffic.take_misplaced(range(PARTITIONS))
    stage.random.shuffle(odd)
    records = traffic.take(9 * repeats)  # in the order of their times
    for record in odd:
        records.insert(stage.random.randrange(len(records)), record)
    half = len(records) // 2
    stage.feed(records[:half])
    ends = stage.strike(stage.fleet.workers[0], signal.SIGKILL, BURST)
    stage.feed(records[half:])
    stage.outcome.faults["poison"] = repeats
    move_on(stage, ends)


def disorder(stage: Stage, repeats: int) -> None:
    """Late, shuffled and far-future records, and workers killed amid them."""
    for _ in range(repeats):
        for _ in range(20):
            stage.feed(stage.traffic.take_shuffled(500))
        ends = stage.strike(stage.random.choice(stage.fleet.workers), signal.SIGKILL, BURST)
        move_on(stage, ends)


def kill_trainer(stage: Stage, repeats: int) -> None:
    """SIGKILL the trainer's worker once some of a tick's samples have come, and its model has not."""
    done = 0
    stage.feed(10 * BURST)  # enough of a history to learn from
    with _from_beginning(stage, stage.names.samples) as samples:
        for _ in range(TRIES * repeats):
            owner = stage.group.owner_of(stage.names.samples, 0)
            worker = next((worker for worker in stage.fleet.workers if worker.name == owner), None)
            if worker is None:
                time.sleep(0.2)
                continue
            _catch_up(samples)
            stage.feed(BURST)
            message = samples.poll(2)
            if message is None or message.error() or not json.loads(message.value())["population_size"]:
                continue
            time.sleep(stage.random.uniform(0, 0.03))
            ends = dict(stage.feeder.ends)
            worker.signal(signal.SIGKILL)
            wait_for(lambda worker=worker: not worker.is_running, 5, "the trainer's worker to end")  # type: ignore[misc]
            if _next_sample(stage) <= int(message.offset() or 0):
                stage.count("SIGKILL trainer in a tick")
                done += 1
            move_on(stage, ends)
            stage.fleet.wait_until_ready()
            if done == repeats:
                return
    raise NothingPending(f"only {done} of {repeats} ticks were met")


@contextmanager
def _from_beginning(stage: Stage, topic: str) -> Iterator[Consumer]:
    consumer = follower(stage.bootstrap_servers)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    try:
        yield consumer
    finally:
        consumer.close()


def _catch_up(consumer: Consumer) -> None:
    """Read to the end."""
    while not any(message.error() for message in consumer.consume(1_000, 0.3)):
        pass


def _next_sample(stage: Stage) -> int:
    """Return where the trainer stands, by what it has committed."""
    time.sleep(0.3)
    next_sample = 0
    with _from_beginning(stage, stage.names.trainer_changelog) as states:
        is_at_end = False
        while not is_at_end:
            for message in states.consume(1_000, 0.3):
                is_at_end = is_at_end or bool(message.error())
                if not message.error() and message.key() == PROGRESS_KEY:
                    next_sample = msgspec.json.decode(message.value(), type=Progress).next_sample
    return next_sample
