"""Who is known, put as plainly as possible: the reference that `native/barring.c`, which states the theory, is held to.

Events are gone through as they arrive. Of each customer remain its statements and what has been folded since it began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from stream_app.core.clock import NO_TIME
from stream_app.core.consent import JURISDICTION, SEGMENTATION, STATEMENTS, ConsentRules
from stream_app.core.events import CONSENT, ERASURE, Event
from stream_app.core.kept import read_kept

_WANTED: Final = (STATEMENTS + SEGMENTATION, STATEMENTS + JURISDICTION)


@dataclass
class Known:
    """What is known of a customer."""

    said: dict[str, tuple[int, bool | str]] = field(default_factory=dict)
    since_ms: int = NO_TIME
    is_there: bool = False
    is_barred: bool = False
    folded: list[Event] = field(default_factory=list)

    def traits(self) -> dict[str, bool | str]:
        """Return what was said last."""
        return {name: value for name, (_, value) in self.said.items()}


class Consents:
    """Goes through events in the order of arrival."""

    def __init__(self, rules: ConsentRules) -> None:
        self._rules = rules
        self.customers: dict[str, Known] = defaultdict(Known)
        self.not_profiled = 0

    def take(self, events: Iterable[Event]) -> None:
        """Take events in."""
        for event in events:
            if event.kind == ERASURE:
                self.customers.pop(event.customer_id, None)
            elif event.kind == CONSENT:
                self._follow(self.customers[event.customer_id], event)
            else:
                self._fold(self.customers[event.customer_id], event)

    def _fold(self, known: Known, event: Event) -> None:
        is_wanted = not known.is_barred and (known.is_there or not self._rules.opts_in)
        if is_wanted and event.at_ms >= known.since_ms:
            known.is_there = True
            known.folded.append(event)
        else:
            self.not_profiled += 1

    def _follow(self, known: Known, event: Event) -> None:
        for name, value in read_kept(event.kept):
            at_ms, had = known.said.get(name, (NO_TIME, True))
            wins = value < had if isinstance(value, bool) else not isinstance(had, str) or value > had  # type: ignore[operator]
            if event.at_ms > at_ms or (event.at_ms == at_ms and wins):
                known.said[name] = (event.at_ms, value)  # type: ignore[assignment]
        traits = known.traits()
        jurisdiction = {name: traits[name] for name in _WANTED[1:] if name in traits}
        was_barred = known.is_barred or (not known.is_there and not self._rules.grants(jurisdiction, SEGMENTATION))
        known.is_barred = not self._rules.grants(traits, SEGMENTATION)
        known.is_there = True
        if known.is_barred:
            known.folded.clear()
        elif was_barred:
            said_ms, _ = known.said.get(_WANTED[0], (event.at_ms, True))
            known.since_ms = max(known.since_ms, said_ms)
