from __future__ import annotations

import copy
from typing import Any

import pytest

from stream_app.contracts.compatibility import incompatibilities
from stream_app.contracts.schema_files import CHANNELS, schema_of

OBJECT: dict[str, Any] = {
    "type": "object",
    "$defs": {
        "Inner": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]},
    },
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a"},
        "kind": {"type": "string", "enum": ["x", "y"]},
        "inner": {"$ref": "#/$defs/Inner"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/Inner"}, "minItems": 1},
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
        "free": {},
        "word": {"type": "string"},
        "tagged": {
            "oneOf": [
                {"$ref": "#/$defs/Inner"},
                {"type": "object", "properties": {"m": {"type": "string"}}, "required": ["m"]},
            ]
        },
    },
    "required": ["id", "kind"],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the schema with the value at a dotted path replaced, or removed where it is None."""
    schema = copy.deepcopy(OBJECT)
    *parents, last = path.split(".")
    place = schema
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return schema


# what each change does to the documents that the schema allows
NARROWED = {
    "field required": ("required", ["id", "kind", "list"]),
    "inner field required": ("$defs.Inner.required", ["n", "m"]),
    "enum value removed": ("properties.kind.enum", ["x"]),
    "enum to const": ("properties.kind", {"type": "string", "const": "x"}),
    "minimum raised": ("$defs.Inner.properties.n.minimum", 1),
    "length cut": ("properties.id.maxLength", 8),
    "array bounded": ("properties.list.maxItems", 5),
    "pattern added to a free field": ("properties.free", {"type": "string", "pattern": "^b"}),
    "field of a form bounded": ("properties.tagged.oneOf.1.properties.m.maxLength", 5),
    "null no longer allowed": ("properties.maybe", {"$ref": "#/$defs/Inner"}),
    "map of integers": ("properties.map.additionalProperties", {"type": "integer"}),
    "free field typed": ("properties.free", {"type": "string"}),
    "values enumerated": ("properties.word", {"type": "string", "enum": ["ab"]}),
}
NEUTRAL = {
    "optional field added": ("properties.new", {"type": "string"}),
    "description": ("properties.id.description", "An id."),
    "enum reordered": ("properties.kind.enum", ["y", "x"]),
}


def test_unchanged_schema_is_compatible_either_way() -> None:
    assert incompatibilities(OBJECT, OBJECT, "input") == []
    assert incompatibilities(OBJECT, OBJECT, "output") == []


@pytest.mark.parametrize("change", NARROWED.values(), ids=NARROWED.keys())
def test_narrowed_input_breaks_producers(change: tuple[str, Any]) -> None:
    assert incompatibilities(OBJECT, changed(*change), "input") != []


@pytest.mark.parametrize("change", NARROWED.values(), ids=NARROWED.keys())
def test_widened_input_breaks_nobody(change: tuple[str, Any]) -> None:
    assert incompatibilities(changed(*change), OBJECT, "input") == []


@pytest.mark.parametrize("change", NARROWED.values(), ids=NARROWED.keys())
def test_widened_output_breaks_consumers(change: tuple[str, Any]) -> None:
    assert incompatibilities(changed(*change), OBJECT, "output") != []


@pytest.mark.parametrize("change", NARROWED.values(), ids=NARROWED.keys())
def test_narrowed_output_breaks_nobody(change: tuple[str, Any]) -> None:
    assert incompatibilities(OBJECT, changed(*change), "output") == []


@pytest.mark.parametrize("change", NEUTRAL.values(), ids=NEUTRAL.keys())
@pytest.mark.parametrize("direction", ["input", "output"])
def test_neutral_change_breaks_nobody(change: tuple[str, Any], direction: Any) -> None:
    assert incompatibilities(OBJECT, changed(*change), direction) == []


def test_changed_pattern_is_taken_for_a_break_either_way() -> None:
    schema = changed("properties.id.pattern", "^[ab]")
    assert incompatibilities(OBJECT, schema, "input") == ["$.id: pattern ^a, where the consumer has ^[ab]"]
    assert incompatibilities(OBJECT, schema, "output") == ["$.id: pattern ^[ab], where the consumer has ^a"]


def test_field_that_is_no_longer_required_breaks_consumers_only() -> None:
    schema = changed("required", ["id"])
    assert incompatibilities(OBJECT, schema, "input") == []
    assert incompatibilities(OBJECT, schema, "output") == ["$.kind: required by the consumer, not by the producer"]


@pytest.mark.parametrize("path", ["properties.list", "properties.id", "$defs.Inner.properties.n"])
def test_removed_field_breaks_consumers(path: str) -> None:
    assert any("removed" in problem for problem in incompatibilities(OBJECT, changed(path, None), "output"))


def test_form_that_is_added_to_a_union_breaks_consumers_only() -> None:
    fewer = changed("properties.tagged", {"oneOf": [{"$ref": "#/$defs/Inner"}]})
    assert incompatibilities(fewer, OBJECT, "input") == []
    assert incompatibilities(fewer, OBJECT, "output") == ["$.tagged.n: required by the consumer, not by the producer"]
    assert "$.tagged.m: removed" in incompatibilities(OBJECT, fewer, "output")


def test_number_covers_integer_but_not_the_other_way() -> None:
    schema = changed("$defs.Inner.properties.n", {"type": "number", "minimum": 0})
    assert incompatibilities(OBJECT, schema, "input") == []
    assert "$.inner.n: type integer" not in str(incompatibilities(OBJECT, schema, "input"))
    assert "$.inner.n: type number, where the consumer takes integer" in incompatibilities(OBJECT, schema, "output")


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.topic)
def test_each_required_field_of_a_contract_is_guarded(channel: Any) -> None:
    schema = schema_of(channel)
    for number, form in enumerate(forms_of(schema)):
        for name in form["required"]:
            relaxed = copy.deepcopy(schema)
            forms_of(relaxed)[number]["required"].remove(name)
            assert incompatibilities(relaxed, schema, "input") != []
            assert incompatibilities(schema, relaxed, "output") != []


def forms_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schema itself, or the schemas that it is a union of."""
    references = [form["$ref"].rpartition("/")[2] for form in schema.get("oneOf", ())]
    return [schema["$defs"][name] for name in references] or [schema]
