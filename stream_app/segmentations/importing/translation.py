"""What imports from all systems share: paths, refusals, conventions, names and durations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from stream_app.segmentations.mistakes import Mistake, Place, path_of, shown

Condition = dict[str, Any]
"""A condition as plain data."""
Value = TypeVar("Value")
CALENDAR_DAYS: Final = {"month": 30, "quarter": 90, "year": 365}
ANY_AGE: Final = "36525d"
"""A hundred years: the far end of "at least this long ago"."""


class Refused(Exception):
    """A part of a document cannot be expressed.

    Parameters
    ----------
    place
        Where it stands.
    message
        What it is, and what can be done.
    """

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = tuple(place)


class Translation:
    """An import under way.

    Parameters
    ----------
    names
        What ids of the other system are called here.

    Attributes
    ----------
    segmentations
        The audiences made so far, as plain data.
    conventions
        What was chosen where the systems differ, each once, in order.
    mistakes
        What could not be expressed.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self.segmentations: list[dict[str, Any]] = []
        self.conventions: dict[str, None] = {}
        self.mistakes: list[Mistake] = []

    def chose(self, convention: str) -> None:
        """Note a convention."""
        self.conventions[convention] = None

    def need_model(self) -> None:
        """Have a learned segmentation, as a figure is made of its model."""
        if all(entry["kind"] != "learned" for entry in self.segmentations):
            self.segmentations.insert(0, {"kind": "learned", "name": "value"})
            self.chose("predictions come from the learned segmentation value, which is added")

    def refuse(self, refused: Refused) -> None:
        """Note what cannot be expressed."""
        self.mistakes.append(Mistake(path_of(refused.place), str(refused)))

    def listed(self, document: Any, key: str, what: str) -> list[tuple[Place, Any]]:
        """Return what a document lists, itself or under a key, each with its place.

        A single one may be given without a list. If there are none, that is noted.
        """
        is_under_key = isinstance(document, Mapping) and key in document
        entries = document[key] if is_under_key else document
        place: Place = (key,) if is_under_key else ()
        if isinstance(entries, Mapping):
            return [(place, entries)]
        if not isinstance(entries, list) or not entries:
            self.refuse(Refused(place, f"{shown(entries)}, expected a list of {what}"))
            return []
        return [((*place, index), entry) for index, entry in enumerate(entries)]

    def each(self, place: Place, values: object, translate: Callable[[Place, Any], Value]) -> list[Value]:
        """Return each entry of a list translated; what cannot be is noted, and the others are looked at all the same.

        Raises
        ------
        Refused
            If it is no list, is empty, or an entry was refused (whose place has been noted already).
        """
        entries = expect(place, values, list, "a list")
        if not entries:
            raise Refused(place, "an empty list, expected a condition in it")
        done, known = [], len(self.mistakes)
        for index, entry in enumerate(entries):
            try:
                done.append(translate((*place, index), entry))
            except Refused as refused:
                if str(refused):
                    self.refuse(refused)
        if len(self.mistakes) > known:
            raise Refused(place, "")
        return done

    def audience(self, title: object, condition: Callable[[], Condition], slug: str | None = None) -> None:
        """Add an audience, unless its condition cannot be expressed."""
        try:
            text = title if isinstance(title, str) and title.strip() else "Imported"
            when = condition()
        except Refused as refused:
            if str(refused):
                self.refuse(refused)
            return
        name = slug or slug_of(text)
        taken = {entry["name"] for entry in self.segmentations}
        number = 2
        while name in taken:
            name, number = f"{slug or slug_of(text)}_{number}"[:64], number + 1
        self.segmentations.append({"kind": "audience", "name": name, "title": text.strip()[:80], "when": when})


def slug_of(title: str) -> str:
    """Return a name that a title can have here."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return (words if words[:1].isalpha() else f"a_{words}".rstrip("_"))[:64]


def expect(place: Place, value: Any, kind: type[Value] | tuple[type, ...], words: str) -> Any:
    """Return a value that is of a kind.

    Raises
    ------
    Refused
        If it is not.
    """
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise Refused(place, f"{shown(value)}, expected {words}")


def member(place: Place, mapping: Mapping[str, Any], key: str, kind: Any, words: str) -> Any:
    """Return a member of a mapping that is of a kind.

    Raises
    ------
    Refused
        If it is missing or of another one.
    """
    if key not in mapping:
        raise Refused((*place, key), f"missing, expected {words}")
    return expect((*place, key), mapping[key], kind, words)


def joined(key: str, parts: list[Condition]) -> Condition:
    """Return conditions joined by `all` or `any`, a single one as it is."""
    return parts[0] if len(parts) == 1 else {key: parts}


def duration(place: Place, count: object, unit: object, translation: Translation) -> str:
    """Return a duration as text; months and years are 30 and 365 days.

    Raises
    ------
    Refused
        If it is not one.
    """
    number = int(count) if isinstance(count, str) and count.isdecimal() else count
    number = expect(place, number, int, "a whole number")
    if number < 1:
        raise Refused(place, f"{number}, expected 1 or more")
    if unit in CALENDAR_DAYS:
        translation.chose(f"a {unit} is {CALENDAR_DAYS[str(unit)]} days")
        return f"{number * CALENDAR_DAYS[str(unit)]}d"
    letters = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}
    if not isinstance(unit, str) or unit.rstrip("s") not in letters:
        raise Refused(place, f"unit {shown(unit)}, expected {', '.join([*letters, *CALENDAR_DAYS])}")
    return f"{number}{letters[unit.rstrip('s')]}"


def seconds(place: Place, count: object) -> str:
    """Return a number of seconds as the shortest duration.

    Raises
    ------
    Refused
        If it is not one.
    """
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    number = expect(place, count, int, "a whole number of seconds")
    if number < 1:
        raise Refused(place, f"{number}, expected 1 or more")
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if number % length == 0:
            return f"{number // length}{unit}"
    return f"{number}s"


def instant(place: Place, value: object) -> str:
    """Return an instant as text; a date alone is its midnight in UTC.

    Raises
    ------
    Refused
        If it is not one.
    """
    text = str(expect(place, value, str, "a date and time"))
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return f"{text}T00:00:00Z"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?", text):
        return f"{text}Z"
    return text
