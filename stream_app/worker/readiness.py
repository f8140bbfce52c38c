"""When a worker is ready; `stream_app.adapters.health` serves it."""

from __future__ import annotations

from typing import Any

from stream_app.worker.model_follower import ModelFollower
from stream_app.worker.owned import OwnedPartitions


class WorkerReadiness:
    """Judges a worker.

    Ready means that the partitions are recovered and the model is read. A worker that the group has given no
    partition is ready too: it stands by.
    """

    def __init__(self, owned: OwnedPartitions, follower: ModelFollower) -> None:
        self._owned = owned
        self._follower = follower

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, what it rests on, and why where it is no."""
        if not self._follower.is_read.is_set():
            reason = "the model is not read yet"
        elif not self._owned.is_open:
            reason = "partitions are not recovered yet, or being handed over"
        else:
            reason = ""
        return {
            "ready": not reason,
            "partitions": sorted(self._owned.lanes),
            "model_version": self._follower.snapshot.version,
            "reason": reason,
        }
