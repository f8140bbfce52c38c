"""Segments of Dittofeed: `{name, definition: {entryNode, nodes}}`, one or a list of them.

Nodes name their children by id. What depends on their message templates, subscription groups and journeys has no
counterpart here and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stream_app.segmentations.importing.translation import (
    Condition,
    Refused,
    Translation,
    expect,
    joined,
    member,
    seconds,
)
from stream_app.segmentations.mistakes import Place, shown

_COMPARATORS: Final = {
    "Equals": "equals",
    "NotEquals": "not_equals",
    "GreaterThanOrEqual": "at_least",
    "LessThan": "less_than",
}
_TIMES: Final = {"=": "equals", ">=": "at_least", "<": "less_than"}
_WITHOUT_COUNTERPART: Final = {
    "Broadcast": "who got a broadcast is known to Dittofeed alone; send an event and use event:",
    "Email": "what happened to a message is known to Dittofeed alone; send an event and use event:",
    "KeyedPerformed": "events of one key are a journey's affair; use event: with where:",
    "Manual": "members by hand; write their ids into a file and use list:",
    "SubscriptionGroup": "subscriptions are known to Dittofeed alone; send a trait and use trait:",
}


def read_dittofeed(document: Any, translation: Translation) -> None:
    """Add the segments of a document."""
    translation.chose("an event is out of a window exactly when it is as old; Dittofeed keeps it for that instant")
    place: Place = ()
    if isinstance(document, Mapping) and "segments" in document:
        entries, place = document["segments"], ("segments",)
    elif isinstance(document, list):
        entries = document
    else:
        _segment((), document, translation)
        return
    if not isinstance(entries, list) or not entries:
        translation.refuse(Refused(place, f"{shown(entries)}, expected a list of segments"))
        return
    for index, entry in enumerate(entries):
        _segment((*place, index), entry, translation)


def _segment(place: Place, entry: Any, translation: Translation) -> None:
    if not isinstance(entry, Mapping):
        translation.refuse(Refused(place, f"{shown(entry)}, expected a segment with name and definition"))
        return
    definition, at = (entry["definition"], (*place, "definition")) if "definition" in entry else (entry, place)
    translation.audience(entry.get("name"), lambda: _Segment(at, definition, translation).condition())


class _Segment:
    """The nodes of one segment."""

    def __init__(self, place: Place, definition: Any, translation: Translation) -> None:
        definition = expect(place, definition, Mapping, "a mapping with entryNode and nodes")
        self._place = place
        self._entry = member(place, definition, "entryNode", Mapping, "a node")
        self._translation = translation
        self._nodes: dict[str, tuple[Place, Mapping[str, Any]]] = {}
        for index, node in enumerate(expect((*place, "nodes"), definition.get("nodes", []), list, "a list of nodes")):
            at = (*place, "nodes", index)
            found = expect(at, node, Mapping, "a node")
            self._nodes[str(found.get("id"))] = (at, found)

    def condition(self) -> Condition:
        """Return what the segment asks."""
        return self._node((*self._place, "entryNode"), self._entry, ())

    def _node(self, place: Place, node: Mapping[str, Any], above: tuple[str, ...]) -> Condition:
        kind = node.get("type")
        match kind:
            case "And" | "Or":
                return self._children(place, node, above, "all" if kind == "And" else "any")
            case "Trait":
                return self._trait(place, node)
            case "Performed":
                return self._performed(place, node)
            case "LastPerformed":
                return self._last_performed(place, node)
            case "RandomBucket":
                return self._bucket(place, node)
            case "Everyone":
                return {"random": {"salt": "everyone", "from_percent": 0, "to_percent": 100}}
        if isinstance(kind, str) and kind in _WITHOUT_COUNTERPART:
            raise Refused((*place, "type"), f"{kind} cannot be expressed: {_WITHOUT_COUNTERPART[kind]}")
        raise Refused((*place, "type"), f"{shown(kind)}, expected a type of nodes that Dittofeed has")

    def _children(self, place: Place, node: Mapping[str, Any], above: tuple[str, ...], key: str) -> Condition:
        def child(at: Place, identity: Any) -> Condition:
            if not isinstance(identity, str) or identity not in self._nodes:
                raise Refused(at, f"{shown(identity)}, expected the id of a node")
            if identity in above or len(above) > 32:
                raise Refused(at, f"{shown(identity)} is its own descendant")
            return self._node(*self._nodes[identity], (*above, identity))

        return joined(key, self._translation.each((*place, "children"), node.get("children"), child))

    def _trait(self, place: Place, node: Mapping[str, Any]) -> Condition:
        name = _path_of((*place, "path"), node.get("path"))
        at = (*place, "operator")
        operator = member(place, node, "operator", Mapping, "an operator")
        match operator.get("type"):
            case "Within":
                return {"trait": name, "in_last": seconds((*at, "windowSeconds"), operator.get("windowSeconds"))}
            case "HasBeen":
                window = seconds((*at, "windowSeconds"), operator.get("windowSeconds"))
                key = {"GTE": "at_least", "LT": "less_than"}.get(str(operator.get("comparator")))
                if key is None:
                    raise Refused((*at, "comparator"), f"{shown(operator.get('comparator'))}, expected GTE or LT")
                return {"trait": name, "equals": _value((*at, "value"), operator), "held_for": {key: window}}
            case _:
                return {"trait": name, **self._test(at, operator)}

    def _performed(self, place: Place, node: Mapping[str, Any]) -> Condition:
        condition: Condition = {"event": member(place, node, "event", str, "an event's name")}
        if node.get("withinSeconds") is not None:
            condition["last"] = seconds((*place, "withinSeconds"), node["withinSeconds"])
        if node.get("properties"):
            condition["where"] = self._tests((*place, "properties"), node["properties"])
        operator = node.get("timesOperator", ">=")
        if operator not in _TIMES:
            raise Refused((*place, "timesOperator"), f"{shown(operator)}, expected =, >= or <")
        times = expect((*place, "times"), node.get("times", 1), int, "a whole number")
        if (operator, times) != (">=", 1):
            condition[_TIMES[operator]] = times
        if operator == "<" or times == 0:
            self._translation.chose("customers without any such event have 0 of them, as in Dittofeed")
        return condition

    def _last_performed(self, place: Place, node: Mapping[str, Any]) -> Condition:
        condition: Condition = {"last_event": member(place, node, "event", str, "an event's name")}
        condition["has"] = self._tests((*place, "hasProperties"), node.get("hasProperties"))
        if node.get("whereProperties"):
            condition["where"] = self._tests((*place, "whereProperties"), node["whereProperties"])
        return condition

    def _tests(self, place: Place, properties: Any) -> list[Condition]:
        def test(at: Place, entry: Any) -> Condition:
            mapping = expect(at, entry, Mapping, "a mapping with path and operator")
            operator = member(at, mapping, "operator", Mapping, "an operator")
            field = f"properties.{_path_of((*at, 'path'), mapping.get('path'))}"
            return {"field": field, **self._test((*at, "operator"), operator)}

        return self._translation.each(place, properties, test)

    def _test(self, place: Place, operator: Mapping[str, Any]) -> Condition:
        kind = operator.get("type")
        if kind in ("Exists", "NotExists"):
            return {"exists": kind == "Exists"}
        if isinstance(kind, str) and kind in _COMPARATORS:
            if kind in ("Equals", "NotEquals"):
                self._translation.chose("a number and a text of equal digits differ; Dittofeed compares them as text")
            return {_COMPARATORS[kind]: _value((*place, "value"), operator)}
        raise Refused((*place, "type"), f"{shown(kind)} cannot be expressed here")

    def _bucket(self, place: Place, node: Mapping[str, Any]) -> Condition:
        share = member(place, node, "percent", (int, float), "a number from 0 to 1")
        self._translation.chose("random shares are drawn again: as many customers, but others")
        return {"random": {"salt": str(node.get("id") or "dittofeed"), "to_percent": round(share * 100, 4)}}


def _value(place: Place, operator: Mapping[str, Any]) -> Any:
    value = operator.get("value")
    if isinstance(value, str | int | float):
        return value
    raise Refused(place, f"{shown(value)}, expected a text or a number")


def _path_of(place: Place, path: Any) -> str:
    """Return a path without the `$.` of JSONPath; anything else of JSONPath is refused."""
    text = str(expect(place, path, str, "a path")).removeprefix("$.")
    if not text or any(character in text for character in "$[]*?()@\"'"):
        raise Refused(place, f"{shown(path)}, expected the name of a property, with dots for what is inside")
    return text
