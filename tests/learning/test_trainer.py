from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.naming import PROTOTYPES
from stream_app.learning.trainer import Trainer, TrainerSettings, expected_churn
from stream_app.segmentations.learned.cold_start import cold_start_model
from stream_app.segmentations.learned.document import model_document, proposal_from_document
from stream_app.segmentations.learned.features import extract_features
from tests.learning.populations import GROUPS, draw_sample, with_memberships
from tests.support.models import score

RULES = cold_start_model("value", hysteresis=0.5, no_return_days=30.0)
OTHER_GROUPS = GROUPS * np.array([4.0, 0.2, 3.0, 0.1, 0.1, 0.3, 0.5, 1.0])
"""A population that lapsed: most customers belong elsewhere."""


def trainer_of(**settings):
    return Trainer(TrainerSettings(**settings), RULES)


def nearest_codes(snapshot, sample):
    return snapshot.roster.codes[:-1][score(snapshot, sample.quantities).argmin(axis=1)]


def assigned(sample, snapshot):
    """Return the sample as it stands once every customer is in the nearest segment."""
    return with_memberships(sample, segment=nearest_codes(snapshot, sample))


def trained(n_ticks=1, **settings):
    trainer = trainer_of(**settings)
    for tick in range(n_ticks):
        trainer.learn(assigned(draw_sample(tick), trainer.published))
    return trainer


def moved_sample(trainer, tick):
    """Return customers of another population whose segments are still those of the first."""
    before = draw_sample(tick)
    codes = nearest_codes(trainer.published, before)
    return draw_sample(tick, groups=OTHER_GROUPS, segment_codes=codes)


def test_no_model_is_learned_from_too_few_customers():
    assert trainer_of().learn(draw_sample(n_customers=7 * 25 - 1)) is None
    assert trainer_of().learn(draw_sample(n_customers=7 * 25)) is not None


def test_plain_features_make_do_with_six_segments():
    trainer = trainer_of(feature_set="plain")
    assert trainer.learn(draw_sample(n_customers=6 * 25 - 1)) is None
    assert len(trainer.learn(draw_sample(1, n_customers=6 * 25)).model.segments) == 6
    assert len(trained(feature_set="activity").published.segments) == 7
    assert len(trained(feature_set="plain", n_clusters=4).published.segments) == 4


@pytest.mark.parametrize(("longest_days", "learns"), [(89.9, False), (90.0, True)])
def test_no_model_is_learned_from_a_young_population(longest_days, learns):
    sample = draw_sample()
    tenure = sample.quantities.tenure_days
    young = replace(sample, quantities=sample.quantities._replace(tenure_days=tenure * longest_days / tenure.max()))
    young.quantities.tenure_days[tenure.argmax()] = longest_days
    assert (trainer_of().learn(young) is not None) == learns


def test_empty_sample_is_passed_over():
    assert trainer_of().learn(draw_sample(n_customers=0)) is None


def test_rules_without_a_learned_successor_are_retired_under_their_names():
    snapshot = trained().published
    kept = {segment.code for segment in snapshot.segments}
    assert {segment.code for segment in RULES.segments} - kept == {
        segment.code for segment in snapshot.retired_segments
    }
    assert {s.code: s.name for s in RULES.segments}.items() <= (
        {code: segment.name for code, segment in snapshot.roster.by_code.items()}.items()
    )
    # They stay known under all later models.
    assert set(snapshot.roster.by_code) <= set(trained(3).published.roster.by_code)


def test_first_model_is_published_whatever_it_moves():
    trainer = trainer_of(max_expected_churn=0.0)
    proposal = trainer.learn(assigned(draw_sample(), RULES))
    assert not proposal.held
    assert proposal.model.expected_churn > 0
    assert proposal.model.version == 1
    assert trainer.published is proposal.model


