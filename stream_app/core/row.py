"""What a customer's row says, in memory and in the changelog.

The numbers of all customers are in numpy arrays of records (see `stream_app.core.customers`), `ACTIVITY_DTYPE` and for
each segmentation `MEMBERSHIP_DTYPE`. What events add up to: the first purchase was at `first_purchased_at_ms`, the last
one at `purchased_at_ms`, where an order is where it was first stated; the last that was said of any order was at
`ordered_at_ms`, and decayed orders and revenue are as of then; the last engagement at `engaged_at_ms`, and engaged days
are as of then. A customer is active on the days, UTC, of its purchases and engagements. What gaps and log order values
are, `stream_app.core.quantities` says.

A membership says which segment of one segmentation the customer is in, and the last instant at which an event of its
own or a move assessed it. That instant is kept for each segmentation, because not all are assessed at the same events:
what one of them says must not depend on which others there are. `change` indexes `stream_app.core.moves.CHANGES`;
`kept` is the last segment that was not a lapsed one, the present one included, 0 for none.

A place is the same of a segmentation by rules, and less: segment, `change`, and the sequence of the last move. When the
segment was entered is kept apart, for those segmentations alone whose conditions ask for it. `closed_at_ms` is the
instant up to which a customer's moves have been published, whatever caused them: the next one is later.

What has no fixed size is in the library's own memory: what events are known again by, the last 16 orders, the
active and engaged days as bits, the ledger of those series of events that conditions look at, and traits. The encoding
of it all, in version 5, is in `native/row_encoding.c`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from xxhash import xxh3_64_digest

from stream_app.core.clock import NO_TIME
from stream_app.native.structures import ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, PLACE_DTYPE

__all__ = [
    "ACTIVITY_DTYPE",
    "FIRST_SEGMENTATION",
    "MEMBERSHIP_DTYPE",
    "MERGED_MS",
    "NO_MEMBERSHIP",
    "PLACE_DTYPE",
    "digest",
]

MERGED_MS: Final = -NO_TIME + 1
"""In place of a row's first instant: nobody is left here to be asked; the sequences continue with the next act."""
NO_MEMBERSHIP: Final = np.array((NO_TIME, NO_TIME, 0, 0, 0, 0, 0, 0), MEMBERSHIP_DTYPE)
"""The record of a customer who was never in a segment of a segmentation."""
digest: Final = xxh3_64_digest
"""From an id or a name as UTF-8 to 8 bytes that stand for it, the same on every machine and in every process."""
FIRST_SEGMENTATION: Final = "value"
"""Rows of version 1, and the positions and trainers of their time, knew one segmentation, of this name."""
