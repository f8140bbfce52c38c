"""Population samples on their way from the partitions to the trainer, and their merging there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
import numpy as np

from stream_app.contracts.readers import SegmentSums
from stream_app.core.clock import format_instant
from stream_app.core.members import add_sums
from stream_app.core.row import ACTIVITY_DTYPE
from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.drawing import choose, hash_customers
from stream_app.learning.sample import PopulationSample


class SampledMemberships(msgspec.Struct):
    """Where the customers of a sample are in one segmentation, a column each.

    Parameters
    ----------
    segments, previous_segments, kept
        Codes, 16 bits each; `NO_SEGMENT` for none.
    since_ms
        When the present segment was entered, 64 bits each.
    """

    segments: bytes
    previous_segments: bytes
    since_ms: bytes
    kept: bytes


class SampleDocument(msgspec.Struct):
    """The `population-samples` contract: one partition's sample at a tick, column by column.

    A column is numbers one after the other, little-endian, which JSON has in base64: exact, in a sixth of the time that
    a list of numbers takes.

    Parameters
    ----------
    tick, as_of
        Number of the tick since the epoch, and its instant.
    partition, population_size
        Where the sample was drawn, and from how many customers.
    share
        See `stream_app.learning.drawing`.
    customer_ids
        Who was drawn.
    memberships
        By learned segmentation.
    activity
        By the name of each number of a row (see `stream_app.core.row.Row`), a column of its type.
    members
        By learned segmentation, sums over all of the partition's customers who are in a segment.
    """

    tick: int
    as_of: str
    partition: int
    population_size: int
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    customer_ids: list[str]
    memberships: dict[str, SampledMemberships]
    activity: dict[str, bytes]
    members: dict[str, list[SegmentSums]]


class SampleOrigin(msgspec.Struct):
    """What a sample of any version says of where it is from."""

    tick: int
    as_of: str
    partition: int


class EarlierSample(msgspec.Struct):
    """What is read of version 1 of the contract, whose numbers say nothing of rhythms and order values.

    Models are not learned from them, as models of a rolling update would otherwise rest on guesses. That a partition
    has come to a tick is true in any version, and the others' customers are as good a sample: who is in which partition
    is a matter of chance.
    """

    tick: int
    as_of: str
    partition: int
    quantities: dict[str, list[float]]
    memberships: dict[str, Any]


class SampleTaker(Protocol):
    """Learns from the samples of a worker's own partitions."""

    def note_drawn(self, partition: int, sample: PopulationSample) -> None:
        """Take notice of a sample that is about to be committed."""
        ...

    def note_committed(self, partition: int, samples: Sequence[PopulationSample]) -> None:
        """Take samples that have just been committed."""
        ...


class NoTaker:
    """A `SampleTaker` without trainers."""

    def note_drawn(self, partition: int, sample: PopulationSample) -> None:
        """See `SampleTaker`."""

    def note_committed(self, partition: int, samples: Sequence[PopulationSample]) -> None:
        """See `SampleTaker`."""


NO_TAKER: Final = NoTaker()
_NAMES: Final = ACTIVITY_DTYPE.names or ()

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SampleDocument)
_origin_decoder = msgspec.json.Decoder(SampleOrigin)
_earlier_decoder = msgspec.json.Decoder(EarlierSample)


def encode_sample(sample: PopulationSample, partition: int) -> bytes:
    """Return a partition's sample as its record's value."""
    document = SampleDocument(
        tick=sample.tick,
        as_of=format_instant(sample.as_of_ms),
        partition=partition,
        population_size=sample.population_size,
        share=sample.share,
        customer_ids=sample.customer_ids.tolist(),
        memberships={name: _encode_held(held) for name, held in sample.memberships.items()},
        activity={name: sample.activity[name].tobytes() for name in _NAMES},
        members={
            name: [SegmentSums(f"s{code}", *sums) for code, sums in members.items()]
            for name, members in sample.members.items()
        },
    )
    return _encoder.encode(document)


def decode_sample(value: bytes) -> tuple[int, PopulationSample]:
    """Return the partition's number and its sample; that of an earlier release has no customers.

    Raises
    ------
    msgspec.ValidationError
        If it is not one.
    """
    try:
        document = _decoder.decode(value)
    except msgspec.ValidationError:
        document = _without_customers(value)
    try:
        return document.partition, _sample_of(document)
    except (LookupError, TypeError, ValueError, OverflowError) as error:  # a column is missing or has another length
        raise msgspec.ValidationError(str(error)) from error


