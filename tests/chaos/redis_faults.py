"""Faults of Redis, which workers must not notice and the view must recover from.

That "the rate does not drop" is measured twice, for neither measure shows it alone. An even load far below what
workers can do shows every stall, however short, as records that are not folded in time; but workers of half the speed
would look the same. A backlog, given all at once, is folded as fast as workers can and shows just that; but it is over
too soon to meet a stall. So each of three equal windows (before, during and after the outage) has both, one after the
other, and of a few backlogs the one that was folded fastest counts. What is counted is what has been committed:
position rows in the changelog. Where processors are few, backlogs are folded faster while Redis is away, for then the
view and Redis take no share of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import redis

from tests.chaos.feeding import ContinuousFeed
from tests.chaos.redis_view import PREFIX, difference, expected_content, stored_content
from tests.chaos.stage import PARTITIONS, PATIENCE_SECONDS, Stage
from tests.support.processes import free_port, wait_for
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch

WARM_UP: Final = 6_000
PER_SECOND: Final = 1_500
"""Of the even load: every partition gets some all the time, and workers have time to spare."""
BACKLOGS: Final = 3
BACKLOG_PER_SECOND: Final = 160
"""Records of a backlog for each second of the window."""
LONG_OUTAGE_SECONDS: Final = 60
VIEW_SECONDS: Final = 60
"""After an outage that is so long, the view has to be right again so soon. Shorter ones are for tests, which assert no
time."""


class Rates(NamedTuple):
    """Events folded per second."""

    steady: float
    backlog: float


class View:
    """`segmenter view` and its Redis.

    Parameters
    ----------
    stage
        Whose topics are followed.
    """

    def __init__(self, stage: Stage) -> None:
        self.server = RedisServer(stage.folder / "redis", is_persistent=True)
        self.client = redis.Redis(port=self.server.port, protocol=2)
        self._stage = stage
        self._health_port = free_port()
        more = {
            "SEGMENTER_REDIS__URL": f"redis://127.0.0.1:{self.server.port}/0",
            "SEGMENTER_VIEW__HEALTH_PORT": str(self._health_port),
        }
        self.service = Service(stage.folder, "view", ["view"], stage.environment | more)

    def is_ready(self) -> bool:
        return fetch(f"http://127.0.0.1:{self._health_port}/ready")[0] == 200

    def generation(self) -> str | None:
        """Return the one that is read; None if there is none."""
        name = self.client.get(f"{PREFIX}generation")
        return None if name is None else name.decode()

    def written_at_ms(self) -> int:
        """Return when the view was last written, by its own word; 0 if there is none."""
        at = self.client.hget(f"{PREFIX}{self.generation()}:position", "at")
        return int(at or 0)

    def wait_until_equal(self) -> None:
        """Return once Redis holds what the topics say, and nothing else; no input may be pending.

        Raises
        ------
        TimeoutError
            If it does not come to that.
        """
        stage, deadline = self._stage, time.monotonic() + PATIENCE_SECONDS
        while True:
            expected = expected_content(stage.bootstrap_servers, stage.names, PARTITIONS)
            found = difference(expected, stored_content(self.client))
            if not found:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the view is not what the topics say after {PATIENCE_SECONDS} s: {found}")


def lose_redis(stage: Stage, seconds: int) -> None:
    """SIGKILL Redis for so long under load, let it return with what it had, and empty it while the view catches up."""
    with _running_view(stage) as view:
        stage.feed(WARM_UP)
        _settle(stage)
        before = _measure(stage, seconds)
        view.wait_until_equal()

        def kill() -> None:
            view.server.process.kill()
            stage.count("SIGKILL Redis")

        during = _measure(stage, seconds, kill)  # which has everything folded that was fed
        assert not view.server.process.is_running, "Redis must have been away all the time"
        _bring_back(stage, view, seconds)
        after = _measure(stage, seconds)
        view.wait_until_equal()
        assert view.service.is_running, "the view must have survived"
        if status := view.service.stop():
            stage.outcome.problems.append(f"the view has stopped with exit status {status}")
    outcome = stage.outcome
    outcome.rate_kept, outcome.backlog_rate_kept = during.steady / before.steady, during.backlog / before.backlog
    for name in Rates._fields:
        figures = ", ".join(f"{getattr(rates, name):,.0f}" for rates in (before, during, after))
        outcome.notes.append(f"{name} load, events folded per second before, during and after the outage: {figures}")


@contextmanager
def _running_view(stage: Stage) -> Iterator[View]:
    view = View(stage)
    with view.server, view.client, view.service:
        wait_for(view.is_ready, PATIENCE_SECONDS, "the view to be ready")
        yield view


def _measure(stage: Stage, seconds: int, begin: Callable[[], None] = lambda: None) -> Rates:
    """Give an even load for so long and then backlogs, wait until all is folded, and say how fast that was."""
    with ContinuousFeed(stage.feeder, stage.traffic.take, PER_SECOND):
        stage.progress.longest_pause_seconds()
        begin()
        folded, started = _folded(stage), time.monotonic()
        time.sleep(seconds)
        steady = (_folded(stage) - folded) / (time.monotonic() - started)
        stage.note_pause()
    _settle(stage)
    return Rates(steady, max(_fold_backlog(stage, BACKLOG_PER_SECOND * seconds) for _ in range(BACKLOGS)))


def _fold_backlog(stage: Stage, size: int) -> float:
    """Give so many records at once, wait until they are folded, and return how many that were a second."""
    records = stage.traffic.take(size)
    started = time.monotonic()
    stage.feed(records)
    _settle(stage)
    return size / (time.monotonic() - started)


def _bring_back(stage: Stage, view: View, seconds: int) -> None:
    """Start Redis, empty it once the view has gone on, and wait until the view is right again, all under load."""
    with ContinuousFeed(stage.feeder, stage.traffic.take, PER_SECOND):
        view.server.start()
        returned, returned_ms = time.monotonic(), time.time_ns() // 1_000_000
        assert view.generation() is not None, "Redis must have what it had"
        wait_for(lambda: view.written_at_ms() > returned_ms, PATIENCE_SECONDS, "the view to go on")
        view.client.flushall()
        stage.count("FLUSHALL")
        flushed = time.monotonic()
        wait_for(lambda: view.generation() is not None, PATIENCE_SECONDS, "a new generation of the view")
        built = time.monotonic()
    _settle(stage)
    view.wait_until_equal()
    outcome = stage.outcome
    outcome.view_seconds = time.monotonic() - returned
    outcome.notes.append(
        f"view written again {flushed - returned:.1f} s after the return of Redis, emptied then, read again"
        f" {built - flushed:.1f} s later; equal to the topics {outcome.view_seconds:.1f} s after the return"
    )
    if seconds >= LONG_OUTAGE_SECONDS and outcome.view_seconds > VIEW_SECONDS:
        outcome.problems.append(f"the view was right after {outcome.view_seconds:.1f} s, at most {VIEW_SECONDS}")


def _folded(stage: Stage) -> int:
    return sum(stage.progress.offsets.copy().values())


def _settle(stage: Stage) -> None:
    """Wait until everything that was fed is folded."""
    stage.progress.wait_for(dict(stage.feeder.ends), PATIENCE_SECONDS)
