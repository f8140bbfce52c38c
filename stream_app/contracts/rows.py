"""What a topic's records have of their own where they are rows of a table (`stream_app.sources` reads these)."""

from __future__ import annotations

import re
from typing import NamedTuple


class TableForm(NamedTuple):
    """What a topic's records have of their own where they are rows of a table.

    Attributes
    ----------
    own_ids
        Fields that a table may lack: a row's content identifies the event, and the event its order.
    no_cells
        Fields that have no form in a cell, such as a list; their columns are ignored like unknown ones.
    others
        The field that is an object of all other columns' cells; empty if these are ignored.
    other_names
        What the keys of that object are like.
    """

    own_ids: tuple[str, ...] = ("event_id",)
    no_cells: tuple[str, ...] = ()
    others: str = ""
    other_names: re.Pattern[str] | None = None
