from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.errors import RowDamaged, RowVersionUnknown
from tests.reference.earlier_rows import EARLIER_ORDER, EarlierOrder
from tests.reference.ids import Ids
from tests.reference.row import (
    ACTIVITY,
    MEMBERSHIP_DTYPE,
    NO_MEMBERSHIP,
    ROW_VERSION,
    Beside,
    Place,
    Row,
    decode_row,
    digest,
    encode_row,
    split_row,
)
from tests.support.events import START_MS, engagement, histories, instant, purchase, refund
from tests.support.tables import row_of
from tests.support.totals import EXACT, assert_same_totals, fold

MEMBERSHIP = np.array([(1_704_412_800_000, 1_704_499_200_000, 3, 2, 5, 4, 1, 0)], MEMBERSHIP_DTYPE).tobytes()
ONE = {"value": MEMBERSHIP}
KNOWN_EVENTS = [
    purchase(0, 2_500, order_id="o1", event_id="e1"),
    engagement(0.5, event_id="e2"),
    refund(2, 500, "o1", event_id="e3"),
    engagement(4.25, event_id="e4"),
]
VERSION_1 = (
    "0100200022000100010000f451c28c01000000f451c28c01000000ac9ecc8c01000000fb34d88c010000d007000000000000"
    "4dbf7783c882ef3fd2f062d0b7c59e40abe8fa9c599a0a409e7c5afd0747ff3f5f35e15f6405fe3f0b4d0000010000000100"
    "0000020000000064ebd68c01000000c011dc8c010000030000000200000005000400010000001f7e24023b50eaef916658fb"
    "d43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f1098cf00f451c28c010000c409000000000000f40100000000"
    "000001001111"
)
"""`KNOWN_EVENTS` with `MEMBERSHIP` as version 1 wrote them. Such rows lie in changelogs: never write this anew."""
VERSION_2 = (
    "0201200022000100010000f451c28c01000000f451c28c01000000ac9ecc8c01000000fb34d88c010000d007000000000000"
    "4dbf7783c882ef3fd2f062d0b7c59e40abe8fa9c599a0a409e7c5afd0747ff3f5f35e15f6405fe3f0b4d0000010000000100"
    "00000200000087d57e269b9df0f00064ebd68c01000000c011dc8c010000030000000200000005000400010000001f7e2402"
    "3b50eaef916658fbd43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f1098cf00f451c28c010000c40900000000"
    "0000f40100000000000001001111"
)
"""The same as version 2 wrote them. Never write this anew either."""
VERSION_2_MANY = (
    "0201000120021900100000f451c28c010000003cca94900100000064b0b390010000007ed0a690010000e489000000000000"
    "6fa486dd377922400b36540fd573d24004f3908f136b0c40c6f271904b3b30406956ab4339110c400b4d0000130000000200"
    "00001400000087d57e269b9df0f00064ebd68c01000000c011dc8c01000003000000020000000500040001000000c4558214"
    "30b8230783f88d2dfb36bc4a1cb5aa9515f7b3d321e6226c1774d8168e1c0eccbc33b0d182ce2e2a163cd2c318d5bfbcf32d"
    "b64a0cc76dbb413814198d3cff05283b2f143c6758e1a088587ce720aa7401b8399fbebc1273b830d74f220c139a3e4be3c0"
    "739eebce190e6a983771803ae02fc20ef014cf10c1fd9f3011c8158478fe00c6b5a165613a8600f7480ef09ad7f55980a539"
    "f7acb058652b1ca4f05b79db7ac0e2952ea9a3bb3446d19c491b14c61538a0e11b5134010606d29f761968919afa34b92561"
    "b398a97e2045343314c18d9a8bab5941ad183db4469ca8b827ef84b4b6160202d9725e9a08c13784a000bee401b7dda6be7c"
    "254c9e61ddd786fb3200005450908d010000780500000000000000000000000000000100fdc9f30d6915d0f500eccfc38d01"
    "0000dc0500000000000000000000000000000100d959ca483d4739cc00844ff78d0100004006000000000000000000000000"
    "000001004cf36db9f2936e66001ccf2a8e010000a40600000000000000000000000000000100fe37321b0c98bf4b00b44e5e"
    "8e0100000807000000000000000000000000000001001406534f6d4dba20004cce918e0100006c0700000000000000000000"
    "000000000100c137a3687df287ca00e44dc58e010000d0070000000000000000000000000000010071783f566b2087ee007c"
    "cdf88e0100003408000000000000000000000000000001000837693dbd0dd1cf00144d2c8f01000098080000000000000000"
    "0000000000000100dac8e0515a337c9500accc5f8f010000fc080000000000000000000000000000010063b53f78d91ef6cd"
    "00444c938f010000600900000000000000000000000000000100887bc2fda39fe10400dccbc68f010000c409000000000000"
    "000000000000000001008b48d15a71a81f3b00744bfa8f010000280a00000000000000000000000000000100eb240b62e49a"
    "282f000ccb2d900100008c0a000000000000000000000000000001008f580329acff4dc900a44a6190010000f00a00000000"
    "0000f00a0000000000000100f20caeaafe6acbc0003cca9490010000540b0000000000008403000000000000010009249040"
    "02092490400209249040020924904002092490400201041040000104104000010410400001"
)
"""20 orders and 20 visits, the last order but one undone and the last one partly refunded, as version 2 wrote them."""
VERSION_3 = (
    "0301200022000100010000f451c28c01000000f451c28c01000000f451c28c01000000ac9ecc8c01000000fb34d88c010000"
    "d007000000000000d7556cfbe444ef3fd3cb879d47899e40de466ff952671e40162af6516a96fe3fef39fafe422ef63f8ec5"
    "82ffbdbffe3f0100000001000000010000000200000087d57e269b9df0f00064ebd68c01000000c011dc8c01000003000000"
    "0200000005000400010000001f7e24023b50eaef916658fbd43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f10"
    "98cf00f451c28c010000c409000000000000f40100000000000001001111"
)
"""`KNOWN_EVENTS` as version 3 writes them. Never write this anew."""
BESIDE = Beside(
    1_704_499_200_000,
    {digest(b"tier"): Place(3, 12, 1, 1_704_412_800_000), digest(b"vip"): Place(1, 700, 4)},
    ledger=struct.pack("<QHIHIH", 5, 2 << 13, 3_600_214_528, 396, 3_686_614_528, 396)
    + struct.pack("<QHIH", 2**64 - 1, 1 << 13, 3_686_614_528, 396),
    traits=b"".join(
        (
            struct.pack("<BBHq7s2s", 7, 4, 2, 10, b"country", b"IT"),
            struct.pack("<BBHq5s", 5, 0, 0, 11, b"email"),
            struct.pack("<BBHq5sH1sH2s", 5, 5, 7, 12, b"likes", 1, b"a", 2, b"bc"),
            struct.pack("<BBHq7sd", 7, 3, 8, 13, b"members", 2.0),
            struct.pack("<BBHq3s", 3, 2, 0, 14, b"vip"),
        )
    ),
)
VERSION_4 = (
    "0401200022000100010000c011dc8c010000012600000168000000f451c28c01000000f451c28c01000000f451c28c010000"
    "00ac9ecc8c01000000fb34d88c010000d007000000000000d7556cfbe444ef3fd3cb879d47899e40de466ff952671e40162a"
    "f6516a96fe3fef39fafe422ef63f8ec582ffbdbffe3f0100000001000000010000000200000087d57e269b9df0f00064ebd6"
    "8c01000000c011dc8c01000003000000020000000500040001000000c112b1e06d600e05030000000c0001000064ebd68c01"
    "0000b2dddd8ed923bd4801000000bc0204000500000000000000004000ea96d68c010046bddb8c01ffffffffffffffff0020"
    "0046bddb8c01070402000a00000000000000636f756e7472794954050000000b00000000000000656d61696c050507000c00"
    "0000000000006c696b657301006102006263070308000d000000000000006d656d626572730000000000000040030200000e"
    "000000000000007669701f7e24023b50eaef916658fbd43a97b45a80ad712e350b1549b7d57ffed16a343bce853e6f1098cf"
    "00f451c28c010000c409000000000000f40100000000000001001111"
)
"""`KNOWN_EVENTS` as version 4 wrote them, with places, two series and traits. Never write this anew."""
VERSION_5 = (
    "050114002a000100010000c011dc8c010000012600000168000000f451c28c01000000f451c28c01000000f451c28c010000"
    "00ac9ecc8c01000000fb34d88c010000d007000000000000d7556cfbe444ef3fd4cb879d47899e40de466ff952671e40162a"
    "f6516a96fe3fef39fafe422ef63f8ec582ffbdbffe3f0100000001000000010000000200000087d57e269b9df0f00064ebd6"
    "8c01000000c011dc8c01000003000000020000000500040001000000c112b1e06d600e05030000000c0001000064ebd68c01"
    "0000b2dddd8ed923bd4801000000bc0204000500000000000000004000ea96d68c010046bddb8c01ffffffffffffffff0020"
    "0046bddb8c01070402000a00000000000000636f756e7472794954050000000b00000000000000656d61696c050507000c00"
    "0000000000006c696b657301006102006263070308000d000000000000006d656d626572730000000000000040030200000e"
    "0000000000000076697001005a80ad712e35916658fb0b4d49b7d57f0f4d3bce853e6f1098cf00f451c28c01000000f451c2"
    "8c010000c409000000000000f40100000000000009001111"
)
"""The same as version 5 writes it. Never write this anew."""
MANY_EVENTS = [
    *(purchase(10 * n, 1_000 + 100 * n, order_id=f"o{n}", event_id=f"p{n}") for n in range(20)),
    *(engagement(10 * n + 3.5, event_id=f"v{n}") for n in range(20)),
    refund(195, 2_800, "o18", event_id="r18"),
    refund(196, 900, "o19", event_id="r19"),
]
EARLIER_NUMBERS = struct.Struct("<5q5d4i")


