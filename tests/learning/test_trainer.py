from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.segments import Segment
from stream_app.learning.drift import FIGURES
from stream_app.learning.population import CUSTOMERS_MIN, ENGAGEMENT_STEP, NEW_DAYS_RANGE
from stream_app.learning.publishing import STEPS, differs
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import ModelProposal, model_document, model_from_document
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.roles import KEYS, REGULAR
from tests.learning.populations import EQUALS, SHOP, Group, assigned, draw_sample
from tests.learning.test_centres import assert_in_order

FIRST = Model("value")
WEEKLY_BUYERS = (Group(7.0, 1e9, 3000.0, 1e9),)
VISITORS = (Group(20.0, 2.0, 3000.0, 1e9),)


def weeks(trainer: Trainer, first: int, last: int, groups=SHOP, n_customers: int = 300, **how) -> list[ModelProposal]:
    """Let a trainer learn from each of some weeks, and everybody be where the version in force puts them."""
    proposals = []
    for tick in range(first, last):
        sample = draw_sample(tick, n_customers, groups, **how)
        if len(sample):
            proposals.append(trainer.learn(assigned(sample, trainer.published)))
    return [proposal for proposal in proposals if proposal is not None]


def trained(last: int = 24, groups=SHOP, **settings) -> Trainer:
    trainer = Trainer(TrainerSettings(**settings), FIRST)
    weeks(trainer, 1, last, groups)
    return trainer


def documents(proposals: list[ModelProposal]) -> list[dict]:
    return [model_document(proposal) for proposal in proposals]


def test_learning_begins_with_the_first_customers():
    trainer = Trainer(TrainerSettings(), FIRST)
    first = weeks(trainer, 2, 3)[0].model
    assert first.version == 1
    assert first.previous is FIRST.frame
    assert first.frame.engagement_weight == 1
    assert first.training["active_customers"] == 0
    assert first.frame.centres.tolist() == FIRST.frame.centres.tolist()


def test_roles_are_learned_once_enough_customers_are_active():
    trainer = Trainer(TrainerSettings(), FIRST)
    for proposal in weeks(trainer, 1, 14):
        active = proposal.model.training["active_customers"]
        moved = (proposal.model.frame.centres != proposal.model.previous.centres).any()
        assert active == 0 or active >= CUSTOMERS_MIN
        assert moved == (active > 0 and proposal.model.training["step"] > 0)
    assert active > 0


def test_model_says_how_it_was_learned_and_what_it_follows():
    trainer = trained(20)
    before = trainer.published
    proposal = weeks(trainer, 20, 21)[0]
    model = proposal.model
    assert trainer.published is model
    assert (model.version, model.previous) == (before.version + 1, before.frame)
    assert model.as_of_ms == draw_sample(20).as_of_ms
    assert model.training == {
        "algorithm": "role-centres",
        "sample_size": 300,
        "active_customers": model.training["active_customers"],
        "step": model.training["step"],
        "open_roles": int(model.frame.admits.sum()),
        "seed": 0,
    }
    assert model.training["step"] in STEPS
    assert 0 < model.training["active_customers"] < 300
    assert set(proposal.drift.psi) == set(FIGURES)
    assert set(proposal.drift.roles) == {KEYS[role] for role in np.flatnonzero(model.frame.admits)}
    assert model_from_document(json.loads(json.dumps(model_document(proposal)))).frame.centres.tolist() == (
        model.frame.centres.tolist()
    )


def test_thresholds_and_names_go_on():
    initial = replace(FIRST, names={"vip": "Friends"}, actions={"lost": "Leave"}, thresholds=FIRST.thresholds)
    trainer = Trainer(TrainerSettings(), initial)
    model = weeks(trainer, 6, 7)[0].model
    assert (model.names, model.actions, model.thresholds) == (initial.names, initial.actions, initial.thresholds)


