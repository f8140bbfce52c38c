"""Figures of segments' members: added up from what partitions publish, or as a replay has left them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any, Final, NamedTuple

import msgspec

from stream_app.api.store import FiguresOrigin
from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import FiguresRecord, Software
from stream_app.core.local_days import UTC
from stream_app.core.members import NO_MEMBERS, MemberFigures, MemberSums, add_sums, member_figures


class ToldFigures(NamedTuple):
    """What is known of the members of a segmentation's segments.

    Attributes
    ----------
    as_of
        The instant at which days are counted.
    currency
        The base currency, of all money.
    segments
        By id, of those that have members.
    all_segments
        Of everybody who is in one.
    """

    as_of: str
    currency: str
    segments: Mapping[str, MemberFigures]
    all_segments: MemberFigures


def add_up(records: Iterable[FiguresRecord]) -> ToldFigures | None:
    """Return the figures of the whole, from the newest record of each partition; None if there is no record."""
    as_of, currency, parts = "", "", []
    for record in records:
        as_of, currency = max(as_of, record.as_of), record.currency
        parts.append({each.segment: each.sums for each in record.segments})
    if not as_of:
        return None
    sums = add_sums(parts)
    at_ms, minor_per_major = parse_instant(as_of), 10 ** MINOR_DIGITS[currency]
    everybody = {"all": reduce(MemberSums.plus, sums.values(), NO_MEMBERS)}
    return ToldFigures(
        as_of,
        currency,
        member_figures(sums, at_ms, minor_per_major),
        member_figures(everybody, at_ms, minor_per_major)["all"],
    )


class _Segmentation(msgspec.Struct):
    segmentation: str
    segments: list[dict[str, Any]]
    all_segments: MemberFigures


class _Summary(_Segmentation):
    as_of: str | None
    currency: str
    other_segmentations: list[_Segmentation]
    timezone: str = UTC


_read_summary: Final = msgspec.json.Decoder(_Summary).decode


class Replay(NamedTuple):
    """What is read of a replay's `summary.json`.

    Attributes
    ----------
    timezone
        Whose days it counts.
    end_ms
        The instant that it is of; 0 where there were no events.
    figures
        By segmentation; none where there were no events.
    """

    timezone: str
    end_ms: int
    figures: Mapping[str, ToldFigures]


def read_replay(summary: bytes) -> Replay:
    """Return what a replay's `summary.json` says."""
    run = _read_summary(summary)
    if run.as_of is None:
        return Replay(run.timezone, 0, {})
    figures = {
        each.segmentation: ToldFigures(
            run.as_of,
            run.currency,
            {segment["id"]: msgspec.convert(segment, MemberFigures) for segment in each.segments},
            each.all_segments,
        )
        for each in (run, *run.other_segmentations)
    }
    return Replay(run.timezone, parse_instant(run.as_of), figures)


def software_of_workers(figures: Iterable[Mapping[int, FiguresOrigin]]) -> list[dict[str, Any]]:
    """Return what the workers run, each version with its partitions: of each, what wrote its newest figures."""
    newest: dict[int, FiguresOrigin] = {}
    for found in figures:
        for partition, origin in found.items():
            if partition not in newest or origin.as_of >= newest[partition].as_of:
                newest[partition] = origin
    partitions: defaultdict[Software | None, list[int]] = defaultdict(list)
    for partition in sorted(newest):
        partitions[newest[partition].written_by].append(partition)
    return [
        {
            "version": software and software.version,
            "library": software and software.library,
            "partitions": numbers,
            "newest": max(newest[number].as_of for number in numbers),
        }
        for software, numbers in partitions.items()
    ]
