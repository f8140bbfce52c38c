from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.learning.populations import draw_sample, with_memberships


def test_length_is_the_number_of_customers():
    assert len(draw_sample(n_customers=12)) == 12


@pytest.mark.parametrize("column", ["segment", "previous", "since_ms"])
def test_column_of_another_length_is_refused(column):
    sample = draw_sample(n_customers=12)
    with pytest.raises(ValueError, match=r"sample: columns of lengths \[3, 12\], expected 12 each"):
        with_memberships(sample, **{column: np.zeros(3, np.int64)})


def test_quantity_of_another_length_is_refused():
    sample = draw_sample(n_customers=12)
    with pytest.raises(ValueError, match="expected 12 each"):
        replace(sample, quantities=sample.quantities._replace(orders=np.zeros(11)))
