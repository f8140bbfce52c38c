"""When a worker is ready to work; `stream_app.adapters.health` serves it."""

from __future__ import annotations

from typing import Any

from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.owned import OwnedPartitions


class WorkerReadiness:
    """Judges a worker.

    Ready means that the partitions are recovered and what was published of segmentations is read. A worker to which the
    group has assigned no partition is ready too: it stands by.
    """

    def __init__(self, owned: OwnedPartitions, follower: DefinitionFollower) -> None:
        self._owned = owned
        self._follower = follower

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, what it rests on, and a reason unless it is ready; versions are by segmentation."""
        if not self._follower.is_read.is_set():
            reason = "the published segmentations are not read yet"
        elif not self._owned.is_open:
            reason = "partitions are not recovered yet, or being handed over"
        else:
            reason = ""
        return {
            "ready": not reason,
            "partitions": sorted(self._owned.lanes),
            "versions": {name: each.version for name, each in self._follower.current.items()},
            "reason": reason,
        }
