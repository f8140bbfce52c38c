"""How far a long run has come, in lines: in the events' own time, with the rate and what remains.

A bar needs a terminal; a line every few seconds works in a log, too. This needs the standard library alone, so every
command can use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stream_app.core.clock import NO_TIME, format_instant

SAY_SECONDS: Final = 5.0
"""Between two lines."""
MINUTE_SECONDS: Final = 60


class Progress:
    """Says every few seconds how far a run has come.

    Parameters
    ----------
    total
        Records or bytes in all; None if that is not known.
    say
        Is given each line.
    verb
        What is done with records: `read`, say.
    clock
        Seconds on a clock that never goes back.
    """

    def __init__(
        self,
        total: int | None,
        say: Callable[[str], object],
        verb: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._say = say
        self._verb = verb
        self._clock = clock
        self._said_at = self._started = clock()

    def note(self, done: int, records: int, at_ms: int) -> None:
        """Note how far the run is, and say so if that was last done a while ago.

        Parameters
        ----------
        done
            Of the total.
        records
            So far.
        at_ms
            Of the events that are under way.
        """
        now = self._clock()
        if now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        seconds = now - self._started
        parts = [f"{records:,} records {self._verb}"]
        if at_ms != NO_TIME:
            parts.append(f"up to {day_of(at_ms)}")
        parts.append(f"{records / seconds:,.0f} a second")
        if self._total and done:
            parts += [f"{min(done / self._total, 1):.0%} done", remaining(seconds * (self._total / done - 1))]
        self._say(", ".join(parts))


def day_of(at_ms: int) -> str:
    """Return the day of an instant, in UTC."""
    return format_instant(at_ms)[:10]


def remaining(seconds: float) -> str:
    """Return about how much time is left."""
    if seconds < MINUTE_SECONDS:
        return f"about {max(seconds, 1):.0f} s to go"
    return f"about {seconds / MINUTE_SECONDS:.0f} min to go"


def size_of(count: int) -> str:
    """Return a number of bytes as people write it."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