def earlier_orders(events: list[Event]) -> list[EarlierOrder]:
    """Return the orders that versions until 4 kept of `events`, which have amounts alone."""
    by_order: dict[str, list[Event]] = {}
    for event in events:
        if event.kind != ENGAGEMENT:
            by_order.setdefault(event.order_id, []).append(event)
    orders = []
    for order_id, said in by_order.items():
        completed = [event for event in said if event.kind == PURCHASE]
        paid = sum(event.amount_minor for event in completed)
        returned = sum(event.amount_minor for event in said) - paid
        at_ms = max(event.at_ms for event in completed or said)
        orders.append(EarlierOrder(digest(order_id.encode()), at_ms, paid, returned, len(completed)))
    return sorted(orders, key=lambda order: (order.at_ms, order.digest))[-16:]


def encoded_earlier(events: list[Event], orders_decayed: float = 0.0, revenue_decayed: float = 0.0) -> bytes:
    """Return what version 2 wrote of `events`, but for totals of which nothing is read any more."""
    row, orders = fold(events), earlier_orders(events)
    ordered_at_ms = max((event.at_ms for event in events if event.kind != ENGAGEMENT), default=NO_TIME)
    numbers = EARLIER_NUMBERS.pack(
        row.first_at_ms, row.purchased_at_ms, ordered_at_ms, row.engaged_at_ms, row.revenue_minor,
        orders_decayed, revenue_decayed, 0.0, 0.0, 0.0, 0, row.purchases, row.refunds, row.engagements,
    )  # fmt: skip
    row.recent_events, row.orders = b"", b"".join(EARLIER_ORDER.pack(*order) for order in orders)
    encoded = encode_row(row, {})
    return b"\2" + encoded[1:10] + numbers + encoded[26 + ACTIVITY.size :]


