"""Moves → migrations and memberships as JSON, and notices, written by the library; see `native/outputs.c`.

Python says why customers moved where that is rare: the whole explanation of kinds that the library does not know, and
of a model's moves what in the model has changed. All else of all records has one writer.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from stream_app.core.columns import CustomerColumns
from stream_app.core.events import MERGE, NO_EVENTS, Event, Events, Position
from stream_app.core.moves import ENTERED, MODEL, MigrationContext, Moves
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Due, Explains, Segmentation
from stream_app.native.library import NO_MEMORY, address, buffer_address, function
from stream_app.native.output_structures import DESCRIBED_DTYPE, Description, TextsForm
from stream_app.native.structures import FACT_DTYPE
from stream_app.segmentations.learned.model_changes import changes_of, describe_change
from stream_app.segmentations.presentation import Presentation, Texts

_encode: Final = msgspec.json.Encoder().encode
_NO_TEXTS: Final = Texts(b"", np.empty(0, np.int64))


class Chunk(NamedTuple):
    """The events that moves may have been caused by.

    Attributes
    ----------
    events
        n events.
    sources
        Name of each source, by its number.
    partition
        Of all of them.
    """

    events: Events
    sources: Sequence[str] = ()
    partition: int = 0

    def cause(self, number: int) -> tuple[Event, Position] | None:
        """Return an event, as far as migrations tell of it, and where it came from; None for none."""
        if number < 0:
            return None
        record = self.events.records[number]
        position = Position(self.sources[record["source"]], self.partition, int(record["offset"]))
        return self.events.event(number), position


NO_CHUNK: Final = Chunk(NO_EVENTS)
NO_FACTS: Final = np.empty(0, FACT_DTYPE)


class Described:
    """Migrations and memberships of n moves.

    Parameters
    ----------
    places
        `DESCRIBED_DTYPE`, shape `(n,)`: where in the following texts each part of a record stands.
    lines
        The migrations, a newline after each.
    memberships, keys
        The memberships, and their keys, which end with the migrations' keys, the customers' ids.
    headers
        Of the migrations, as Kafka's records have them; none if nobody was named as the source.
    is_specific
        Whether a move says more than that something is new, shape `(n,)`.
    chunk
        The events that the moves name.
    """

    def __init__(
        self,
        places: np.ndarray,
        lines: bytes,
        memberships: bytes,
        keys: bytes,
        headers: bytes,
        is_specific: npt.NDArray[np.bool_],
        chunk: Chunk = NO_CHUNK,
    ) -> None:
        self.places = places
        self.lines = lines
        self.memberships = memberships
        self.keys = keys
        self.headers = headers
        self.is_specific = is_specific
        self.chunk = chunk

    def __len__(self) -> int:
        return len(self.places)

    def migration(self, number: int) -> bytes:
        """Return a migration."""
        place = self.places[number]
        return self.lines[place["migration_at"] : place["migration_at"] + place["migration_size"]]


class Describer:
    """Describes moves, chunk after chunk; one thread at a time.

    Parameters
    ----------
    context
        What migrations say beyond the move.
    source
        Who publishes, as headers say it; None for no headers.
    """

    def __init__(self, context: MigrationContext, source: str | None = None) -> None:
        self._context = context
        self._source = _NO_TEXTS if source is None else Texts.of([source.encode()])
        self._purposes = Texts.of(_encode(purpose) for purpose in context.consent.ordered)
        self._presentations: list[Presentation] = []
        new, free = _life()
        self._handle: int = new()
        if not self._handle:
            raise MemoryError
        weakref.finalize(self, free, self._handle)

    def describe_step(
        self, partition: Partition, moves: np.ndarray, chunk: Chunk = NO_CHUNK, facts: np.ndarray = NO_FACTS
    ) -> Described:
        """Return the migrations and memberships of the moves of a step that a partition has just taken."""
        self.follow(partition.segmentations)
        ids, sizes = partition.table.customer_ids.joined(moves["row"])
        return self.describe(moves, Texts(ids, np.cumsum(sizes)), chunk, facts)

    def follow(self, segmentations: Sequence[Segmentation]) -> None:
        """Describe moves in these segmentations from now on; those that are unchanged are kept as they are."""
        kept = {id(each.segmentation): each for each in self._presentations}
        self._presentations = [
            kept.get(id(segmentation)) or Presentation(segmentation, self._context) for segmentation in segmentations
        ]

    def describe(
        self, moves: np.ndarray, customers: Texts, chunk: Chunk = NO_CHUNK, facts: np.ndarray = NO_FACTS
    ) -> Described:
        """Return the migrations and memberships of n moves.

        Parameters
        ----------
        moves
            `MOVE_DTYPE`, shape `(n,)`.
        customers
            Id of each move's customer.
        chunk
            The events that the moves name.
        facts
            `FACT_DTYPE`: the conditions that the moves name.

        Raises
        ------
        MemoryError
            If there is no memory left.
        ValueError
            If a move names something that was not handed over.
        """
        told, is_specific = self._told(moves, customers, chunk)
        facts = np.ascontiguousarray(facts)
        form = Description(
            moves=address(moves),
            move_count=len(moves),
            facts=address(facts),
            fact_count=len(facts),
            told=_form(told),
        )
        return self._written(_describe(), form, customers, chunk, is_specific)

    def describe_step_notices(self, partition: Partition, notices: np.ndarray, chunk: Chunk = NO_CHUNK) -> Described:
        """Return the notices of a step that a partition has just taken, in the place of migrations."""
        self.follow(partition.segmentations)
        ids, sizes = partition.table.customer_ids.joined(notices["row"])
        return self.describe_notices(notices, Texts(ids, np.cumsum(sizes)), chunk)

    def describe_notices(self, notices: np.ndarray, customers: Texts, chunk: Chunk = NO_CHUNK) -> Described:
        """Return n notices in the place of migrations; there are no memberships. See `describe`.

        Parameters
        ----------
        notices
            `NOTICE_DTYPE`, shape `(n,)`.
        customers
            Id of each notice's customer.
        chunk
            The events that the notices name.
        """
        form = Description(notices=address(notices), notice_count=len(notices))
        return self._written(_describe_notices(), form, customers, chunk, np.ones(len(notices), np.bool_))

    def _written(
        self,
        write: Callable[..., Any],
        form: Description,
        customers: Texts,
        chunk: Chunk,
        is_specific: npt.NDArray[np.bool_],
    ) -> Described:
        """Return what the library writes of as many records as there are customers' ids."""
        count = len(is_specific)
        places = np.empty(count, DESCRIBED_DTYPE)
        records, texts = np.ascontiguousarray(chunk.events.records), np.ascontiguousarray(chunk.events.texts)
        sources = Texts.of(_encode(name) for name in chunk.sources)
        handles = (ctypes.c_void_p * len(self._presentations))(*(each.handle for each in self._presentations))
        form.events, form.event_count = address(records), len(records)
        form.texts, form.texts_size = address(texts), len(texts)
        form.customers, form.sources, form.source = _form(customers), _form(sources), _form(self._source)
        form.purposes = _form(self._purposes)
        form.presentations, form.presentation_count = ctypes.cast(handles, ctypes.c_void_p), len(handles)
        form.partition, form.described = chunk.partition, address(places)
        _check(write(self._handle, ctypes.byref(form)))
        return Described(
            places,
            ctypes.string_at(form.migrations, form.migrations_size) if count else b"",
            ctypes.string_at(form.memberships, form.memberships_size) if form.memberships_size else b"",
            ctypes.string_at(form.keys, form.keys_size) if count else b"",
            ctypes.string_at(form.headers, form.headers_size) if form.headers_size else b"",
            is_specific,
            chunk,
        )

    def _told(self, moves: np.ndarray, customers: Texts, chunk: Chunk) -> tuple[Texts, npt.NDArray[np.bool_]]:
        """Return what Python has to say of each move, and whether that is more than that something is new."""
        is_specific = np.asarray(moves["change"] != ENTERED)
        told: dict[int, bytes] = {}
        for number, each in enumerate(self._presentations):
            chosen = np.flatnonzero(moves["segmentation"] == number)
            if each.model is not None:
                chosen = chosen[moves["cause"][chosen] == MODEL]
                told.update(zip(chosen.tolist(), self._openings(each, moves[chosen]), strict=True))
            elif each.is_ruled:
                is_specific[chosen] = (
                    (moves["fact_count"][chosen] > 0)
                    | (moves["cause"][chosen] == MERGE)
                    | (moves["is_barred"][chosen] > 0)
                )
            elif len(chosen := chosen[moves["is_barred"][chosen] == 0]):
                reasons = cast(Explains, each.segmentation).explain(
                    moves_of(moves, chosen, customers, chunk), self._context
                )
                told.update(zip(chosen.tolist(), map(_encode, reasons), strict=True))
                is_specific[chosen] = [reason.is_specific for reason in reasons]
        if not told:
            return _NO_TEXTS, is_specific
        return Texts.of(told.get(number, b"") for number in range(len(moves))), is_specific

    def _openings(self, presentation: Presentation, moves: np.ndarray) -> list[bytes]:
        """Return what in the model moved customers, as the inside of JSON strings."""
        model = presentation.model
        if model is None or not len(moves):
            return []
        axes = np.empty(len(moves), np.int32)
        _check(_axes()(presentation.handle, len(moves), address(moves), address(axes)))
        return [
            _encode(describe_change(model, change, self._context))[1:-1]
            for change in changes_of(
                model,
                CustomerColumns(moves["after"], moves["effective_at_ms"]).quantities,
                model.roster.index_of_code[moves["from_code"]],
                moves["target"],
                axes.astype(np.intp),
            )
        ]


