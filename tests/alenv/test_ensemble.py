"""Ensembles: members of one recipe that differ, and what their mean softmax says."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds: hence the ignored attr-defined in this file.
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import scipy.special
import torch
from equality import assert_equal

from alenv import errors, progress
from alenv.learners.cycle import TrainingCycle
from alenv.learners.ensemble import Ensemble, mean_logits
from alenv.learners.network import MASKS, NetworkLearner
from alenv.learners.objectives import Objective

QUICK: dict[str, Any] = {
    "epochs": 2,
    "width": 4,
    "initial_size": 30,
    "query_size": 10,
    "budget": 20,
    "validation": 50,
    "start": "warm",
    "joint": "loss_prediction",
}


def played(steps: int = 1, **settings: Any) -> Any:
    env = gym.make("ALDigits-v0", **{**QUICK, **settings}).unwrapped
    env.reset(seed=0)
    for _ in range(steps):
        env.step(env.view.unlabeled[:10])  # type: ignore[attr-defined]
    return env


def test_one_network_is_the_plain_recipe_bit_for_bit() -> None:
    one, plain = played(ensemble=1), played()
    assert type(one._learner) is NetworkLearner
    assert "members" not in one.offers
    assert_equal(one.get_state(), plain.get_state())


def test_the_first_member_is_the_plain_recipe_bit_for_bit() -> None:
    env, plain = played(2, ensemble=3), played(2)
    assert_equal(env.get_state()["learner"]["0"], plain.get_state()["learner"])
    view = env.view
    assert torch.equal(view.features(), plain.view.features())
    assert_equal(view.feature_maps(), plain.view.feature_maps())
    logits = view.classifier.head(view.features())
    torch.testing.assert_close(logits, plain.view.logits(), rtol=1e-5, atol=1e-5)
    assert torch.equal(view.member_probabilities(1)[0], plain.view.probabilities())


def test_members_differ_in_weights_order_and_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[tuple[Any, ...]] = []

    def begin(self: Any, classifier: Any, networks: Any, generator: torch.Generator) -> None:
        streams.append((generator.get_state(), classifier.dropout.generator.get_state()))

    def run(self: Any, labeled: Any, unlabeled: Any) -> None:
        drawn = (self.order.get_state(), self.augmenting.get_state(), self.classifier.head.weight.clone())
        streams[-1] += drawn

    monkeypatch.setattr(Objective, "begin", begin)
    monkeypatch.setattr(TrainingCycle, "run", run)
    played(0, ensemble=3, dropout=0.5)
    assert len(streams) == 3
    for kind in zip(*streams, strict=True):
        assert len({tuple(each.flatten().tolist()) for each in kind}) == 3


def test_accuracy_and_probabilities_are_those_of_the_mean_softmax() -> None:
    env = played(ensemble=3, epochs=6)
    test = env._test
    everything = torch.arange(len(test.labels))
    each = [one.infer(test.images, everything)["logits"].double().numpy() for one in env._learner.networks]
    mean = scipy.special.softmax(np.array(each), axis=2).mean(0)
    right = (mean.argmax(1) == test.labels.numpy()).mean()
    assert env._info()["test_accuracy"] == right
    alone = [(one.argmax(1) == test.labels.numpy()).mean() for one in each]
    assert len({right, *alone}) > 1  # it could have been another number
    view, some = env.view, np.array([5, 900, 3])
    members = view.member_probabilities(indices=some)
    assert members.shape == (3, 3, 10)
    torch.testing.assert_close(view.probabilities(some), members.mean(0))
    torch.testing.assert_close(view.logits(some).exp(), members.mean(0))  # logits are log probabilities
    losses = [
        one.infer(env._images, torch.from_numpy(some))["predicted_loss"] for one in env._learner.networks
    ]
    torch.testing.assert_close(view.predicted_loss(some), torch.stack(losses).mean(0))
    assert not torch.equal(losses[0], losses[1])


def test_the_mean_of_certain_members_stays_finite() -> None:
    apart = torch.tensor([[[2e4, 0.0]], [[0.0, 2e4]]])
    torch.testing.assert_close(mean_logits(apart), torch.full((1, 2), 0.5).log())
    agreed = torch.tensor([[[2e4, 0.0]], [[2e4, 0.0]]])
    assert mean_logits(agreed).tolist() == [[0.0, -2e4]]


def test_members_are_the_networks_and_not_their_dropout() -> None:
    env = played(ensemble=3, dropout=0.5)
    view = env.view
    members = view.member_probabilities()
    everything = torch.arange(len(view))
    for found, network in zip(members, env._learner.networks, strict=True):
        torch.testing.assert_close(found, network.infer(env._images, everything)["logits"].softmax(1))
    assert torch.equal(view.member_probabilities(2), members[:2])
    assert view.member_probabilities(2, []).shape == (2, 0, 10)
    for asked in (4, 100):
        with pytest.raises(
            errors.InvalidQuery, match=rf"^{asked} members .* an ensemble of 3; ask for at most 3,"
        ):
            view.member_probabilities(asked)
    assert played(0, dropout=0.5).view.member_probabilities(indices=[1]).shape == (MASKS, 1, 10)
    assert MASKS == 10  # the number that docstrings say


def test_a_state_brings_every_member_back() -> None:
    env = played(ensemble=2)
    state = env.get_state()
    other = gym.make("ALDigits-v0", **QUICK, ensemble=2).unwrapped
    other.reset(options={"state": state})
    assert_equal(other.get_state(), state)  # type: ignore[attr-defined]
    view, again = env.view, other.view  # type: ignore[attr-defined]
    for name in ("logits", "features", "member_probabilities", "predicted_loss"):
        assert torch.equal(getattr(view, name)(), getattr(again, name)()), name
        assert torch.equal(getattr(view.previous, name)(), getattr(again.previous, name)()), name
    query = view.unlabeled[5:15]
    assert_equal(env.step(query), other.step(query))
    assert_equal(env.get_state(), other.get_state())  # type: ignore[attr-defined]


def test_a_broken_state_is_refused_and_changes_nothing() -> None:
    env = played(ensemble=2)
    before = env.get_state()
    learner = before["learner"]
    without = {name: value for name, value in learner["1"].items() if name != "classifier"}
    for broken in (
        {"0": learner["0"]},
        {**learner, "2": learner["1"]},
        {**learner, "1": without},
        learner["0"],
    ):
        with pytest.raises(errors.InvalidState):
            env.reset(options={"state": {**before, "learner": broken}})
        assert_equal(env.get_state(), before)
    with pytest.raises(errors.InvalidState, match="recipe"):
        played(0, ensemble=3).reset(options={"state": before})


def test_an_interrupted_step_leaves_every_member_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    env = played(0, ensemble=2)
    before = env.get_state()
    second = env._learner.networks[1]

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(second, "fit", interrupted)  # the first one is trained by then
        with pytest.raises(KeyboardInterrupt):
            env.step(env.view.unlabeled[:10])
    assert_equal(env.get_state(), before)


def test_peek_is_what_step_would_earn() -> None:
    env = played(ensemble=2, allow_peek=True)
    before = env.get_state()
    query = env.view.unlabeled[20:30]
    earned = env.peek([query, env.view.unlabeled[-10:]])
    assert_equal(env.get_state(), before)
    assert env.step(query)[1] == earned[0]


def test_the_cost_is_that_of_n_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    score = NetworkLearner.score

    def counted(self: Any, images: Any, batch: Any, maps: bool = False) -> Any:
        passes.append(len(batch))
        return score(self, images, batch, maps)

    monkeypatch.setattr(NetworkLearner, "score", counted)
    found = {}
    for size in (1, 2, 4):
        with progress.recording() as training:
            env = played(0, ensemble=size)
        passes.clear()
        env.view.logits()
        assert env.costs["inferred_images"] == len(env.view)
        found[size] = (training.steps, sum(passes))
    assert found[2] == tuple(2 * each for each in found[1])
    assert found[4] == tuple(4 * each for each in found[1])


def test_a_member_that_diverged_is_said() -> None:
    with pytest.warns(UserWarning, match="diverged .* lower lr, now"):
        played(0, ensemble=2, lr=1e30, joint=None)


@pytest.mark.parametrize("head", ["ridge", "mine.py:Mine"])
def test_only_networks_make_an_ensemble(head: str) -> None:
    with pytest.raises(errors.InvalidRecipe, match=r"^ensemble=2 was given with head=.*ensemble=1\.$"):
        gym.make("ALDigits-v0", head=head, embedding="pixels", ensemble=2)
    with pytest.raises(
        errors.InvalidRecipe, match=r"^ensemble=0 was given; it must be a whole number of at least 1"
    ):
        gym.make("ALDigits-v0", ensemble=0)


def test_an_ensemble_is_built_where_it_is_asked_for() -> None:
    learner = played(0, ensemble=2)._learner
    assert type(learner) is Ensemble
    assert len(learner.networks) == 2
