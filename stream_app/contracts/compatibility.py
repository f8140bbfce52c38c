"""Whether a changed JSON Schema still fits those who rely on the old one.

Every document that the producer's schema allows must be one that the consumer's schema allows. Of an input topic the
consumers are we: producers follow the old schema, we the new one. Of an output topic we are the producer: we follow
the new schema, consumers the old one. So one comparison serves both; only the roles change. Consumers ignore fields
they do not know.

Understood is the subset of JSON Schema (draft 2020-12) that our models generate.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from stream_app.contracts.fields import CURRENCY_PATTERN, TEXT_PATTERN

Schema = dict[str, Any]
Direction = Literal["input", "output"]

_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys(("minimum", "minLength", "minItems", "minProperties"), operator.gt),
    **dict.fromkeys(("maximum", "maxLength", "maxItems", "maxProperties"), operator.lt),
    "pattern": operator.ne,  # whether one pattern covers another is not decided here: a change is taken for narrower
}
"""By keyword, whether the first of two values is the tighter one."""
_IMPLIED: Final[dict[str, Schema]] = {
    r"^[a-z][a-z0-9_]{0,63}$": {"pattern": TEXT_PATTERN, "minLength": 1, "maxLength": 64},
    r"^[A-Z]{3}$": {"pattern": CURRENCY_PATTERN, "minLength": 3, "maxLength": 3},
}
"""By pattern, what a text that matches it fulfils besides: of patterns that wider ones have replaced."""


def incompatibilities(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """Return why `new` cannot replace `old`, one sentence for each place; empty if it can.

    Parameters
    ----------
    old, new
        Whole schemas, with their `$defs`.
    direction
        `"input"`: a new required field, a removed enum value, a narrowed type or bound break producers.
        `"output"`: a removed or no longer required field, a widened enum, type or bound break consumers.
    """
    producer, consumer = (old, new) if direction == "input" else (new, old)
    found = list(_uncovered(producer, consumer, (producer, consumer), "$"))
    if direction == "output":
        found += [f"{path}: removed" for path in sorted(_paths(old, old, "$") - _paths(new, new, "$"))]
    return list(dict.fromkeys(found))


def _uncovered(producer: Schema, consumer: Schema, roots: tuple[Schema, Schema], path: str) -> Iterator[str]:
    """Yield where a document valid for `producer` may be invalid for `consumer`."""
    producer, consumer = _resolve(producer, roots[0]), _resolve(consumer, roots[1])
    alternatives = _branches(consumer)
    for branch in _branches(producer):
        failures = [list(_uncovered_branch(branch, alternative, roots, path)) for alternative in alternatives]
        if all(failures):
            yield from min(failures, key=len)


def _uncovered_branch(producer: Schema, consumer: Schema, roots: tuple[Schema, Schema], path: str) -> Iterator[str]:
    producer, consumer = _resolve(producer, roots[0]), _resolve(consumer, roots[1])
    yield from _uncovered_values(producer, consumer, path)
    sent, read = producer.get("properties", {}), consumer.get("properties", {})
    for name in consumer.get("required", ()):
        if name not in producer.get("required", ()):
            yield f"{path}.{name}: required by the consumer, not by the producer"
    for name in sorted(sent.keys() & read.keys()):
        yield from _uncovered(sent[name], read[name], roots, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(consumer.get(keyword), dict):
            yield from _uncovered(producer.get(keyword) or {}, consumer[keyword], roots, f"{path}[]")


def _uncovered_values(producer: Schema, consumer: Schema, path: str) -> Iterator[str]:
    sent_types, read_types = _types(producer), _types(consumer)
    if read_types and not sent_types:
        yield f"{path}: any type, where the consumer takes {', '.join(sorted(read_types))}"
    elif read_types and (surplus := {kind for kind in sent_types if not _fits(kind, read_types)}):
        yield f"{path}: type {', '.join(sorted(surplus))}, where the consumer takes {', '.join(sorted(read_types))}"
    allowed = _enumerated(consumer)
    if allowed is not None:
        surplus_values = [value for value in _enumerated(producer) or ["any other value"] if value not in allowed]
        if surplus_values:
            yield f"{path}: {', '.join(map(str, surplus_values))} is not among the consumer's values"
    implied = _IMPLIED.get(producer.get("pattern", ""), {})
    for keyword, is_tighter in _BOUNDS.items():
        sent = [schema[keyword] for schema in (producer, implied) if keyword in schema]
        if keyword in consumer and all(is_tighter(consumer[keyword], value) for value in sent):
            yield f"{path}: {keyword} {producer.get(keyword, 'none')}, where the consumer has {consumer[keyword]}"


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _branches(schema: Schema) -> list[Schema]:
    """Return the forms that a schema allows; those of a union by tag exclude each other, which changes nothing here."""
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _fits(kind: str, kinds: set[str]) -> bool:
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _enumerated(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _paths(schema: Schema, root: Schema, path: str) -> set[str]:
    """Return the paths of all properties, those of nested objects included."""
    schema = _resolve(schema, root)
    found: set[str] = set()
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _paths(branch, root, path)
    if isinstance(schema.get("items"), dict):
        found |= _paths(schema["items"], root, f"{path}[]")
    for name, child in schema.get("properties", {}).items():
        found |= {f"{path}.{name}"} | _paths(child, root, f"{path}.{name}")
    return found
