from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from xxhash import xxh3_64_digest

from stream_app.core.events import (
    ENGAGEMENT,
    EVENT_KINDS,
    PROFILE,
    PURCHASE,
    REFUND,
    Event,
    Events,
    join_events,
    order_digest,
    pack_events,
)
from stream_app.core.kept import encode_kept
from stream_app.core.moves import CAUSE_KINDS
from tests.support.events import engagement, profile, purchase, refund


def test_kinds_are_indices_of_their_names() -> None:
    assert (EVENT_KINDS[PURCHASE], EVENT_KINDS[REFUND], EVENT_KINDS[ENGAGEMENT]) == EVENT_KINDS
    assert CAUSE_KINDS[:3] == EVENT_KINDS
    assert CAUSE_KINDS[PROFILE] == "profile"


def test_event_cannot_be_changed() -> None:
    event = purchase(0)
    with pytest.raises(AttributeError):
        event.amount_minor = 1  # type: ignore[misc]


# --- columns -------------------------------------------------------------------------------------------------------

EVENTS = [
    purchase(1, customer_id="kölner", order_id="№ 1"),
    engagement(2, "c2", "🙂"),
    refund(3, 7, "№ 1", "c" * 256),
    engagement(4, ""),
    profile(5, plan="pro", vip=True),
    replace(engagement(6, "c3"), kept=encode_kept([(b"channel", "app")])),
]


def values(events: Events) -> list[Event]:
    return [events.event(index) for index in range(len(events))]


def without_orders(events: Sequence[Event]) -> list[Event]:
    """Return events as columns keep them: of an order, the digest is left."""
    return [
        replace(event, order_id=f"{order:016x}" if (order := order_digest(event.order_id)) else "") for event in events
    ]


def test_columns_keep_all_but_the_ids_of_orders() -> None:
    packed = pack_events(EVENTS, [7, 8, 9, 12, 13, 14], 3)
    assert values(packed) == without_orders(EVENTS)
    assert packed.records["offset"].tolist() == [7, 8, 9, 12, 13, 14]
    assert packed.records["source"].tolist() == [3] * 6
    assert [packed.customer_id(index) for index in range(6)] == [event.customer_id for event in EVENTS]
    digests = b"".join(int(digest).to_bytes(8, "big") for digest in packed.records["event_digest"])
    assert digests == b"".join(xxh3_64_digest(event.event_id.encode()) for event in EVENTS), "those of rows"


def test_parts_and_choices_of_columns_are_those_of_their_events() -> None:
    packed = pack_events(EVENTS, 0, 0)
    assert values(packed[1:3]) == values(packed)[1:3]
    assert values(packed.take([5, 3, 0, 0])) == [values(packed)[index] for index in (5, 3, 0, 0)]


@given(st.lists(st.lists(st.sampled_from(EVENTS), max_size=4), max_size=4), st.data())
def test_joined_columns_are_joined_events(parts: list[list[Event]], data: st.DataObject) -> None:
    cuts = [data.draw(st.integers(0, len(part))) for part in parts]
    joined = join_events([pack_events(part, 0, 0)[cut:] for part, cut in zip(parts, cuts, strict=True)])
    expected = [event for part, cut in zip(parts, cuts, strict=True) for event in part[cut:]]
    assert values(joined) == without_orders(expected)


def test_joining_takes_no_more_text_along_than_the_parts_point_into() -> None:
    packed = pack_events(EVENTS, 0, 0)
    joined = join_events([packed[1:2]] * 3)
    assert len(joined.texts) == 3 * len("c2" + "🙂" + "product_viewed") + 3 * 3


def test_more_text_than_records_can_point_into_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.core.events._TEXTS_MAX", 50)
    part = pack_events(EVENTS[1:2], 0, 0)
    with pytest.raises(OverflowError, match="texts: 60 bytes, expected at most 50"):
        join_events([part] * 3)


def test_joining_takes_along_what_is_kept() -> None:
    packed = pack_events(EVENTS, 0, 0)
    assert values(join_events([packed[5:], packed[4:5]])) == [EVENTS[5], EVENTS[4]]


@pytest.mark.parametrize("event", [engagement(0, "c" * 65_536), replace(engagement(0), kept=bytes(65_536))])
def test_text_that_is_too_long_for_a_record_is_refused(event: Event) -> None:
    with pytest.raises(OverflowError):
        pack_events([event], 0, 0)
