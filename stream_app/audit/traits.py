"""Traits in rows, held against what profiles have said: of each trait the value that was observed last.

Of equal instants the greater value stays, so that the order in which profiles came does not matter. A trait that was
taken away is kept without a value. Of more than 128 traits the one observed longest ago is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Final, NamedTuple

from stream_app.audit.checks import Log
from stream_app.audit.findings import Finding, place
from stream_app.audit.recount import Entry
from stream_app.audit.rows import CustomerRow
from stream_app.core.consent import STATEMENTS

TRAITS_MAX: Final = 128
STATEMENTS_MAX: Final = 16
VALUE_BYTES_MAX: Final = 4_096
"""A longer value counts as none."""
_KEPT: Final = Struct("<BBH")
_NOTHING: Final = 0, b""


class Told(NamedTuple):
    """What was observed of a trait; the greatest counts, of statements on consent of equal instants the lesser kind."""

    observed_ms: int
    kind: int
    value: bytes


def check_traits(
    rows: Mapping[str, CustomerRow], profiles: Mapping[str, Sequence[Entry]], log: Log
) -> Iterator[Finding]:
    """Compare the traits of every customer with its profiles; `log` is the changelog."""
    for customer_id, row in rows.items():
        expected = recount_traits(profiles.get(customer_id, ()))
        found = {name: Told(trait.observed_ms, trait.kind, trait.value) for name, trait in row.traits.items()}
        wrong = [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]
        if wrong:
            yield Finding(
                "traits", f"{', '.join(wrong)}: differs from what was observed last", customer_id, place(*log)
            )


def recount_traits(profiles: Sequence[Entry]) -> dict[str, Told]:
    """Return what profiles and consents have said last, by name."""
    told: dict[str, Told] = {}
    for entry in profiles:
        for name, kind, value in _read(entry.event.kept):
            seen = Told(entry.event.at_ms, *(_NOTHING if len(value) > VALUE_BYTES_MAX else (kind, value)))
            told[name] = max(seen, told.get(name, seen), key=_rank_of(name))
    newest = sorted(told, key=lambda name: (told[name].observed_ms, name.encode()), reverse=True)
    statements = [name for name in newest if name.startswith(STATEMENTS)]
    others = [name for name in newest if not name.startswith(STATEMENTS)]
    return {name: told[name] for name in (*others[:TRAITS_MAX], *statements[:STATEMENTS_MAX])}


def _rank_of(name: str) -> Callable[[Told], Told]:
    return (lambda seen: seen._replace(kind=-seen.kind)) if name.startswith(STATEMENTS) else (lambda seen: seen)


def _read(kept: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield what is kept of a profile: name, kind of the value, its bytes."""
    at = 0
    while at < len(kept):
        name_size, kind, size = _KEPT.unpack_from(kept, at)
        start = at + _KEPT.size
        at = start + name_size + size
        yield kept[start : start + name_size].decode(), kind, kept[start + name_size : at]
