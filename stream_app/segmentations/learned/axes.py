"""What a customer is worth, in three log rates, and when silence carries them below a bound.

    r = ln[(½ + F) / (11 + E60)]        orders a day, the first one not counted
    e = ln[(½ + V) / (3 + E30)]         engaged days a day
    a = (ln value of all orders − N m0) / (2 + N)       own over usual order value, shrunk to the usual one

F and V are decayed counts (60 and 30 days), E the decayed days over which they were counted, N the orders. Logs are the
unit, nothing is standardised: in a population of equals there is nothing to be cut up.

In silence r and e fall: the count decays and the exposure grows. Both are ratios of terms that are linear in
u = 2^(−t / half-life), so the instant at which one falls below a bound is known in closed form. a changes by orders
alone. All of it is computed by `native/learned.c`.
"""

from __future__ import annotations

from typing import Final

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities
from stream_app.native import formulas
from stream_app.native.mathematics import log

ORDERS, ENGAGEMENT, VALUE = range(3)
AXES: Final = ("order_rate", "engagement_rate", "order_value")


def value_axes(quantities: Quantities, order_value_minor: float | None) -> Floats:
    """Return r, e and a of n customers, shape `(n, 3)`; a is 0 while no usual order value is known."""
    return formulas.axes(quantities, None if order_value_minor is None else float(log(order_value_minor)))
