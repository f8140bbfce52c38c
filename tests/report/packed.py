"""Reads a report as its pages do."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.report.timelines import NUMBER_MARK

CONTENT = re.compile(r'<script type="text/plain" id="content">([^<]*)</script>')


def content_of(page: str) -> dict[str, Any]:
    """The document in a report."""
    (packed,) = CONTENT.findall(page)
    return dict(json.loads(gzip.decompress(base64.b64decode(packed))))


def told_moves(people: dict[str, Any], segmentation: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Moves within a segmentation by customer, unpacked as people.js does."""
    told: dict[str, list[dict[str, Any]]] = {}
    rows = iter(zip(*(people["moves"][name] for name in people["moves"]), strict=True))
    columns = list(people["moves"])
    for customer_id, count in zip(people["ids"], people["counts"], strict=True):
        at_s = 0
        for _, row in zip(range(count), rows, strict=False):
            move = dict(zip(columns, row, strict=True))
            at_s += move["at"]
            if move["segmentation"] == segmentation:
                told.setdefault(customer_id, []).append(_told(people, move, at_s))
    return told


def _told(people: dict[str, Any], move: dict[str, Any], at_s: int) -> dict[str, Any]:
    def segment(number: int) -> dict[str, str] | None:
        return None if number < 0 else dict(zip(("id", "name"), people["segments"][number][1:], strict=True))

    return {
        "at_s": at_s,
        "from": segment(move["from"]),
        "to": segment(move["to"]),
        "cause": CAUSE_KINDS[move["cause"]],
        "change": CHANGES[move["change"]],
        "version": move["version"],
        "sentence": "".join(_sentence(people, move)),
    }


def _sentence(people: dict[str, Any], move: dict[str, Any]) -> Iterator[str]:
    if move["pattern"] < 0:
        yield move["numbers"]
        return
    first, *rest = people["patterns"][move["pattern"]].split(NUMBER_MARK)
    yield first
    for number, part in zip(move["numbers"].split(" "), rest, strict=bool(rest)):
        yield number + part
