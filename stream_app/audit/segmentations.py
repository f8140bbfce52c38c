"""The segmentations of a deployment, as its topics speak of them: names, newest versions, and ids of segments.

A row knows a segmentation by the digest of its name and a segment by its code, a small number. A learned segment's id
is made of the code (`s3` of 3), a rule's code of the id, so ids have to be seen before a code can be named.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from xxhash import xxh3_64_intdigest

from stream_app.audit.brute_rules import Definitions
from stream_app.audit.findings import Finding, place
from stream_app.audit.records import LogRecord, Standing, broken
from stream_app.audit.rows import FIRST_SEGMENTATION, CustomerRow, RowMembership, RowPlace, name_digest
from stream_app.contracts.outputs.models import DecisionOutcome, LearnedModel, Tick
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.core.clock import format_instant
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import model_from_document
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import KINDS
from stream_app.segmentations.registry import decode_segmentation, fields_looked_at
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.references import leaf_key, read_leaf

NO_SEGMENT: Final = 0
NOTICED: Final = "~upcoming"
"""Behind a segmentation's name: what a notice was about is a place as well, of this name."""
_CODES: Final = 32_767
_LEARNED_ID: Final = re.compile(r"s([0-9]{1,5})")
_MODELS: Final[TypeAdapter[Any]] = TypeAdapter(OUTPUT_MODELS["segment-models"])


class Segmentations:
    """What is known of all segmentations so far.

    Attributes
    ----------
    newest
        Newest published version by name; not of those whose models were removed.
    ruled
        Of segmentations by rules: the newest published version, as its document.
    models
        Of learned ones: by segmentation and version, each published model that the topic still has.
    """

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.ruled: dict[str, Mapping[str, Any]] = {}
        self.models: dict[tuple[str, int], Model] = {}
        self._kinds: dict[str, str] = {}
        self._removed: set[str] = set()
        self._names: dict[bytes, str] = {name_digest(FIRST_SEGMENTATION): FIRST_SEGMENTATION}
        self._ids: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._noticed: set[bytes] = set()

    def note_model(self, record: LogRecord, topic: str) -> list[Finding]:
        """Take in a record of `segment-models`; return what is wrong with it."""
        where = place(topic, 0, record.offset)
        if record.value is None:
            name, _, held = (record.key or b"").decode("utf-8", "replace").partition("/")
            if not held:  # a proposal that is no longer held back removes nothing
                self._removed.add(name)
                self.newest.pop(name, None)
                self.ruled.pop(name, None)
            return []
        try:
            model = _MODELS.validate_json(record.value)
        except ValidationError as error:
            return [broken(error, where)]
        model = getattr(model, "root", model)
        if isinstance(model, Tick | DecisionOutcome):
            return []
        if not isinstance(model, LearnedModel) and (fault := _fault(model.model_dump())):
            return [Finding("contracts", fault, position=where)]
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
                if self._kinds[name] != "learned":
                    self.ruled[name] = model.model_dump()
        held = "" if model.status == "published" else "/held"
        if record.key != (expected := f"{name}{held}".encode()):
            return [Finding("contracts", f"key {record.key!r}, expected {expected!r}", position=where)]
        return []

    @property
    def fields(self) -> frozenset[str]:
        """Fields of events that conditions look at."""
        return fields_looked_at(map(decode_segmentation, self.ruled.values()))

    @property
    def kinds(self) -> Mapping[str, str]:
        """By name, of all that have published a version."""
        return self._kinds

    def definitions(self, names: Iterable[str], complete_since: Mapping[str, int]) -> Definitions:
        """Return the newest published rules of these names, for a recount.

        Parameters
        ----------
        complete_since
            From when on series of events were counted, by the key of the condition that counts them.
        """
        documents = {name: self.ruled[name] for name in names}
        lists = {
            list_name: IdList.decode(encoded)
            for document in documents.values()
            for list_name, encoded in document["lists"].items()
        }

        keys: dict[int, str] = {}  # by the identity of a leaf, which its document keeps

        def since(leaf: Mapping[str, Any]) -> int | None:
            if not complete_since:
                return None
            if id(leaf) not in keys:
                keys[id(leaf)] = leaf_key(read_leaf(leaf))
            return complete_since.get(keys[id(leaf)])

        return Definitions(
            {name: document["definition"] for name, document in documents.items()},
            lists,
            learned_ids={kind.key: f"s{kind.code}" for kind in KINDS},
            complete_since=since,
        )

    def note(self, segmentation: str, segment_id: str | None = None) -> None:
        """Take in a name, and the id of one of its segments."""
        self._names[name_digest(segmentation)] = segmentation
        self._noticed.add(name_digest(segmentation + NOTICED))
        if segment_id is not None:
            self._ids[segmentation][self._code_of(segmentation, segment_id)] = segment_id

    def newest_of(self, segmentation: str) -> int | None:
        """Return the newest published version; None if it can no longer be known."""
        return None if segmentation in self._removed else self.newest.get(segmentation, 0)

    def standings(self, row: CustomerRow) -> tuple[dict[str, Standing], list[str]]:
        """Return where a customer stands by segmentation, and what is wrong with the row's memberships."""
        standings, problems = {}, []
        held: dict[bytes, RowMembership | RowPlace] = {**row.memberships, **row.places}
        for digest, membership in held.items():
            name = self._names.get(digest)
            if name is not None:
                standings[name] = self._standing(name, membership)
            elif membership.sequence and digest not in self._noticed:
                problems.append(f"a membership in a segmentation that no topic names (digest {digest.hex()})")
        return standings, problems

    def _standing(self, segmentation: str, held: RowMembership | RowPlace) -> Standing:
        segment_id = self._segment_id(segmentation, held.segment)
        since_ms = held.since_ms if held.sequence else None
        since = None if since_ms is None else format_instant(since_ms)
        return Standing(segment_id, held.sequence, since, held.version if isinstance(held, RowMembership) else None)

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


def _fault(document: Mapping[str, Any]) -> str | None:
    """Return why a document of rules cannot be followed, None if it can."""
    try:
        decode_segmentation(document)
    except ModelInvalid as error:
        return str(error)
    return None