def decode_origin(value: bytes) -> tuple[int, int, int]:
    """Return a sample's partition, tick and instant.

    Raises
    ------
    msgspec.ValidationError
        If it is not a sample.
    """
    origin = _origin_decoder.decode(value)
    return origin.partition, origin.tick, _instant_ms(origin.as_of)


def _instant_ms(text: str) -> int:
    return int(np.datetime64(text[:-1], "ms").astype(np.int64))


def _without_customers(value: bytes) -> SampleDocument:
    earlier = _earlier_decoder.decode(value)
    memberships = {name: SampledMemberships(b"", b"", b"", b"") for name in earlier.memberships}
    activity = dict.fromkeys(_NAMES, b"")
    return SampleDocument(earlier.tick, earlier.as_of, earlier.partition, 0, 1.0, [], memberships, activity, members={})


def _sample_of(document: SampleDocument) -> PopulationSample:
    return PopulationSample(
        tick=document.tick,
        as_of_ms=_instant_ms(document.as_of),
        customer_ids=np.array(document.customer_ids, object),
        memberships={name: _decode_held(sampled) for name, sampled in document.memberships.items()},
        activity=_decode_activity(document.activity, len(document.customer_ids)),
        population_size=document.population_size,
        share=document.share,
        members={
            name: {int(each.segment[1:]): each.sums for each in segments} for name, segments in document.members.items()
        },
    )


def _decode_activity(columns: Mapping[str, bytes], customers: int) -> np.ndarray:
    activity = np.empty(customers, ACTIVITY_DTYPE)
    for name in _NAMES:
        column = np.frombuffer(columns[name], ACTIVITY_DTYPE[name])
        if len(column) != customers:
            raise ValueError(f"activity.{name}: {len(column)} entries, expected {customers}")
        if not np.isfinite(column).all():
            raise ValueError(f"activity.{name}: a number that is not finite")
        activity[name] = column
    return activity


def merge_samples(samples: Sequence[PopulationSample], size: int, seed: int) -> PopulationSample:
    """Return one sample of the whole population from those of its partitions at one tick.

    It is the sample that would have been drawn if all customers were in one partition, to the order of the customers:
    what one is left out of in any partition, it is left out of in all, see `stream_app.learning.drawing`.

    Parameters
    ----------
    samples
        At least one; all of the same tick. Each has `size` customers, or all that its partition has below its share.
    size
        How many customers the result should have; fewer if the samples have not got them.
    seed
        That of the drawing.
    """
    tick = samples[0].tick
    customer_ids = np.concatenate([sample.customer_ids for sample in samples])
    share = min(sample.share for sample in samples)
    chosen = choose(hash_customers(customer_ids.tolist()), customer_ids.tolist(), size, tick, seed, share)
    return PopulationSample(
        tick=tick,
        as_of_ms=max(sample.as_of_ms for sample in samples),
        customer_ids=customer_ids[chosen],
        memberships={
            name: Held(*(np.concatenate(c) for c in zip(*(s.memberships[name] for s in samples), strict=True))).at(
                chosen
            )
            for name in samples[0].memberships
            if all(name in sample.memberships for sample in samples)
        },
        activity=np.concatenate([sample.activity for sample in samples]).take(chosen),
        population_size=sum(sample.population_size for sample in samples),
        members={
            name: add_sums(sample.members[name] for sample in samples)
            for name in samples[0].members
            if all(name in sample.members for sample in samples)
        },
        share=share,
    )


def _encode_held(held: Held) -> SampledMemberships:
    return SampledMemberships(
        segments=held.segment.astype("<i2").tobytes(),
        previous_segments=held.previous.astype("<i2").tobytes(),
        since_ms=held.since_ms.astype("<i8").tobytes(),
        kept=held.kept.astype("<i2").tobytes(),
    )


def _decode_held(sampled: SampledMemberships) -> Held:
    return Held(
        _codes(sampled.segments),
        _codes(sampled.previous_segments),
        np.frombuffer(sampled.since_ms, "<i8"),
        _codes(sampled.kept),
    )


def _codes(column: bytes) -> np.ndarray:
    codes = np.frombuffer(column, "<i2")
    if (codes < NO_SEGMENT).any():
        raise ValueError(f"segment {codes.min()}: expected none ({NO_SEGMENT}) or a positive number")
    return codes
