"""Detects a worker that makes no progress. Restarting it is safe; waiting is not."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final

from stream_app.worker.owned import OwnedPartitions

STALLED_SECONDS: Final = 60
"""Time for which records may wait while none is taken or written; then the process ends."""
UNASSIGNED_SECONDS: Final = 90
"""Time without an assignment after which the process ends: three times what the members of a group are waited for."""

Offsets = Mapping[tuple[str, int], int]
"""By topic and partition."""


class Watchdog:
    """Remembers since when things have been as they are.

    Parameters
    ----------
    owned
        What is watched.
    """

    def __init__(self, owned: OwnedPartitions) -> None:
        self._owned = owned
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def look(self, now_seconds: float, ends: Offsets, positions: Offsets) -> str | None:
        """Return why the process should end, None if it should not.

        Parameters
        ----------
        now_seconds
            By a clock that never goes back.
        ends
            Where the brokers say that the inputs end, asked apart from the group's consumer: that may be what has
            stopped. Empty if they could not be asked.
        positions
            See `OwnedPartitions.committable`.
        """
        owned, before, self._seen = self._owned, self._seen, {}

        def seconds(what: Hashable, place: Hashable) -> float:
            last, since = before.get(what, (None, now_seconds))
            self._seen[what] = place, since if place == last else now_seconds
            return now_seconds - self._seen[what][1]

        if not (owned.is_open or owned.is_opening) and seconds("unassigned", True) > UNASSIGNED_SECONDS:
            return f"no partitions were assigned for {UNASSIGNED_SECONDS} s"
        reached = owned.committable(positions)
        for number, lane in owned.lanes.items():
            if lane.waits_for_decision:
                continue  # not without end
            written = id(lane), tuple(lane.committed.offsets.values()), lane.figures.transactions
            if owned.has_backlog(number) and seconds(("written", number), written) > STALLED_SECONDS:
                return f"partition {number}: records wait, and nothing has been written for {STALLED_SECONDS} s"
            places = {topic: reached[topic, number] for topic in owned.inputs}
            is_behind = any(place < ends.get((topic, number), 0) for topic, place in places.items())
            taken = id(lane), tuple(places.values())
            if is_behind and seconds(("taken", number), taken) > STALLED_SECONDS:
                return f"partition {number}: records wait on the brokers, and none was taken for {STALLED_SECONDS} s"
        return None