def test_first_model_shares_codes_with_rules_of_the_same_name():
    segments = trained().published.segments
    rules = {segment.name: segment.code for segment in RULES.segments}
    names = {segment.name: segment.code for segment in segments}
    assert set(names) <= set(PROTOTYPES)
    shared = names.keys() & rules.keys()
    assert len(shared) >= 4
    assert all(names[name] == rules[name] for name in shared)
    fresh = sorted(names[name] for name in names.keys() - rules.keys())
    assert fresh == list(range(7, 7 + len(fresh)))


def test_known_groups_are_named_as_a_marketer_would():
    trainer = trained()
    typical = draw_sample(spread=0.01, n_customers=2000)
    names = {segment.code: segment.name for segment in trainer.published.segments}
    named = [names[code] for code in nearest_codes(trainer.published, typical)]
    by_recency = typical.quantities.recency_days
    lapsed = {name for name, days in zip(named, by_recency, strict=True) if days > 150}
    best = {name for name, orders in zip(named, typical.quantities.orders, strict=True) if orders > 8}
    assert lapsed == {"Lost"}
    assert best == {"Champions"}


def test_snapshot_carries_settings_and_training_figures():
    snapshot = trained(hysteresis=0.3, no_return_days=12.0, seed=5, segmentation="value").published
    assert (snapshot.hysteresis, snapshot.no_return_days, snapshot.name) == (0.3, 12.0, "value")
    assert snapshot.as_of_ms == draw_sample().as_of_ms
    assert set(snapshot.training) == {
        "algorithm", "sample_size", "inertia", "step", "challenger_adopted", "seed"
    }  # fmt: skip
    assert (snapshot.training["algorithm"], snapshot.training["seed"]) == ("resampled-kmeans", 5)


def test_profiles_describe_the_sample():
    sample = draw_sample()
    proposal = trainer_of(minor_per_major=1000).learn(sample)
    assert sum(profile.share for profile in proposal.profiles) == pytest.approx(1.0)
    orders = sum(profile.share * profile.orders_90d for profile in proposal.profiles)
    assert orders == pytest.approx(sample.quantities.orders.mean())
    revenue = sum(profile.share * profile.revenue_90d for profile in proposal.profiles)
    assert revenue == pytest.approx(sample.quantities.revenue_minor.mean() / 1000)


# River's own clusterers move more, but far fewer customers keep their segment by chance: one in seven.
@pytest.mark.parametrize(
    ("algorithm", "share_kept"), [("resampled-kmeans", 0.9), ("river-kmeans", 0.4), ("river-streamkmeans", 0.4)]
)
def test_identities_outlive_models(algorithm, share_kept):
    trainer = trained(1, algorithm=algorithm, max_expected_churn=1.0)
    first = trainer.published
    for tick in (1, 2, 3):
        trainer.learn(assigned(draw_sample(tick), trainer.published))
    assert trainer.published.version == 4
    typical = draw_sample(99)
    kept = nearest_codes(first, typical) == nearest_codes(trainer.published, typical)
    assert kept.mean() > share_kept


def test_steady_population_is_hardly_moved():
    trainer = trained(2)
    proposal = trainer.learn(assigned(draw_sample(2), trainer.published))
    assert not proposal.held
    assert proposal.model.expected_churn < 0.02
    assert {s.code: s.name for s in trained(1).published.segments} == {s.code: s.name for s in proposal.model.segments}


def test_drift_is_told_from_the_second_model_on():
    trainer = trainer_of(max_expected_churn=1.0)
    assert trainer.learn(draw_sample(0)).drift is None
    steady = trainer.learn(draw_sample(1)).drift
    assert list(steady.psi) == ["inactivity", "expected_orders", "expected_revenue", "expected_engaged_days"]
    assert max(steady.psi.values()) < 0.1
    assert steady.centroid_shift < 0.2
    moved = trainer.learn(draw_sample(2, groups=OTHER_GROUPS)).drift
    assert max(moved.psi.values()) > 0.25
    assert moved.centroid_shift > steady.centroid_shift