def test_known_behaviour_is_found():
    frame = trained(40, WEEKLY_BUYERS).published.frame
    assert np.exp(frame.rhythm.log_gap) == pytest.approx(7 * np.exp(-0.5772), rel=0.25)
    assert frame.order_value_minor == pytest.approx(3000, rel=0.05)
    assert np.exp(frame.centres[REGULAR, 0]) == pytest.approx(1 / 7, rel=0.15)
    assert frame.new_days == pytest.approx(NEW_DAYS_RANGE[0], abs=0.1)
    assert not frame.counts_engagement


def test_slow_shops_customers_are_new_for_longer():
    frame = trained(50, (Group(60.0, 1e9, 3000.0, 1e9),)).published.frame
    low, high = NEW_DAYS_RANGE
    assert low + 5 < frame.new_days <= high


def test_equals_are_not_cut_up():
    frame = trained(50, EQUALS).published.frame
    assert np.flatnonzero(frame.admits).tolist() == [REGULAR]


def test_roles_of_a_varied_shop_stay_open():
    frame = trained(50).published.frame
    assert {"regular", "occasional", "browsers", "big_spenders", "champions"} <= {
        KEYS[role] for role in np.flatnonzero(frame.admits)
    }


@pytest.mark.parametrize("groups", [SHOP, EQUALS, WEEKLY_BUYERS, VISITORS])
def test_every_model_keeps_within_its_bound_and_its_roles_in_order(groups):
    trainer = Trainer(TrainerSettings(), FIRST)
    for proposal in weeks(trainer, 1, 40, groups):
        first_value_known = proposal.model.previous.order_value_minor is None
        assert proposal.model.expected_churn <= (0.05 if first_value_known else 0.02)
        assert not proposal.held
        assert_in_order(proposal.model.frame.centres)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.1), st.integers(1, 30), st.booleans())
def test_models_of_random_populations_keep_within_their_bound_and_in_order(seed, limit, start, jumps):
    rng = np.random.default_rng(seed)
    populations = [
        tuple(Group(*np.exp(rng.uniform((1, 0, 6, 0), (5, 6, 10, 6))).tolist()) for _ in range(rng.integers(1, 5)))
        for _ in range(2)
    ]
    trainer = Trainer(TrainerSettings(max_publish_churn=limit), Model("value", frame=Frame(order_value_minor=900.0)))
    for tick in range(start, start + 12):
        groups = populations[tick % 2 if jumps else 0]
        sample = draw_sample(tick, 100, groups, seed=seed % 7)
        if not len(sample):
            continue
        proposal = trainer.learn(assigned(sample, trainer.published))
        if proposal is not None:
            assert proposal.model.expected_churn <= limit
            assert_in_order(proposal.model.frame.centres)


def test_population_that_changes_is_followed_in_bounded_steps():
    trainer = trained(20, (Group(40.0, 1e9, 3000.0, 1e9), Group(80.0, 1e9, 3000.0, 1e9)))
    before = trainer.published.frame
    proposals = weeks(trainer, 20, 45, (Group(5.0, 1e9, 3000.0, 1e9), Group(10.0, 1e9, 3000.0, 1e9)))
    assert max(proposal.model.expected_churn for proposal in proposals) <= 0.02
    assert min(proposal.model.training["step"] for proposal in proposals) < 1
    assert trainer.published.frame.centres[REGULAR, 0] > before.centres[REGULAR, 0] + 1


def test_engagement_comes_and_goes_by_small_steps():
    trainer = trained(20, WEEKLY_BUYERS)
    assert trainer.published.frame.engagement_weight == 0
    rising = [proposal.model.frame.engagement_weight for proposal in weeks(trainer, 20, 34, VISITORS)]
    falling = [proposal.model.frame.engagement_weight for proposal in weeks(trainer, 34, 48, WEEKLY_BUYERS)]
    for weights in ([0.0, *rising], [rising[-1], *falling]):
        assert np.abs(np.diff(weights)).max() <= ENGAGEMENT_STEP + 1e-9
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert rising[0] > 0


