from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.members import MemberFigures, MemberSums, add_sums, life_cycle_order, member_figures
from stream_app.core.partition import Partition
from stream_app.core.segments import MAX_SEGMENT_CODE, NO_SEGMENT
from tests.reference.members import MemberTotals
from tests.reference.row import MEMBERSHIP_DTYPE, Row, encode_row
from tests.segmentations.examples import BY_RULES, COLD_START, LEARNED
from tests.support.events import instant
from tests.support.logs import logs
from tests.support.playing import Step, play
from tests.support.tables import row_of

CODES = (NO_SEGMENT, 1, 2, 105, MAX_SEGMENT_CODE)
INSTANTS = st.integers(0, 4_102_444_800_000)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    instants = sorted(draw(st.lists(INSTANTS, min_size=3, max_size=3)))
    return Row(
        first_at_ms=instants[0],
        purchased_at_ms=draw(st.sampled_from([NO_TIME, instants[1]])),
        engaged_at_ms=draw(st.sampled_from([NO_TIME, instants[2]])),
        purchases=draw(st.integers(0, 2**31 - 1)),
        revenue_minor=draw(st.integers(-(2**45), 2**45)),
    )


def record(segment: int) -> bytes:
    entry = np.zeros(1, MEMBERSHIP_DTYPE)
    entry["segment"] = segment
    return entry.tobytes()


def counted_by_hand(table: CustomerTable, segmentation: int) -> dict[int, MemberSums]:
    sums: dict[int, MemberSums] = {}
    for number, segment in enumerate(table.memberships[segmentation]["segment"].tolist()):
        row = row_of(table, number)
        active_at_ms = max(row.first_at_ms, row.purchased_at_ms, row.engaged_at_ms)
        own = MemberSums(1, row.purchases, row.revenue_minor, row.first_at_ms // 1_000, active_at_ms // 1_000)
        if segment != NO_SEGMENT:
            sums[segment] = sums.get(segment, MemberSums()).plus(own)
    return sums


CHANGES = st.sampled_from(["restore", "restore a new one", "remove", "add a segmentation", "look", "nothing"])


@given(logs(), st.lists(st.tuples(CHANGES, rows(), st.sampled_from(CODES)), min_size=1, max_size=8), st.data())
def test_sums_kept_by_changes_equal_those_counted_customer_by_customer(
    log: list[Step], changes: list[tuple[str, Row, int]], data: st.DataObject
) -> None:
    partition = Partition([COLD_START, BY_RULES])
    table = partition.table
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), min_size=len(changes), max_size=len(changes))))
    for (change, row, code), start, end in zip(changes, [0, *cuts], cuts, strict=False):
        play(partition, log[start:end])
        encoded = encode_row(row, {"value": record(code), "habits": record(1)})
        match change:
            case "restore" if len(table):
                table.restore(table.customer_ids[0], encoded)
            case "restore a new one":
                table.restore(f"new {start}", encoded)
            case "remove" if len(table):
                table.remove(table.customer_ids[0])
            case "add a segmentation" if "habits" not in table.names:
                partition.follow(LEARNED)
            case "look":
                assert table.members() == counted_by_hand(table, 0)
    play(partition, [*log[cuts[-1] :], instant(4_000)])
    for segmentation in range(len(table.names)):
        assert table.members(segmentation) == counted_by_hand(table, segmentation)
        assert MemberTotals.count(table.activity, table.memberships).of(segmentation) == table.members(segmentation)


@given(st.lists(st.tuples(rows(), st.sampled_from(CODES)), max_size=12))
def test_sums_over_restored_rows_are_those_counted_customer_by_customer(customers: list[tuple[Row, int]]) -> None:
    table = CustomerTable()
    for number, (row, segment) in enumerate(customers):
        table.restore(str(number), encode_row(row, {"value": record(segment)}))
    assert table.members() == counted_by_hand(table, 0)


