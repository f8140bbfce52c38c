"""Whether look-ups can be answered, for the API's own `/ready` and for that of its health port."""

from __future__ import annotations

from typing import Any

from stream_app.api.store import SegmentStore


class StoreReadiness:
    """Says whether look-ups can be answered."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, and the reason if it is no."""
        reason = self._store.unready_reason()
        return {"ready": not reason, "reason": reason}
