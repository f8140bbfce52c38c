"""When a run has failed for what it refused."""

from __future__ import annotations

import pytest

from stream_app.replay.refusals import has_failed


@pytest.mark.parametrize(
    ("records", "rejected", "guests", "failed"),
    [
        (1_000, 10, 0, False),
        (1_000, 11, 0, True),
        (2_000, 20, 0, False),
        (10, 10, 0, True),
        (0, 0, 0, True),
        (1_000, 250, 250, False),
        (1_000, 260, 250, False),
        (1_000, 261, 250, True),
        (250, 250, 250, True),
    ],
)
def test_guests_are_no_fault_of_a_file(records: int, rejected: int, guests: int, failed: bool) -> None:
    assert has_failed({"in": records, "rejected": rejected}, guests, 0.01) is failed
