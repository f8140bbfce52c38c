"""A number shared out among several, in proportion to what each has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def shared_out(number: int, weights: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield whole parts of a number that add up to it, each with its key.

    Parameters
    ----------
    number
        Of either sign.
    weights
        What each key has, 0 or more; not all of them 0.
    """
    whole, passed, given = sum(weights.values()), 0, 0
    for key, weight in weights.items():
        passed += weight
        part = number * passed // whole - given
        yield key, part
        given += part
