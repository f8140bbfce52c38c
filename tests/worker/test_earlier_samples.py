"""Samples of an earlier release, as a rolling update leaves them on the topic."""

from __future__ import annotations

import json

import msgspec
import pytest

from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import model_document
from stream_app.segmentations.learned.model import Model
from stream_app.worker.samples import decode_sample, encode_sample, merge_samples
from tests.learning.populations import draw_sample

EARLIER = {
    "tick": 2838,
    "as_of": "2024-05-23T00:00:00.000Z",
    "partition": 3,
    "population_size": 1250,
    "customer_ids": ["c-42", "c-7"],
    "memberships": {"value": {"segments": ["s1", "s6"], "previous_segments": [None, "s2"], "since": [None, None]}},
    "quantities": {"recency_days": [4.0, 83.5], "orders": [2.1, -0.4]},
}


def test_partition_under_an_earlier_release_has_come_to_the_tick_and_shows_nobody() -> None:
    partition, sample = decode_sample(json.dumps(EARLIER).encode())
    assert (partition, sample.tick, sample.population_size, len(sample)) == (3, 2838, 0, 0)


def test_others_are_learned_from_beside_it() -> None:
    _, earlier = decode_sample(json.dumps(EARLIER).encode())
    _, present = decode_sample(encode_sample(draw_sample(2838, 50), 0))
    merged = merge_samples([earlier, present], 40, 0)
    assert (len(merged), merged.population_size, list(merged.memberships)) == (40, present.population_size, ["value"])


def test_members_are_unknown_where_those_of_a_partition_are() -> None:
    samples = [decode_sample(value)[1] for value in (json.dumps(EARLIER).encode(), encode_sample(draw_sample(2838), 0))]
    merged = merge_samples(samples, 400, 0)
    assert merged.members == {}
    proposal = Trainer(TrainerSettings(), Model("value")).learn(merged)
    assert proposal is not None
    assert proposal.members is None
    assert [segment["members"] for segment in model_document(proposal)["segments"]] == [None] * 12


@pytest.mark.parametrize("lacking", ["tick", "quantities", "memberships"])
def test_what_is_a_sample_of_no_release_is_refused(lacking: str) -> None:
    record = {name: value for name, value in EARLIER.items() if name != lacking}
    with pytest.raises(msgspec.ValidationError):
        decode_sample(json.dumps(record).encode())