def table_with(encoded: bytes, names: Sequence[str] = ("value",)) -> CustomerTable:
    table = CustomerTable(names)
    table.restore("c1", encoded)
    return table


def read(encoded: bytes) -> Row:
    """Return the row as a table says that it has been restored to."""
    return row_of(table_with(encoded), 0)


memberships = st.builds(
    lambda *numbers: np.array([numbers], MEMBERSHIP_DTYPE).tobytes(),
    *[st.integers(-(2**63), 2**63 - 1)] * 2,
    *[st.integers(-(2**31), 2**31 - 1)] * 2,
    *[st.integers(0, 2**15 - 1)] * 4,
)


@given(histories(max_size=40), memberships)
def test_row_is_written_as_it_was_read(events: list[Event], membership: bytes) -> None:
    encoded = encode_row(fold(events), {"value": membership})
    table = table_with(encoded)
    assert table.encode(0) == encoded
    assert (row_of(table, 0), table.memberships[0].tobytes()) == (fold(events), membership)


@given(
    histories(max_size=4),
    st.dictionaries(st.sampled_from(["value", "service", "lifecycle", "a"]), memberships),
    st.sampled_from([(), ("a",), ("service", "value")]),
)
def test_row_keeps_the_membership_of_every_segmentation(
    events: list[Event], known: dict[str, bytes], names: tuple[str, ...]
) -> None:
    row = fold(events)
    nowhere = {digest(name.encode()): NO_MEMBERSHIP.tobytes() for name in names}
    decoded, found = decode_row(table_with(encode_row(row, known), names).encode(0))
    assert decoded == row
    assert found == nowhere | {digest(name.encode()): membership for name, membership in known.items()}


