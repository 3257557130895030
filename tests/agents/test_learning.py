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
from agents.policies.training import LearningTask, find_trainer

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
    pytest.param(choosing, DQN, "MlpPolicy", 192, 2, OFF_POLICY | AT_ONCE, id="choose, DQN", marks=LONG),
    pytest.param(mixing, SAC, "MlpPolicy", 80, 2, OFF_POLICY | AT_ONCE, id="mix, SAC"),
    pytest.param(
        agents.TopOfCandidates, PPO, agents.SetTopKPolicy, 128, 1, ON_POLICY | AT_ONCE, id="top, PPO", marks=LONG
    ),
    pytest.param(agents.ScoreCandidates, PPO, agents.SetGaussianPolicy, 192, 1, ON_POLICY | AT_ONCE, id="score, PPO"),
    pytest.param(
        agents.PickOneByOne, PPO, agents.SetPickPolicy, 512, 1, ON_POLICY | AT_THE_END, id="pick, PPO", marks=LONG
    ),
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


def played(player):
    """Returns the mean over the episodes of what queries earn.

    Args:
        player: Takes the environment at the start of an episode, and returns what makes its queries.
    """
    env = gym.make("RiggedAL-v0").unwrapped
    returns = []
    for seed in range(1000, 1000 + EPISODES):
        env.reset(seed=seed)
        query, over, total = player(env), False, 0.0
        while not over:
            _, reward, over, _, _ = env.step(query())
            total += reward
        returns.append(total)
    return float(np.mean(returns))


def best_return():
    """Returns what the best queries earn."""
    return played(lambda env: lambda: env.view.candidates[np.argsort(-env.scores())[:3]])


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


TOTAL = 192
THREE = {"strategies": "random,coreset,margin"}
PPO_OPTIONS = {"episodes": 16, "batch_size": 32, "target_kl": 1.0}
# The seeds begin with policies that earn little, as above.
TRAINERS = {
    "ppo_strategy": (1, PPO_OPTIONS | AT_ONCE | {"updates": 3} | THREE),
    "ppo_mixture": (
        1, PPO_OPTIONS | AT_ONCE | {"updates": 4, "scores": "typicality,log_margin,log_leverage"}
    ),
    "ppo_topk": (0, PPO_OPTIONS | AT_ONCE | {"updates": 2, "width": 32}),
    "ppo_pick": (0, PPO_OPTIONS | AT_THE_END | {"episodes": 5, "updates": 9, "batch_size": 30}),
    "dqn_strategy": (
        1,
        AT_ONCE | THREE | {"updates": 6, "batch_size": 32, "learning_starts": 20, "gradient_steps": 8}
        | {"target_update_interval": 8, "exploration_fraction": 0.5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINERS)
def test_a_training_of_the_command_line_finds_the_best_action(name, tmp_path):
    if name == "ppo_pick":
        pytest.importorskip("sb3_contrib", reason="MaskablePPO is of sb3-contrib, which is optional")
    seed, options = TRAINERS[name]
    task, kind = LearningTask("rigged_al:RiggedAL-v0"), find_trainer(name)
    nothing = {"learning_rate": 1e-12, "episodes": 1, "updates": 1}

    def earned(training, folder):
        training.advance(TOTAL)
        training.save(folder, {})
        agent = agents.load_policy(folder)

        def player(env):
            agent.reset(env.view)
            return lambda: agent.act(None)

        return played(player) / best_return()

    assert earned(kind([task], seed, **options | nothing), tmp_path / "before") < 0.5
    assert earned(kind([task], seed, **options), tmp_path / "after") > 0.75
