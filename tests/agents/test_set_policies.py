"""Policies that score sets: probabilities, equivariance, and short trainings of every kind."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.monitor import Monitor

import agents
from agents.policies import plackett_luce
from agents.policies.set_network import SetNetwork
from agents.policies.set_policies import PICKED, PlackettLuceDistribution

OPTIONS = {"query_size": 3, "budget": 9, "candidates": 12, "observe": "progress"}


def native(**options):
    return gym.make("ALDigitsRidge-v0", **{**OPTIONS, **options})


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- Plackett-Luce -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 5])
def test_probabilities_of_all_ordered_picks_sum_to_one(count):
    scores = 2 * torch.randn(1, 5, generator=stream()).double()
    picks = torch.tensor(list(itertools.permutations(range(5), count)))
    found = plackett_luce.log_probability(scores.expand(len(picks), -1), picks)
    assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-9)
    for row, logarithm in zip(picks.tolist(), found, strict=True):
        left, expected = list(range(5)), 1.0
        for pick in row:
            weights = scores[0, left].exp()
            expected *= float(scores[0, pick].exp() / weights.sum())
            left.remove(pick)
        assert float(logarithm.exp()) == pytest.approx(expected, rel=1e-9)


def test_gradients_are_those_of_the_probabilities():
    scores = torch.randn(2, 6, generator=stream()).double().requires_grad_()
    for count in (2, 6):
        picks = torch.stack([torch.randperm(6, generator=stream(seed))[:count] for seed in range(2)])
        assert torch.autograd.gradcheck(lambda s, p=picks: plackett_luce.log_probability(s, p), scores)


def test_draws_are_as_frequent_as_they_are_probable():
    scores = torch.tensor([[1.0, 0.0, -1.0, 0.5]])
    drawn = plackett_luce.drawn(scores.expand(20_000, -1), 2, stream())
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for pair in itertools.permutations(range(4), 2):
        share = float((drawn == torch.tensor(pair)).all(1).float().mean())
        exact = float(plackett_luce.log_probability(scores, torch.tensor([pair])).exp())
        assert share == pytest.approx(exact, abs=0.015)  # four standard errors


def test_very_different_scores_stay_finite():
    scores = torch.tensor([[1e4, -1e4, 0.0, 5.0]], requires_grad=True)
    found = plackett_luce.log_probability(scores, torch.tensor([[0, 3, 2, 1]]))
    assert float(found.detach()) == pytest.approx(-0.0067, abs=1e-3)
    found.sum().backward()
    assert scores.grad.isfinite().all()


def test_the_mode_is_the_best_first():
    distribution = PlackettLuceDistribution(2).proba_distribution(torch.tensor([[0.0, 3.0, 1.0]]))
    assert distribution.mode().tolist() == [[1, 2]]
    assert distribution.log_prob(torch.tensor([[1.0, 2.0]])).shape == (1,)
    assert distribution.entropy() is None
    assert distribution.actions_from_params(torch.tensor([[5.0, 0.0, 1.0]]), deterministic=True).tolist() == [
        [0, 2]
    ]


# ---- the network -------------------------------------------------------------------------------------------


def test_the_order_of_a_set_is_that_of_its_scores():
    with torch.random.fork_rng(devices=[]):
        network = SetNetwork(29, 8)
    x, context = torch.randn(2, 40, 29, generator=stream()), torch.randn(2, 8, generator=stream(1))
    order = torch.randperm(40, generator=stream(2))
    scores, summary = network(x, context)
    moved, same = network(x[:, order], context)
    torch.testing.assert_close(moved, scores[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(same, summary, atol=1e-5, rtol=1e-4)
    assert scores.std() > 0


def test_candidates_see_each_other_and_the_state_of_learning():
    with torch.random.fork_rng(devices=[]):
        network = SetNetwork(29, 8)
    x, context = torch.randn(1, 10, 29, generator=stream()), torch.randn(1, 8, generator=stream(1))
    first = network(x, context)[0][0, 0]
    other = x.clone()
    other[0, 1:] += 1
    assert not torch.isclose(network(other, context)[0][0, 0], first)
    assert not torch.isclose(network(x, context + 1)[0][0, 0], first)


# ---- trainings -----------------------------------------------------------------------------------------------

STRATEGIES = ["random", "margin"]
MLP = {
    "ChooseStrategy": (lambda: agents.ChooseStrategy(native(), STRATEGIES), "MlpPolicy", [PPO, A2C, DQN]),
    "MixScores": (lambda: agents.MixScores(native()), "MlpPolicy", [PPO, A2C, SAC]),
    "ScoreCandidates": (lambda: agents.ScoreCandidates(native()), "MultiInputPolicy", [SAC]),
    "PickOneByOne": (lambda: agents.PickOneByOne(native()), "MultiInputPolicy", [DQN]),
}
SETS = {
    "TopOfCandidates": (agents.TopOfCandidates, agents.SetTopKPolicy),
    "ScoreCandidates": (agents.ScoreCandidates, agents.SetGaussianPolicy),
    "PickOneByOne": (agents.PickOneByOne, agents.SetPickPolicy),
}
SHORT = {
    PPO: {"n_steps": 6, "batch_size": 6, "n_epochs": 2},
    A2C: {"n_steps": 3},
    DQN: {"learning_starts": 2, "batch_size": 4, "train_freq": 2},
    SAC: {"learning_starts": 2, "batch_size": 4, "train_freq": 2},
}


def trained(algorithm, policy, env, steps=6, **options):
    torch.manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        model = algorithm(policy, Monitor(env), seed=0, device="cpu", **SHORT[algorithm], **options)
        before = {name: value.clone() for name, value in model.policy.state_dict().items()}
        model.learn(steps)
    after = model.policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(value.isfinite().all() for value in after.values())
    return model


@pytest.mark.parametrize(
    ("name", "algorithm"), [(name, algorithm) for name, (_, _, kinds) in MLP.items() for algorithm in kinds]
)
def test_stock_policies_train(name, algorithm):
    make, policy, _ = MLP[name]
    model = trained(algorithm, policy, make())
    observation, _ = make().reset(seed=0)
    assert model.action_space.contains(model.predict(observation, deterministic=True)[0])


@pytest.mark.parametrize("algorithm", [PPO, A2C])
@pytest.mark.parametrize("name", SETS)
def test_set_policies_train_and_are_saved_by_stable_baselines(name, algorithm, tmp_path):
    wrapper, policy = SETS[name]
    model = trained(algorithm, policy, wrapper(native()), policy_kwargs={"width": 16})
    observation, _ = wrapper(native()).reset(seed=0)
    action = model.predict(observation, deterministic=True)[0]
    assert model.action_space.contains(action)
    model.save(tmp_path / "model")
    again = algorithm.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(observation, deterministic=True)[0], action)


@pytest.mark.parametrize("name", SETS)
def test_the_number_of_weights_does_not_depend_on_k_and_b(name):
    wrapper, policy = SETS[name]
    counts = set()
    for options in ({}, {"candidates": 20, "query_size": 5, "budget": 10}):
        with torch.random.fork_rng(devices=[]):
            model = PPO(policy, wrapper(native(**options)), n_steps=2, batch_size=2, device="cpu")
        counts.add(sum(part.numel() for part in model.policy.parameters()))
        observation, _ = wrapper(native(**options)).reset(seed=0)
        scores = model.policy.get_distribution(model.policy.obs_to_tensor(observation)[0])
        assert scores is not None
    assert len(counts) == 1


def test_scores_begin_nearly_equal():
    with torch.random.fork_rng(devices=[]):
        model = PPO(agents.SetTopKPolicy, agents.TopOfCandidates(native()), n_steps=2, batch_size=2)
    observation, _ = agents.TopOfCandidates(native()).reset(seed=0)
    distribution = model.policy.get_distribution(model.policy.obs_to_tensor(observation)[0])
    assert 0 < float(distribution._scores.detach().std()) < 0.3


def test_the_policy_never_picks_twice():
    env = agents.PickOneByOne(native(on_invalid="raise"))
    with torch.random.fork_rng(devices=[]):
        model = PPO(agents.SetPickPolicy, env, n_steps=2, batch_size=2, device="cpu")
        observation, _ = env.reset(seed=0)
        over = False
        while not over:
            shown = model.policy.obs_to_tensor(observation)[0]
            chances = model.policy.get_distribution(shown).distribution.probs[0]
            picked = observation["candidates"][:, PICKED] > 0.5
            assert not chances[picked].any()
            assert np.array_equal(~picked, env.action_masks())
            observation, _, over, _, _ = env.step(int(model.predict(observation)[0]))


def test_sb3_contrib_finds_the_mask():
    contrib = pytest.importorskip("sb3_contrib", reason="MaskablePPO is of sb3-contrib, which is optional")
    with torch.random.fork_rng(devices=[]):
        env = Monitor(agents.PickOneByOne(native(on_invalid="raise")))
        model = contrib.MaskablePPO("MultiInputPolicy", env, n_steps=6, batch_size=6, seed=0, device="cpu")
        model.learn(12)
