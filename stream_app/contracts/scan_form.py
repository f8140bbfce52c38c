"""How the common form of a topic's records is described to the scanner, which knows fields and no topic.

The scanner (`native/scan.c`) is the first of three tiers that decode. Each way of reading a value is at least as strict
as the type of its name in `stream_app.contracts.fields`. Whether a field is required, the contract's model says.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from stream_app.contracts.fields import MAX_TEXT_CHARACTERS


class Reads(IntEnum):
    """How a value is read; the numbers are those of `SEG_READS_…`."""

    TEXT = 0
    TIME = 1
    WORD = 2
    TYPE = 3
    CURRENCY = 4
    AMOUNT = 5
    COUNT = 6
    NUMBER = 7
    TEXTS = 8
    OBJECT = 9
    TRAITS = 10


class Meaning(IntEnum):
    """What a text or a time is to the event; the numbers are those of `SEG_TEXT_…` and `SEG_TIME_…`."""

    OTHER = 0
    EVENT_ID = 1
    CUSTOMER_ID = 2
    ORDER_ID = 3
    STATED = 4


class FieldForm(NamedTuple):
    """How one field is read.

    Attributes
    ----------
    reads
        The reader.
    most
        Its limit: characters of a text or type, members of a list, the largest count, a number's digits before the
        point, bytes of traits. 0 for readers without one.
    meaning
        What a text is to the event.
    """

    reads: Reads
    most: int = 0
    meaning: Meaning = Meaning.OTHER


TEXT: Final = FieldForm(Reads.TEXT, MAX_TEXT_CHARACTERS)
"""An id or a name that the event does not keep."""
ORDER_ID: Final = FieldForm(Reads.TEXT, MAX_TEXT_CHARACTERS, Meaning.ORDER_ID)
WORD: Final = FieldForm(Reads.WORD)
"""One of the form's words."""
CURRENCY: Final = FieldForm(Reads.CURRENCY)
AMOUNT: Final = FieldForm(Reads.AMOUNT)
OBJECT: Final = FieldForm(Reads.OBJECT)
"""A free object."""
COMMON_FIELDS: Final[Mapping[str, FieldForm]] = {
    "event_id": FieldForm(Reads.TEXT, MAX_TEXT_CHARACTERS, Meaning.EVENT_ID),
    "customer_id": FieldForm(Reads.TEXT, MAX_TEXT_CHARACTERS, Meaning.CUSTOMER_ID),
}
"""Those of the records of all topics, beside the time."""
TIME: Final = FieldForm(Reads.TIME)
STATED_AT: Final = FieldForm(Reads.TIME, meaning=Meaning.STATED)
"""As of when a record says what its order is."""


def type_of(most: int) -> FieldForm:
    """Return the form of an event's type from an open list, with a limit on its characters."""
    return FieldForm(Reads.TYPE, most)


def count_to(most: int) -> FieldForm:
    """Return the form of a whole number from 0 to `most`."""
    return FieldForm(Reads.COUNT, most)


def number_within(limit: float) -> FieldForm:
    """Return the form of a number between `-limit` and `limit`, a power of ten: one with too few digits to reach it."""
    return FieldForm(Reads.NUMBER, len(str(int(limit))) - 1)


def traits_within(most: int) -> FieldForm:
    """Return the form of an object of listed traits, with a limit on its bytes as kept."""
    return FieldForm(Reads.TRAITS, most)


def texts_to(most: int) -> FieldForm:
    """Return the form of a list of texts, with a limit on their number."""
    return FieldForm(Reads.TEXTS, most)


class ScanForm(NamedTuple):
    """The common form of a topic's records.

    Attributes
    ----------
    kind
        Of its events, unless a word says another.
    fields
        The topic's own fields; the common ones need not be named.
    words
        What the type may be, and the kind of each, or `CANCELLATION`.
    absent_word
        The word that is meant where no type is given, as a topic without a field for it never does; None for none.
    """

    kind: int
    fields: Mapping[str, FieldForm]
    words: Mapping[str, int] = {}
    absent_word: str | None = None
