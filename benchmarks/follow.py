"""How long a worker's event loop is held up while a partition follows a new model."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
from learned import VALUE_ALONE, model_of

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.delivery import Outgoing
from stream_app.adapters.wall_clock import now_ms
from stream_app.bootstrap.kafka import create_topic_names
from stream_app.bootstrap.worker import create_lane_settings
from stream_app.core.partition import Partition
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.settings.loading import load_settings
from stream_app.worker.partition_loop import PartitionLoop
from stream_app.worker.ticks import Ticks

PROBE_SECONDS = 0.001
COMMIT_SECONDS = 0.01


class SlowDelivery:
    """Takes as long as a broker and keeps nothing."""

    identity = (0, 0)

    async def open(self) -> None:
        """Be ready."""

    async def commit(self, outgoing: Outgoing) -> None:
        """Take a broker's time."""
        await asyncio.sleep(COMMIT_SECONDS if outgoing else 0)

    async def close(self) -> None:
        """Be done."""


async def longest_block(partition: Partition) -> tuple[float, float, int]:
    """Let a lane follow a model in which all roles have changed places.

    Returns
    -------
    The most processor seconds between two turns of anything else, the time that following took, and how many moved.
    """
    # Without pacing, so that parts come as close together as they can.
    settings = load_settings(
        None, VALUE_ALONE | {"worker": {"clock": "event", "model_migrations_per_second": 1_000_000}}
    )
    topics = create_topic_names(settings)
    model = model_of(partition)
    position = PartitionPosition(dict.fromkeys(topics.inputs, 0), partition.clock, {model.name: model.version})
    lane_settings = create_lane_settings(settings)
    lane = PartitionLoop(0, partition, position, SlowDelivery(), topics, lane_settings, Ticks(), now_ms)
    failures: list[BaseException] = []
    lane.start(failures.append)
    rolled = replace(model.frame, centres=np.roll(model.frame.centres, 1, axis=0))
    lane.follow([LearnedSegmentation(replace(model, version=model.version + 1, frame=rolled, previous=model.frame))])
    started, last, longest = time.perf_counter(), time.thread_time(), 0.0
    while lane.committed.versions[model.name] == model.version and not failures:
        await asyncio.sleep(PROBE_SECONDS)
        now = time.thread_time()
        longest = max(longest, now - last)
        last = now
    if failures:
        raise failures[0]
    await lane.close()
    return longest, time.perf_counter() - started, lane.figures.moves.total()
