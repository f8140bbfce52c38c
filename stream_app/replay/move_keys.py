"""What is counted of moves, one integer each: a period, where a move leads from and to, its cause and its change.

Integers sort by period, and NumPy counts equal ones without an object for each move. From the lowest bits on: 3 of the
change, 4 of the cause, 17 of each end (a code of -1, for none, is 0 there), and the period, a number of days or weeks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.moves import CAUSE_KINDS, CHANGES

_CHANGE_BITS, _CAUSE_BITS, _CODE_BITS = 3, 4, 17
_TARGET_SHIFT: Final = _CHANGE_BITS + _CAUSE_BITS
_FROM_SHIFT: Final = _TARGET_SHIFT + _CODE_BITS
PERIOD_SHIFT: Final = _FROM_SHIFT + _CODE_BITS
_CODE_MASK: Final = (1 << _CODE_BITS) - 1


class MoveKey(NamedTuple):
    """What an integer says.

    Attributes
    ----------
    period
        Number of the day or week.
    from_code, target
        As they were given; -1 for none.
    cause, change
        By their names.
    """

    period: int
    from_code: int
    target: int
    cause: str
    change: str


def move_keys(
    periods: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], moves: npt.NDArray[np.void]
) -> npt.NDArray[np.int64]:
    """Return the integers of n moves, `MOVE_DTYPE`; targets are below 2^17 - 1 and at least -1."""
    keys = periods << PERIOD_SHIFT | targets + 1 << _TARGET_SHIFT
    keys |= moves["from_code"].astype(np.int64) + 1 << _FROM_SHIFT
    keys |= moves["cause"].astype(np.int64) << _CHANGE_BITS | moves["change"]
    return keys


def read_move_key(key: int) -> MoveKey:
    """Return what an integer of `move_keys` says."""
    return MoveKey(
        key >> PERIOD_SHIFT,
        (key >> _FROM_SHIFT & _CODE_MASK) - 1,
        (key >> _TARGET_SHIFT & _CODE_MASK) - 1,
        CAUSE_KINDS[key >> _CHANGE_BITS & (1 << _CAUSE_BITS) - 1],
        CHANGES[key & (1 << _CHANGE_BITS) - 1],
    )
