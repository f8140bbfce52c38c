"""Records of one instant, which follow one another in any order until their texts are compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stream_app.core.arrays import Flags


def shared_instants(is_again: Flags) -> Iterator[range]:
    """Yield the places of the records of each instant that has several.

    Parameters
    ----------
    is_again
        Whether each record but the first is of the instant of the one before it.
    """
    turns = np.flatnonzero(np.diff(is_again, prepend=False, append=False))
    for start, stop in turns.reshape(-1, 2).tolist():
        yield range(start, stop + 1)
