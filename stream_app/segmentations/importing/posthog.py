"""Cohorts of PostHog: `{id, name, filters: {properties: {type, values}}}`, one or a list of them.

Its windows are those of SQL, `timestamp > now() - INTERVAL`, as ours are, but for months and years, which are of the
calendar there. A number of events "at most n" asks for at least one there; so it does here after an import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stream_app.segmentations.importing.translation import (
    Condition,
    Refused,
    Translation,
    duration,
    expect,
    instant,
    joined,
    member,
    slug_of,
)
from stream_app.segmentations.mistakes import Place, shown

_NUMBERS: Final = {"gt": "more_than", "gte": "at_least", "lt": "less_than", "lte": "at_most"}
_COUNTS: Final = {**_NUMBERS, "exact": "equals", "eq": "equals"}
_WITHOUT_COUNTERPART: Final = {
    "icontains": "parts of texts are not looked for; use begins_with, or a list and contains",
    "not_icontains": "parts of texts are not looked for; use begins_with, or a list and contains",
    "regex": "patterns are not evaluated; name the values with in",
    "not_regex": "patterns are not evaluated; name the values with not_in",
    "is_date_exact": "a date is compared by before and after",
}
_RELATIVE: Final = re.compile(r"-(\d{1,5})([hdwmy])(Start|End)?")
_UNITS: Final = {"h": "hour", "d": "day", "w": "week", "m": "month", "y": "year"}


def read_posthog(document: Any, translation: Translation) -> None:
    """Add the cohorts of a document."""
    translation.chose("an event's properties are those of its free part: properties.NAME")
    entries = translation.listed(document, "results", "cohorts")
    cohorts = _Cohorts([entry for _, entry in entries], translation)
    for place, entry in entries:
        cohorts.add(place, entry)


class _Cohorts:
    """Cohorts that may name one another by their ids."""

    def __init__(self, entries: list[Any], translation: Translation) -> None:
        self._translation = translation
        self._slugs: dict[str, str] = {}
        for entry in entries:
            if isinstance(entry, Mapping) and "id" in entry:
                slug = slug_of(str(entry.get("name") or "imported"))
                taken = slug in self._slugs.values()
                self._slugs[str(entry["id"])] = f"{slug[:52]}_{str(entry['id'])[:11].lower()}" if taken else slug

    def add(self, place: Place, entry: Any) -> None:
        """Add a cohort."""
        if not isinstance(entry, Mapping):
            self._translation.refuse(Refused(place, f"{shown(entry)}, expected a cohort with name and filters"))
            return
        slug = self._slugs.get(str(entry.get("id")))
        self._translation.audience(entry.get("name"), lambda: self._cohort(place, entry), slug)

    def _cohort(self, place: Place, entry: Mapping[str, Any]) -> Condition:
        if entry.get("is_static"):
            raise Refused((*place, "is_static"), "members by hand; write their ids into a file and use list:")
        filters = member(place, entry, "filters", Mapping, "a mapping with properties")
        at = (*place, "filters")
        return self._group((*at, "properties"), member(at, filters, "properties", Mapping, "a group of properties"))

    def _group(self, place: Place, group: Any) -> Condition:
        mapping = expect(place, group, Mapping, "a mapping")
        kind = mapping.get("type")
        if "values" not in mapping:
            return self._property(place, mapping)
        if kind not in ("AND", "OR"):
            raise Refused((*place, "type"), f"{shown(kind)}, expected AND or OR")
        parts = self._translation.each((*place, "values"), mapping["values"], self._group)
        return joined("all" if kind == "AND" else "any", parts)

    def _property(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        kind = prop.get("type")
        match kind:
            case "behavioral":
                condition = self._behaviour(place, prop)
            case "person":
                condition = self._person(place, prop)
            case "cohort" | "precalculated-cohort" | "static-cohort":
                condition = {"segmentation": self._name_of((*place, "value"), prop.get("value"))}
            case _:
                raise Refused((*place, "type"), f"{shown(kind)}, expected behavioral, person or cohort")
        return {"not": condition} if prop.get("negation") in (True, "true") else condition

    def _name_of(self, place: Place, identity: Any) -> str:
        name = self._slugs.get(str(identity)) or self._translation.names.get(str(identity))
        if name is None:
            raise Refused(place, f"the cohort {shown(identity)} is not in the file; --name {identity}=NAME names it")
        return name

    def _behaviour(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        if prop.get("event_type") == "actions":
            raise Refused((*place, "event_type"), "actions are known to PostHog alone; use an event instead")
        event = self._event((*place, "key"), prop.get("key"))
        where = self._where(place, prop)
        match prop.get("value"):
            case "performed_event":
                return {"event": event, **self._window(place, prop), **where}
            case "performed_event_multiple":
                return {"event": event, **self._window(place, prop), **where, **self._times(place, prop)}
            case "performed_event_first_time":
                return {"first_event": event, "last": self._span(place, prop), **where}
            case "performed_event_sequence":
                if where:
                    raise Refused((*place, "event_filters"), "a sequence with filters cannot be expressed")
                second = self._event((*place, "seq_event"), prop.get("seq_event"))
                within = self._span(place, prop, "seq_time")
                return {"sequence": [event, second], "within": within, "last": self._span(place, prop)}
            case "performed_event_regularly":
                return self._regularly(place, prop, event, where)
            case "stopped_performing_event":
                recent = self._span(place, prop, "seq_time")
                before = {"event": event, "between_ago": [recent, self._span(place, prop)], **where}
                return {"all": [before, {"event": event, "last": recent, **where, "equals": 0}]}
            case "restarted_performing_event":
                recent = self._span(place, prop, "seq_time")
                pause = {"event": event, "between_ago": [recent, self._span(place, prop)], **where, "equals": 0}
                earlier = {"event": event, "between_ago": [self._span(place, prop), "36525d"], **where}
                return {"all": [{"event": event, "last": recent, **where}, pause, earlier]}
            case other:
                raise Refused((*place, "value"), f"{shown(other)}, expected a kind of behaviour that PostHog has")

    def _event(self, place: Place, key: Any) -> str:
        name = str(expect(place, key, str, "an event's name"))
        return self._translation.names.get(name, name)

    def _window(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        begin, end = prop.get("explicit_datetime"), prop.get("explicit_datetime_to")
        if begin is None and end is None:
            return {} if prop.get("time_value") is None else {"last": self._span(place, prop)}
        ages = [
            None if each is None else self._age((*place, key), each)
            for key, each in (("explicit_datetime", begin), ("explicit_datetime_to", end))
        ]
        match ages:
            case [str(oldest), None] if end is None:
                return {"last": oldest}
            case [str(oldest), str(newest)]:
                return {"between_ago": [newest, oldest]}
        if isinstance(ages[0], str) or isinstance(ages[1], str):
            raise Refused((*place, "explicit_datetime"), "an age and an instant together cannot be expressed")
        window = {}
        if begin is not None:
            window["from"] = instant((*place, "explicit_datetime"), begin)
        if end is not None:
            window["to"] = instant((*place, "explicit_datetime_to"), end)
        return window

    def _age(self, place: Place, value: Any) -> str | None:
        """Return how long ago `-30d` is; None for an instant."""
        relative = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
        if relative is None:
            return None
        if relative[3]:
            raise Refused(place, f"{shown(value)}, expected no beginning or end of a day; use calendar:")
        return duration(place, int(relative[1]), _UNITS[relative[2]], self._translation)

    def _span(self, place: Place, prop: Mapping[str, Any], prefix: str = "time") -> str:
        if prefix == "time" and prop.get("time_value") is None and "explicit_datetime" in prop:
            age = self._age((*place, "explicit_datetime"), prop["explicit_datetime"])
            if age is not None:
                return age
        count, unit = prop.get(f"{prefix}_value"), prop.get(f"{prefix}_interval")
        return duration((*place, f"{prefix}_value"), count, unit, self._translation)

    def _times(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        operator = prop.get("operator", "exact")
        if operator not in _COUNTS:
            raise Refused((*place, "operator"), f"{shown(operator)}, expected {', '.join(_COUNTS)}")
        count = expect((*place, "operator_value"), prop.get("operator_value"), int, "a whole number")
        if operator in ("lt", "lte"):
            self._translation.chose("at most n events means at least one and at most n, as in PostHog")
            return {"at_least": 1, _COUNTS[operator]: count}
        return {_COUNTS[operator]: count}

    def _regularly(self, place: Place, prop: Mapping[str, Any], event: str, where: Condition) -> Condition:
        if prop.get("operator", "gte") != "gte":
            raise Refused((*place, "operator"), f"{shown(prop.get('operator'))}, expected gte: this often or more")
        times, least, total = (
            expect((*place, key), prop.get(key), int, "a whole number")
            for key in ("operator_value", "min_periods", "total_periods")
        )
        each = self._span(place, prop)
        return {"regularly": event, "times": times, "each": each, "in_at_least": least, "of_last": total, **where}

    def _where(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        filters = prop.get("event_filters")
        if not filters:
            return {}

        def test(at: Place, entry: Any) -> Condition:
            mapping = expect(at, entry, Mapping, "a filter")
            if mapping.get("type", "event") != "event":
                raise Refused((*at, "type"), f"{shown(mapping.get('type'))}, expected event")
            return {"field": f"properties.{member(at, mapping, 'key', str, 'a property')}", **self._test(at, mapping)}

        return {"where": self._translation.each((*place, "event_filters"), filters, test)}

    def _person(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        name = member(place, prop, "key", str, "a property")
        operator, value = prop.get("operator", "exact"), prop.get("value")
        if operator in ("is_date_before", "is_date_after"):
            age = self._age((*place, "value"), value)
            if age is None:
                return {"trait": name, operator.removeprefix("is_date_"): instant((*place, "value"), value)}
            if operator == "is_date_after":
                return {"any": [{"trait": name, "in_last": age}, {"trait": name, "in_next": "36525d"}]}
            return {"all": [{"trait": name, "in_last": "36525d"}, {"not": {"trait": name, "in_last": age}}]}
        return {"trait": name, **self._test(place, prop)}

    def _test(self, place: Place, prop: Mapping[str, Any]) -> Condition:
        operator, value = prop.get("operator", "exact"), prop.get("value")
        if operator in ("is_set", "is_not_set"):
            return {"exists": operator == "is_set"}
        if operator in _NUMBERS:
            return {_NUMBERS[operator]: _number((*place, "value"), value)}
        if operator in _WITHOUT_COUNTERPART:
            raise Refused((*place, "operator"), f"{operator} cannot be expressed: {_WITHOUT_COUNTERPART[operator]}")
        if operator not in ("exact", "is_not"):
            raise Refused((*place, "operator"), f"{shown(operator)} cannot be expressed here")
        self._translation.chose("a number and a text of equal digits differ; PostHog compares them as text")
        values = value if isinstance(value, list) else [value]
        for index, each in enumerate(values):
            if not isinstance(each, str | int | float):
                raise Refused((*place, "value", index), f"{shown(each)}, expected a text, a number, true or false")
        if not values:
            raise Refused((*place, "value"), "an empty list, expected a value")
        if len(values) == 1:
            return {"equals" if operator == "exact" else "not_equals": values[0]}
        return {"in" if operator == "exact" else "not_in": values}


def _number(place: Place, value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return float(expect(place, value, (int, float), "a number"))