def test_empty_sample_is_passed_over():
    trainer = trained(6)
    assert trainer.learn(draw_sample(0)) is None
    empty = draw_sample(0)
    nobody = PopulationSample(
        tick=99,
        as_of_ms=empty.as_of_ms,
        customer_ids=empty.customer_ids[:0],
        memberships={"value": empty.memberships["value"].at(np.arange(0))},
        activity=empty.activity[:0],
        population_size=0,
        members={"value": {}},
    )
    assert trainer.learn(nobody) is None


def test_tick_is_learned_once():
    trainer = trained(12)
    state = trainer.state()
    for tick in (11, 5):
        assert trainer.learn(assigned(draw_sample(tick, 300), trainer.published)) is None
    assert trainer.state() == state


def test_sample_of_other_segmentations_is_left_alone():
    trainer = trained(12)
    state = trainer.state()
    assert trainer.learn(draw_sample(20, 300, names=("habits",))) is None
    assert trainer.state() == state


def test_nothing_is_published_where_nothing_changes():
    trainer = Trainer(TrainerSettings(), FIRST)
    once = draw_sample(1, 5, (Group(1000.0, 1e9, 3000.0, 1.0),), arrival_days=5.0)
    assert trainer.learn(assigned(once, FIRST)) is None
    assert trainer.published is FIRST


def test_customers_in_no_segment_make_no_forecast():
    proposal = Trainer(TrainerSettings(), FIRST).learn(draw_sample(20))
    assert proposal is not None
    assert proposal.model.expected_churn is None


def test_same_samples_make_the_same_models():
    one, other = (weeks(Trainer(TrainerSettings(), FIRST), 1, 20) for _ in range(2))
    assert documents(one) == documents(other)


@pytest.mark.parametrize("algorithm", ["role-centres", "river-kmeans", "river-streamkmeans", "river-clustream"])
def test_trainer_restored_at_every_tick_is_one_that_goes_on(algorithm):
    going_on = Trainer(TrainerSettings(algorithm=algorithm, seed=3), FIRST)
    state = going_on.state()
    for tick in range(4, 24, 2):
        sample = assigned(draw_sample(tick, 200), going_on.published)
        restored = Trainer.restore(going_on.settings, json.loads(json.dumps(state)))
        proposals = [trainer.learn(sample) for trainer in (going_on, restored)]
        assert documents([each for each in proposals if each]) == 2 * documents([proposals[0]] if proposals[0] else [])
        state = restored.state()
        assert state == going_on.state()


def test_centres_that_an_algorithm_fails_to_find_leave_the_present_ones():
    trainer = Trainer(TrainerSettings(algorithm="river-clustream"), FIRST)
    refused = None
    for tick in range(5, 12):
        before = trainer.published.frame.centres
        proposal = trainer.learn(assigned(draw_sample(tick, 300), trainer.published))
        if trainer.refusal is not None:
            refused = proposal
            assert proposal.model.frame.centres.tolist() == before.tolist()
            assert proposal.model.training["refusal"] == trainer.refusal
            break
    assert refused is not None
    assert "expected" in trainer.refusal
    trainer.learn(draw_sample(tick))
    assert trainer.refusal is None


def test_members_are_those_of_the_whole_population_before_the_model_takes_over():
    trainer = Trainer(TrainerSettings(minor_per_major=1), FIRST)
    sample = assigned(draw_sample(12, 300), FIRST)
    proposal = trainer.learn(sample)
    assert proposal.members.keys() >= sample.members["value"].keys()
    days = sample.as_of_ms / DAY_MS
    for code, members in proposal.members.items():
        own = sample.memberships["value"].segment == code
        assert members.customers == np.count_nonzero(own)
        assert members.revenue == sample.activity["revenue_minor"][own].sum()
        if members.customers:
            tenure_days = days - sample.activity["first_at_ms"][own].mean() / DAY_MS
            assert members.tenure_days == pytest.approx(tenure_days, abs=0.06)
    assert sum(members.share for members in proposal.members.values()) == pytest.approx(1)


