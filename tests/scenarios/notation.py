"""Scenarios in the neutral notation, and what they are in ours.

A scenario is a list of inputs, definitions, who is expected to be where as of some instants, and the complete list of
moves. Its notation belongs to no product: `op` names comparisons, durations are texts, `count` stands for a comparison
with whatever is counted or summed. Here it becomes an entry of `segmentations.yaml` for each definition, an audience of
the same name, and inputs become records of our topics: an event is an engagement whose `props` are `properties`, a
trait is a profile, `merge from → into` a statement that two ids are one customer's.

| neutral | ours |
|---|---|
| `calendar_days: N, tz` (the local dates today−N … today) | `calendar: {days: N + 1, timezone}` |
| `ago: [a, b]` | `between_ago: [a, b]` |
| `count: [op, n]`, also of sums | the comparator of that name |
| `decayed: path, of: event, half: D` | `event`, `decayed_sum: properties.path`, `half_life: D` |
| a definition as a list of `[instant, definition]` | the same definition from that instant on |

What a scenario may say beyond this is skipped by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from stream_app.contracts.fields import parse_instant
from tests.scenarios.inputs import Document, Input, consent, engagement, merge, profile

DATA: Final = Path(__file__).parent / "data"
ALWAYS: Final = -(2**62)
"""Since when a definition without an instant is in force."""

COMPARATORS: Final = {
    "ge": "at_least",
    "gt": "more_than",
    "le": "at_most",
    "lt": "less_than",
    "eq": "equals",
    "ne": "not_equals",
}
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w)")


class NotSupported(Exception):
    """A scenario asks for what does not exist yet."""


class Move(NamedTuple):
    """A customer enters or leaves an audience."""

    at_ms: int
    segmentation: str
    customer_id: str
    is_in: bool

    def __str__(self) -> str:
        return f"{self.at_ms} {self.customer_id} {'→' if self.is_in else '←'} {self.segmentation}"


class Expectation(NamedTuple):
    """Who is in an audience as of an instant."""

    at_ms: int
    segmentation: str
    members: frozenset[str]


class Adoption(NamedTuple):
    """From when on a definition is in force: an entry of `segmentations.yaml`."""

    from_ms: int
    entry: Document


@dataclass(frozen=True)
class Scenario:
    """Inputs in the order of arrival, definitions in the order of their instants, and what is to come of them."""

    name: str
    title: str
    inputs: Sequence[Input]
    adoptions: Sequence[Adoption]
    lists: Mapping[str, Sequence[str]]
    expectations: Sequence[Expectation]
    moves: Sequence[Move]
    all_moves: Sequence[Move] | None = field(default=None)

    @property
    def end_ms(self) -> int:
        """Later than everything that is said of it; what happens until a year later would be noticed, too."""
        instants = [i.arrives_ms for i in self.inputs] + [e.at_ms for e in self.expectations]
        instants += [move.at_ms for move in (*self.moves, *(self.all_moves or ()))]
        return max(instants) + 366 * _UNIT_MS["d"]


def read_scenarios(folder: Path = DATA) -> list[Document]:
    """Return the scenarios of all files in a folder, as they stand there."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"{folder}: holds no .json, expected scenarios")
    return [scenario for path in files for scenario in _listed(json.loads(path.read_text()))]


def _listed(content: Any) -> list[Document]:
    return list(content["scenarios"] if isinstance(content, dict) else content)


def parse_scenario(document: Mapping[str, Any]) -> Scenario:
    """Return a scenario in our terms.

    Raises
    ------
    NotSupported
        If it asks for what does not exist.
    """
    inputs = [each for number, entry in enumerate(document["inputs"]) for each in _inputs(entry, number)]
    names = {name: _slug(name) for name in document["definitions"]}
    adoptions = [
        Adoption(from_ms, {"kind": "audience", "name": names[name], "when": _renamed(condition(definition), names)})
        for name, versions in document["definitions"].items()
        for from_ms, definition in _versions(versions)
    ]
    adoptions += _placeholders(adoptions)
    all_moves = document.get("all_moves")
    return Scenario(
        str(document["id"]),
        str(document.get("title", "")),
        sorted(inputs, key=lambda each: each.arrives_ms),
        sorted(adoptions, key=lambda each: each.from_ms),
        {_slug(name): list(ids) for name, ids in (document.get("lists") or {}).items()},
        [
            Expectation(instant(e["at"]), names[e["segment"]], frozenset(e["members"]))
            for e in document.get("expect", [])
        ],
        [_move(entry, names) for entry in document.get("moves", [])],
        None if all_moves is None else sorted(_move(entry, names) for entry in all_moves),
    )


def instant(text: str) -> int:
    """Return an RFC 3339 instant in milliseconds."""
    return parse_instant(text)