def test_model_that_moves_too_many_is_held_and_not_followed():
    trainer = trained(2)
    published = trainer.published
    proposal = trainer.learn(moved_sample(trainer, 2))
    assert proposal.held
    assert proposal.model.expected_churn > 0.25
    assert proposal.model.version == published.version + 1
    assert trainer.published is published


def test_model_proposed_again_is_published():
    trainer = trained(2)
    first = trainer.learn(moved_sample(trainer, 2))
    again = trainer.learn(moved_sample(trainer, 3))
    assert (first.held, again.held) == (True, False)
    assert trainer.published is again.model
    assert again.model.expected_churn > 0.25
    # The next one that moves too many is held anew.
    back = draw_sample(4, segment_codes=nearest_codes(trainer.published, moved_sample(trainer, 4)))
    trainer.published = replace(trainer.published, hysteresis=0.0)
    assert trainer.learn(back).held


def test_models_are_held_for_as_many_ticks_as_told():
    trainer = trained(2, held_ticks_max=4)
    published = trainer.published
    assert all(trainer.learn(moved_sample(trainer, tick)).held for tick in (2, 3, 4, 5))
    assert trainer.published is published
    assert not trainer.learn(moved_sample(trainer, 6)).held


def test_later_model_may_pass_while_one_is_held():
    trainer = trained(2, held_ticks_max=10)
    held = trainer.learn(moved_sample(trainer, 2))
    # The population is its old self again, and the learner finds back to it.
    later = [trainer.learn(assigned(draw_sample(tick), trainer.published)) for tick in range(3, 9)]
    passed = next(proposal for proposal in later if not proposal.held)
    assert passed.model.version == held.model.version


def test_sample_delivered_twice_is_learned_once():
    trainer = trained(2)
    state = trainer.state()
    assert trainer.learn(draw_sample(1)) is None
    assert trainer.learn(draw_sample(0)) is None
    assert trainer.state() == state


def test_sample_of_customers_who_are_not_yet_divided_by_the_segmentation_is_passed_over():
    trainer = trained(2)
    state = trainer.state()
    elsewhere = draw_sample(2)
    other = replace(elsewhere, memberships={"service": elsewhere.memberships["value"]})
    assert trainer.learn(other) is None
    assert trainer.state() == state
    assert trainer.learn(assigned(elsewhere, trainer.published)) is not None


def test_no_model_where_the_algorithm_finds_none():
    # CluStream groups nothing before its hundredth row.
    trainer = trainer_of(algorithm="river-clustream", n_clusters=2)
    assert trainer.learn(draw_sample(n_customers=60)) is None
    assert trainer.published is RULES


def through_json(trainer, settings=None):
    state = json.loads(json.dumps(trainer.state(), allow_nan=False))
    return Trainer.restore(settings or trainer.settings, state)


@pytest.mark.parametrize(
    ("algorithm", "n_ticks"),
    [
        ("resampled-kmeans", 0),
        ("resampled-kmeans", 1),
        ("resampled-kmeans", 4),
        ("river-kmeans", 2),
        ("river-streamkmeans", 2),
        ("river-clustream", 1),
    ],
)
def test_restored_trainer_proposes_what_the_other_would_have(algorithm, n_ticks):
    trainer = trainer_of(algorithm=algorithm, seed=3)
    for tick in range(n_ticks):
        trainer.learn(assigned(draw_sample(tick, n_customers=200), trainer.published))
    restored = through_json(trainer)
    sample = assigned(draw_sample(5, seed=1, n_customers=200), trainer.published)
    proposals = [each.learn(sample) for each in (trainer, restored)]
    assert model_document(proposals[0]) == model_document(proposals[1])
    assert restored.state() == trainer.state()


def test_restored_trainer_knows_how_often_it_has_held():
    trainer = trained(2)
    assert trainer.learn(moved_sample(trainer, 2)).held
    assert not through_json(trainer).learn(moved_sample(trainer, 3)).held


