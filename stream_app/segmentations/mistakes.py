"""Mistakes in a document, one line each: where, what was found, what is allowed, and what was probably meant.

Pydantic finds the mistakes of single values; here they are put into words. A part of its places that is in angle
brackets names the form of a condition, which no document has, and is left out of paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from stream_app.segmentations.guessing import guess
from stream_app.segmentations.rules.conditions import FORMS, KEYS

Place = Sequence[str | int]
SHOWN_CHARACTERS: Final = 80
"""A value that is found is shown up to here."""
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_FORMS: Final = {f"<{form.tag}>": form for form in FORMS}  # type: ignore[attr-defined]
_EXPECTED: Final = {
    "missing": "missing, must be given",
    "bool_type": "{found}, expected true or false",
    "dict_type": "{found}, expected a mapping",
    "finite_number": "{found}, expected a finite number",
    "float_type": "{found}, expected a number",
    "greater_than": "{found}, expected more than {gt}",
    "greater_than_equal": "{found}, expected {ge} or more",
    "int_from_float": "{found}, expected a whole number",
    "int_type": "{found}, expected a whole number",
    "less_than": "{found}, expected less than {lt}",
    "less_than_equal": "{found}, expected {le} or less",
    "list_type": "{found}, expected a list",
    "model_attributes_type": "{found}, expected a mapping",
    "model_type": "{found}, expected a mapping",
    "recursion_loop": "contains itself",
    "string_pattern_mismatch": "{found}, expected a small letter, then small letters, digits, _ or -; 64 characters in "
    "all at most",
    "string_too_long": "{found}, expected {max_length} characters at most",
    "string_too_short": "{found}, expected text that is not empty",
    "string_type": "{found}, expected text",
    "too_long": "a list of {actual_length}, expected {max_length} at most",
    "too_short": "a list of {actual_length}, expected {min_length} or more",
    "tuple_type": "{found}, expected a list",
}


class Mistake(NamedTuple):
    """What is wrong at a place of a document.

    Attributes
    ----------
    path
        The place, such as `segmentations[2].when.all[0].last`; empty for the document itself.
    message
        What was found and what is allowed.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        text = f"{self.path}: {self.message}" if self.path else self.message
        return "".join(character if character.isprintable() else "�" for character in text)


def path_of(place: Place) -> str:
    """Return a place as people read it: `traits["home town"].type`, `segments[0].when`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        elif not (part.startswith("<") and part.endswith(">")) and part != "[key]":
            text += f'["{part[:SHOWN_CHARACTERS]}"]'
    return text


def shown(value: object) -> str:
    """Return a value as a message shows it: a scalar itself, of anything else its kind."""
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "a number of very many digits"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def mistakes_of(error: ValidationError, model: type[BaseModel], within: Place = ()) -> Iterator[Mistake]:
    """Yield what a validation has found, in the order of the document.

    Parameters
    ----------
    error
        As pydantic raises it.
    model
        What was validated.
    within
        The place of the validated part in the document.
    """
    for found in error.errors(include_url=False):
        place = found["loc"]
        if found["type"] == "too_short" and len(found["input"]) >= found["ctx"]["min_length"]:
            continue  # it counts the parts without a mistake
        yield Mistake(path_of((*within, *place)), _message(found, _model_at(model, place[:-1])))


def _message(error: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return _unknown_key(str(error["loc"][-1]), model)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _unknown_form(value)
    if kind == "literal_error":
        allowed = [text.strip("'") for text in re.split(r", | or ", context["expected"])]
        return f"{shown(value)}, expected {_either(allowed)}{guess(value, allowed)}"
    template = _EXPECTED.get(kind)
    return template.format(found=shown(value), **context) if template else f"{shown(value)}: {error['msg']}"


def _unknown_key(key: str, model: type[BaseModel] | None) -> str:
    own = getattr(model, "tag", None)
    if own in KEYS and key in KEYS:
        return f"is beside {own!r}, and a condition has one of them; join two conditions by 'all'"
    allowed = keys_of(model) if model else []
    names = f", expected {_either(allowed)}" if allowed else ", expected none of this name"
    return f"there is no such key{names}{guess(key, allowed)}"


def _unknown_form(value: object) -> str:
    if not isinstance(value, Mapping):
        return f"{shown(value)}, expected a condition: a mapping with one of {', '.join(KEYS)}"
    keys = [str(key)[:SHOWN_CHARACTERS] for key in value]
    near = next(filter(None, (guess(key, KEYS) for key in keys[:16])), "")
    found = f"a mapping with {', '.join(keys[:8])}" if keys else "an empty mapping"
    return f"{found}, expected a condition with one of {', '.join(KEYS)}{near}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _model_at(model: type[BaseModel] | None, place: Place) -> type[BaseModel] | None:
    """Return the model of a place, None if that is not clear."""
    for part in place:
        if isinstance(part, str) and part in _FORMS:
            model = _FORMS[part]
        elif isinstance(part, str) and model is not None:
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            if part in fields:
                models = set(_models_in(fields[part].annotation))
                model = models.pop() if len(models) == 1 else model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
