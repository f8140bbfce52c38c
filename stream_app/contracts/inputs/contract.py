"""All there is to say of an input topic, as one value for decoding, files, topics, schemas, commands and audit.

A topic is a module beside this one that ends in an `InputContract`, and one entry in `table`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from stream_app.contracts.fast_path import FastForm
from stream_app.contracts.fields import CustomerId, Id, Time
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import ScanForm
from stream_app.core.events import Event


class Record(BaseModel):
    """What the records of all input topics have in common.

    The order of a model's fields is the contract's order: where several are wrong, the first one is reported. Unknown
    fields are ignored; null in an optional field means that it is absent.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


class InputRecord(Record):
    """What the records of events have in common."""

    event_id: Id
    """Identity of the event: a second record with it is a duplicate."""
    customer_id: CustomerId
    """The customer; equal to the record's key."""
    occurred_at: Time
    """When it happened: RFC 3339 with a zone, read to the millisecond."""


_NOTHING_SPECIAL: Final = TableForm()


@dataclass(frozen=True)
class InputContract:
    """One input topic.

    Parameters
    ----------
    topic
        Its name, without a deployment's prefix; also the option that names its files.
    version
        Of the contract; raised by an incompatible change.
    title, summary
        For readers of the schemas.
    model
        The definition of a valid record.
    to_event
        From a valid record of `model`, and the policy, to the event that is folded; its kind says how. It may refuse
        what only the policy can judge.
    fast_form
        The common form of a record, which is read without the model; None if every record goes through the model.
    scan_form
        The same for the compiled scanner, which comes first; None if it leaves every record to the others.
    table_form
        What rows of a table have of their own.
    keeps
        Fields that can be kept of a record for conditions, see `stream_app.contracts.kept`.
    time_field
        The field that says when it happened, or was observed.
    """

    topic: str
    version: int
    title: str
    summary: str
    model: type[Record]
    to_event: Callable[[Any, DecodingPolicy], Event]
    fast_form: FastForm | None = None
    scan_form: ScanForm | None = None
    table_form: TableForm = _NOTHING_SPECIAL
    keeps: tuple[str, ...] = ()
    time_field: str = "occurred_at"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the record's fields, in the contract's order."""
        return tuple(self.model.model_fields)