def moves_of(moves: np.ndarray, chosen: npt.NDArray[np.intp], customers: Texts, chunk: Chunk) -> Moves:
    """Return some moves as the kinds of segmentations explain them."""
    part = moves[chosen]
    ends = customers.ends.tolist()
    return Moves(
        customer_ids=[bytes(customers.data[ends[i - 1] if i else 0 : ends[i]]).decode() for i in chosen.tolist()],
        cause_kind=part["cause"].astype(np.int64),
        change=part["change"].astype(np.int64),
        from_code=part["from_code"].astype(np.int16),
        target=part["target"].astype(np.intp),
        sequence=part["sequence"].astype(np.int64),
        effective_at_ms=part["effective_at_ms"],
        decided_at_ms=part["decided_at_ms"],
        before=part["before"],
        before_ms=np.where(part["cause"] >= MODEL, part["effective_at_ms"], part["before_ms"]),
        after=part["after"],
        following=Due(part["next_at_ms"], part["next_target"].astype(np.intp)),
        causes=[chunk.cause(number) for number in part["event"].tolist()],
    )


def _form(texts: Texts) -> TextsForm:
    return TextsForm(buffer_address(texts.data), address(texts.ends), len(texts.ends))


def _check(status: int) -> None:
    if status == NO_MEMORY:
        raise MemoryError
    if status:
        raise ValueError(f"moves: the library answers {status}, expected indices and lengths within what it was given")


@cache
def _life() -> tuple[Callable[..., Any], Callable[..., Any]]:
    return function("seg_describer_new", ctypes.c_void_p), function("seg_describer_free", None, ctypes.c_void_p)


@cache
def _describe() -> Callable[..., Any]:
    return function("seg_describe", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)


@cache
def _describe_notices() -> Callable[..., Any]:
    return function("seg_describe_notices", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)


@cache
def _axes() -> Callable[..., Any]:
    pointer = ctypes.c_void_p
    return function("seg_deciding_axes", ctypes.c_int32, pointer, ctypes.c_int64, pointer, pointer)