def test_count_misses_nobody() -> None:
    table = CustomerTable()
    for number in range(10):
        table.restore(str(number), encode_row(Row(first_at_ms=0, purchases=number), {"value": record(1 + number % 2)}))
    assert {code: (sums.customers, sums.purchases) for code, sums in table.members().items()} == {
        1: (5, 20),
        2: (5, 25),
    }


def test_hundred_million_customers_at_the_end_of_the_century_fit_into_a_sum() -> None:
    latest_seconds = 4_102_444_800
    assert latest_seconds * 10**8 < 2**59


def test_figures_are_means_of_the_members_at_the_instant_of_looking() -> None:
    sums = {
        "s1": MemberSums(4, 6, 90_00, 4 * 100, 4 * 86_400),
        "s2": MemberSums(2, 0, 10_00, 0, 0),
        "s3": MemberSums(),
    }
    assert member_figures(sums, 10 * DAY_MS, 100) == {
        "s1": MemberFigures(4, 0.667, 90.0, 0.9, 9.0, 10.0, 1.5, 22.5, 15.0),
        "s2": MemberFigures(2, 0.333, 10.0, 0.1, 10.0, 10.0, 0.0, 5.0, None),
        "s3": MemberFigures(0, 0.0, 0.0, 0.0, None, None, None, None, None),
    }


def test_money_is_told_to_the_minor_unit_of_its_currency() -> None:
    sums = {"s1": MemberSums(3, 7, 1_000, 0, 0)}
    (yen,), (dinar,) = (member_figures(sums, 0, minor).values() for minor in (1, 1_000))
    assert (yen.revenue, yen.revenue_per_customer, yen.average_order_value) == (1_000.0, 333.0, 143.0)
    assert (dinar.revenue, dinar.revenue_per_customer, dinar.average_order_value) == (1.0, 0.333, 0.143)


def test_nobody_acted_after_the_instant_of_looking() -> None:
    (figures,) = member_figures({"s1": MemberSums(1, 0, 0, 5, 5)}, 4_000, 100).values()
    assert (figures.recency_days, figures.tenure_days) == (0.0, 0.0)


@given(st.lists(st.integers(0, 10**9), max_size=14), st.lists(st.integers(-(10**9), 10**12), max_size=14))
def test_shares_add_up_as_they_are_told(customers: list[int], revenue: list[int]) -> None:
    sums = {
        number: MemberSums(customers=n, revenue_minor=minor)
        for number, (n, minor) in enumerate(zip(customers, revenue, strict=False))
    }
    figures = member_figures(sums, 0, 100).values()
    for told, parts in (
        ([each.share for each in figures], [each.customers for each in sums.values()]),
        ([each.revenue_share for each in figures], [each.revenue_minor for each in sums.values()]),
    ):
        thousandths = [round(share * 1_000) for share in told]
        total = sum(parts)
        assert sum(thousandths) == (1_000 if total > 0 else 0)
        if total > 0:
            for share, part in zip(thousandths, parts, strict=True):
                assert abs(share - Fraction(1_000 * part, total)) < 1


def test_sums_of_partitions_make_those_of_the_whole() -> None:
    one, other = MemberSums(1, 2, 3, 4, 5), MemberSums(10, 20, 30, 40, 50)
    assert add_sums([{1: one, 2: other}, {}, {2: one, 3: one}]) == {1: one, 2: MemberSums(11, 22, 33, 44, 55), 3: one}
    assert add_sums([]) == {}


def test_segments_are_ordered_by_life_cycle_and_then_by_value() -> None:
    sums = {"s1": MemberSums(2, 2, 10), "s2": MemberSums(1, 1, 90), "s3": MemberSums(1, 1, 90), "s4": MemberSums()}
    figures = member_figures(sums, 0, 1)
    levels = {"s1": 2, "s2": -1, "s3": -1, "s4": None}
    ordered = sorted(figures, key=lambda key: life_cycle_order(levels[key], figures[key], key))
    assert ordered == ["s1", "s4", "s2", "s3"]
    unlevelled = sorted(figures, key=lambda key: life_cycle_order(None, figures[key], key))
    assert unlevelled == ["s2", "s3", "s1", "s4"]
