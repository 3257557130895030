"""Trainers find the best action where it is known: a query earns the mean margin descriptor of its images."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import rigged_al  # noqa: F401  (registers the environment)
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import agents

EPISODES = 8
AT_ONCE = {"gamma": 0.0, "learning_rate": 3e-3}  # a query is paid when it is made
AT_THE_END = {"gamma": 1.0, "learning_rate": 3e-3}  # picks are paid with the last of them
ON_POLICY = {"n_steps": 64, "batch_size": 32, "n_epochs": 8}
OFF_POLICY = {"learning_starts": 20, "train_freq": 1, "batch_size": 32}
LONG = pytest.mark.slow


def choosing(env):
    return agents.ChooseStrategy(env, ["random", "coreset", "margin"])


def mixing(env):
    return agents.MixScores(env, ["typicality", "log_margin", "log_leverage"])


# The seeds begin with policies that earn little, so that what is earned at the end was learned.
TRAININGS = [
    pytest.param(choosing, DQN, "MlpPolicy", 192, 2, OFF_POLICY | AT_ONCE, id="choose, DQN"),
    pytest.param(mixing, SAC, "MlpPolicy", 80, 2, OFF_POLICY | AT_ONCE, id="mix, SAC"),
    pytest.param(agents.TopOfCandidates, PPO, agents.SetTopKPolicy, 128, 1, ON_POLICY | AT_ONCE, id="top, PPO"),
    pytest.param(agents.ScoreCandidates, PPO, agents.SetGaussianPolicy, 192, 1, ON_POLICY | AT_ONCE, id="score, PPO"),
    pytest.param(agents.PickOneByOne, PPO, agents.SetPickPolicy, 512, 1, ON_POLICY | AT_THE_END, id="pick, PPO"),
    pytest.param(choosing, PPO, "MlpPolicy", 192, 5, ON_POLICY | AT_ONCE, id="choose, PPO", marks=LONG),
    pytest.param(choosing, A2C, "MlpPolicy", 400, 5, {"n_steps": 8} | AT_ONCE, id="choose, A2C", marks=LONG),
    pytest.param(mixing, PPO, "MlpPolicy", 256, 1, ON_POLICY | AT_ONCE, id="mix, PPO", marks=LONG),
    pytest.param(mixing, A2C, "MlpPolicy", 800, 1, {"n_steps": 8} | AT_ONCE, id="mix, A2C", marks=LONG),
    pytest.param(
        agents.TopOfCandidates, A2C, agents.SetTopKPolicy, 400, 1, {"n_steps": 8} | AT_ONCE, id="top, A2C", marks=LONG
    ),
    pytest.param(
        agents.PickOneByOne, A2C, agents.SetPickPolicy, 1200, 1, {"n_steps": 24} | AT_THE_END, id="pick, A2C",
        marks=LONG,
    ),
]  # fmt: skip


def best_return():
    """Returns the mean over the episodes of what the best queries earn."""
    env = gym.make("RiggedAL-v0").unwrapped
    returns = []
    for seed in range(1000, 1000 + EPISODES):
        env.reset(seed=seed)
        over, total = False, 0.0
        while not over:
            best = np.argsort(-env.scores())[:3]
            _, reward, over, _, _ = env.step(env.view.candidates[best])
            total += reward
        returns.append(total)
    return float(np.mean(returns))


@pytest.mark.parametrize(("wrapper", "algorithm", "policy", "steps", "seed", "options"), TRAININGS)
def test_a_trainer_finds_the_best_action(wrapper, algorithm, policy, steps, seed, options):
    def make():
        env = Monitor(wrapper(gym.make("RiggedAL-v0")))
        env.reset(seed=1000)
        return env

    with torch.random.fork_rng(devices=[]):
        model = algorithm(policy, make(), seed=seed, device="cpu", **options)
        before, _ = evaluate_policy(model, make(), EPISODES)
        model.learn(steps)
        after, _ = evaluate_policy(model, make(), EPISODES)
    best = best_return()
    assert before < 0.5 * best  # what it has learned is not what it began with
    assert after > 0.75 * best
