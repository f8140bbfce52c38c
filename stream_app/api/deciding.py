"""Decisions on models from the console: handed in at the model desk on Kafka, as `segmenter model` does.

The API needs Kafka for nothing else, so a broker that does not answer is not a failure of the API: the answer says so,
and the page shows the command.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from stream_app.api.problems import DECISION_IMPOSSIBLE, Problem
from stream_app.contracts.decisions import Outcome
from stream_app.contracts.outputs.models import DecisionAction
from stream_app.errors import SegmenterError

TIMEOUT_SECONDS: Final = 20.0
"""Until a worker has carried a decision out; somebody looks at the page meanwhile."""


class Desk(Protocol):
    """What is needed of `stream_app.adapters.model_desk.ModelDesk`."""

    async def hand_in(
        self, action: DecisionAction, segmentation: str, version: int | None, decided_by: str, timeout_seconds: float
    ) -> Outcome | None:
        """Hand in a decision and return what became of it; None if nothing has in time."""
        ...


class Decisions:
    """Hands decisions in.

    Parameters
    ----------
    open_desk
        Gives a desk.
    """

    def __init__(self, open_desk: Callable[[], AbstractAsyncContextManager[Desk]]) -> None:
        self._open_desk = open_desk

    @staticmethod
    def of(found: Decisions | None) -> Decisions:
        """Return them if there are any.

        Raises
        ------
        Problem
            503, if there are none.
        """
        if found is None:
            raise Problem(DECISION_IMPOSSIBLE, "models are decided on by `segmenter model` here")
        return found

    async def hand_in(self, action: DecisionAction, segmentation: str, version: int, decided_by: str) -> dict[str, Any]:
        """Return what became of a decision.

        Raises
        ------
        Problem
            503, if the desk cannot be reached.
        """
        try:
            async with self._open_desk() as desk:
                outcome = await desk.hand_in(action, segmentation, version, decided_by, TIMEOUT_SECONDS)
        except SegmenterError as error:
            raise Problem(DECISION_IMPOSSIBLE, str(error)) from None
        if outcome is None:
            return {"status": "pending", "reason": f"no worker has carried it out within {TIMEOUT_SECONDS:.0f} s"}
        return {"status": outcome.status, "reason": outcome.reason, "published_version": outcome.published_version}
