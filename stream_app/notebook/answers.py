"""What can be asked of a segmenter: where customers stand, how they came there, and what a report says of them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias, overload

import msgspec

from stream_app.contracts.readers import MembershipRecord, MigrationRecord, read_migration
from stream_app.core.clock import NO_TIME
from stream_app.errors import ConfigurationError, CustomerUnknown
from stream_app.notebook.frames import (
    FrameKind,
    frame_of,
    membership_columns,
    migration_columns,
    refusal_columns,
    segment_columns,
)
from stream_app.replay.kept import DEAD_LETTERS, MIGRATIONS, KeptOutputs
from stream_app.replay.outputs import OutputFolder, memberships_of
from stream_app.replay.runtime import Run
from stream_app.report.page import write_report
from stream_app.segmentations.registry import encode_segmentation
from stream_app.settings.sections import Settings
from stream_app.web.single_file import FILE_NAME

Migration: TypeAlias = MigrationRecord
Membership: TypeAlias = MembershipRecord
AnyPath: TypeAlias = str | PathLike[str]
_PAGE_SUFFIXES: Final = (".html", ".htm")


class Answers:
    """The questions; whoever has a run answers them.

    Each has everybody looked at first, as of the latest record or of the instant that time was let pass to: a customer
    whom silence has moved by then has its move told. Of records in order of time, looking changes no move and no
    instant of one, only when it is found (`decided_at`); what comes late counts right after what was told by then.
    """

    _settings: Settings
    _kept: KeptOutputs
    _run: Run

    @overload
    def segment_of(self, customer_id: str) -> dict[str, Membership]: ...
    @overload
    def segment_of(self, customer_id: str, segmentation: str) -> Membership | None: ...
    def segment_of(
        self, customer_id: str, segmentation: str | None = None
    ) -> dict[str, Membership] | Membership | None:
        """Return where a customer stands: in each segmentation, by name, or in the one that is named.

        A customer who is in no segment of a segmentation, such as out of an audience, is not in the dictionary, and
        None where the segmentation is named.

        Raises
        ------
        CustomerUnknown
            If no record has named the customer; a `LookupError`.
        ConfigurationError
            If there is no such segmentation.
        """
        self._require(segmentation)
        self._run.settle()
        row = self._run.partition.table.find(customer_id)
        if row < 0:
            raise CustomerUnknown(f"customer_id: {customer_id!r}, expected one that a record has named")
        found = {each.segmentation: each for each in self._memberships(row, row + 1)}
        return found if segmentation is None else found.get(segmentation)

    @overload
    def memberships(self, *, as_: Literal["dicts"]) -> list[dict[str, Any]]: ...
    @overload
    def memberships(self, *, as_: FrameKind | None = None) -> Any: ...
    def memberships(self, *, as_: FrameKind | None = None) -> Any:
        """Return where every customer stands, a row for each customer and segmentation.

        Parameters
        ----------
        as_
            `pandas`, `polars`, `arrow`, or `dicts` for a list of dictionaries; the first of these that is installed if
            None. Instants are in UTC.
        """
        self._run.settle()
        return frame_of(membership_columns(self._memberships(0, len(self._run.partition.table))), as_)

    @overload
    def migrations(self, customer_id: str | None = None, *, as_: Literal["jsonl"]) -> bytes: ...
    @overload
    def migrations(self, customer_id: str | None = None, *, as_: Literal["dicts"]) -> list[dict[str, Any]]: ...
    @overload
    def migrations(self, customer_id: str | None = None, *, as_: FrameKind | None = None) -> Any: ...
    def migrations(self, customer_id: str | None = None, *, as_: FrameKind | Literal["jsonl"] | None = None) -> Any:
        """Return all moves so far, in the order in which they were decided.

        Parameters
        ----------
        customer_id
            Of this customer alone; of all if None.
        as_
            See `memberships`; `jsonl` for the records as they are published, a line each.
        """
        self._run.settle()
        lines = list(self._kept.lines(MIGRATIONS))
        if as_ == "jsonl" and customer_id is None:
            return b"".join(lines)
        moves = [(line, migration) for line in lines if _is_of(migration := read_migration(line), customer_id)]
        if as_ == "jsonl":
            return b"".join(line for line, _ in moves)
        return frame_of(migration_columns([migration for _, migration in moves]), as_)

    @overload
    def segments(self, *, as_: Literal["dicts"]) -> list[dict[str, Any]]: ...
    @overload
    def segments(self, *, as_: FrameKind | None = None) -> Any: ...
    def segments(self, *, as_: FrameKind | None = None) -> Any:
        """Return the segments that have members, a row each, with the figures of these: those of the report.

        Parameters
        ----------
        as_
            See `memberships`.
        """
        whole = self.summary()
        meanings = {
            segmentation.name: {
                each["id"]: each.get("statement") or each.get("sentence") or ""
                for each in encode_segmentation(segmentation)["segments"]
            }
            for segmentation in self._run.partition.segmentations
        }
        rows = [
            {"segmentation": part["segmentation"], "segment": each["id"], **each}
            | {"meaning": meanings[part["segmentation"]].get(each["id"], "")}
            for part in (whole, *whole["other_segmentations"])
            for each in part["segments"]
        ]
        return frame_of(segment_columns(rows), as_)

    @overload
    def refused(self, *, as_: Literal["dicts"]) -> list[dict[str, Any]]: ...
    @overload
    def refused(self, *, as_: FrameKind | None = None) -> Any: ...
    def refused(self, *, as_: FrameKind | None = None) -> Any:
        """Return the records that `learn_many` did not accept, a row each: reason, field, message, where it stands.

        Parameters
        ----------
        as_
            See `memberships`.
        """
        letters = [msgspec.json.decode(line) for line in self._kept.lines(DEAD_LETTERS)]
        return frame_of(refusal_columns(letters), as_)

    def summary(self) -> dict[str, Any]:
        """Return what has come of all records so far, as `summary.json` of a replay has it."""
        self._run.settle()
        return self._run.summary()

    @property
    def clock(self) -> datetime | None:
        """How far time has come, in UTC: the latest record, or what `advance_to` was given; None before any."""
        at_ms = max(self._run.partition.clock)
        return None if at_ms == NO_TIME else datetime.fromtimestamp(at_ms / 1000, UTC)

    @property
    def settings(self) -> Settings:
        """What was configured."""
        return self._settings

    def __repr__(self) -> str:
        names, customers = self._run.partition.names, len(self._run.partition.table)
        by = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        return f"<Segmenter by {by}: {customers:,} customers, {self.clock or 'no time yet'}>"

    def _memberships(self, start: int, stop: int) -> list[Membership]:
        partition = self._run.partition
        if start == stop:
            return []
        rows = memberships_of(partition, max(partition.clock), start, stop)
        return msgspec.convert(list(rows), list[Membership], from_attributes=True)

    def _require(self, segmentation: str | None) -> None:
        names = self._run.partition.names
        if segmentation is not None and segmentation not in names:
            raise ConfigurationError(f"segmentation: {segmentation!r}, expected one of {', '.join(names)}")

    def report(self, path: AnyPath) -> Path:
        """Write what a replay reports, for people.

        Parameters
        ----------
        path
            A file that ends in `.html`: the report, which opens offline. Or a folder: all outputs of a replay with it,
            which `segmenter serve` shows and answers requests from.

        Returns
        -------
        Path
            Of the report.
        """
        target = Path(path)
        if target.suffix.lower() not in _PAGE_SUFFIXES:
            self._write_folder(target, write_report)
            return target / FILE_NAME
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            self._write_folder(Path(folder) / "outputs")
            page = write_report(Path(folder) / "outputs", Path(folder) / FILE_NAME)
            shutil.move(page, target)
        return target

    def _write_folder(self, path: Path, add: Callable[[Path], object] = lambda _: None) -> None:
        summary, folder = self.summary(), OutputFolder(path, add)
        try:
            self._kept.write_to(folder)
            folder.write_memberships(self._run.partition, max(self._run.partition.clock))
            folder.complete(summary, self._run.history())
        except BaseException:
            folder.discard()
            raise


def _is_of(migration: Migration, customer_id: str | None) -> bool:
    return customer_id is None or migration.customer_id == customer_id
