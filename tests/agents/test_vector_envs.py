"""Environments for policies that play many episodes at once: each does what the wrapper of one environment does."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import agents
from agents.policies.vector_envs import VECTOR_ENVS, VectorPolicyEnv
from alenv import is_batched
from alenv.errors import EpisodeOver, InvalidQuery, UnknownName

ID = "ALDigitsRidge-v0"
SMALL: dict[str, Any] = {
    **{"pool_size": 60, "initial_size": 6, "query_size": 3, "budget": 9, "candidates": 12, "validation": 50},
    "observe": "progress",
}
MIX: dict[str, Any] = {
    **{"datasets": ["digits"], "classes": [2, 4], "pool_size": 120, "validation": 60, "initial": [2, 4]},
    **{"query_size": 3, "cycles": 3, "candidates": 10, "feature_size": [8, 16], "observe": "progress"},
}
TASKS = {"ALDigitsRidge-v0": SMALL, "ALMix-v0": MIX}
# The last strategy has an agent in each episode, which learns while it plays.
ARGUMENTS: dict[Any, dict[str, Any]] = {
    agents.ChooseStrategy: {"strategies": ["random", "margin", "coreset", "remembering:Remembering"]},
    agents.MixScores: {"scores": ["log_margin", "typicality"]},
    agents.TopOfCandidates: {},
}
SPENT = {"pool_size": 40, "initial_size": 20, "query_size": 6, "budget": 18, "candidates": 20}


def batched(single: Any, env_id: str = ID, count: int = 4, **settings: Any) -> VectorPolicyEnv:
    given = {**TASKS[env_id], "autoreset_mode": "Disabled", **settings}
    return VECTOR_ENVS[single](gym.make_vec(env_id, num_envs=count, **given), **ARGUMENTS[single])


def usual(single: Any, env_id: str = ID, count: int = 4, **settings: Any) -> DummyVecEnv:
    def make() -> Any:
        return Monitor(single(gym.make(env_id, **{**TASKS[env_id], **settings}), **ARGUMENTS[single]))

    return DummyVecEnv([make] * count)


def assert_alike(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_alike(one[name], other[name])
    else:
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), atol=2e-3)


@pytest.mark.parametrize(
    ("single", "env_id", "settings"),
    [(single, env_id, {}) for single in ARGUMENTS for env_id in TASKS]
    + [(single, ID, SPENT) for single in ARGUMENTS],
)
def test_its_episodes_are_those_of_single_environments(single: Any, env_id: str, settings: Any) -> None:
    mine, theirs = (
        agents.as_sb3(batched(single, env_id, **settings)),
        usual(single, env_id, **settings),
    )
    assert mine.action_space == theirs.action_space
    assert mine.observation_space == theirs.observation_space
    shown = []
    for env in (mine, theirs):
        env.seed(5)
        shown.append(env.reset())
    assert_alike(*shown)
    space = mine.action_space
    space.seed(1)
    for _ in range(7):
        actions = np.array([space.sample() for _ in range(4)])
        found, wanted = mine.step(actions), theirs.step(actions)
        for one, other in zip(found[:3], wanted[:3], strict=True):
            assert_alike(one, other)
        for one, other in zip(found[3], wanted[3], strict=True):
            assert one["query"].tolist() == other["query"].tolist()
            if "terminal_observation" in other:
                assert_alike(one["terminal_observation"], other["terminal_observation"])


@pytest.mark.parametrize("single", ARGUMENTS)
def test_what_trains_in_it_is_saved_as_of_the_single_one(single: Any, tmp_path: Any) -> None:
    policy: Any = agents.SetTopKPolicy if single is agents.TopOfCandidates else "MlpPolicy"
    env = agents.as_sb3(batched(single))
    with torch.random.fork_rng(devices=[]):
        model = PPO(policy, env, n_steps=3, batch_size=12, n_epochs=1, seed=0, device="cpu").learn(12)
    agent = agents.load_policy(agents.save_policy(model, tmp_path / "policy"))
    assert agent.source.endswith(f"on {single.__name__}")
    native = gym.make(ID, **{**SMALL, "on_invalid": "raise"})
    observation, _ = native.reset(seed=0)
    inside: Any = native.unwrapped
    agent.reset(inside.view, seed=0)
    native.step(agent.act(observation))


WRONG: dict[Any, list[Any]] = {
    agents.ChooseStrategy: [[0, 1, 2], [0, 1, 2, 4], [0.5] * 4, [-1, 0, 0, 0]],
    agents.MixScores: [[[0.1, 0.2]] * 3, [[0.1]] * 4, [[np.nan, 0.0]] * 4],
    agents.TopOfCandidates: [[[0, 1, 2]] * 3, [[0, 1, 12]] * 4, [[0, 1]] * 4],
}


@pytest.mark.parametrize(("single", "actions"), [(kind, wrong) for kind in WRONG for wrong in WRONG[kind]])
def test_wrong_actions_are_refused_and_change_nothing(single: Any, actions: Any) -> None:
    env = batched(single)
    env.reset(seed=0)
    with pytest.raises(InvalidQuery, match=r"give .*\.$"):
        env.step(actions)
    assert env.inside.batch.cycle.tolist() == [0] * 4


@pytest.mark.parametrize("single", ARGUMENTS)
def test_the_end_of_the_budget(single: Any) -> None:
    env = batched(single, budget=3)
    env.reset(seed=0)
    env.action_space.seed(0)
    assert env.step(env.action_space.sample())[2].all()
    with pytest.raises(EpisodeOver):
        env.step(env.action_space.sample())
    shown, _ = env.reset(options={"reset_mask": np.array([True, False, True, True])})
    assert env.observation_space.contains(shown)
    assert env.inside.batch.cycle.tolist() == [0, 1, 0, 0]


def test_what_it_does_not_wrap() -> None:
    for vector in (
        gym.make_vec(ID, num_envs=2, **SMALL),  # begins episodes by itself
        gym.make_vec(ID, num_envs=2, vectorization_mode="sync", **SMALL),
    ):
        with pytest.raises(UnknownName, match=r"autoreset_mode='Disabled'\.$"):
            agents.VectorMixScores(vector)
    with pytest.raises(UnknownName, match="at least one"):
        agents.VectorChooseStrategy(gym.make_vec(ID, num_envs=2, autoreset_mode="Disabled", **SMALL), [])
    with pytest.raises(InvalidQuery, match="candidates=3 or more"):
        batched(agents.TopOfCandidates, candidates=2)


def test_which_environments_are_batches() -> None:
    assert is_batched(ID, {})
    assert is_batched("ALMix-v0", {})
    assert not is_batched(ID, {"recipe": "logistic"})
    assert not is_batched("ALDigits-v0", {"recipe": "ridge"})  # make_vec has no batch for that id
    assert not is_batched("rigged_al:RiggedAL-v0", {})
