"""What is loaded, and what its mappings leave open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream_app.sources.forms import Look

if TYPE_CHECKING:
    from stream_app.sources.mapping import Source

MEMORY_BYTES: Final = 640 << 20
"""The limit of DuckDB's memory; the whole process stays within 1 GiB while it loads."""


@dataclass(frozen=True)
class InputFile:
    """One file, or table in memory, and how it is read.

    Parameters
    ----------
    number
        Of the file among all.
    name
        What messages and positions call it.
    source
        Its mapping.
    source_name
        What event ids begin with.
    look
        What it is; of a frame its columns.
    frame
        A pandas, Polars or Arrow table in place of a file.
    join
        Of the source's `joins`, which one the file is; empty for the source's own rows.
    contract
        Topic whose contract its JSON lines keep already, so that they are only sorted; none if empty. There is no
        mapping then.
    """

    number: int
    name: str
    source: Source | None
    source_name: str
    look: Look
    frame: Any = None
    join: str = ""
    contract: str = ""

    @property
    def mapping(self) -> Source:
        """Its mapping, of a file that has one."""
        if self.source is None:
            raise ValueError(f"{self.name}: no mapping, as its records keep a contract")
        return self.source

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that it has records of."""
        return (self.contract,) if self.contract else self.mapping.topics


@dataclass(frozen=True)
class LoadingOptions:
    """What mappings leave open, and how much may be used.

    Parameters
    ----------
    zone
        Of times that have none; None refuses them.
    locale
        Which is the decimal sign, `point` or `comma`, where a source does not say; found by looking at numbers if None.
    placeholders
        Ids that stand for nobody, in lower case.
    traits
        Types of traits by name.
    base_currency
        Of totals whose source has no currency.
    characters_max
        Of one row.
    memory_bytes, threads
        What DuckDB may use; as many threads as there are processors if None.
    folder
        Where temporary files go; the system's if None.
    """

    zone: str | None = "UTC"
    locale: str | None = None
    placeholders: Collection[str] = ()
    traits: Mapping[str, str] = field(default_factory=dict)
    base_currency: str = "EUR"
    characters_max: int = 65_536
    memory_bytes: int = MEMORY_BYTES
    threads: int | None = None
    folder: Path | None = None
