"""Numbers of things in words, for people."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return how many there are of something, as people write it.

    Parameters
    ----------
    count
        How many.
    one
        The word for one.
    many
        The word for any other number; `one` with an s without it.

    Examples
    --------
    >>> counted(1, "record"), counted(1200, "record"), counted(0, "entry", "entries")
    ('1 record', '1,200 records', '0 entries')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
