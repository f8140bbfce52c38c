"""The moves that people look for first: everybody's in the last days, and those that the newest versions made.

A report has every move of some customers. A list of the last days must not depend on who is among them, so it has the
moves of all customers: up to `RECENT_MAX` for a segmentation, without the sentences that say why, and those that the
newest version made, up to `VERSION_MAX`, with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from stream_app.core.clock import DAY_MS, SECOND_MS, format_instant
from stream_app.core.local_days import local_day
from stream_app.core.moves import CAUSE_KINDS, CHANGES, VERSION_CAUSES
from stream_app.report.reading import Migration, milliseconds
from stream_app.report.timelines import shorten_sentence, steps

RECENT_DAYS: Final = 30
"""The period that pages show by default."""
RECENT_MAX: Final = 6_000
VERSION_MAX: Final = 500


class _Move(NamedTuple):
    customer_id: str
    at_s: int
    origin: str | None
    target: str | None
    cause: int
    change: int


class NewestMoves:
    """Takes the newest moves out of all.

    Parameters
    ----------
    versions
        Of each segmentation, the newest one.
    until_ms
        The end; None where there were no events.
    timezone
        Whose days.
    """

    def __init__(self, versions: Mapping[str, int], until_ms: int | None, timezone: str) -> None:
        self._versions, self._timezone = versions, timezone
        self._last_day = local_day(until_ms or 0, timezone)
        self._since = format_instant(max((until_ms or 0) - (RECENT_DAYS + 2) * DAY_MS, 0))
        self._recent: dict[str, deque[_Move]] = {name: deque() for name in versions}
        self._first_day = dict.fromkeys(versions, self._last_day - RECENT_DAYS + 1)
        self._by_version: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}

    def add(self, migration: Migration) -> None:
        """Take in a migration of any kind."""
        name = migration.segmentation
        is_by_version = migration.cause.kind in VERSION_CAUSES
        if is_by_version and migration.model_version == self._versions[name]:
            self._add_of_version(migration)
        if migration.effective_at < self._since:  # instants have one format, so they sort as text
            return
        origin, target = migration.from_segment, migration.to_segment
        recent, at_ms = self._recent[name], milliseconds(migration.effective_at)
        recent.append(
            _Move(
                migration.customer_id,
                at_ms // SECOND_MS,
                origin.id if origin else None,
                target.id if target else None,
                CAUSE_KINDS.index(migration.cause.kind),
                CHANGES.index(migration.change),
            )
        )
        if len(recent) > RECENT_MAX:
            dropped = local_day(recent.popleft().at_s * SECOND_MS, self._timezone)
            self._first_day[name] = max(self._first_day[name], dropped + 1)

    def document(self, name: str, places: Mapping[str, int]) -> dict[str, Any]:
        """Return the moves of a segmentation.

        `recent` are columns of all moves from `firstDay` on, instants in seconds, each as the difference from the one
        before; `moves` are those that the newest version has made.

        Parameters
        ----------
        places
            Of its segments, by their ids.
        """
        first = self._first_day[name]
        told = [move for move in self._recent[name] if local_day(move.at_s * SECOND_MS, self._timezone) >= first]
        return {
            "version": self._versions[name],
            "moves": self._by_version[name],
            "recent": {
                "firstDay": first,
                "id": [move.customer_id for move in told],
                "at": steps([move.at_s for move in told]),
                "from": [-1 if move.origin is None else places[move.origin] for move in told],
                "to": [-1 if move.target is None else places[move.target] for move in told],
                "cause": [move.cause for move in told],
                "change": [move.change for move in told],
            },
        }

    def _add_of_version(self, migration: Migration) -> None:
        moves = self._by_version[migration.segmentation]
        if len(moves) >= VERSION_MAX:
            return
        origin, target = migration.from_segment, migration.to_segment
        names = (origin.name if origin else None, target.name if target else None)
        moves.append(
            {
                "id": migration.customer_id,
                "atMs": milliseconds(migration.effective_at),
                "from": origin.id if origin else None,
                "to": target.id if target else None,
                "sentence": shorten_sentence(migration.explanation.sentence, *names),
            }
        )
