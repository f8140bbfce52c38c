"""The rivals of `make quality`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.former import Former
from benchmarks.quality.history import History, read_history
from benchmarks.quality.nights import nights
from benchmarks.quality.rivals import NOWHERE, let_compete
from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile
from tests.support.histories import history


def test_nights_add_up_what_happened_until_then() -> None:
    happened = history(
        (0, 0.5, PURCHASE, 100), (0, 2.0, ENGAGEMENT, 0), (0, 2.25, ENGAGEMENT, 0), (1, 2.5, ENGAGEMENT, 0),
        (0, 3.5, PURCHASE, 50), (0, 3.75, REFUND, 100),
        end_day=4,
    )  # fmt: skip
    first, _, third, last = nights(happened)
    assert (first.day, first.at_ms, first.known.tolist()) == (0, DAY_MS, [0])
    assert first.recency_days == pytest.approx([0.5])
    assert first.orders == pytest.approx([2 ** (-0.5 / 90)])
    assert third.known.tolist() == [0, 1]
    assert third.engaged_days == pytest.approx([1, 1])
    assert third.engagement == pytest.approx([2 ** (-1 / 21) + 2 ** (-0.75 / 21), 2 ** (-0.5 / 21)])
    assert third.active_days == pytest.approx([1, 0])
    assert third.purchase_recency_days.tolist() == [2.5, np.inf]
    assert last.purchases.tolist() == [2, 0]
    assert last.spend_minor.tolist() == [50, 0]
    assert last.recency_days == pytest.approx([0.5, 1.5])
    assert last.active_days == pytest.approx([2 ** (-1 / 60) + 1, 0])
    assert last.tenure_days == pytest.approx([3.5, 1.5])
    assert last.exposure_days == pytest.approx([(1 - 2 ** (-3 / 60)) * 60 / np.log(2), 0])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("shop")
    simulate(600, 250, 1, folder, population=POPULATIONS["shop"])
    files = [SourceFile(folder / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in ("purchases", "engagements")]
    return read_history(files)


def test_rivals_put_everybody_somewhere_and_are_repeatable(shop: History) -> None:
    runs = [let_compete(nights(shop), shop.days, len(shop.customer_ids)) for _ in range(2)]
    for rival, again in zip(*runs, strict=True):
        assert (rival.places == again.places).all()
        assert (rival.places[-1] != NOWHERE).all()
        assert len(set(rival.places[-1].tolist())) in range(4, 11)
        left = (rival.places[:-1] != NOWHERE) & (rival.places[1:] == NOWHERE)
        assert not left.any()
    rules, batch, former = runs[0]
    assert not rules.moved_per_publish
    assert len(batch.moved_per_publish) == len(former.moved_per_publish) > 10
    moves = [int((rival.places[1:] != rival.places[:-1]).sum()) for rival in runs[0]]
    assert moves[2] < min(moves[:2])  # hysteresis is what sets it apart


def test_the_former_method_does_not_learn_before_it_knows_enough(shop: History) -> None:
    former = Former(len(shop.customer_ids))
    for night in nights(shop):
        if night.day == 80:
            assert not former.learn(night)
            assert not former.is_learned
        if night.day == 120:
            assert former.learn(night)
            assert (former.assess(night) >= 0).all()
            break
