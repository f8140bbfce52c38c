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
from typing import Any, Final, NamedTuple, NoReturn

from stream_app.adapters.logs import Interval
from stream_app.core.clock import format_instant
from stream_app.plurals import counted
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.worker.counters import ACCEPTED
from stream_app.worker.owned import OwnedPartitions

logger = logging.getLogger(__name__)

REFUSED_SECONDS: Final = 60.0
WAITING_SECONDS: Final = 60.0
SUMMARY_SECONDS: Final = 600.0
CAUGHT_UP_RECORDS: Final = 1_000
"""No more than this wait at any moment even where thousands arrive in a second."""
LONG_SWEEP_SECONDS: Final = 1.0
"""Of processor time; one of a million customers takes half of that when all are looked at."""
BEHIND_RECORDS: Final = 10_000
"""As in the alert SegmenterLagGrowing."""


class _Summary(NamedTuple):
    """What was done, in words (none if nothing was) and for machines."""

    text: str
    fields: dict[str, Any]


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
    pinned
        Returns by segmentation the version that an operator has pinned.
    """

    def __init__(
        self,
        owned: OwnedPartitions,
        newest: Callable[[], Mapping[str, ModelProposal]],
        waiting: Callable[[], Mapping[tuple[str, int], int]],
        pinned: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._owned = owned
        self._newest = newest
        self._waiting = waiting
        self._pinned = pinned
        self._partitions: set[int] = set()
        self._is_behind: bool | None = None
        self._behind_since = 0.0
        self._models: dict[str, tuple[int, int, str]] = {}
        self._said_refused: Counter[tuple[str, str]] = Counter()
        self._said_moves: Counter[str] = Counter()
        self._said_folded = 0
        self._may_say_waiting = Interval(WAITING_SECONDS)
        self._may_say_refused = Interval(REFUSED_SECONDS)
        self._may_sum_up = Interval(SUMMARY_SECONDS)

    async def run(self) -> NoReturn:
        """Look once a second, without end."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(1)

    def end(self) -> None:
        """Write what has not been said yet of refused records and of what was done."""
        self._may_say_refused = self._may_sum_up = Interval(0)
        self._follow_refusals(0)
        self._tell_summary(0)

    def look(self, now: float) -> None:
        """Write what there is to say.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        """
        if self._owned.is_open:
            self._follow_partitions(now)
            self._follow_backlog(now)
        self._follow_models()
        self._follow_refusals(now)
        self._follow_sweeps()
        self._tell_summary(now)

    def _tell_summary(self, now: float) -> None:
        if self._may_sum_up.is_over(now) and (summary := self._sum_up()).text:
            logger.info("%s", summary.text, extra=summary.fields)

    def _follow_partitions(self, now: float) -> None:
        now_owned = set(self._owned.lanes)
        if gone := sorted(self._partitions - now_owned):
            logger.info("partitions %s went to other workers", gone, extra={"partitions": gone})
        if now_owned - self._partitions:
            self._is_behind, self._behind_since = None, now
        self._partitions = now_owned

    def _follow_backlog(self, now: float) -> None:
        waiting = self._waiting()
        wanted = [(topic, number) for number in self._partitions for topic in self._owned.inputs]
        if not wanted or any(key not in waiting for key in wanted):
            return
        total = sum(waiting[key] for key in wanted)
        if total > BEHIND_RECORDS and self._may_say_waiting.is_over(now):
            logger.info("catching up: %s to go", _records(total), extra={"waiting": total})
            if self._is_behind is False:
                self._behind_since = now
            self._is_behind = True
        elif total <= CAUGHT_UP_RECORDS and self._is_behind is not False:
            seconds, partitions, summary = now - self._behind_since, sorted(self._partitions), self._sum_up()
            logger.info(
                "caught up with partitions %s after %.0f s: %s",
                partitions,
                seconds,
                summary.text or "there was nothing to do",
                extra={"partitions": partitions, "seconds": round(seconds, 1)} | summary.fields,
            )
            self._is_behind = False

    def _follow_models(self) -> None:
        for name, proposal in self._newest().items():
            model = proposal.model
            state = model.version, model.as_of_ms, proposal.status
            if not model.version or self._models.get(name) == state:
                continue
            self._models[name] = state
            learned = format_instant(max(model.as_of_ms, 0))
            logger.info(
                "segmentation %s: model %d, learned at %s, %s",
                name,
                model.version,
                learned,
                self._outcome(name, proposal),
                extra={
                    "segmentation": name,
                    "version": model.version,
                    "as_of": learned,
                    "status": proposal.status,
                    "expected_churn": model.expected_churn,
                },
            )

    def _outcome(self, name: str, proposal: ModelProposal) -> str:
        """Return what became of a model, and why."""
        model = proposal.model
        if proposal.rejected:
            return "is rejected"
        churn = "" if model.expected_churn is None else f" moves {model.expected_churn:.1%} of the customers"
        if proposal.held:
            pinned = self._pinned().get(name)
            reason = f"`segmenter model approve {name} {model.version}` publishes it"
            if pinned is not None:
                reason = f"version {pinned} is pinned, and no other is published until it is unpinned"
            return f"waits: {reason}" + (churn and f"; it{churn}")
        step = model.training.get("step")
        part = f", as it goes {step:.0%} of the way to what fits" if churn and step and step < 1 else ""
        return f"is published:{churn}{part}" if churn else "is published"

    def _follow_refusals(self, now: float) -> None:
        refused: Counter[tuple[str, str]] = Counter()
        for figures in self._owned.figures.values():
            refused.update(figures.dead_letters)
        new = refused - self._said_refused
        if new and self._may_say_refused.is_over(now):
            self._said_refused = refused
            reasons = ", ".join(f"{topic} {reason} {count:,}" for (topic, reason), count in new.most_common())
            logger.warning(
                "refused %s, now on the topic of dead letters: %s",
                _records(new.total()),
                reasons,
                extra={"refused": {f"{topic} {reason}": count for (topic, reason), count in new.items()}},
            )

    def _follow_sweeps(self) -> None:
        for number, figures in self._owned.figures.items():
            seconds, figures.longest_sweep_seconds = figures.longest_sweep_seconds, 0.0
            if seconds >= LONG_SWEEP_SECONDS:
                fields = {"partition": number, "seconds": round(seconds, 1)}
                logger.info("partition %d: a sweep took %.1f s", number, seconds, extra=fields)

    def _sum_up(self) -> _Summary:
        """Return what was done since this was last asked."""
        folded, moves = 0, Counter[str]()
        for figures in self._owned.figures.values():
            folded += sum(count for (_, outcome), count in figures.outcomes.items() if outcome == ACCEPTED)
            for (*_, cause), count in figures.moves.items():
                moves[cause] += count
        new_folded, new_moves = folded - self._said_folded, moves - self._said_moves
        self._said_folded, self._said_moves = folded, moves
        if not new_folded and not new_moves:
            return _Summary("", {})
        moved = counted(new_moves.total(), "migration")
        return _Summary(
            f"{_records(new_folded)} folded, {moved}{_listed(new_moves.most_common())}",
            {"folded": new_folded, "migrations": dict(new_moves)},
        )


def _records(count: int) -> str:
    return counted(count, "record")


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    text = ", ".join(f"{name} {count:,}" for name, count in counts)
    return f" ({text})" if text else ""
