"""The folder a replay writes. Files get their final names when all of them are complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from stream_app.core.clock import format_instant
from stream_app.core.migration import Migration
from stream_app.core.processor import Partition
from stream_app.errors import ConfigurationError

JSON_LINES: Final = ("migrations", "memberships", "models", "dead_letters")
_PARTIAL: Final = ".partial"


class OutputFolder:
    """Writes a replay's records.

    Raises
    ------
    ConfigurationError
        If the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoder = msgspec.json.Encoder()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._files: dict[str, BinaryIO] = {
                name: (path / f"{name}.jsonl{_PARTIAL}").open("wb") for name in JSON_LINES
            }
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); name another folder with --out") from error

    def write_migrations(self, migrations: Sequence[Migration]) -> None:
        """Append migrations in the order given."""
        self._files["migrations"].write(self._encoder.encode_lines(migrations))

    def write_model(self, document: Mapping[str, Any]) -> None:
        """Append a version of the model."""
        self._files["models"].write(self._encoder.encode_lines([document]))

    def write_dead_letter(self, document: str) -> None:
        """Append a rejected record."""
        self._files["dead_letters"].write(document.encode() + b"\n")

    def write_memberships(self, partition: Partition, as_of_ms: int) -> None:
        """Write the segment of every customer, in the order in which customers were first seen."""
        self._files["memberships"].write(self._encoder.encode_lines(_memberships(partition, as_of_ms)))

    def complete(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, close all files and give them their names."""
        for name, file in self._files.items():
            file.close()
            (self.path / f"{name}.jsonl{_PARTIAL}").replace(self.path / f"{name}.jsonl")
        text = msgspec.json.format(self._encoder.encode(summary), indent=2)
        (self.path / "summary.json").write_bytes(text + b"\n")


def _memberships(partition: Partition, as_of_ms: int) -> Iterable[dict[str, Any]]:
    as_of = format_instant(as_of_ms)
    segments = {
        code: {"id": segment.segment_id, "name": segment.name}
        for code, segment in partition.snapshot.segment_by_code.items()
    }
    membership = partition.table.membership
    columns = (membership[name].tolist() for name in ("segment", "since_ms", "sequence", "model_version"))
    for customer_id, code, since_ms, sequence, model_version in zip(partition.table.customer_ids, *columns, strict=True):
        yield {
            "customer_id": customer_id,
            "segmentation": partition.snapshot.segmentation,
            "segment": segments[code],
            "since": format_instant(since_ms),
            "sequence": sequence,
            "model_version": model_version,
            "as_of": as_of,
        }
