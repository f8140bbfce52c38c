"""Population samples on the wire, and one sample made of those of all partitions."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from stream_app.contracts.outputs.samples import PopulationSample as SampleContract
from stream_app.core.clock import NO_TIME
from stream_app.core.members import MemberSums
from stream_app.core.partition import Partition
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning import drawing
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import model_document
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker.samples import decode_sample, encode_sample, merge_samples
from tests.learning import populations
from tests.reference.row import ACTIVITY_DTYPE
from tests.support.events import engagement, instant, purchase, refund
from tests.support.playing import play

SUMS = dict.fromkeys(MemberSums._fields, 1)
TWO_NUMBERS = base64.b64encode(bytes(16)).decode()  # of 64 bits, and too many of 32
HELD_BY_TWO = {"segments": "AAAAAA==", "previous_segments": "AAAAAA==", "since_ms": TWO_NUMBERS, "kept": "AAAAAA=="}


def assert_equal(sample: PopulationSample, other: PopulationSample) -> None:
    for name in ("tick", "as_of_ms", "population_size", "share"):
        assert getattr(sample, name) == getattr(other, name), name
    assert sample.customer_ids.tolist() == other.customer_ids.tolist()
    assert sample.memberships.keys() == other.memberships.keys()
    for name, held in sample.memberships.items():
        for column, expected in zip(held, other.memberships[name], strict=True):
            assert (column.dtype, column.tolist()) == (expected.dtype, expected.tolist())
    assert sample.members == other.members
    assert sample.activity.dtype == other.activity.dtype
    assert sample.activity.tobytes() == other.activity.tobytes()


def draw_sample(tick: int, n_customers: int, names: tuple[str, ...] = ("value",)) -> PopulationSample:
    """Return so many customers, who all came on the first day."""
    return populations.draw_sample(tick, n_customers, names=names, arrival_days=1.0)


@pytest.fixture
def drawn() -> PopulationSample:
    """A sample as a lane draws it: of customers who buy, return things, look on, and lapse."""
    partition = Partition([LearnedSegmentation(Model(name)) for name in ("value", "habits")])
    events = [purchase(day, customer_id=f"é{day % 9}") for day in range(20)]
    events += [refund(21, 900, "unknown", customer_id="r"), engagement(22, customer_id="v")]
    play(partition, [*events, instant(300)])
    return drawing.SampleDrawer(partition, 8, 0).draw(40, instant(300))


def fixed(sample: PopulationSample, number: int, population_size: int | None = None) -> PopulationSample:
    """Return a sample whose customers are told apart from those of other partitions."""
    ids = np.array([f"{number}-{customer_id}" for customer_id in sample.customer_ids], object)
    return replace(sample, customer_ids=ids, population_size=population_size or len(sample))


def test_sample_comes_back_as_it_was_sent(drawn: PopulationSample) -> None:
    number, sample = decode_sample(encode_sample(drawn, 3))
    assert number == 3
    assert_equal(sample, drawn)


def test_customers_without_a_segment_come_back_without() -> None:
    sent = draw_sample(2, 5)
    held = sent.memberships["value"]
    assert (held.segment == NO_SEGMENT).all()
    held = held._replace(since_ms=np.array([NO_TIME, 0, 1, 2, 3]), previous=np.array([0, 1, 2, 0, 9], np.int16))
    sent = replace(sent, memberships={"value": held})
    assert_equal(decode_sample(encode_sample(sent, 0))[1], sent)


def test_sample_of_nobody_comes_back() -> None:
    nobody = replace(fixed(draw_sample(3, 0), 0), population_size=0)
    assert_equal(decode_sample(encode_sample(nobody, 0))[1], nobody)


def test_sample_keeps_its_contract(drawn: PopulationSample) -> None:
    for sample in (drawn, draw_sample(2, 5), draw_sample(3, 0)):
        document = SampleContract.model_validate_json(encode_sample(sample, 1))
        assert document.customer_ids == sample.customer_ids.tolist()
        assert tuple(type(document.activity).model_fields) == ACTIVITY_DTYPE.names


@pytest.mark.parametrize(
    "change",
    [
        {"tick": "soon"},
        {"customer_ids": ["c1"]},
        {"memberships": {"value": HELD_BY_TWO | {"segments": [None, None]}}},
        {"memberships": {"value": HELD_BY_TWO | {"segments": "AAA="}}},
        {"memberships": {"value": HELD_BY_TWO | {"segments": "//8BAA=="}}},
        {"memberships": {"value": HELD_BY_TWO | {"segments": "AAA"}}},
        {"memberships": {"value": HELD_BY_TWO | {"kept": "AAA="}}},
        {"members": {"value": [{"segment": "s1"}]}},
        {"members": {"value": [SUMS | {"segment": "first"}]}},
        {"as_of": "yesterday"},
        {"share": 0},
        {"share": 1.01},
        {"share": None},
        {"activity": {}},
        {"activity": {"mood": ""}},
        {"activity": dict.fromkeys(ACTIVITY_DTYPE.names, TWO_NUMBERS[:11] + "=")},
        {"activity": {name: [1, 2] for name in ACTIVITY_DTYPE.names}},
        {"activity": dict.fromkeys(ACTIVITY_DTYPE.names, TWO_NUMBERS)},
    ],
    ids=str,
)
def test_what_is_no_sample_is_refused(change: dict[str, object]) -> None:
    document = json.loads(encode_sample(draw_sample(2, 2), 1))
    with pytest.raises(msgspec.ValidationError):
        decode_sample(json.dumps(document | change).encode())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_number_that_is_none_is_refused(value: float) -> None:
    sample = draw_sample(2, 2)
    sample.activity["log_gaps"][1] = value
    with pytest.raises(msgspec.ValidationError, match="log_gaps"):
        decode_sample(encode_sample(sample, 1))


def cut(sample: PopulationSample, rows: Sequence[int], size: int, share: float = 1.0) -> PopulationSample:
    """Return what a partition that has these customers draws."""
    ids, known, rows = sample.customer_ids[list(rows)].tolist(), sample.memberships.items(), list(rows)
    chosen = np.array(rows, np.intp)[drawing.choose(drawing.hash_customers(ids), ids, size, sample.tick, 0, share)]
    return replace(
        sample,
        customer_ids=sample.customer_ids[chosen],
        memberships={name: held.at(chosen) for name, held in sample.memberships.items()},
        activity=sample.activity.take(chosen),
        population_size=len(rows),
        share=share,
        members={name: populations.members_of(sample.activity[rows], held.segment[rows]) for name, held in known},
    )


@pytest.mark.parametrize("partitions", [1, 2, 4, 7])
@pytest.mark.parametrize("size", [1, 30, 200, 500])
def test_merged_sample_does_not_depend_on_how_customers_are_spread(partitions: int, size: int) -> None:
    population = fixed(draw_sample(5, 200), 0)
    held = population.memberships["value"]._replace(segment=np.arange(200, dtype=np.int16) // 3)
    population = replace(population, memberships={"value": held})
    parts = [cut(population, range(number, 200, partitions), size) for number in range(partitions)]
    expected = cut(population, range(200), size)
    assert_equal(merge_samples(parts, size, 0), expected)
    assert_equal(merge_samples(parts[::-1], size, 0), expected)


@pytest.mark.parametrize("partitions", [2, 5, 16, 100])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_merged_sample_does_not_depend_on_it_either_where_partitions_send_a_share(
    partitions: int, share: float
) -> None:
    population = fixed(draw_sample(5, 400), 0)
    drawn = np.random.default_rng(partitions).integers(partitions, size=400)
    drawn[:150] = 0  # one has many more than its part
    parts = [cut(population, np.flatnonzero(drawn == number).tolist(), 40, share) for number in range(partitions)]
    expected = cut(population, range(400), 40, share)
    assert_equal(merge_samples(parts, 40, 0), expected)
    assert sum(map(len, parts)) < 1.5 * 400 * share + 10
    if share > 0.15:  # enough are below it: then it is the sample that everybody would be in
        assert expected.customer_ids.tolist() == cut(population, range(400), 40).customer_ids.tolist()


def test_partitions_that_know_earlier_shares_give_the_sample_of_the_newest() -> None:
    population = fixed(draw_sample(5, 400), 0)
    shares = [1.0, 0.5, 0.2, 0.2]
    parts = [cut(population, range(number, 400, 4), 40, share) for number, share in enumerate(shares)]
    assert_equal(merge_samples(parts, 40, 0), cut(population, range(400), 40, 0.2))


@pytest.mark.parametrize("partitions", [2, 5])
def test_models_do_not_depend_on_how_customers_are_spread(partitions: int) -> None:
    trainers = [Trainer(TrainerSettings(), Model("value")) for _ in range(2)]
    for tick in range(4, 14, 3):
        population = populations.draw_sample(tick, 200, arrival_days=20.0)
        population = fixed(populations.assigned(population, trainers[0].published), 0)
        parts = [cut(population, range(number, 200, partitions), 150) for number in range(partitions)]
        samples = (cut(population, range(200), 150), merge_samples(parts[::-1], 150, 0))
        proposals = [trainer.learn(sample) for trainer, sample in zip(trainers, samples, strict=True)]
        assert proposals[0] is not None
        assert proposals[1] is not None
        assert model_document(proposals[0]) == model_document(proposals[1])


def test_every_customer_is_as_likely_as_any_other_to_be_in_the_merged_sample() -> None:
    times: Counter[str] = Counter()
    drawn = [draw_sample(5, size) for size in (10, 30)]
    for tick in range(300):
        parts = [fixed(replace(sample, tick=tick), len(sample)) for sample in drawn]
        times.update(merge_samples(parts, 20, 0).customer_ids.tolist())
    assert len(times) == 40
    assert all(100 < count < 200 for count in times.values())  # 150 each, give or take six deviations


def test_small_population_is_taken_whole() -> None:
    parts = [fixed(draw_sample(5, size), size) for size in (7, 0, 4)]
    merged = merge_samples(parts, 2_000, 0)
    assert len(merged) == merged.population_size == 11


def test_merged_sample_is_the_same_each_time() -> None:
    parts = [fixed(draw_sample(5, size), size, 10 * size) for size in (50, 20)]
    assert_equal(merge_samples(parts, 30, 7), merge_samples(parts, 30, 7))
    other = merge_samples(parts, 30, 8)
    assert other.customer_ids.tolist() != merge_samples(parts, 30, 7).customer_ids.tolist()


def test_merged_sample_knows_the_segmentations_that_every_partition_knows() -> None:
    parts = [fixed(draw_sample(5, 9, names=names), 0) for names in (("value",), ("value", "habits"))]
    assert list(merge_samples(parts, 18, 0).memberships) == ["value"]


def test_sample_of_nobody_but_empty_partitions_is_empty() -> None:
    nobody = replace(draw_sample(3, 0), population_size=0)
    assert len(merge_samples([nobody, nobody], 100, 0)) == 0