def test_document_of_a_learned_model_gives_it_back():
    trainer = trained(1)
    proposal = trainer.learn(assigned(draw_sample(1), trainer.published))
    document = json.loads(json.dumps(model_document(proposal)))
    assert model_document(proposal_from_document(document)) == document


def test_more_clusters_after_a_restart_keep_identities_and_add_fresh_ones():
    trainer = trained(2)
    restored = through_json(trainer, TrainerSettings(n_clusters=9, max_expected_churn=1.0))
    before = {segment.code for segment in trainer.published.segments}
    after = restored.learn(assigned(draw_sample(2), trainer.published)).model.segments
    assert before < {segment.code for segment in after}
    assert len({segment.name for segment in after}) == 9
    assert min({segment.code for segment in after} - before) > max(before)


def test_changed_feature_set_keeps_identities_by_name():
    trainer = trained(2, feature_set="activity")
    restored = through_json(trainer, TrainerSettings(feature_set="plain", max_expected_churn=1.0))
    proposal = restored.learn(assigned(draw_sample(2), trainer.published))
    assert proposal.drift is None
    assert proposal.model.parameters.feature_set == "plain"
    before = {segment.name: segment.code for segment in trainer.published.segments}
    after = {segment.name: segment.code for segment in proposal.model.segments}
    assert len(before.keys() & after.keys()) >= 5
    assert all(after[name] == before[name] for name in before.keys() & after.keys())


def without_engagement(sample):
    nothing = np.zeros(len(sample))
    return replace(sample, quantities=sample.quantities._replace(engagement=nothing, engaged_days=nothing))


def test_feature_set_is_chosen_once():
    trainer = trainer_of(feature_set="auto", max_expected_churn=1.0)
    assert trainer.learn(without_engagement(draw_sample(0))).model.parameters.feature_set == "plain"
    restored = through_json(trainer)
    assert restored.learn(draw_sample(1)).model.parameters.feature_set == "plain"


def test_plain_features_count_money_in_major_units():
    snapshot = trained(feature_set="plain", minor_per_major=1000).published
    assert snapshot.parameters.order_value_minor == 1000.0


def test_model_without_a_reference_sample_has_no_drift():
    # A trainer that lost its state starts from the last published model.
    trainer = Trainer(TrainerSettings(feature_set="activity", max_expected_churn=1.0), trained(2).published)
    proposal = trainer.learn(draw_sample(2))
    assert proposal.model.version == 3
    assert proposal.drift is None


def churn_of(model, features, sample):
    return expected_churn(model, features, sample.memberships["value"], sample.as_of_ms)


def test_unassigned_customers_forecast_no_churn():
    sample = draw_sample()
    snapshot = trained().published
    features = extract_features(sample.quantities, snapshot.parameters)
    assert churn_of(snapshot, features, sample) is None
    codes = nearest_codes(snapshot, sample)
    codes[:300] = NO_SEGMENT
    assert churn_of(snapshot, features, with_memberships(sample, segment=codes)) == 0.0


def test_customers_of_an_abandoned_segment_count_as_churn():
    sample = draw_sample()
    snapshot = trained().published
    codes = nearest_codes(snapshot, sample)
    codes[:70] = 999
    features = extract_features(sample.quantities, snapshot.parameters)
    assert churn_of(snapshot, features, with_memberships(sample, segment=codes)) == pytest.approx(0.1)


def test_customers_barred_from_returning_are_no_churn():
    snapshot = trained().published
    sample = draw_sample()
    nearest = nearest_codes(snapshot, sample)
    elsewhere = np.roll(snapshot.roster.codes[:-1], 1)[snapshot.roster.index_of_code[nearest]]
    features = extract_features(sample.quantities, snapshot.parameters)
    moving = with_memberships(sample, segment=elsewhere, since_ms=np.full(len(sample), sample.as_of_ms - 1))
    barred = with_memberships(moving, previous=nearest)
    assert churn_of(snapshot, features, moving) > 0.9
    assert churn_of(snapshot, features, barred) == 0.0
