"""The embedded runtime, fed input by input: records are decoded, and go through the core as in a replay of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_app.core.backfill import Backfill
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Events
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events, sweep
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import NOWHERE
from stream_app.core.weaving import Weaver
from stream_app.segmentations.file import MODELS
from stream_app.segmentations.registry import build_segmentation, fields_looked_at
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.zones import in_zone
from tests.scenarios.inputs import Document, Input, reader_of
from tests.scenarios.steps import Adoption, Chunk, Restart, Step, Sweep
from tests.support.brute_moves import Told, order_of


class Embedded:
    """A partition, and the moves that have come of what it was fed.

    Parameters
    ----------
    entries
        Of `segmentations.yaml`.
    lists
        Ids by name.
    others
        Segmentations that are not by rules, told beside them.
    """

    def __init__(
        self,
        entries: Sequence[Document],
        lists: Mapping[str, Sequence[str]],
        others: Sequence[Segmentation] = (),
    ) -> None:
        self._lists = lists
        self._fed: list[Input] = []
        segmentations = segmentations_of(entries, lists)
        self.partition = Partition([*others, *segmentations])
        self.told: list[Told] = []
        self.weaver = Weaver()

    def do(self, step: Step) -> None:
        """Take a step."""
        if isinstance(step, Chunk) and step.inputs:
            self.feed(step.inputs)
        elif isinstance(step, Sweep):
            self.sweep(step.at_ms)
        elif isinstance(step, Restart):
            self.restart()
        elif isinstance(step, Adoption):
            self.sweep(step.at_ms)
            self.adopt(step.entries)

    def feed(self, inputs: Sequence[Input]) -> None:
        """Take inputs in as one chunk."""
        events = self._read(inputs, len(self._fed))
        self._fed += inputs
        woven = self.weaver.weave(events)
        self._take(process_events(self.partition, events if woven is None else woven.events))

    def sweep(self, at_ms: int) -> None:
        """Let time pass."""
        self._take(sweep(self.partition, at_ms))

    def adopt(self, entries: Sequence[Document]) -> None:
        """Let definitions take over, or be added, as of now; what they need of the past is read again."""
        in_force = {segmentation.name: segmentation for segmentation in self.partition.segmentations}
        self.partition.follow_all(segmentations_of(entries, self._lists, in_force))
        if self._fed:
            Backfill(self.partition, None).enter(self.weaver.rewrite(self._read(self._fed, 0)))

    def restart(self) -> None:
        """Write all rows, and go on with what another process reads of them."""
        was = self.partition
        rows = list(zip(was.table.customer_ids, was.table.encode_all(range(len(was.table))), strict=True))
        table = CustomerTable(was.table.names, was.table.ruled_names)
        table.restore_many([(customer_id.encode(), row) for customer_id, row in rows])
        self.partition = Partition(was.segmentations, was.context, table, was.clock)

    def members(self, name: str) -> dict[str, str | None]:
        """Return the segment in which the rows say that each customer is, None for out of an audience."""
        partition = self.partition
        index = partition.names.index(name)
        references = partition.segmentations[index].roster.references
        places = partition.table.places[partition.table.ruled_names.index(name)]
        found: dict[str, str | None] = {}
        for number, customer_id in enumerate(partition.table.customer_ids):
            reference = references.get(int(places["segment"][number]))
            found[customer_id] = None if reference is None else reference.id
        return found

    def held_in_others(self) -> dict[str, dict[str, list[tuple[int, str | None]]]]:
        """Return of each customer the moves in segmentations that are not by rules, which conditions may look at."""
        held: dict[str, dict[str, list[tuple[int, str | None]]]] = {}
        for move in sorted(self.told, key=order_of):
            if move.segmentation in self.partition.table.names:
                own = held.setdefault(move.customer_id, {}).setdefault(move.segmentation, [])
                own.append((move.at_ms, move.segment))
        return held

    def told_by_rules(self) -> list[Told]:
        """Return the moves, in order, without those of other kinds."""
        ruled = set(self.partition.table.ruled_names)
        return sorted((move for move in self.told if move.segmentation in ruled), key=order_of)

    def _read(self, inputs: Sequence[Input], first_offset: int) -> Events:
        fields = fields_looked_at(self.partition.segmentations)
        return reader_of(fields).read(inputs, first_offset)

    def _take(self, outcome: Outcome) -> None:
        segmentations = self.partition.segmentations
        for move in outcome.moves:
            segmentation = segmentations[move["segmentation"]]
            target = int(move["target"])
            segment = None if target == NOWHERE else segmentation.roster.segments[target].segment_id
            customer_id = self.partition.table.customer_ids[int(move["row"])]
            self.told.append(Told(int(move["effective_at_ms"]), segmentation.name, customer_id, segment))


def segmentations_of(
    entries: Sequence[Document],
    lists: Mapping[str, Sequence[str]],
    earlier: Mapping[str, Segmentation] | None = None,
) -> list[Segmentation]:
    """Return what a file with these entries and lists asks for."""
    defaults = {"lists": {name: IdList.of(customer_ids) for name, customer_ids in lists.items()}}
    known = earlier or {}
    configurations = [in_zone(MODELS[entry["kind"]].model_validate(entry), "UTC") for entry in entries]
    return [build_segmentation(each, defaults, known.get(each.name)) for each in configurations]
