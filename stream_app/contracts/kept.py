"""Which fields of a record are kept for conditions, found by their paths: a contract's field, or `properties.a.b`.

A path names a field of any input contract; of a record whose contract has no such field nothing is kept by it. Behind
`properties` the path goes from object to object by their keys, so a key with a dot in it cannot be named. Fields are
kept in the order of the paths, whatever the order of the record, under the path as it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stream_app.core.events import Event
from stream_app.core.kept import NAME_BYTES_MAX, encode_kept
from stream_app.errors import ConfigurationError

PROPERTIES: Final = "properties"
"""The field that holds a record's free object."""
PATHS_MAX: Final = 64
"""Paths that all definitions together may use."""
KEYS_MAX: Final = 8
"""Keys after `properties` in one path."""


class KeptPath(NamedTuple):
    """A field that is kept.

    Attributes
    ----------
    name
        The path as it is written, UTF-8.
    field
        The contract's field.
    keys
        Those that lead into the free object; empty for the field itself.
    """

    name: bytes
    field: str
    keys: tuple[str, ...] = ()


def require_paths(paths: Sequence[str]) -> None:
    """Refuse what can be no path of a record.

    Raises
    ------
    ConfigurationError
        If a path is empty, too long or given twice, or there are too many.
    """
    if len(paths) > PATHS_MAX:
        raise ConfigurationError(f"fields of events: {len(paths)} are used, expected at most {PATHS_MAX}")
    for path in paths:
        field, *keys = path.split(".")
        if not field or not all(keys) or (field == PROPERTIES) != bool(keys) or len(keys) > KEYS_MAX:
            raise ConfigurationError(
                f"field {path!r}, expected a field of an event, or {PROPERTIES}.NAME with up to {KEYS_MAX} names"
            )
        if len(path.encode()) > NAME_BYTES_MAX:
            raise ConfigurationError(f"field {path!r}: {len(path.encode())} bytes, expected at most {NAME_BYTES_MAX}")
        if paths.count(path) > 1:
            raise ConfigurationError(f"field {path!r}: given {paths.count(path)} times, expected once")


def kept_paths(paths: Sequence[str], fields: Collection[str]) -> tuple[KeptPath, ...]:
    """Return those paths that lead to one of a contract's fields, in their order."""
    parts = ((path, *path.partition(".")) for path in paths)
    return tuple(
        KeptPath(path.encode(), field, tuple(keys.split(".")) if keys else ())
        for path, field, _, keys in parts
        if field in fields
    )


def with_kept(event: Event, record: Any, paths: Sequence[KeptPath]) -> Event:
    """Return an event with what is kept of its record, whose attributes are the contract's fields."""
    kept = encode_kept(_fields(event, record, paths))
    return msgspec.structs.replace(event, kept=kept) if kept else event


def _fields(event: Event, record: Any, paths: Sequence[KeptPath]) -> Iterator[tuple[bytes, Any]]:
    for path in paths:
        value = event.type if path.field == "type" else getattr(record, path.field)
        for key in path.keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            yield path.name, value
