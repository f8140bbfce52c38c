"""Configuration files as plain data: YAML 1.2 or JSON.

PyYAML reads YAML 1.1, in which the country `NO` is false, `12:30` is 750 and a date is no text. Here `true` and `false`
alone are truth values, dates stay as they are written, and so does what begins with a zero, such as the postcode
`01069`. A key that occurs twice is refused, where PyYAML would take
the last; and so is what unfolds without end (aliases of aliases) or is nested deeper than any definition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from stream_app.errors import ConfigurationError

BYTES_MAX: Final = 4 << 20
"""A file of 64 segmentations is a hundredth of it."""
DEPTH_MAX: Final = 64
"""Mappings and lists inside one another."""
VALUES_MAX: Final = 200_000
"""Values in all, where an alias counts as often as it is used."""


class DocumentInvalid(ConfigurationError):
    """A configuration file is no document at all."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's core schema, without a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise DocumentInvalid(f"line {key.start_mark.line + 1}: a key that is not text, expected text")
            if key.value in seen:
                raise DocumentInvalid(f"line {key.start_mark.line + 1}: the key {key.value!r} occurs twice")
            seen.add(key.value)
        mapping = super().construct_mapping(node, deep)
        return {key if isinstance(key, str) else str(key): value for key, value in mapping.items()}


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), [*_first.replace("\0", ""), ""])


def read_document(path: Path) -> Any:
    """Return what a YAML or JSON file holds; JSON where its name ends in `.json`.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    DocumentInvalid
        If it is no document; the message names the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return parse_document(data, is_json=path.suffix.lower() == ".json")
    except DocumentInvalid as error:
        raise DocumentInvalid(f"{path}: {error}") from None


def parse_document(data: bytes, *, is_json: bool = False) -> Any:
    """Return what a document holds.

    Raises
    ------
    DocumentInvalid
        If it is not valid, is larger than `BYTES_MAX`, or unfolds beyond `DEPTH_MAX` or `VALUES_MAX`.
    """
    if len(data) > BYTES_MAX:
        raise DocumentInvalid(f"longer than {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentInvalid(f"byte {error.start} is not UTF-8, expected text in UTF-8") from None
    try:
        document = json.loads(text, object_pairs_hook=_distinct) if is_json else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise DocumentInvalid(f"line {error.lineno}: not JSON ({error.msg})") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DocumentInvalid(f"{line}not YAML ({error.problem})") from None
    except RecursionError:
        raise DocumentInvalid(f"nested too deep, expected {DEPTH_MAX} levels at most") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise DocumentInvalid(f"not {'JSON' if is_json else 'YAML'} ({error})") from None
    _require_finite(document)
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DocumentInvalid(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def _require_finite(document: Any) -> None:
    """Count all values, each alias as often as it is used."""
    waiting, values = [(document, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if values > VALUES_MAX:
            raise DocumentInvalid(f"more than {VALUES_MAX:,} values, aliases unfolded")
        parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
        if parts and depth > DEPTH_MAX:
            raise DocumentInvalid(f"nested too deep, expected {DEPTH_MAX} levels at most")
        waiting += [(part, depth + 1) for part in parts]
