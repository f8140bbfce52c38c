"""Times as text, as exports write them, to milliseconds since the epoch, in SQL.

What can be read in one way only is read without being asked: ISO 8601 with `T` or a space, with or without seconds,
with a comma or a point before the fraction, and a zone as `Z`, `UTC`, `+02`, `+0200`, `+02:00`, also after a space. A
time without a zone is wall time of the zone that the mapping, or the setting, names; where it occurs twice, at the end
of summer time, the first one counts, and where it is left out, at its beginning, it is taken as if the clock had not
been changed yet. Days before months, seconds since the epoch and Excel's days are read where somebody says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stream_app.sources import sql
from stream_app.sources.mapping import Unit

_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,32})?)?"
_ZONE: Final = r" ?([Zz]|UTC|GMT|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
_COMMON: Final = {24: "%Y-%m-%dT%H:%M:%S.%gZ", 20: "%Y-%m-%dT%H:%M:%SZ"}
"""The commonest forms by their bytes: where a text has as many, each number in it has all its digits."""
_PER_MS: Final[dict[Unit, str]] = {"s": "* 1000", "ms": "", "us": "/ 1000", "ns": "/ 1000000"}
_SUMMER_SHIFTS: Final = ("1 hour", "30 minutes")
"""By how much clocks are set back: an hour, and half of one on Lord Howe Island."""


def instant_of(cell: str, zone: str | None, formats: Sequence[str] = (), unit: Unit | None = None) -> str:
    """Return the milliseconds since the epoch that a cell says, as SQL; null if it cannot be read.

    Parameters
    ----------
    cell
        SQL of the text.
    zone
        Of times that have none; None leaves them unread.
    formats
        How it is written, as in strftime; the first that fits counts.
    unit
        What it counts since the epoch.
    """
    if unit == "excel":
        wall = (
            f"(TIMESTAMP '1899-12-30' + to_microseconds(round(try_cast({cell} AS DOUBLE) * 86400000)::BIGINT * 1000))"
        )
        return (
            f"CASE WHEN try_cast({cell} AS DOUBLE) BETWEEN 1 AND 2958465 THEN {_milliseconds(_in_zone(wall, zone))} END"
        )
    if unit is not None:
        return f"try_cast(floor(try_cast({cell} AS DECIMAL(38, 9)) {_PER_MS[unit]}) AS BIGINT)"
    if formats:
        return sql.coalesce([_by_format(cell, each, zone) for each in formats])
    iso = f"replace(replace(replace(upper({cell}), ' UTC', 'Z'), ' GMT', 'Z'), ',', '.')"
    iso = rf"regexp_replace(regexp_replace({iso}, '(UTC|GMT)$', 'Z'), '(:\d\d(\.\d*)?) ([Z+-])', '\1\3')"
    naive = f"try_cast(replace({cell}, ',', '.') AS TIMESTAMP)"
    common = " ".join(
        f"WHEN {size} THEN {_milliseconds(f'try_strptime({cell}, {sql.text(form)})')}" for size, form in _COMMON.items()
    )
    other = (
        f"CASE WHEN regexp_full_match({cell}, '{_DAY}([Tt ]{_CLOCK})?') THEN {_milliseconds(_in_zone(naive, zone))}"
        f" WHEN regexp_full_match({cell}, '{_DAY}[Tt ]{_CLOCK}{_ZONE}')"
        f" THEN {_milliseconds(f'try_cast({iso} AS TIMESTAMPTZ)')} END"
    )
    return f"coalesce(CASE strlen({cell}) {common} END, {other})"


def written(instant_ms: str) -> str:
    """Return milliseconds since the epoch as the contracts' commonest form, as SQL."""
    in_years = f"{instant_ms} BETWEEN -62135596800000 AND 253402300799999"
    return f"CASE WHEN {in_years} THEN strftime(make_timestamp({instant_ms} * 1000), '%Y-%m-%dT%H:%M:%S.%gZ') END"


def counted_up(days: str, of: str, ordered_by: str, first: str, hour: str | None, zone: str | None) -> str:
    """Return the milliseconds of a time that is known as days since the one before, as SQL over all rows."""
    window = f"(PARTITION BY {of} ORDER BY try_cast({ordered_by} AS DOUBLE))"
    so_far = f"sum(coalesce(try_cast({days} AS DOUBLE), 0)) OVER {window}"
    hours = "0" if hour is None else f"coalesce(try_cast({hour} AS DOUBLE), 0)"
    wall = f"(TIMESTAMP {sql.text(first)} + to_microseconds((({so_far} * 24 + {hours}) * 3600000000)::BIGINT))"
    return f"CASE WHEN {of} IS NOT NULL THEN {_milliseconds(_in_zone(wall, zone))} END"


def reads(cell: str, format_: str) -> str:
    """Return how many of a column's values a format reads, as SQL over all rows."""
    return f"count(try_strptime({cell}, {sql.text(format_)}))"


def _by_format(cell: str, format_: str, zone: str | None) -> str:
    parsed = f"try_strptime({cell}, {sql.text(format_)})"
    return _milliseconds(parsed if "%z" in format_ or "%Z" in format_ else _in_zone(parsed, zone))


def _milliseconds(instant: str) -> str:
    """`epoch_ms` would round; what is finer than a millisecond is cut off."""
    return f"(epoch_us({instant}) // 1000)"


def _in_zone(wall: str, zone: str | None) -> str:
    """Return the instant of a wall time, as SQL; ICU alone would take the second one of two."""
    if zone is None:
        return "NULL::TIMESTAMPTZ"
    if zone == "UTC":
        return wall
    quoted = sql.text(zone)
    instant = f"timezone({quoted}, {wall})"
    earlier = " ".join(
        f"WHEN timezone({quoted}, {instant} - INTERVAL '{shift}') = {wall} THEN {instant} - INTERVAL '{shift}'"
        for shift in _SUMMER_SHIFTS
    )
    return f"(CASE {earlier} ELSE {instant} END)"
