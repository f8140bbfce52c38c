"""Results as data frames of whichever library is installed, or as plain rows.

A table is made column by column, so that nothing is converted twice: texts, numbers, and instants as milliseconds. Each
library is imported only when a frame of it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from importlib.util import find_spec
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from stream_app.contracts.readers import MembershipRecord, MigrationRecord
from stream_app.core.members import MemberFigures
from stream_app.errors import ConfigurationError

FrameKind = Literal["pandas", "polars", "arrow", "dicts"]
"""What results are returned as; `dicts` is a list of one dictionary a row."""
Instants = npt.NDArray[np.datetime64]
Columns = Mapping[str, Sequence[Any] | Instants]
"""Columns of a table by name; instants are UTC, in milliseconds."""


def frame_of(columns: Columns, kind: FrameKind | None) -> Any:
    """Return a table as a data frame.

    Parameters
    ----------
    columns
        All of one length.
    kind
        None for pandas where it is installed, else Polars, else Arrow, else dictionaries.

    Raises
    ------
    ConfigurationError
        If there is no such kind, or its library is not installed.
    """
    chosen = _installed() if kind is None else kind
    if chosen not in _MAKERS:
        raise ConfigurationError(f"as_: {kind!r}, expected one of {', '.join(_MAKERS)}")
    if _needs(chosen) is None:
        raise ConfigurationError(f"as_: {kind!r} needs {_MODULES[chosen]}, which is not installed; expected 'dicts'")
    return _MAKERS[chosen](columns)


def _installed() -> FrameKind:
    return next((kind for kind in _PREFERRED if _needs(kind) is not None), "dicts")


def _needs(kind: str) -> object | None:
    """Return whether what a kind of frame needs is there."""
    return find_spec(_MODULES[kind]) if kind in _MODULES else True


def _to_pandas(columns: Columns) -> Any:
    import pandas  # type: ignore[import-untyped]

    return pandas.DataFrame(
        {
            name: pandas.to_datetime(column, utc=True) if _is_instants(column) else list(column)
            for name, column in columns.items()
        }
    )


def _to_polars(columns: Columns) -> Any:
    import polars

    instants = [name for name, column in columns.items() if _is_instants(column)]
    types = {"text": polars.String, "number": polars.Float64}
    overrides = {name: types[_NULLABLE[name]] for name in columns if name in _NULLABLE}
    frame = polars.DataFrame(dict(columns), schema_overrides=overrides)
    return frame.with_columns(polars.col(instants).dt.replace_time_zone("UTC"))


def _to_arrow(columns: Columns) -> Any:
    import pyarrow  # type: ignore[import-untyped]

    instant = pyarrow.timestamp("ms", "UTC")
    types = {"text": pyarrow.string(), "number": pyarrow.float64(), None: None}
    return pyarrow.table(
        {
            name: pyarrow.array(column).cast(instant)
            if _is_instants(column)
            else pyarrow.array(column, types[_NULLABLE.get(name)])
            for name, column in columns.items()
        }
    )


def _to_dicts(columns: Columns) -> list[dict[str, Any]]:
    plain = [_plain(column) if _is_instants(column) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)]


def _plain(column: Any) -> list[Any]:
    return [None if instant is None else instant.replace(tzinfo=UTC) for instant in column.tolist()]


def _is_instants(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind == "M"


_NULLABLE: Final[Mapping[str, Literal["text", "number"]]] = {
    **dict.fromkeys(("direction", "from_segment", "from_name", "to_segment", "to_name"), "text"),
    **dict.fromkeys(("event_id", "next_segment", "payload"), "text"),
    **dict.fromkeys(("recency_days", "tenure_days", "orders_per_customer"), "number"),
    **dict.fromkeys(("revenue_per_customer", "average_order_value"), "number"),
}
"""What columns hold that may be without any value: a frame's columns have the same types whatever is in them."""
_MODULES: Final = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}
_MAKERS: Final[Mapping[str, Callable[[Columns], Any]]] = {
    "pandas": _to_pandas,
    "polars": _to_polars,
    "arrow": _to_arrow,
    "dicts": _to_dicts,
}
_PREFERRED: Final[tuple[FrameKind, ...]] = ("pandas", "polars", "arrow")


def instants_of(texts: Iterable[str | None]) -> Instants:
    """Return RFC 3339 instants in UTC, as our records have them; `NaT` for none."""
    return np.array([None if text is None else text[:-1] for text in texts], "datetime64[ms]")


def migration_columns(migrations: Sequence[MigrationRecord]) -> Columns:
    """Return a table of migrations, a row each."""
    origins, targets = [each.from_segment for each in migrations], [each.to_segment for each in migrations]
    return {
        "customer_id": [each.customer_id for each in migrations],
        "segmentation": [each.segmentation for each in migrations],
        "sequence": [each.sequence for each in migrations],
        "change": [each.change for each in migrations],
        "direction": [each.direction for each in migrations],
        "from_segment": [each and each.id for each in origins],
        "from_name": [each and each.name for each in origins],
        "to_segment": [each and each.id for each in targets],
        "to_name": [each and each.name for each in targets],
        "effective_at": instants_of(each.effective_at for each in migrations),
        "decided_at": instants_of(each.decided_at for each in migrations),
        "cause": [each.cause.kind for each in migrations],
        "event_id": [each.cause.event_id for each in migrations],
        "sentence": [each.explanation.sentence for each in migrations],
        **_next_columns(migrations),
        "held_out": [each.holdout.held_out for each in migrations],
        "model_version": [each.model_version for each in migrations],
        "migration_id": [each.migration_id for each in migrations],
    }


def membership_columns(memberships: Sequence[MembershipRecord]) -> Columns:
    """Return a table of memberships, a row each."""
    return {
        "customer_id": [each.customer_id for each in memberships],
        "segmentation": [each.segmentation for each in memberships],
        "segment": [each.segment.id for each in memberships],
        "name": [each.segment.name for each in memberships],
        "since": instants_of(each.since for each in memberships),
        "sequence": [each.sequence for each in memberships],
        **_next_columns(memberships),
        "model_version": [each.model_version for each in memberships],
    }


def _next_columns(records: Sequence[MigrationRecord] | Sequence[MembershipRecord]) -> Columns:
    """Return when and where to customers move if nothing happens; a move out of all segments has no target."""
    following = [each.next_move for each in records]
    return {
        "next_move_at": instants_of(None if each is None else each.at for each in following),
        "next_segment": [each.to_segment.id if each is not None and each.to_segment else None for each in following],
    }


def segment_columns(segments: Sequence[Mapping[str, Any]]) -> Columns:
    """Return a table of segments and the figures of their members, a row each."""
    names = ("segmentation", "segment", "name", "meaning", *MemberFigures.__struct_fields__)
    return {name: [segment[name] for segment in segments] for name in names}


def refusal_columns(letters: Sequence[Mapping[str, Any]]) -> Columns:
    """Return a table of dead letters, a row each."""
    positions = [letter["position"] for letter in letters]
    return {
        "reason": [letter["reason"] for letter in letters],
        "field": [letter["field"] for letter in letters],
        "message": [letter["message"] for letter in letters],
        "source": [position["topic"] for position in positions],
        "row": [position["offset"] for position in positions],
        "payload": [letter["payload"] for letter in letters],
    }