def duration_ms(text: str) -> int:
    """Return a duration such as `30d` in milliseconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise NotSupported(f"duration {text!r}")
    return int(found[1]) * _UNIT_MS[found[2]]


def duration(text: str) -> str:
    """Return a duration in our units, which end at seconds."""
    milliseconds = duration_ms(text)
    if not text.endswith("ms"):
        return text
    if milliseconds % 1_000:
        raise NotSupported(f"duration {text!r}: not whole seconds")
    return f"{milliseconds // 1_000}s"


def condition(neutral: Mapping[str, Any]) -> Document:
    """Return a definition of the neutral notation as a condition of ours."""
    for joint in ("all", "any"):
        if joint in neutral:
            return {joint: [condition(part) for part in neutral[joint]]}
    if "not" in neutral:
        return {"not": condition(neutral["not"])}
    if "segment" in neutral:
        return {"segmentation": neutral["segment"]}
    if "list" in neutral:
        return {"list": _slug(neutral["list"])}
    for key, translate in _LEAVES.items():
        if key in neutral:
            return translate(neutral)
    raise NotSupported(f"definition {dict(neutral)!r}")


def _score(neutral: Mapping[str, Any]) -> Document:
    parts = [{"when": condition(when), "points": points} for when, points in neutral["score"]]
    return {"score": parts, "at_least": neutral["ge"]}


def _trait(neutral: Mapping[str, Any]) -> Document:
    leaf: Document = {"trait": neutral["trait"]}
    if "held_for" in neutral:
        operator, length = neutral["held_for"]
        return leaf | {"equals": neutral["eq"], "held_for": {COMPARATORS[operator]: duration(length)}}
    for key in ("in_last", "in_next"):
        if key in neutral:
            return leaf | {key: duration(neutral[key])}
    for key in ("after", "before"):
        if key in neutral:
            return leaf | {key: neutral[key]}
    return leaf | _test(neutral["op"], neutral.get("value"))


def _test(operator: str, value: Any) -> Document:
    if operator in ("exists", "not_exists"):
        return {"exists": operator == "exists"}
    if operator in ("in", "not_in", "contains", "begins_with"):
        return {operator: value}
    if operator not in COMPARATORS:
        raise NotSupported(f"operator {operator!r}")
    return {COMPARATORS[operator]: value}


def _tests(conditions: Sequence[Sequence[Any]] | None) -> list[Document]:
    return [
        {"field": f"properties.{entry[0]}", **_test(entry[1], entry[2] if len(entry) > 2 else None)}
        for entry in conditions or ()
    ]


def _selected(neutral: Mapping[str, Any], leaf: Document) -> Document:
    return leaf | {"where": _tests(neutral["where"])} if neutral.get("where") else leaf


def _event(neutral: Mapping[str, Any]) -> Document:
    leaf = _selected(neutral, {"event": neutral["event"]})
    if "last" in neutral:
        leaf["last"] = duration(neutral["last"])
    elif "ago" in neutral:
        nearer, farther = map(duration, neutral["ago"])
        leaf |= {"between_ago": [nearer, farther]} if duration_ms(nearer) else {"last": farther}
    elif "calendar_days" in neutral:
        leaf["calendar"] = {"days": neutral["calendar_days"] + 1, "timezone": neutral["tz"]}
    for bound in ("from", "to"):
        if bound in neutral:
            leaf[bound] = neutral[bound]
    for aggregate in ("sum", "min", "max", "average"):
        if aggregate in neutral:
            leaf[aggregate] = f"properties.{neutral[aggregate]}"
    operator, number = neutral.get("count", ("ge", 1))
    return leaf | {COMPARATORS[operator]: number}


def _first_time(neutral: Mapping[str, Any]) -> Document:
    return _selected(neutral, {"first_event": neutral["first_time"], "last": duration(neutral["last"])})


def _regular(neutral: Mapping[str, Any]) -> Document:
    leaf = {
        "regularly": neutral["regular"],
        "times": neutral["times"],
        "each": duration(neutral["period"]),
        "in_at_least": neutral["min_periods"],
        "of_last": neutral["periods"],
    }
    return _selected(neutral, leaf)


def _sequence(neutral: Mapping[str, Any]) -> Document:
    return {
        "sequence": list(neutral["sequence"]),
        "within": duration(neutral["within"]),
        "last": duration(neutral["last"]),
    }


def _last_event(neutral: Mapping[str, Any]) -> Document:
    return _selected(neutral, {"last_event": neutral["last_event"], "has": _tests(neutral["has"])})


def _decayed(neutral: Mapping[str, Any]) -> Document:
    leaf = {
        "event": neutral["of"],
        "decayed_sum": f"properties.{neutral['decayed']}",
        "half_life": duration(neutral["half"]),
        COMPARATORS[neutral["op"]]: neutral["value"],
    }
    return _selected(neutral, leaf)


_LEAVES: Final = {
    "score": _score,
    "trait": _trait,
    "first_time": _first_time,
    "regular": _regular,
    "sequence": _sequence,
    "last_event": _last_event,
    "decayed": _decayed,
    "event": _event,
}


def _versions(definition: Any) -> list[tuple[int, Document]]:
    if isinstance(definition, list):
        return [(instant(at), version) for at, version in definition]
    return [(ALWAYS, definition)]


def _renamed(ours: Any, names: Mapping[str, str]) -> Any:
    if isinstance(ours, list):
        return [_renamed(part, names) for part in ours]
    if not isinstance(ours, dict):
        return ours
    if "segmentation" in ours:
        return {"segmentation": names[ours["segmentation"]]}
    return {
        key: _renamed(part, names) if key in ("all", "any", "not", "score", "when") else part
        for key, part in ours.items()
    }


def _placeholders(adoptions: Sequence[Adoption]) -> list[Adoption]:
    """Return audiences without members for those that are looked at before they are defined."""
    defined = {a.entry["name"]: a.from_ms for a in sorted(adoptions, key=lambda each: -each.from_ms)}
    early = [
        (name, adoption.from_ms)
        for adoption in adoptions
        for name in _references(adoption.entry["when"])
        if defined[name] > adoption.from_ms
    ]
    nobody = {"event": "what nobody does"}
    return [
        Adoption(from_ms, {"kind": "audience", "name": name, "when": nobody})
        for name, from_ms in {name: min(at for other, at in early if other == name) for name, _ in early}.items()
    ]


def _references(ours: Any) -> set[str]:
    if isinstance(ours, list):
        return set().union(*map(_references, ours))
    if not isinstance(ours, dict):
        return set()
    own = {ours["segmentation"]} if "segmentation" in ours else set()
    return own.union(*(_references(ours[key]) for key in ("all", "any", "not", "score", "when") if key in ours))


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9_-]+", "_", name.lower())
    return slug if slug[:1].isalpha() else f"s_{slug}"


def _inputs(entry: Mapping[str, Any], number: int) -> list[Input]:
    kind = entry["kind"] if "kind" in entry else entry.get("type")
    if kind in _CONSENTS:
        return _consents(entry, str(kind), number)
    return [_input({**entry, "kind": kind}, number)]


def _consents(entry: Mapping[str, Any], kind: str, number: int) -> list[Input]:
    """Return what a line says of one purpose, or of several; of the segmentation where it names none."""
    said = next((entry[key] for key in _DECISIONS if key in entry), kind)
    purpose = str(entry.get("purpose", "segmentation"))
    purposes = said if isinstance(said, Mapping) else {purpose: said}
    words = {name: _IS_GRANTED.get(str(word).lower()) for name, word in purposes.items()}
    if None in words.values():
        raise NotSupported(f"a {kind} that says neither granted nor withdrawn")
    at_ms = instant(entry.get("at") or entry["observed_at"])
    arrives_ms = max(instant(entry["arrives"]), at_ms) if entry.get("arrives") else at_ms
    user = str(next(entry[key] for key in ("user", "customer", "customer_id") if key in entry))
    return [
        consent(
            user,
            at_ms,
            f"id {entry['id']}" if entry.get("id") is not None else f"input {number}",
            name,
            bool(is_granted),
            entry.get("jurisdiction") or "",
        )._replace(arrives_ms=arrives_ms)
        for name, is_granted in words.items()
    ]


_GRANTED: Final = ("granted", "grant", "given", "true", "yes", "allow", "allowed", "opt_in", "opt-in")
_WITHDRAWN: Final = (
    *("withdrawn", "withdraw", "withdrawal", "revoked", "revoke", "denied", "deny", "refused", "false", "no"),
    *("opt_out", "opt-out"),
)
_IS_GRANTED: Final = dict.fromkeys(_GRANTED, True) | dict.fromkeys(_WITHDRAWN, False)
_CONSENTS: Final = ("consent", "grant", "withdraw", "withdrawal", "revoke", "opt_in", "opt_out")
_DECISIONS: Final = ("decision", "granted", "given", "status", "state", "set", "value", "allowed", "to")


def _input(entry: Mapping[str, Any], number: int) -> Input:
    if entry["kind"] not in ("event", "trait", "merge"):
        raise NotSupported(f"{entry['kind']}s, which a later version is to bring")
    at_ms = instant(entry["at"])
    arrives_ms = instant(entry["arrives"]) if entry.get("arrives") else at_ms
    identity = f"id {entry['id']}" if entry.get("id") is not None else f"input {number}"
    if entry["kind"] == "merge":
        said = merge(str(entry["from"]), str(entry["into"]), at_ms, identity)
        return said._replace(arrives_ms=max(arrives_ms, at_ms))
    customer_id = str(entry["user"])
    if entry["kind"] == "trait":
        happened = profile(customer_id, at_ms, identity, dict(entry["set"]))
    else:
        properties = {"properties": entry["props"]} if entry.get("props") else {}
        happened = engagement(customer_id, at_ms, identity, str(entry["name"]), **properties)
    return happened._replace(arrives_ms=max(arrives_ms, at_ms))


def _move(entry: Mapping[str, Any], names: Mapping[str, str]) -> Move:
    return Move(instant(entry["at"]), names[entry["segment"]], str(entry["user"]), bool(entry["to"]))
