"""Vector environments of Gymnasium in Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import random

import agents
from alenv.errors import UnknownName

ID = "ALDigitsRidge-v0"
SMALL: dict[str, Any] = {
    **{"pool_size": 40, "initial_size": 4, "query_size": 3, "budget": 9, "candidates": 10},
    **{"observe": "stats", "test": False},
}


def batched(count: int = 3, **settings: Any) -> Any:
    return agents.as_sb3(gym.make_vec(ID, num_envs=count, **{**SMALL, **settings}))


def usual(count: int = 3, **settings: Any) -> DummyVecEnv:
    return DummyVecEnv([lambda: Monitor(gym.make(ID, **{**SMALL, **settings})) for _ in range(count)])


@pytest.mark.parametrize("observe", ["stats", "candidates"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_it_does_what_the_usual_vector_environment_does(mode: str, observe: str) -> None:
    mine, theirs = batched(observe=observe, autoreset_mode=mode), usual(observe=observe)
    shown = []
    for env in (mine, theirs):
        env.seed(5)
        shown.append(env.reset())
    assert_alike(*shown)
    assert_alike(mine.reset_infos, theirs.reset_infos)
    draw = np.random.default_rng(0)
    for _ in range(7):
        action = draw.integers(40, size=(3, 3))
        found, wanted = mine.step(action), theirs.step(action)
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
        assert_alike(mine.reset_infos, theirs.reset_infos)


def assert_alike(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one.keys() - {"t"}:  # seconds
            assert_alike(one[name], other[name])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b)
    else:
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), atol=2e-5)


def test_ppo_learns_in_it_through_wrappers() -> None:
    vector = gym.wrappers.vector.ClipReward(
        gym.make_vec(ID, num_envs=4, autoreset_mode="SameStep", **SMALL), min_reward=-0.5, max_reward=0.5
    )
    env = VecNormalize(agents.as_sb3(vector), norm_obs=False, gamma=1.0)
    with random.fork_rng(devices=[]):
        model = PPO("MlpPolicy", env, n_steps=6, batch_size=24, n_epochs=1, seed=0, device="cpu").learn(48)
    assert model.num_timesteps == 48
    assert len(model.ep_info_buffer or ()) == 16
    returns, lengths = evaluate_policy(model, batched(2), 4, return_episode_rewards=True)
    assert lengths == [3] * 4
    assert np.isfinite(returns).all()


def test_attributes_and_methods_are_those_of_the_vector_environment() -> None:
    inside = gym.make_vec(ID, num_envs=2, render_mode="rgb_array", **SMALL)
    env = agents.as_sb3(gym.wrappers.vector.RecordEpisodeStatistics(inside))
    env.seed(0)
    env.reset()
    assert env.render_mode == "rgb_array"
    assert env.get_attr("protocol", [1]) == [inside.unwrapped.protocol]
    assert env.env_method("_check_begun", indices=0) == [None]
    env.set_attr("marked", 3)
    assert env.get_attr("marked") == [3, 3]
    assert env.has_attr("keys")
    assert not env.has_attr("action_masks")
    assert [picture.shape for picture in env.get_images()] == [(600, 1000, 3)] * 2
    env.close()
    assert inside.closed


def test_a_single_environment_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"gym\.make_vec"):
        agents.as_sb3(gym.make(ID, **SMALL))
