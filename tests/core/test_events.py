from __future__ import annotations

import pytest

from stream_app.core.events import ENGAGEMENT, EVENT_KINDS, PURCHASE, REFUND
from tests.support.events import purchase


def test_kinds_are_indices_of_their_names() -> None:
    assert (EVENT_KINDS[PURCHASE], EVENT_KINDS[REFUND], EVENT_KINDS[ENGAGEMENT]) == EVENT_KINDS


def test_event_cannot_be_changed() -> None:
    event = purchase(0)
    with pytest.raises(AttributeError):
        event.amount_minor = 1  # type: ignore[misc]
