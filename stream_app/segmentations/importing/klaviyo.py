"""Segments of Klaviyo: `{attributes: {name, definition: {condition_groups}}}` as its API has them, one or a list.

Groups are joined by "and", the conditions of a group by "or". A metric is known by an id of the account, so an import
needs to know which event type is meant: `--name XyZ123=order_completed`. Klaviyo counts days of the account's time
zone and evaluates what depends on time once a day; here windows are exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stream_app.segmentations.importing.klaviyo_filters import date_test, metric_tests, numeric, property_tests, window
from stream_app.segmentations.importing.translation import (
    Condition,
    Refused,
    Translation,
    expect,
    joined,
    member,
    slug_of,
)
from stream_app.segmentations.mistakes import Place, shown
from stream_app.segmentations.rules.catalogue import FIGURES, FigureName

_FIGURES: Final[Mapping[str, FigureName]] = {
    "average_days_between_orders": "usual_gap_days",
    "average_order_value": "average_order_value",
    "historic_clv": "revenue",
    "historic_number_of_orders": "purchases",
}
_MIRRORED: Final = {
    "at_least": "at_most",
    "at_most": "at_least",
    "more_than": "less_than",
    "less_than": "more_than",
}
_WITHOUT_COUNTERPART: Final = {
    "profile-marketing-consent": "consent is known to Klaviyo alone; send a trait and use trait:",
    "profile-permissions": "consent is known to Klaviyo alone; send a trait and use trait:",
    "profile-postal-code-distance": "distances are not computed; send a trait and use trait:",
    "profile-region": "regions are not known; use trait: country with in:",
    "profile-has-custom-object": "custom objects are known to Klaviyo alone; send a trait or an event",
}
_COMPLETION: Final = re.compile(r"(HOURS|DAYS|WEEKS|YEARS)_(\d+)")
_PROPERTY: Final = re.compile(r"(?:properties|location)\[(['\"])(.+)\1\]")


def read_klaviyo(document: Any, translation: Translation) -> None:
    """Add the segments of a document."""
    translation.chose("windows are exact to the millisecond; Klaviyo counts days and updates them once a day")
    entries = translation.listed(document, "data", "segments")
    segments = _Segments([entry for _, entry in entries], translation)
    for place, entry in entries:
        segments.add(place, entry)


class _Segments:
    """Segments that may name one another by their ids."""

    def __init__(self, entries: list[Any], translation: Translation) -> None:
        self._translation = translation
        self._slugs: dict[str, str] = {}
        for entry in entries:
            if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
                attributes = entry.get("attributes")
                name = attributes.get("name") if isinstance(attributes, Mapping) else entry.get("name")
                slug = slug_of(str(name or "imported"))
                taken = slug in self._slugs.values()
                self._slugs[entry["id"]] = f"{slug[:50]}_{slug_of(entry['id'])[:13]}" if taken else slug
        self._conditions: dict[str, Callable[[Place, Mapping[str, Any]], Condition]] = {
            "profile-metric": self._metric,
            "profile-property": self._property,
            "profile-group-membership": self._membership,
            "profile-predictive-analytics": self._prediction,
            "profile-metric-funnel": self._funnel,
        }

    def add(self, place: Place, entry: Any) -> None:
        """Add a segment."""
        if not isinstance(entry, Mapping):
            self._translation.refuse(Refused(place, f"{shown(entry)}, expected a segment with name and definition"))
            return
        attributes, at = entry, place
        if isinstance(entry.get("attributes"), Mapping):
            attributes, at = entry["attributes"], (*place, "attributes")
        slug = self._slugs.get(str(entry.get("id")))
        self._translation.audience(attributes.get("name"), lambda: self._definition(at, attributes), slug)

    def _definition(self, place: Place, attributes: Mapping[str, Any]) -> Condition:
        definition = member(place, attributes, "definition", Mapping, "a mapping with condition_groups")
        at = (*place, "definition", "condition_groups")
        return joined("all", self._translation.each(at, definition.get("condition_groups"), self._group))

    def _group(self, place: Place, group: Any) -> Condition:
        mapping = expect(place, group, Mapping, "a mapping with conditions")
        at = (*place, "conditions")
        return joined("any", self._translation.each(at, mapping.get("conditions"), self._condition))

    def _condition(self, place: Place, condition: Any) -> Condition:
        mapping = expect(place, condition, Mapping, "a condition")
        kind = mapping.get("type")
        if isinstance(kind, str) and kind in self._conditions:
            return self._conditions[kind](place, mapping)
        if isinstance(kind, str) and kind in _WITHOUT_COUNTERPART:
            raise Refused((*place, "type"), f"{kind} cannot be expressed: {_WITHOUT_COUNTERPART[kind]}")
        raise Refused((*place, "type"), f"{shown(kind)}, expected a type of conditions that Klaviyo has")

    def _event(self, place: Place, mapping: Mapping[str, Any]) -> str:
        metric = str(member(place, mapping, "metric_id", str, "the id of a metric"))
        if metric not in self._translation.names:
            self._translation.chose(f"the metric {metric} is taken for an event type; --name {metric}=TYPE names it")
        return self._translation.names.get(metric, metric)

    def _metric(self, place: Place, mapping: Mapping[str, Any]) -> Condition:
        event = self._event(place, mapping)
        condition: Condition = {"event": event}
        condition.update(window((*place, "timeframe_filter"), mapping.get("timeframe_filter"), self._translation))
        where = metric_tests((*place, "metric_filters"), mapping.get("metric_filters"), self._translation)
        if where:
            condition["where"] = where
        measurement = mapping.get("measurement", "count")
        if measurement == "sum":
            condition["sum"] = "amount" if event.startswith("order_") else "value"
            self._translation.chose("the sum of a metric is that of amount for orders and refunds, of value otherwise")
        elif measurement != "count":
            raise Refused((*place, "measurement"), f"{shown(measurement)}, expected count or sum")
        return {**condition, **numeric((*place, "measurement_filter"), mapping.get("measurement_filter"))}

    def _property(self, place: Place, mapping: Mapping[str, Any]) -> Condition:
        name = str(member(place, mapping, "property", str, "a property"))
        found = _PROPERTY.fullmatch(name)
        if found:
            self._translation.chose("properties['X'] and location['X'] are the trait X")
        trait = found[2] if found else name
        at = (*place, "filter")
        test = member(place, mapping, "filter", Mapping, "a filter")
        if test.get("type") == "date":
            return date_test(at, test, trait, self._translation)
        return property_tests(at, test, {"trait": trait})

    def _membership(self, place: Place, mapping: Mapping[str, Any]) -> Condition:
        def group(at: Place, identity: Any) -> Condition:
            name = self._slugs.get(str(identity)) or self._translation.names.get(str(identity))
            if name is None:
                raise Refused(at, f"the group {shown(identity)} is not in the file; --name {identity}=NAME names it")
            return {"segmentation": name}

        is_member = member(place, mapping, "is_member", bool, "true or false")
        conditions = self._translation.each((*place, "group_ids"), mapping.get("group_ids"), group)
        frame = mapping.get("timeframe_filter")
        if frame is not None:
            when = window((*place, "timeframe_filter"), frame, self._translation)
            if "between_ago" not in when or when["between_ago"][1] != "36525d":
                raise Refused((*place, "timeframe_filter"), "expected at-least: since when the member is one")
            conditions = [{**each, "for_at_least": when["between_ago"][0]} for each in conditions]
        inside = joined("any", conditions)
        return inside if is_member else {"not": inside}

    def _prediction(self, place: Place, mapping: Mapping[str, Any]) -> Condition:
        dimension = mapping.get("dimension")
        at = (*place, "filter")
        if dimension == "churn_probability":
            self._translation.chose("churn_probability is 1 - probability_active, by our model")
            self._translation.need_model()
            ((comparator, value),) = numeric(at, mapping.get("filter")).items()
            return {"figure": "probability_active", _MIRRORED.get(comparator, comparator): round(1 - value, 12)}
        if isinstance(dimension, str) and dimension in _FIGURES:
            figure = _FIGURES[dimension]
            if FIGURES[figure].needs_model:
                self._translation.need_model()
            return {"figure": figure, **numeric(at, mapping.get("filter"))}
        raise Refused(
            (*place, "dimension"), f"{shown(dimension)} cannot be expressed: it is predicted by Klaviyo alone"
        )

    def _funnel(self, place: Place, mapping: Mapping[str, Any]) -> Condition:
        steps = expect((*place, "steps"), mapping.get("steps"), list, "a list of steps")
        if len(steps) != 2:
            raise Refused((*place, "steps"), f"{len(steps)} steps, expected 2")
        events = []
        for index, step in enumerate(steps):
            at = (*place, "steps", index)
            each = expect(at, step, Mapping, "a step")
            if each.get("metric_filters") or not each.get("metric_exists", True):
                raise Refused(at, "a step with filters, or that did not happen, cannot be expressed")
            events.append(self._event(at, each))
        frame = window((*place, "timeframe_filter"), mapping.get("timeframe_filter"), self._translation)
        completion = _COMPLETION.fullmatch(str(mapping.get("completion_window_seconds")))
        if "last" not in frame or completion is None:
            raise Refused(place, "expected in-the-last and a completion window such as DAYS_3")
        unit = {"HOURS": "h", "DAYS": "d", "WEEKS": "w", "YEARS": "d"}[completion[1]]
        count = int(completion[2]) * (365 if completion[1] == "YEARS" else 1)
        return {"sequence": events, "within": f"{count}{unit}", "last": frame["last"]}