def test_members_of_retired_segments_count_in_the_shares_of_the_others():
    sample = assigned(draw_sample(12, 300), FIRST)
    (code, sums), *_ = sample.members["value"].items()
    sample = replace(sample, members={"value": {77: sums, code: sums}})
    proposal = Trainer(TrainerSettings(), FIRST).learn(sample)
    assert proposal.members[code].share == proposal.members[77].share == 0.5
    assert [segment["members"]["share"] for segment in model_document(proposal)["segments"]].count(0.5) == 1


def test_sample_of_an_earlier_release_which_counted_no_members_gives_none():
    proposal = Trainer(TrainerSettings(), FIRST).learn(replace(draw_sample(20), members={}))
    assert proposal.members is None


def test_drift_is_told_against_the_last_published_model():
    trainer = Trainer(TrainerSettings(), FIRST)
    proposals = weeks(trainer, 6, 9)
    assert proposals[0].drift is None
    assert all(proposal.drift is not None for proposal in proposals[1:])
    changed = assigned(draw_sample(9, 300, WEEKLY_BUYERS), trainer.published)
    assert trainer.learn(changed).drift.psi["engagement_rate"] > 0.25


def test_no_drift_of_roles_is_told_as_long_as_none_are_learned():
    trainer = Trainer(TrainerSettings(), FIRST)
    assert weeks(trainer, 1, 3, n_customers=200)[-1].drift.roles == {}


def test_models_after_the_first_wait_for_approval_where_it_is_manual():
    trainer = Trainer(TrainerSettings(approval="manual"), FIRST)
    proposals = weeks(trainer, 5, 12)
    assert [proposal.held for proposal in proposals] == [False] + [True] * (len(proposals) - 1)
    assert trainer.published is proposals[0].model
    assert {proposal.model.version for proposal in proposals[1:]} == {2}
    assert all(proposal.model.previous is trainer.published.frame for proposal in proposals[1:])


def test_version_that_another_published_is_gone_on_from():
    trainer = trained(10)
    configured = replace(trainer.published, version=trainer.published.version + 1, names={"vip": "Friends"})
    trainer.follow(configured)
    assert trainer.published is configured
    trainer.follow(replace(configured, names={}))
    assert trainer.published is configured
    model = weeks(trainer, 10, 11)[0].model
    assert (model.version, model.names) == (configured.version + 1, {"vip": "Friends"})


FORMER_STATE = {
    "algorithm": "resampled-kmeans",
    "n_clusters": 2,
    "wanted_feature_set": "auto",
    "feature_set": "activity",
    "last_tick": 12,
    "next_code": 9,
    "held_ticks": 0,
    "published": {
        "segmentation": "value",
        "version": 7,
        "status": "published",
        "as_of": "2024-03-04T00:00:00.000Z",
        "segments": [{"id": "s1", "name": "Champions"}, {"id": "s8", "name": "Loyal 2"}],
        "retired_segments": [{"id": "s7", "name": "Potential (former)"}],
    },
    "reference": {"edges": [[1.0]], "shares": [[0.5, 0.5]]},
    "parameters": {"prior_gap_days": 30.0},
    "learner": {"centroids": None},
}
"""What an earlier release wrote, whose segments were clusters."""


def test_state_of_clusters_is_taken_for_version_segments_and_ticks():
    trainer = Trainer.restore(TrainerSettings(), json.loads(json.dumps(FORMER_STATE)))
    assert trainer.published.version == 7
    assert set(trainer.published.retired_segments) == {Segment(8, "Loyal 2"), Segment(7, "Potential (former)")}
    assert not differs(trainer.published.frame, Frame())
    assert trainer.learn(draw_sample(12)) is None
    sample = draw_sample(13)
    clusters = np.where(np.arange(len(sample)) % 2, 8, 1).astype(np.int16)
    held = sample.memberships["value"]._replace(segment=clusters, since_ms=np.full(len(sample), NO_TIME + DAY_MS))
    proposal = trainer.learn(replace(sample, memberships={"value": held}))
    assert (proposal.model.version, proposal.drift) == (8, None)
    assert {segment.code for segment in proposal.model.retired_segments} == {7, 8}
    assert Trainer.restore(TrainerSettings(), trainer.state()).state() == trainer.state()
