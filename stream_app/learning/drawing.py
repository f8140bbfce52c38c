"""Drawing the sample that the trainer learns from."""

from __future__ import annotations

import numpy as np

from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.segmentation import LearnedSegmentation


def draw_sample(partition: Partition, tick: int, as_of_ms: int, size: int, seed: int) -> PopulationSample:
    """Draw customers of a partition uniformly, as they stand at an instant.

    Parameters
    ----------
    tick
        Ascending number of the draw; with the seed it fixes who is drawn, so a repeated draw is the same.
    as_of_ms
        The instant.
    size
        How many to draw; all customers if there are fewer.
    seed
        ≥ 0.
    """
    table = partition.table
    numbers = table.sample(size, np.random.default_rng([seed, tick]))
    return PopulationSample(
        tick=tick,
        as_of_ms=as_of_ms,
        customer_ids=np.array([table.customer_ids[number] for number in numbers.tolist()], object),
        memberships={
            segmentation.name: Held.of(column.take(numbers))
            for segmentation, column in zip(partition.segmentations, table.memberships, strict=True)
            if isinstance(segmentation, LearnedSegmentation)
        },
        activity=table.activity.take(numbers),
        population_size=len(table),
    )
