"""Comparisons of numbers in the library's terms: at least, more than, and their opposites.

Counts and sums are whole (sums in millionths), so there every comparison is "at least n" or not; other numbers are
compared as they are. Over nothing a sum is 0, and the least, greatest and average are not there: then nothing holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from stream_app.segmentations.rules.compiling import form
from stream_app.segmentations.rules.compiling.pool import Pool
from stream_app.segmentations.rules.definition import Comparator

MILLION: Final = 1_000_000
_LARGEST: Final = 2**63 - 1
Comparisons: TypeAlias = Sequence[tuple[Comparator, float]]
Known: TypeAlias = Callable[[], int] | None


def exact(number: float, scale: int = 1) -> Fraction:
    """Return a number as it is written, times a whole number."""
    return Fraction(repr(float(number))) * scale


def compare_whole(
    pool: Pool, comparisons: Comparisons, at_least: Callable[[int], int], scale: int = 1, known: Known = None
) -> int:
    """Return a reference to what holds where a whole number compares so.

    Parameters
    ----------
    at_least
        From n to a reference to "n or more".
    scale
        What the numbers of the comparisons are to be multiplied by.
    known
        Makes a reference to "there is one", where the comparison does not say so itself; None if there always is one.
    """
    parts = _known(comparisons, known)
    for comparator, number in comparisons:
        wanted = exact(number, scale)
        from_n, above_n = (_limited(each) for each in (math.ceil(wanted), math.floor(wanted) + 1))
        match comparator:
            case "at_least":
                parts.append(at_least(from_n))
            case "more_than":
                parts.append(at_least(above_n))
            case "at_most":
                parts.append(at_least(above_n) ^ 1)
            case "less_than":
                parts.append(at_least(from_n) ^ 1)
            case _:
                is_whole = wanted.denominator == 1
                same = pool.all_of([at_least(from_n), at_least(above_n) ^ 1]) if is_whole else pool.true ^ 1
                parts.append(same ^ (comparator == "not_equals"))
    return pool.all_of(parts)


def compare_number(
    pool: Pool, comparisons: Comparisons, compared: Callable[[int, float], int], known: Known = None
) -> int:
    """Return a reference to what holds where a number compares so.

    Parameters
    ----------
    compared
        From `FROM` or `ABOVE` and a number to a reference.
    known
        Makes a reference to "there is one", where the comparison does not say so itself; None if there always is one.
    """
    parts = _known(comparisons, known)
    for comparator, number in comparisons:
        match comparator:
            case "at_least":
                parts.append(compared(form.FROM, number))
            case "more_than":
                parts.append(compared(form.ABOVE, number))
            case "at_most":
                parts.append(compared(form.ABOVE, number) ^ 1)
            case "less_than":
                parts.append(compared(form.FROM, number) ^ 1)
            case _:
                same = pool.all_of([compared(form.FROM, number), compared(form.ABOVE, number) ^ 1])
                parts.append(same ^ (comparator == "not_equals"))
    return pool.all_of(parts)


def _known(comparisons: Comparisons, known: Known) -> list[int]:
    says_nothing = {"at_most", "less_than", "not_equals"}
    return [known()] if known and any(comparator in says_nothing for comparator, _ in comparisons) else []


def _limited(number: int) -> int:
    return max(-_LARGEST, min(_LARGEST, number))
