"""Members of a segment as files: comma-separated values or JSON lines, however many they are.

They are read page by page while they are sent, so that neither side holds all of them. Each page starts after the last
customer of the one before: who stays in the segment meanwhile is listed exactly once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from stream_app.api.problems import NOT_ACCEPTABLE, Problem
from stream_app.api.routing import encode
from stream_app.api.store import MemberPage, MemberQuery, SegmentStore
from stream_app.contracts.migration_filter import agrees
from stream_app.core.clock import format_instant

Format = Literal["json", "csv", "jsonl"]
Order = Literal["longest", "newest"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/x-ndjson",
}
PAGE_CUSTOMERS: Final = 1_000
"""Read at a time."""
COLUMNS: Final = ("customer_id", "since")
_ACCEPTED: Final[dict[str, Format]] = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "text/csv": "csv",
    "text/*": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
}


def accepted_format(accept: str) -> Format:
    """Return the form that a client likes best.

    Raises
    ------
    Problem
        406, if it takes none.
    """
    weighed = [_weighed(each) for each in accept.split(",") if each.strip()] or [("*/*", 1.0)]
    for name, weight in sorted(weighed, key=lambda each: -each[1]):
        if weight > 0 and name in _ACCEPTED:
            return _ACCEPTED[name]
    raise Problem(NOT_ACCEPTABLE, NOT_ACCEPTABLE.example)


def _weighed(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 0.0


async def lines_of_members(
    store: SegmentStore,
    place: tuple[str, str],
    wanted: MemberQuery,
    most: int | None,
    first: MemberPage,
    form: Format,
    purpose: str | None = None,
) -> AsyncIterator[bytes]:
    """Yield the lines of members, page after page.

    Parameters
    ----------
    store
        Gives them.
    place
        Segmentation and segment.
    wanted
        How they were asked for; the limit is that of a page.
    most
        How many in all; None for everybody.
    first
        The first page: it has been read before the head of the answer was sent.
    form
        `csv` or `jsonl`.
    purpose
        What the members must agree to; None: nothing.
    """
    write = _csv_lines if form == "csv" else _json_lines
    if form == "csv":
        yield _csv_lines([COLUMNS])
    page, left = first, most
    while True:
        members = page.members if purpose is None else await _agreeing(store, place[0], page.members, purpose)
        members = members if left is None else members[:left]
        if members:
            yield write([(name, format_instant(since_ms)) for since_ms, name in members])
        left = None if left is None else left - len(members)
        if left == 0 or len(page.members) < wanted.limit:
            return
        wanted = wanted._replace(after=page.members[-1])
        page = await store.members(*place, wanted)


async def _agreeing(
    store: SegmentStore, segmentation: str, members: Sequence[tuple[int, str]], purpose: str
) -> list[tuple[int, str]]:
    """Return the members who agree to a purpose, as of their last move in the segmentation."""
    looked_up = await store.look_up([customer_id for _, customer_id in members])
    told = [{each.segmentation: each.consents or None for each in segments} for segments in looked_up]
    return [member for member, own in zip(members, told, strict=True) if agrees(own.get(segmentation), purpose)]


def _csv_lines(rows: Sequence[tuple[str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # ends lines as RFC 4180 has it
    return text.getvalue().encode()


def _json_lines(rows: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(encode(dict(zip(COLUMNS, row, strict=True))) + b"\n" for row in rows)
