"""A learned model as a segmentation: who changes segment, and when exactly.

Three rules keep what a segment says about a person true:

1. An own act makes a customer active, and moves it to a role of the same or a higher level.
2. Silence moves it down, at dates that are known at its last act: out of a role when the role's statement becomes
   false, to at risk and lapsed when the silence has become telling.
3. Within what these two allow, customers belong to the role whose centre is nearest, and change over only if another
   one is nearer by more than the hysteresis δ: (D_i − D_j) / (2 ‖c_i − c_j‖) > δ, the signed distance past the middle
   between two centres (D: squared distances). A statement that has become false overrules that.

A new version may move anybody, but moves only those whose role's statement is no longer true of them under it, or
whose silence it finds telling. The others stay until they or their silence move them: moving to the nearest centre at
once as well agreed no better with the types of simulated shops, and made a tenth more moves, there (of those that
nothing had led to) and at Online Retail.

`native/learned.c` is what decides so.
"""

from __future__ import annotations

from typing import Final

from stream_app.core.arrays import Flags
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MODEL
from stream_app.core.segmentation import Compiled, Held
from stream_app.core.segments import Roster
from stream_app.native.segmentations import NativeForm
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.native_form import learned_form


class LearnedSegmentation(Compiled):
    """A model, asked as the core asks.

    Parameters
    ----------
    model
        The version in force.
    """

    kind: Final = "learned"
    weighs_sessions: Final = False
    revised_by: Final = MODEL

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name: Final = model.name
        self.version: Final = model.version

    @property
    def roster(self) -> Roster:
        """The segments."""
        return self.model.roster

    def native_form(self) -> NativeForm:
        """Return what the model is made of."""
        return learned_form(self.model)

    def untrue(self, customers: CustomerColumns, held: Held) -> Flags:
        """Say for whom the name of the segment they are in is not true at their instants, shape `(n,)`."""
        return self.compiled.untrue(customers.activity, customers.at_ms, held.records)
