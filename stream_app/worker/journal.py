"""What a worker says in its log of its progress: a few lines, with no customer and no record in them.

It looks once a second at what is counted anyway and writes what has changed; whatever may change all the time is
summed up, and written at most once in a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn

from stream_app.adapters.logs import Interval
from stream_app.core.clock import format_instant
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.worker.counters import ACCEPTED
from stream_app.worker.owned import OwnedPartitions

logger = logging.getLogger(__name__)

REFUSED_SECONDS: Final = 60.0
WAITING_SECONDS: Final = 60.0
SUMMARY_SECONDS: Final = 600.0
CAUGHT_UP_RECORDS: Final = 1_000
"""So few wait at any moment where thousands arrive in a second."""
BEHIND_RECORDS: Final = 10_000
"""As in the alert SegmenterLagGrowing."""


class Journal:
    """Writes a worker's log.

    Parameters
    ----------
    owned
        What is looked at.
    newest
        Returns, by segmentation, what was learned last, held models included.
    waiting
        Returns by input topic and partition how many records wait, as far as it is known.
    """

    def __init__(
        self,
        owned: OwnedPartitions,
        newest: Callable[[], Mapping[str, ModelProposal]],
        waiting: Callable[[], Mapping[tuple[str, int], int]],
    ) -> None:
        self._owned = owned
        self._newest = newest
        self._waiting = waiting
        self._partitions: set[int] = set()
        self._is_behind: bool | None = None
        self._models: dict[str, tuple[int, int, str]] = {}
        self._said_refused: Counter[tuple[str, str]] = Counter()
        self._said_moves: Counter[str] = Counter()
        self._said_folded = 0
        self._may_say_waiting = Interval(WAITING_SECONDS)
        self._may_say_refused = Interval(REFUSED_SECONDS)
        self._may_sum_up = Interval(SUMMARY_SECONDS)

    async def run(self) -> NoReturn:
        """Look once a second, for ever."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(1)

    def look(self, now: float) -> None:
        """Write what there is to say.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        """
        if self._owned.is_open:
            self._follow_partitions()
            self._follow_backlog(now)
        self._follow_models()
        self._follow_refusals(now)
        if self._may_sum_up.is_over(now) and (summary := self._sum_up()):
            logger.info("%s", summary)

    def _follow_partitions(self) -> None:
        now_owned = set(self._owned.lanes)
        if gone := sorted(self._partitions - now_owned):
            logger.info("partitions %s went to other workers", gone)
        if now_owned - self._partitions:
            self._is_behind = None
        self._partitions = now_owned

    def _follow_backlog(self, now: float) -> None:
        waiting = self._waiting()
        wanted = [(topic, number) for number in self._partitions for topic in self._owned.inputs]
        if not wanted or any(key not in waiting for key in wanted):
            return
        total = sum(waiting[key] for key in wanted)
        if total > BEHIND_RECORDS and self._may_say_waiting.is_over(now):
            logger.info("catching up: %s to go", _records(total))
            self._is_behind = True
        elif total <= CAUGHT_UP_RECORDS and self._is_behind is not False:
            summary = self._sum_up()
            logger.info("caught up with partitions %s%s", sorted(self._partitions), f": {summary}" if summary else "")
            self._is_behind = False

    def _follow_models(self) -> None:
        for name, proposal in self._newest().items():
            model = proposal.model
            state = model.version, model.as_of_ms, proposal.status
            if not model.version or self._models.get(name) == state:
                continue
            self._models[name] = state
            churn = "" if model.expected_churn is None else f" moves {model.expected_churn:.1%} of the customers"
            if proposal.rejected:
                outcome = "is rejected"
            elif proposal.held:
                outcome = f"waits: `segmenter model approve {name} {model.version}` publishes it" + (
                    churn and f"; it{churn}"
                )
            else:
                outcome = f"is published:{churn}" if churn else "is published"
            learned = format_instant(max(model.as_of_ms, 0))
            logger.info("segmentation %s: model %d, learned at %s, %s", name, model.version, learned, outcome)

    def _follow_refusals(self, now: float) -> None:
        refused: Counter[tuple[str, str]] = Counter()
        for figures in self._owned.figures.values():
            refused.update(figures.dead_letters)
        new = refused - self._said_refused
        if new and self._may_say_refused.is_over(now):
            self._said_refused = refused
            reasons = ", ".join(f"{topic} {reason} {count:,}" for (topic, reason), count in new.most_common())
            logger.warning("refused %s, now on the topic of dead letters: %s", _records(new.total()), reasons)

    def _sum_up(self) -> str:
        """Return what was done since this was last asked, empty if nothing was."""
        folded, moves = 0, Counter[str]()
        for figures in self._owned.figures.values():
            folded += sum(count for (_, outcome), count in figures.outcomes.items() if outcome == ACCEPTED)
            for (*_, cause), count in figures.moves.items():
                moves[cause] += count
        new_folded, new_moves = folded - self._said_folded, moves - self._said_moves
        self._said_folded, self._said_moves = folded, moves
        if not new_folded and not new_moves:
            return ""
        return f"{_records(new_folded)} folded, {new_moves.total():,} migrations{_listed(new_moves.most_common())}"


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    text = ", ".join(f"{name} {count:,}" for name, count in counts)
    return f" ({text})" if text else ""
