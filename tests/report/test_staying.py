from __future__ import annotations

import numpy as np
import pytest

from stream_app.web.staying import CURVE_POINTS, Stay, describe_stays, product_limit, stays_of

DAY = 86_400


def test_whoever_is_still_there_counts_for_as_long_as_known() -> None:
    """A textbook's example by hand: of 5, one leaves on day 1, one is lost sight of on day 2, one leaves on day 3."""
    days = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    ends, staying = product_limit(days, np.array([True, False, True, False, False]))
    assert ends.tolist() == [1.0, 3.0]
    assert staying == pytest.approx([4 / 5, 4 / 5 * 2 / 3])


def test_without_anybody_lost_sight_of_it_is_the_share_itself() -> None:
    days = np.array([4.0, 1.0, 2.0, 2.0])
    ends, staying = product_limit(days, np.ones(4, np.bool_))
    assert ends.tolist() == [1.0, 2.0, 4.0]
    assert staying == pytest.approx([0.75, 0.25, 0.0])


def test_quartiles_are_told_as_far_as_they_are_reached() -> None:
    stays = [Stay("s1", min(days, 11), has_left=days < 11) for days in map(float, range(1, 21))]
    found = describe_stays(stays, 20)
    assert found["customers"] == 20
    (told,) = found["segments"].values()
    assert told["quartiles"] == [5.0, 10.0, None]
    assert (told["stays"], told["left"]) == (20, 10)
    assert len(told["days"]) == len(told["staying"]) == CURVE_POINTS
    assert (told["days"][0], told["days"][-1]) == (0.0, 11.0)
    assert told["staying"] == sorted(told["staying"], reverse=True)
    assert (told["staying"][0], told["staying"][-1]) == (1.0, 0.5)


def test_what_few_have_lasted_for_is_not_told() -> None:
    stays = [Stay("s1", days, has_left=days > 50) for days in (*[30.0] * 20, 60.0, 90.0, 99.0)]
    told = describe_stays(stays, 23)["segments"]["s1"]
    assert told["days"][-1] == 30.0
    assert told["quartiles"] == [None, None, None]


def test_a_segment_that_nobody_has_left_keeps_everybody() -> None:
    told = describe_stays([Stay("s1", 0.0, has_left=False)], 1)["segments"]["s1"]
    assert told["quartiles"] == [None, None, None]
    assert set(told["staying"]) == {1.0}


def test_a_stay_ends_with_the_next_move() -> None:
    moves = [
        (0, "s1", True),
        (2 * DAY, "s2", True),
        (5 * DAY, None, True),
        (6 * DAY, "s1", False),
        (8 * DAY, "s3", False),
    ]
    assert list(stays_of(moves, 10 * DAY)) == [
        Stay("s1", 2.0, has_left=True),
        Stay("s2", 3.0, has_left=True),
        Stay("s1", 2.0, has_left=False),
        Stay("s3", 2.0, has_left=False),
    ], "whom a version moved has not left"


def test_moves_behind_the_end_make_no_stay_shorter_than_none() -> None:
    assert list(stays_of([(9 * DAY, "s1", True)], 2 * DAY)) == [Stay("s1", 0.0, has_left=False)]
