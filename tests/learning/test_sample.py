from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import quantities_at
from tests.learning.populations import draw_sample


def test_length_is_the_number_of_customers():
    assert len(draw_sample(n_customers=12)) == 12


@pytest.mark.parametrize("column", ["segment", "previous", "since_ms", "kept"])
def test_column_of_another_length_is_refused(column):
    sample = draw_sample(n_customers=12)
    held = sample.memberships["value"]._replace(**{column: np.zeros(3, np.int64)})
    with pytest.raises(ValueError, match=r"sample: columns of lengths \[3, 12\], expected 12 each"):
        replace(sample, memberships={"value": held})


def test_activity_of_another_length_is_refused():
    sample = draw_sample(n_customers=12)
    with pytest.raises(ValueError, match="expected 12 each"):
        replace(sample, activity=sample.activity[:11])


def test_customers_are_seen_at_the_instant_of_the_draw():
    sample = draw_sample(n_customers=12)
    later = replace(sample, as_of_ms=sample.as_of_ms + DAY_MS)
    for each in (sample, later):
        for column, expected in zip(each.quantities, quantities_at(sample.activity, each.as_of_ms), strict=True):
            assert column.tolist() == expected.tolist()
    assert later.quantities.recency_days == pytest.approx(sample.quantities.recency_days + 1)
