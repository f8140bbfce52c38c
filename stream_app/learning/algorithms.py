"""The algorithms that can be chosen by name to place the roles' centres.

All are functions of one sample: they continue from the present centres and remember nothing besides, so a restarted
trainer repeats a tick exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal, Protocol

from stream_app.core.arrays import Floats
from stream_app.learning.centres import fit_centres
from stream_app.learning.river_models import clustream, kmeans, place_by_river, streamkmeans
from stream_app.segmentations.learned.model import Frame

Algorithm = Literal["role-centres", "river-kmeans", "river-streamkmeans", "river-clustream"]


class Placement(Protocol):
    """A way of placing centres."""

    def __call__(self, axes: Floats, frame: Frame, prior: Floats, seed: Sequence[int]) -> Floats:
        """Return centres for all roles, in order, shape `(ROLES, 3)`.

        Parameters
        ----------
        axes
            Of customers, shape `(n, 3)`, n ≥ 1.
        frame
            The present centres, which roles there are, and what axes weigh.
        prior
            Expected centres.
        seed
            Fixes every random choice.

        Raises
        ------
        CentresRefused
            If what came of it is of no use.
        """
        ...


def place_by_lloyd(axes: Floats, frame: Frame, prior: Floats, seed: Sequence[int]) -> Floats:  # noqa: ARG001  (no choice is random)
    """Do as `stream_app.learning.centres.fit_centres`."""
    return fit_centres(axes, frame, prior)


PLACEMENTS: Final[dict[Algorithm, Placement]] = {
    "role-centres": place_by_lloyd,
    "river-kmeans": partial(place_by_river, kmeans),
    "river-streamkmeans": partial(place_by_river, streamkmeans),
    "river-clustream": partial(place_by_river, clustream),
}
