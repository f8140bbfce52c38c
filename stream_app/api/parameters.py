"""Parameters that several routes take, with their descriptions."""

from __future__ import annotations

import base64
import binascii
from datetime import date
from typing import Annotated, Final

import msgspec
from fastapi import Path, Query

from stream_app.api.documents import CUSTOMER_ID_CHARACTERS
from stream_app.api.feed import id_order
from stream_app.api.problems import CURSOR_INVALID, EVENT_ID_INVALID, Problem
from stream_app.api.routing import encode

PAGE_CUSTOMERS_MAX: Final = 1_000
CURSOR_CHARACTERS: Final = 2_000
"""More than the longest customer id takes."""
SEGMENT_CHARACTERS: Final = 256
CHOICES_MAX: Final = 100
"""Values of a parameter that may be repeated."""

CustomerId = Annotated[
    str,
    Path(min_length=1, max_length=CUSTOMER_ID_CHARACTERS, description="Id of the customer.", examples=["customer-1"]),
]
Segmentation = Annotated[
    str,
    Path(max_length=CUSTOMER_ID_CHARACTERS, description="Name of the segmentation, or audience.", examples=["value"]),
]
Segment = Annotated[
    str,
    Path(
        min_length=1,
        max_length=SEGMENT_CHARACTERS,
        description="Id of the segment, or its name; the id stays, the name may change with the model.",
        examples=["s2"],
    ),
]
Segmentations = Annotated[
    list[str] | None,
    Query(
        alias="segmentation",
        max_length=CHOICES_MAX,
        description="Name of the segmentation; repeat it for several. Without it, all.",
        examples=[["value"]],
    ),
]
FirstDay = Annotated[
    date | None,
    Query(alias="from", description="First day, of the shop; 30 days up to `to` without it.", examples=["2026-04-02"]),
]
LastDay = Annotated[
    date | None,
    Query(
        alias="to",
        description="Last day, included; today without it. In a replay, today is the day of its end.",
        examples=["2026-05-01"],
    ),
]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARACTERS, description="`next_cursor` of the page before; the first page without it."),
]
PageLimit = Annotated[int, Query(ge=1, le=PAGE_CUSTOMERS_MAX, description="Entries of one page at most.")]


def encode_cursor(place: tuple[int, str]) -> str:
    """Return a place in an order as a client passes it on."""
    return base64.urlsafe_b64encode(encode(place)).decode()


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Return the place that a client has passed on.

    Raises
    ------
    Problem
        400, if it is not one.
    """
    try:
        return msgspec.json.decode(base64.b64decode(cursor, b"-_", validate=True), type=tuple[int, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Problem(CURSOR_INVALID, CURSOR_INVALID.example) from None


def require_event_id(parameter: str, text: str) -> None:
    """Refuse what is not an id of an event.

    Raises
    ------
    Problem
        400.
    """
    try:
        id_order(text)
    except ValueError:
        raise Problem(EVENT_ID_INVALID, f"{parameter}: expected the id of an event") from None
