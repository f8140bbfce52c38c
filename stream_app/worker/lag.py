"""How many input records wait: known from what the brokers say at each fetch, without asking them."""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.worker.owned import OwnedPartitions


def records_waiting(
    owned: OwnedPartitions, ends: Mapping[tuple[str, int], int], drained: Mapping[tuple[str, int], int]
) -> dict[tuple[str, int], int]:
    """Return by input topic and partition how many records wait, in the order of partitions.

    Parameters
    ----------
    owned
        Whose partitions.
    ends
        Where the log ends, as far as it is known.
    drained
        The group's position where all before it is fetched.
    """
    reached = owned.committable(drained)
    # By partition, so that a budget of series cuts off the last partitions and not a whole topic.
    return {
        (topic, number): max(end - reached[topic, number], 0)
        for (topic, number), end in sorted(ends.items(), key=lambda item: item[0][1])
        if number in owned.lanes and (topic, number) in reached
    }
