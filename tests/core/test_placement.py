"""Customers belong where Kafka's default partitioner places their records."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.events import NO_EVENTS, pack_events
from stream_app.core.placement import places_of, places_of_ids
from tests.support.events import engagement


@given(st.lists(st.text(max_size=20), max_size=8), st.integers(1, 1_000))
def test_customers_are_placed_as_by_kafkas_default_partitioner(customer_ids: list[str], partitions: int) -> None:
    events = pack_events([engagement(0, customer_id) for customer_id in customer_ids], 0, 0)
    expected = [(murmur2(customer_id.encode()) & 0x7FFF_FFFF) % partitions for customer_id in customer_ids]
    assert places_of(events, partitions).tolist() == expected
    assert places_of_ids(customer_ids, partitions).tolist() == expected


@pytest.mark.parametrize("partitions", [0, -1])
def test_nobody_can_be_placed_where_there_are_no_partitions(partitions: int) -> None:
    with pytest.raises(ValueError, match=f"partitions: {partitions}, expected one at least"):
        places_of(NO_EVENTS, partitions)
