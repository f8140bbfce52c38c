"""Filters of Klaviyo's conditions: on time, numbers, texts, lists and dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stream_app.segmentations.importing.translation import (
    ANY_AGE,
    Condition,
    Refused,
    Translation,
    duration,
    expect,
    instant,
    member,
)
from stream_app.segmentations.mistakes import Place, shown

_NUMBERS: Final = {
    "equals": "equals",
    "not-equals": "not_equals",
    "greater-than": "more_than",
    "greater-than-or-equal": "at_least",
    "less-than": "less_than",
    "less-than-or-equal": "at_most",
}
_TEXTS: Final = {"equals": "equals", "not-equals": "not_equals", "in": "in", "not-in": "not_in"}


def numeric(place: Place, test: Any) -> Condition:
    """Return a comparison of a number."""
    mapping = expect(place, test, Mapping, "a numeric filter")
    operator = mapping.get("operator")
    if operator not in _NUMBERS:
        raise Refused((*place, "operator"), f"{shown(operator)}, expected {', '.join(_NUMBERS)}")
    return {_NUMBERS[operator]: member(place, mapping, "value", (int, float), "a number")}


def window(place: Place, test: Any, translation: Translation) -> Condition:
    """Return when events count."""
    if test is None:
        return {}
    mapping = expect(place, test, Mapping, "a date filter")
    match mapping.get("operator"):
        case "alltime":
            return {}
        case "in-the-last":
            return {"last": _quantity(place, mapping, translation)}
        case "at-least":
            return {"between_ago": [_quantity(place, mapping, translation), ANY_AGE]}
        case "between":
            return {"between_ago": list(_ages(place, mapping, translation))}
        case "after":
            translation.chose("after an instant includes that instant")
            return {"from": instant((*place, "date"), mapping.get("date"))}
        case "before":
            return {"to": instant((*place, "date"), mapping.get("date"))}
        case "between-static":
            start = instant((*place, "start"), mapping.get("start"))
            return {"from": start, "to": instant((*place, "end"), mapping.get("end"))}
        case other:
            raise Refused((*place, "operator"), f"{shown(other)} of events cannot be expressed")


def date_test(place: Place, mapping: Mapping[str, Any], trait: str, translation: Translation) -> Condition:
    """Return a test of a trait that is a date."""

    def ago(span: str) -> Condition:
        return {"trait": trait, "in_last": span}

    match mapping.get("operator"):
        case "in-the-last":
            return ago(_quantity(place, mapping, translation))
        case "in-the-next":
            return {"trait": trait, "in_next": _quantity(place, mapping, translation)}
        case "at-least":
            return {"all": [ago(ANY_AGE), {"not": ago(_quantity(place, mapping, translation))}]}
        case "between":
            newest, oldest = _ages(place, mapping, translation)
            return {"all": [ago(oldest), {"not": ago(newest)}]} if newest != "0d" else ago(oldest)
        case "after" | "before" as operator:
            return {"trait": trait, operator: instant((*place, "date"), mapping.get("date"))}
        case "between-static":
            start = instant((*place, "start"), mapping.get("start"))
            end = instant((*place, "end"), mapping.get("end"))
            return {"all": [{"trait": trait, "after": start}, {"trait": trait, "before": end}]}
        case "anniversary":
            return {"trait": trait, "anniversary": {"in_next": "1d"}}
        case "anniversary-month":
            return {"trait": trait, "anniversary": {"in_month": True}}
        case "anniversary-next":
            translation.chose("today is the first of the days in which an anniversary comes round")
            return {"trait": trait, "anniversary": {"in_next": _quantity(place, mapping, translation)}}
        case other:
            raise Refused((*place, "operator"), f"{shown(other)} of a date cannot be expressed")


def property_tests(place: Place, test: Mapping[str, Any], subject: Condition) -> Condition:
    """Return a test of a trait or a field, named by `subject`, that is no date; or several, joined."""
    kind, operator, value = test.get("type"), test.get("operator"), test.get("value")
    match kind, operator:
        case "numeric", _:
            return {**subject, **numeric(place, test)}
        case "boolean", "equals":
            return {**subject, "equals": member(place, test, "value", bool, "true or false")}
        case "existence", ("is-set" | "not-set"):
            return {**subject, "exists": operator == "is-set"}
        case "string", str(text) if text in _TEXTS:
            wanted: Any = list if text in ("in", "not-in") else str
            return {
                **subject,
                _TEXTS[text]: member(place, test, "value", wanted, "texts" if wanted is list else "text"),
            }
        case "string", "starts-with":
            return {**subject, "begins_with": member(place, test, "value", str, "text")}
        case "string", "not-starts-with":
            return {"not": {**subject, "begins_with": member(place, test, "value", str, "text")}}
        case "list", "contains":
            return {**subject, "contains": value}
        case "list", "not-contains":
            return {"not": {**subject, "contains": value}}
        case "list", ("contains-all" | "contains-any" | "not-contains-all" | "not-contains-any"):
            return _set_test(place, str(operator), expect((*place, "value"), value, list, "a list of texts"), subject)
        case _:
            raise Refused((*place, "operator"), f"{shown(operator)} of {shown(kind)} cannot be expressed")


def metric_tests(place: Place, filters: Any, translation: Translation) -> list[Condition]:
    """Return the tests of an event's fields; anything but a plain test of one field is not allowed there."""
    if not filters:
        return []

    def test(at: Place, entry: Any) -> Condition:
        mapping = expect(at, entry, Mapping, "a filter of a property")
        name = str(member(at, mapping, "property", str, "a property"))
        field = "value" if name == "$value" else f"properties.{name.removeprefix('$')}"
        condition = property_tests(
            (*at, "filter"), member(at, mapping, "filter", Mapping, "a filter"), {"field": field}
        )
        if "field" not in condition:
            raise Refused((*at, "filter"), "a negated or joined test of an event's property cannot be expressed")
        return condition

    translation.chose("a metric's property X is the field properties.X, $value the field value")
    return translation.each(place, filters, test)


def _set_test(place: Place, operator: str, values: list[Any], subject: Condition) -> Condition:
    if not values:
        raise Refused((*place, "value"), "an empty list, expected texts")
    parts: list[Condition] = [{**subject, "contains": value} for value in values]
    whole = parts[0] if len(parts) == 1 else {"all" if operator.endswith("all") else "any": parts}
    return {"not": whole} if operator.startswith("not-") else whole


def _quantity(place: Place, mapping: Mapping[str, Any], translation: Translation) -> str:
    return duration((*place, "quantity"), mapping.get("quantity"), mapping.get("unit"), translation)


def _ages(place: Place, mapping: Mapping[str, Any], translation: Translation) -> tuple[str, str]:
    """Return the two ages of `between`, the smaller first."""
    start, end = (member(place, mapping, key, int, "a whole number") for key in ("start", "end"))
    newest, oldest = sorted((start, end))
    unit = mapping.get("unit")
    return (
        "0d" if newest == 0 else duration((*place, "start"), newest, unit, translation),
        duration((*place, "end"), oldest, unit, translation),
    )
