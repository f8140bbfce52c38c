"""The segmentations of a deployment, as its topics speak of them: names, newest versions, and ids of segments.

A row knows a segmentation by the digest of its name and a segment by its code, a small number. A learned segment's id
is made of the code (`s3` of 3), a rule's code of the id, so ids have to be seen before a code can be named.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from xxhash import xxh3_64_intdigest

from stream_app.audit.findings import Finding, place
from stream_app.audit.records import LogRecord, Standing, broken
from stream_app.audit.rows import FIRST_SEGMENTATION, CustomerRow, RowMembership, name_digest
from stream_app.contracts.outputs.models import DecisionOutcome, LearnedModel, Tick
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.core.clock import format_instant
from stream_app.segmentations.learned.document import model_from_document
from stream_app.segmentations.learned.model import Model

NO_SEGMENT: Final = 0
_CODES: Final = 32_767
_LEARNED_ID: Final = re.compile(r"s([0-9]{1,5})")
_MODELS: Final[TypeAdapter[Any]] = TypeAdapter(OUTPUT_MODELS["segment-models"])


class Segmentations:
    """What is known of all segmentations so far.

    Attributes
    ----------
    newest
        Newest published version by name; not of those whose models were removed.
    definitions
        Of segmentations by rules: the definition of the newest published version.
    models
        Of learned ones: by segmentation and version, each published model that the topic still has.
    """

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.definitions: dict[str, Mapping[str, Any]] = {}
        self.models: dict[tuple[str, int], Model] = {}
        self._kinds: dict[str, str] = {}
        self._removed: set[str] = set()
        self._names: dict[bytes, str] = {name_digest(FIRST_SEGMENTATION): FIRST_SEGMENTATION}
        self._ids: defaultdict[str, dict[int, str]] = defaultdict(dict)

    def note_model(self, record: LogRecord, topic: str) -> list[Finding]:
        """Take in a record of `segment-models`; return what is wrong with it."""
        where = place(topic, 0, record.offset)
        if record.value is None:
            name, _, held = (record.key or b"").decode("utf-8", "replace").partition("/")
            if not held:  # a proposal that is not held back any more removes nothing
                self._removed.add(name)
                self.newest.pop(name, None)
                self.definitions.pop(name, None)
            return []
        try:
            model = _MODELS.validate_json(record.value)
        except ValidationError as error:
            return [broken(error, where)]
        model = getattr(model, "root", model)
        if isinstance(model, Tick | DecisionOutcome):
            return []
        name, version = model.segmentation, model.version
        self._kinds[name] = getattr(model, "kind", "learned")
        for segment in (*model.segments, *model.retired_segments):
            self.note(name, segment.id)
        if model.status == "published":
            self._removed.discard(name)
            if isinstance(model, LearnedModel):
                self.models[name, version] = model_from_document(model.model_dump())
            if version >= self.newest.get(name, 0):
                self.newest[name] = version
                if self._kinds[name] == "rules":
                    self.definitions[name] = model.definition
        held = "" if model.status == "published" else "/held"
        if record.key != (expected := f"{name}{held}".encode()):
            return [Finding("contracts", f"key {record.key!r}, expected {expected!r}", position=where)]
        return []

    def note(self, segmentation: str, segment_id: str | None = None) -> None:
        """Take in a name, and the id of one of its segments."""
        self._names[name_digest(segmentation)] = segmentation
        if segment_id is not None:
            self._ids[segmentation][self._code_of(segmentation, segment_id)] = segment_id

    def newest_of(self, segmentation: str) -> int | None:
        """Return the newest published version; None if it cannot be known any more."""
        return None if segmentation in self._removed else self.newest.get(segmentation, 0)

    def standings(self, row: CustomerRow) -> tuple[dict[str, Standing], list[str]]:
        """Return where a customer stands by segmentation, and what is wrong with the row's memberships."""
        standings, problems = {}, []
        for digest, membership in row.memberships.items():
            name = self._names.get(digest)
            if name is not None:
                standings[name] = self._standing(name, membership)
            elif membership.sequence:
                problems.append(f"a membership in a segmentation that no topic names (digest {digest.hex()})")
        return standings, problems

    def _standing(self, segmentation: str, membership: RowMembership) -> Standing:
        since = format_instant(membership.since_ms) if membership.sequence else ""
        segment_id = self._segment_id(segmentation, membership.segment)
        return Standing(segment_id, membership.sequence, since, membership.version)

    def _segment_id(self, segmentation: str, code: int) -> str | None:
        if code == NO_SEGMENT:
            return None
        known = self._ids[segmentation].get(code)
        if known is None and self._kinds.get(segmentation, "learned") == "learned":
            return f"s{code}"
        return known or f"unknown (code {code})"

    def _code_of(self, segmentation: str, segment_id: str) -> int:
        learned = _LEARNED_ID.fullmatch(segment_id)
        if learned and self._kinds.get(segmentation, "learned") == "learned":
            return int(learned[1])
        return 1 + xxh3_64_intdigest(segment_id.encode()) % _CODES