@given(st.integers(0, 2**366 - 1), st.integers(0, 2**182 - 1))
def test_days_of_any_pattern_survive_encoding(active_day_bits: int, engaged_day_bits: int) -> None:
    row = Row(active_day_bits=active_day_bits, engaged_day_bits=engaged_day_bits)
    assert read(encode_row(row, ONE)) == row


def test_row_written_by_version_1_still_loads_as_one_of_the_only_segmentation_there_was() -> None:
    table = table_with(bytes.fromhex(VERSION_1))
    row = row_of(table, 0)
    assert table.memberships[0].tobytes() == MEMBERSHIP
    assert (row.purchases, row.refunds, row.engagements, row.revenue_minor) == (1, 1, 2, 2_000)
    assert_same_totals(row, fold(KNOWN_EVENTS), KNOWN_EVENTS)


def test_row_written_by_version_2_still_loads() -> None:
    assert table_with(bytes.fromhex(VERSION_2)).encode(0) == table_with(bytes.fromhex(VERSION_1)).encode(0)


def test_row_written_by_version_3_still_loads_and_was_told_of_up_to_its_last_assessment() -> None:
    table = table_with(bytes.fromhex(VERSION_3))
    assert table.closed_at_ms.tolist() == [1_704_499_200_000]
    assert_carried(table)
    assert table.memberships[0].tobytes() == MEMBERSHIP


def assert_carried(table: CustomerTable) -> None:
    """Check that a table has `KNOWN_EVENTS` as they are after an earlier version: their ids are of no known kind."""
    row, expected = row_of(table, 0), fold(KNOWN_EVENTS)
    assert_same_totals(row, expected, KNOWN_EVENTS)
    ids, day = Ids(), row.engaged_at_ms // DAY_MS
    for event in KNOWN_EVENTS:
        own = digest(event.event_id.encode())
        ids = ids.with_refund(own).with_engagement(own, day)
    assert row.recent_events == ids.pack()


def test_row_written_by_version_4_still_loads() -> None:
    table = CustomerTable(["value"], ["tier", "vip"])
    table.restore("c1", bytes.fromhex(VERSION_4))
    assert_carried(table)
    assert split_row(table.encode(0)).beside == BESIDE


def test_row_of_version_4_goes_on_from_a_return_of_an_unknown_order() -> None:
    events = [purchase(0, 5_000, order_id="a"), refund(3, 700, "unknown")]
    row = fold(events)
    earlier = msgspec.structs.replace(
        row,
        orders=b"".join(EARLIER_ORDER.pack(*order) for order in earlier_orders(events)),
        recent_events=digest(b"e"),
    )
    found = read(b"\4" + encode_row(earlier, ONE)[1:])
    assert (found.revenue_minor, found.refunds) == (4_300, 1)
    assert found.revenue_decayed == pytest.approx(row.revenue_decayed)
    assert fold([purchase(2, 2_000, order_id="unknown")], found).revenue_minor == 6_300


def test_order_that_an_earlier_row_counted_twice_goes_on_counting_twice() -> None:
    row = fold([purchase(0, 9_000, order_id="a"), purchase(0, 9_000, order_id="b")])
    twice = EARLIER_ORDER.pack(digest(b"a"), instant(0), 18_000, 0, 2)
    found = read(b"\4" + encode_row(msgspec.structs.replace(row, orders=twice, recent_events=b""), ONE)[1:])
    assert (found.purchases, found.revenue_minor) == (2, 18_000)
    assert fold([purchase(0, 9_000, order_id="a")], found).revenue_minor == 18_000


def test_row_is_written_as_version_5_says() -> None:
    assert ROW_VERSION == 5
    encoded = encode_row(fold(KNOWN_EVENTS), ONE, BESIDE)
    for names in ([], ["tier"], ["vip", "tier"]):
        table = CustomerTable(["value"], names)
        table.restore("c1", encoded)
        assert encoded.hex() == table.encode(0).hex() == VERSION_5
    assert table.places[:, 0].tolist() == [(1, 700, 4), (3, 12, 1)]
    assert table.since_ms[:, 0].tolist() == [NO_TIME, 1_704_412_800_000]
    assert table.traits_of("c1") == {"country": "IT", "likes": ["a", "bc"], "members": 2.0, "vip": True}


