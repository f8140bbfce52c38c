"""How customers are divided in a chaos run: by all that is shipped, and by a second learned segmentation.

Definitions can be changed in the middle of a run: the second file has other windows and cut-offs, the first one's
audiences but one, and a field of events that nobody has looked at before.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from stream_app.segmentations.file import shipped_document

EAGER: Final = {"kind": "learned", "name": "eager", "hysteresis": 0.2, "no_return_days": 7}
ENDING: Final = "one_and_done"
"""Taken out of the configuration by the change, and put back by the next one."""
CHANGED: Final[dict[str, dict[str, Any]]] = {
    "cart_abandoners": {
        "all": [
            {"event": "product_added", "last": "3d"},
            {"not": {"event": "order_completed", "last": "3d"}},
        ]
    },
    "brand_advocates": {"event": "email_*", "where": [{"field": "campaign_id", "equals": "spring"}], "last": "40d"},
}
"""By name of the audience, its other condition."""


def _document(*, is_changed: bool) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(shipped_document())
    document["segmentations"].insert(1, dict(EAGER))
    if is_changed:
        kept = [each for each in document["segmentations"] if each["name"] != ENDING]
        document["segmentations"] = [
            each | {"when": CHANGED[each["name"]]} if each["name"] in CHANGED else each for each in kept
        ]
    return document


DOCUMENTS: Final = (_document(is_changed=False), _document(is_changed=True))
KINDS: Final[dict[str, str]] = {each["name"]: each["kind"] for each in DOCUMENTS[0]["segmentations"]}
"""By name of every segmentation, in order."""
NAMES: Final[tuple[str, ...]] = tuple(KINDS)


def names_of(number: int) -> list[str]:
    """Return the names of the segmentations in one of the two documents."""
    return [each["name"] for each in DOCUMENTS[number]["segmentations"]]


def write_file(folder: Path, number: int = 0) -> Path:
    """Write one of the two documents to the file that workers read at their start."""
    path = folder / "segmentations.json"
    path.write_text(json.dumps(DOCUMENTS[number]), "utf-8")
    return path
