"""Moves as integers: every cause, change and code comes back."""

from __future__ import annotations

from itertools import product

import numpy as np

from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.native.structures import MOVE_DTYPE
from stream_app.replay.move_keys import MoveKey, move_keys, read_move_key


def test_every_cause_change_and_end_comes_back_and_integers_sort_by_period() -> None:
    ends, periods = (-1, 0, 1, 2**16, 2**17 - 3), (0, 1, 49_673)
    drawn = [*product(periods, ends[:4], ends, range(len(CAUSE_KINDS)), range(len(CHANGES)))]
    columns = np.array(drawn, np.int64).T
    moves = np.zeros(len(drawn), MOVE_DTYPE)
    for name, column in zip(("from_code", "cause", "change"), (columns[1], columns[3], columns[4]), strict=True):
        moves[name] = np.minimum(column, np.iinfo(MOVE_DTYPE[name]).max)
    keys = move_keys(columns[0], columns[2], moves)
    expected = [
        MoveKey(period, int(move["from_code"]), target, CAUSE_KINDS[cause], CHANGES[change])
        for (period, _, target, cause, change), move in zip(drawn, moves, strict=True)
    ]
    assert [read_move_key(key) for key in keys.tolist()] == expected
    assert [read_move_key(key).period for key in sorted(keys.tolist())] == sorted(columns[0].tolist())
    assert len(set(keys.tolist())) == len(set(expected))
