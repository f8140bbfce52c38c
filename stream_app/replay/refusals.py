"""When a run has failed for the records that it refused, and which reasons were the commonest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

REFUSED_SHARE_MAX: Final = 0.01
REFUSED_COUNT_MAX: Final = 10
"""This many are let through, whatever their share: a file that is cut off, a few lines edited by hand."""
REASONS_SHOWN: Final = 3


class Refusal(NamedTuple):
    """A reason for which records were refused.

    Attributes
    ----------
    reason
        One of `stream_app.contracts.rejections.REJECTION_REASONS`.
    records
        How many.
    example
        File, line and message of the first of them.
    """

    reason: str
    records: int
    example: str


class _Place(msgspec.Struct):
    topic: str
    offset: int


class _Letter(msgspec.Struct):
    reason: str
    message: str
    position: _Place


def has_failed(counts: Mapping[str, int], guests: int, share_max: float) -> bool:
    """Return whether too many records were refused, or none was accepted.

    Orders of guests, who are nobody's customers, are not a fault of a file: shops have as many as they have.

    Parameters
    ----------
    counts
        `counts` of a summary.
    guests
        `without_customer` of it.
    share_max
        Greatest share of the records that may be refused, in [0, 1].
    """
    refused, records = counts["rejected"] - guests, counts["in"] - guests
    return refused == records or (refused > REFUSED_COUNT_MAX and refused > share_max * records)


def commonest_refusals(folder: Path, by_reason: Mapping[str, int]) -> list[Refusal]:
    """Return the reasons that most records were refused for, each with the first example in the dead letters.

    Parameters
    ----------
    folder
        With `dead_letters.jsonl`.
    by_reason
        `rejected_by_reason` of a summary.
    """
    with (folder / "dead_letters.jsonl").open("rb") as letters:
        return refusals_among(letters, by_reason)


def refusals_among(letters: Iterable[bytes], by_reason: Mapping[str, int]) -> list[Refusal]:
    """Do the same among dead letters, a line each."""
    wanted = sorted(by_reason, key=lambda reason: (-by_reason[reason], reason))[:REASONS_SHOWN]
    examples: dict[str, str] = {}
    decode = msgspec.json.Decoder(_Letter).decode
    for line in letters:
        if len(examples) == len(wanted):
            break
        letter = decode(line)
        if letter.reason in wanted and letter.reason not in examples:
            place = letter.position
            examples[letter.reason] = f"{place.topic}, line {place.offset}: {letter.message}"
    return [Refusal(reason, by_reason[reason], examples[reason]) for reason in wanted]
