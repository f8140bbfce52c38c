"""An operator's decisions on a trainer's models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stream_app.errors import DecisionRefused
from stream_app.learning.publishing import differs
from stream_app.learning.releases import RELEASES_MAX
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import ModelProposal, model_document, proposal_from_document
from stream_app.segmentations.learned.model import Model
from tests.learning.populations import assigned, draw_sample

FIRST = Model("value")
MANUAL = TrainerSettings(approval="manual")


def sample_of(trainer: Trainer, tick: int) -> PopulationSample:
    return assigned(draw_sample(tick, 120), trainer.published)


def learn(trainer: Trainer, *ticks: int) -> ModelProposal:
    """Let a trainer learn ticks; return what it proposed last."""
    proposal = None
    for tick in ticks:
        proposal = trainer.learn(sample_of(trainer, tick)) or proposal
    assert proposal is not None
    return proposal


def held(settings: TrainerSettings = MANUAL) -> Trainer:
    """Return a trainer whose second version waits."""
    trainer = Trainer(settings, FIRST)
    assert not learn(trainer, 4).held
    assert learn(trainer, 5, 6).held
    return trainer


def restored(trainer: Trainer) -> Trainer:
    return Trainer.restore(trainer.settings, json.loads(json.dumps(trainer.state())))


def versions(trainer: Trainer) -> list[int]:
    return [release.version for release in trainer.releases]


@pytest.mark.parametrize("again", [False, True], ids=["at once", "restored"])
def test_model_that_is_approved_is_published_as_it_was_proposed(again: bool) -> None:
    trainer = held()
    waiting = trainer.releases.held
    trainer = restored(trainer) if again else trainer
    assert waiting is not None
    approved = trainer.approve(2, waiting.proposal.model.as_of_ms)
    assert model_document(approved) == model_document(waiting.proposal) | {"status": "published"}
    assert trainer.published.version == 2
    assert trainer.releases.held is None
    assert versions(trainer) == [0, 1, 2]
    drift = learn(trainer, 7).drift
    assert drift is not None
    assert drift.psi["order_rate"] < 0.2, "against the sample of the approved model, not of the one before"


def test_model_that_is_rejected_is_gone_and_the_next_tick_proposes_anew() -> None:
    trainer = held()
    rejected = trainer.reject(2)
    assert model_document(rejected)["status"] == "rejected"
    assert proposal_from_document(model_document(rejected)).rejected
    assert proposal_from_document(model_document(rejected)).held
    with pytest.raises(DecisionRefused, match="version 2 is not held: no model waits"):
        trainer.approve(2)
    assert trainer.published.version == 1
    proposal = learn(trainer, 7)
    assert (proposal.held, proposal.model.version) == (True, 2)


def test_decision_on_a_version_that_is_not_held_is_refused() -> None:
    trainer = held()
    with pytest.raises(DecisionRefused, match="version 3 is not held: the model that waits is version 2"):
        trainer.approve(3)
    with pytest.raises(DecisionRefused, match="version 1 is not held: the model that waits is version 2"):
        trainer.reject(1)


def test_decision_on_a_model_whose_place_another_has_taken_is_refused() -> None:
    trainer = held()
    seen = trainer.releases.held
    assert seen is not None
    learn(trainer, 7)
    for decide in (trainer.approve, trainer.reject):
        with pytest.raises(DecisionRefused, match="is no longer held: the one that waits was learned at"):
            decide(2, seen.proposal.model.as_of_ms)
    assert trainer.approve(2).model.version == 2


def test_pinned_version_stays_and_what_is_learned_is_held_back() -> None:
    trainer = Trainer(TrainerSettings(), FIRST)
    learn(trainer, 4, 5)
    assert trainer.pin(2) is None
    trainer = restored(trainer)
    assert trainer.releases.pinned == 2
    proposal = learn(trainer, 6, 7)
    assert (proposal.held, proposal.model.version, trainer.published.version) == (True, 3, 2)
    with pytest.raises(DecisionRefused, match="version 2 is pinned, and no other is published until it is unpinned"):
        trainer.approve(3)
    trainer.unpin()
    with pytest.raises(DecisionRefused, match="no version is pinned"):
        trainer.unpin()
    assert not learn(trainer, 8).held
    assert trainer.published.version == 3
    assert trainer.releases.held is None


def test_earlier_version_that_is_pinned_comes_back_as_the_next_one() -> None:
    trainer = held()
    trainer.approve(2)
    learn(trainer, 7)
    second = trainer.published
    trainer.follow(replace(second, version=3, names={"vip": "Friends"}))
    learn(trainer, 8)
    trainer = restored(trainer)
    proposal = trainer.pin(1)
    assert proposal is not None
    model = proposal.model
    first = next(release for release in trainer.releases if release.version == 1)
    assert (model.version, model.names, model.as_of_ms) == (4, {"vip": "Friends"}, first.as_of_ms)
    assert model.previous is not None
    assert not differs(model.frame, first.frame)
    assert not differs(model.previous, second.frame)
    assert model.training == {"republished_version": 1}
    assert not proposal.held
    assert trainer.releases.held is None, "its version is taken"
    assert trainer.pin(1) is None
    assert trainer.pin(2) is not None, "one pin takes the place of another"
    assert (trainer.releases.pinned, trainer.published.version) == (2, 5)


def test_last_published_frames_are_kept_to_choose_from() -> None:
    trainer = Trainer(TrainerSettings(), FIRST)
    learn(trainer, *range(4, 22))
    newest = trainer.published.version
    assert versions(restored(trainer)) == versions(trainer) == list(range(newest - RELEASES_MAX + 1, newest + 1))
    with pytest.raises(DecisionRefused, match="version 1 is not among the published ones that are kept, which are"):
        trainer.pin(1)
    assert trainer.releases.pinned is None


def test_version_that_another_publishes_takes_that_of_the_held_one() -> None:
    trainer = held()
    changed = replace(trainer.published, version=2, names={"vip": "Friends"})
    trainer.follow(changed)
    assert trainer.releases.held is None
    assert versions(trainer) == [0, 1, 2]
    proposal = learn(trainer, 7)
    assert (proposal.model.version, proposal.model.names) == (3, {"vip": "Friends"})


def test_state_of_before_there_were_decisions_is_taken_over() -> None:
    trainer = Trainer(MANUAL, FIRST)
    learn(trainer, 4)
    state = trainer.state()
    del state["releases"]
    again = Trainer.restore(MANUAL, state)
    assert versions(again) == [1]
    assert learn(again, 5).held
