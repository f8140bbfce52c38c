"""What to do with a segment's customers, where somebody has said something other than its definition.

The definition's sentence stays what it is, in models and in reports; what people say in the console is kept beside the
view, with who and when, and shown in its place. It belongs to the id of a segment, so it outlives a new model, a new
name and a rebuild of the view.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import redis.asyncio as redis

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import REDIS_ERRORS
from stream_app.adapters.redis_client import REDIS_FAILURES
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.store import ActionEdit, SegmentList, StoreUnavailable
from stream_app.contracts.readers import KEY_SEPARATOR

logger = logging.getLogger(__name__)

UNAVAILABLE: Final = "what to do with segments cannot be read or kept; try again"


class KeptAction(msgspec.Struct, frozen=True, gc=False):
    """A sentence, and who has written it when."""

    action: str
    edited_by: str
    edited_at: str


_decode: Final = msgspec.json.Decoder(KeptAction).decode


class ActionsInRedis:
    """`Actions` that all API processes share.

    Parameters
    ----------
    client
        Of Redis; closed elsewhere.
    keys
        Names of the keys.
    metrics
        Where errors are counted.
    """

    def __init__(self, client: redis.Redis, keys: ViewKeys, metrics: Metrics) -> None:
        self._client = client
        self._key = keys.actions
        self._metrics = metrics
        self._kept: Mapping[str, KeptAction] = {}

    def applied(self, listed: SegmentList) -> SegmentList:
        """Put what is known to have been said into a list of segments; return the list."""
        for segment in listed.segments:
            kept = self._kept.get(_field(listed.segmentation, segment.id))
            if kept is not None and not segment.is_retired:
                segment.action_edit = ActionEdit(kept.edited_by, kept.edited_at, segment.action)
                segment.action = kept.action
        return listed

    async def refresh(self) -> None:
        """Read what is kept.

        Raises
        ------
        StoreUnavailable
            If Redis does not answer.
        """
        try:
            found: Any = await self._client.hgetall(self._key)
        except REDIS_FAILURES as error:
            raise self._unavailable() from error
        read = {field.decode(): _read(value) for field, value in found.items()}
        self._kept = {field: kept for field, kept in read.items() if kept is not None}

    async def edit(self, segmentation: str, segment: str, action: str | None, edited_by: str, edited_at: str) -> None:
        """See `Actions`."""
        field = _field(segmentation, segment)
        try:
            if action is None:
                await self._client.hdel(self._key, field)
            else:
                kept = KeptAction(action, edited_by, edited_at)
                await self._client.hset(self._key, field, msgspec.json.encode(kept))
        except REDIS_FAILURES as error:
            raise self._unavailable() from error
        logger.info(
            "what to do with %s: %s by %s", field, "set back to its definition" if action is None else "edited",
            edited_by, extra={"segmentation": segmentation, "segment": segment, "edited_by": edited_by},
        )  # fmt: skip
        await self.refresh()

    def _unavailable(self) -> StoreUnavailable:
        self._metrics.inc(REDIS_ERRORS, operation="actions")
        return StoreUnavailable(UNAVAILABLE)


def _read(value: bytes) -> KeptAction | None:
    """Return what is kept; None for what somebody else has put there."""
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return None


def _field(segmentation: str, segment: str) -> str:
    return f"{segmentation}{KEY_SEPARATOR}{segment}"
