from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core import events
from stream_app.core.events import Event
from stream_app.errors import InvalidRecord
from tests.contracts.records import AT_MS, ENGAGEMENT, NOW_MS, PURCHASE, encode, engagements, purchases

DAY_1997_MS = 852_076_800_000
"""1997-01-01T00:00:00Z."""
BERLIN = ZoneInfo("Europe/Berlin")


def row(**cells: str | None) -> dict[str, str | None]:
    return {**PURCHASE, **cells}


def refusal(cells: dict[str, str | None], naive_zone=None) -> tuple[str, str]:
    with pytest.raises(InvalidRecord) as error:
        purchases().decode_row(cells, NOW_MS, naive_zone)
    return error.value.reason, error.value.field


def test_row_gives_the_event_that_the_same_record_gives() -> None:
    assert purchases().decode_row(row(items="3"), NOW_MS) == purchases().decode(encode(PURCHASE), NOW_MS)
    assert engagements().decode_row({**ENGAGEMENT, "value": "4.5"}, NOW_MS) == engagements().decode(
        encode(ENGAGEMENT), NOW_MS
    )


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_cell_is_absent(empty: str | None) -> None:
    assert purchases().decode_row(row(items=empty, type=empty), NOW_MS).type == "order_completed"
    assert refusal(row(order_id=empty)) == ("missing_field", "order_id")


def test_cells_are_trimmed_and_other_columns_ignored() -> None:
    event = purchases().decode_row(row(customer_id=" c1 ", country="DE", products="a;b"), NOW_MS)
    assert event.customer_id == "c1"


@pytest.mark.parametrize(
    ("alias", "kind", "name"),
    [
        ("purchase", events.PURCHASE, "order_completed"),
        ("refund", events.REFUND, "order_refunded"),
        ("order_refunded", events.REFUND, "order_refunded"),
    ],
)
def test_type_may_be_one_short_word(alias: str, kind: int, name: str) -> None:
    assert purchases().decode_row(row(type=alias), NOW_MS) == Event(kind, "c1", "e1", AT_MS, name, 1999, "o1")


def test_engagement_type_is_never_an_alias() -> None:
    assert engagements().decode_row({**ENGAGEMENT, "type": "refund", "order_id": "o1"}, NOW_MS).type == "refund"


def test_booked_minus_of_a_refund_is_dropped() -> None:
    assert purchases().decode_row(row(type="refund", total="-27.50", items="-1"), NOW_MS).amount_minor == 2750
    assert refusal(row(type="refund", total="--27.50")) == ("out_of_range", "total")


def test_minus_of_a_purchase_is_refused() -> None:
    assert refusal(row(total="-27.50")) == ("out_of_range", "total")
    assert refusal(row(items="-1")) == ("out_of_range", "items")


@pytest.mark.parametrize("items", ["two", "1.5", "1e3", "nan"])
def test_number_cell_without_whole_number_is_refused(items: str) -> None:
    assert refusal(row(items=items)) == ("wrong_type", "items")


@pytest.mark.parametrize(
    ("text", "zone", "at_ms"),
    [
        ("1997-01-01", UTC, DAY_1997_MS),
        ("1997-01-01", BERLIN, DAY_1997_MS - 3_600_000),
        ("1997-07-01 00:00", BERLIN, DAY_1997_MS + 181 * 86_400_000 - 7_200_000),
        ("1997-01-01 08:26:00", UTC, DAY_1997_MS + 30_360_000),
        ("1997-01-01T08:26:00.1239", UTC, DAY_1997_MS + 30_360_123),
        ("1997-01-01T00:00:00+01:00", UTC, DAY_1997_MS - 3_600_000),
    ],
)
def test_time_without_zone_is_read_in_the_given_one(text: str, zone, at_ms: int) -> None:
    assert purchases().decode_row(row(occurred_at=text), NOW_MS, zone).at_ms == at_ms


@pytest.mark.parametrize("text", ["1997-01-01", "2010-12-01 08:26:00"])
def test_time_without_zone_is_refused_where_no_zone_is_given(text: str) -> None:
    assert refusal(row(occurred_at=text)) == ("invalid_time", "occurred_at")


@pytest.mark.parametrize("text", ["1997-02-30", "1997-01-01 25:00", "01/02/1997", "1997-01-01 08:26:60"])
def test_impossible_time_is_refused(text: str) -> None:
    assert refusal(row(occurred_at=text), UTC) == ("invalid_time", "occurred_at")


def test_time_at_the_end_of_the_calendar_is_in_the_future() -> None:
    assert refusal(row(occurred_at="9999-12-31 23:59:59"), BERLIN) == ("time_in_future", "occurred_at")


def test_undecodable_bytes_kept_as_surrogates_are_refused() -> None:
    assert refusal(row(customer_id="caf\udce9")) == ("invalid_encoding", "customer_id")


cells = (
    st.none() | st.text(max_size=8) | st.sampled_from([*map(str, PURCHASE.values()), "-5", "9" * 5_000, "1e400", "NaN"])
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*PURCHASE, "items", "value", "channel"]), cells), st.sampled_from([None, UTC]))
def test_any_row_is_an_event_or_refused(changes: dict[str, str | None], zone) -> None:
    for decoder, base in ((purchases(), PURCHASE), (engagements(), ENGAGEMENT)):
        outcome: object
        try:
            outcome = decoder.decode_row({**base, **changes}, NOW_MS, zone).at_ms <= NOW_MS + 300_000
        except InvalidRecord as rejection:
            outcome = rejection.field in {*PURCHASE, "items", "value", "channel"}
        assert outcome
