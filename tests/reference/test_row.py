"""The reference's row is laid out as the library's columns are."""

from __future__ import annotations

import msgspec
import numpy as np

from stream_app.core.clock import NO_TIME
from tests.reference.row import ACTIVITY, ACTIVITY_DTYPE, Row
from tests.support.events import engagement, purchase
from tests.support.totals import fold


def test_row_begins_with_the_fields_of_the_activity_record() -> None:
    names = tuple(field.name for field in msgspec.structs.fields(Row))
    assert names[: len(ACTIVITY_DTYPE.names or ())] == ACTIVITY_DTYPE.names


def test_struct_and_numpy_lay_the_activity_record_out_alike() -> None:
    values = (-1, 2, NO_TIME, 4, -5, 6, 0.1, 1e300, -0.0, 2.5, 3.25, 7.0, 11, 12, -13, 2**31 - 1)
    packed = ACTIVITY.pack(*values)
    assert packed == np.array([values], ACTIVITY_DTYPE).tobytes()
    assert np.frombuffer(packed, ACTIVITY_DTYPE)[0].item() == values
    assert ACTIVITY.size == ACTIVITY_DTYPE.itemsize


def test_row_packs_its_record_where_it_is_told() -> None:
    row = fold([purchase(0), engagement(0.5)])
    buffer = bytearray(ACTIVITY.size + 7)
    row.pack_activity_into(buffer, 5)
    assert buffer[:5] + buffer[-2:] == bytes(7)
    assert np.frombuffer(buffer[5:-2], ACTIVITY_DTYPE)[0].item() == msgspec.structs.astuple(row)[:16]