@given(histories(max_size=32, days=127, order_count=15))
def test_earlier_row_of_a_few_orders_completed_once_is_carried_over_exactly(events: list[Event]) -> None:
    events = [event for event in events if event.amount_minor >= 0 and event.updated_at_ms is None]
    once = {event.order_id: event for event in events if event.kind == PURCHASE}
    events = [event for event in events if event.kind != PURCHASE or once[event.order_id] is event]
    events = [event for event in events if event.kind == ENGAGEMENT or event.order_id in once]
    exact = [name for name in EXACT if name != "orders"]  # it is not known how often an order was refunded
    assert_same_totals(read(encoded_earlier(events)), fold(events), events, exact)


def test_earlier_row_of_more_orders_than_it_remembers_is_carried_over_in_part() -> None:
    row, expected = read(bytes.fromhex(VERSION_2_MANY)), fold(MANY_EVENTS)
    for name in set(EXACT) - {"engaged_day_bits"}:
        assert getattr(row, name) == getattr(expected, name), name
    assert (row.log_gaps, row.log_gaps_squared) == pytest.approx((expected.log_gaps, expected.log_gaps_squared))
    assert 0.999 * expected.orders_decayed < row.orders_decayed <= expected.orders_decayed
    assert row.revenue_decayed == pytest.approx(expected.revenue_decayed, rel=1e-3)
    assert row.log_order_values == pytest.approx(expected.log_order_values, rel=0.02)
    assert row.engaged_days == pytest.approx(expected.engaged_days, rel=0.05)


def test_orders_forgotten_by_an_earlier_row_are_taken_to_be_of_one_instant() -> None:
    events = [purchase(day, 1_000, order_id=f"o{day}") for day in (10, *range(30, 46))]
    ages = [45 - (event.at_ms - START_MS) / DAY_MS for event in events]
    then = sum(2 ** (-age / 90) for age in ages)
    row, expected = read(encoded_earlier(events, then, 1_000 * then)), fold(events)
    assert_same_totals(row, expected, events)
    assert row.first_purchased_at_ms == instant(10)


@pytest.mark.parametrize("too_much", [0.5, 5.0])
def test_orders_forgotten_by_an_earlier_row_weigh_no_more_than_the_oldest_remembered(too_much: float) -> None:
    events = [purchase(day, 1_000, order_id=f"o{day}") for day in range(17)]
    remembered = sum(2 ** (-age / 90) for age in range(16))
    oldest = 2 ** (-15 / 90)
    row = read(encoded_earlier(events, remembered + oldest + too_much, 0.0))
    known = sum(2 ** (-age / 60) for age in range(16))
    assert row.orders_decayed == pytest.approx(known + (oldest + too_much) * 2 ** (-15 / 180))


def test_earlier_row_whose_ledger_holds_refunds_only_takes_values_from_the_revenue() -> None:
    bought = [purchase(day, 2_000, order_id=f"o{day}") for day in range(4)]
    row = read(encoded_earlier([*bought, *(refund(10 + day, 100, f"x{day}") for day in range(16))]))
    assert row.log_order_values == pytest.approx(4 * math.log((8_000 - 1_600) / 4))
    assert row.first_purchased_at_ms == instant(0)


def test_earlier_row_of_refunds_alone_has_no_purchase() -> None:
    row = read(encoded_earlier([refund(day, 100, f"x{day}") for day in range(16)]))
    assert (row.first_purchased_at_ms, row.log_order_values, row.orders_decayed) == (-NO_TIME, 0, 0)


@pytest.mark.parametrize("version", [0, ROW_VERSION + 1, 255])
def test_unknown_version_is_refused(version: int) -> None:
    encoded = bytes([version]) + encode_row(Row(), ONE)[1:]
    with pytest.raises(RowVersionUnknown, match=f"row version: {version}"):
        read(encoded)


@pytest.mark.parametrize("length", [0, 9, 10, 137, -1])
def test_row_of_another_length_than_it_says_is_refused(length: int) -> None:
    encoded = encode_row(fold(KNOWN_EVENTS), ONE)
    for damaged in (encoded[:length], encoded + b"\0"):
        with pytest.raises(RowDamaged, match=f"{len(damaged)} bytes, expected"):
            read(damaged)


def test_digest_is_the_same_on_every_machine() -> None:
    assert digest(b"e1").hex() == "1f7e24023b50eaef"
    assert struct.calcsize("8s") == len(digest(b""))
