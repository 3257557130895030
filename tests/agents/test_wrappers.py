"""The environment in which a policy chooses among strategies."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

import agents
import alenv
from agents.policies.choosing import Strategies
from alenv.errors import EpisodeOver, InvalidQuery, MissingHead, NotReset, UnknownName
from alenv.seeding import Purpose, torch_stream

NAMES = ["random", "margin", "coreset+margin"]


def make(names=NAMES, env_id="ALDigitsRidge-v0", **options):
    options = {"query_size": 10, "budget": 30, "observe": "progress", **options}
    return agents.ChooseStrategy(gym.make(env_id, **options), names)


def test_both_checkers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*most likely has a wrapper applied")  # it has
        check_env(make(), skip_render_check=True)
        check_env_sb3(make(), skip_render_check=True)


def test_it_can_be_made_again_from_its_spec():
    again = gym.make(make().spec)
    assert again.action_space == make().action_space
    assert isinstance(again.unwrapped, alenv.ActiveLearningEnv)


def test_observations_are_the_views_stats_and_the_query_is_the_strategy_s():
    env = make()
    observation, _ = env.reset(seed=0)
    for choice, name in enumerate(NAMES):
        view = env.unwrapped.view
        assert env.observation_space.contains(observation)
        np.testing.assert_array_equal(observation, view.observation("stats"))
        stream = torch_stream(env.unwrapped.key, Purpose.AGENT, view.cycle)
        expected = agents.make(name, pool="candidates").query(view, stream)
        observation, _, terminated, _, info = env.step(choice)
        np.testing.assert_array_equal(info["query"], expected)
    assert terminated


def test_choosing_random_differs_from_choosing_margin_and_repeats():
    queries = []
    for choice in (0, 1, 0):
        env = make()
        env.reset(seed=0)
        queries.append(env.step(choice)[4]["query"].tolist())
    assert queries[0] == queries[2] != queries[1]


@pytest.mark.parametrize("action", [3, -1, 1.5, "margin"])
def test_a_choice_out_of_range_changes_nothing(action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(InvalidQuery, match="0 to 2"):
        env.step(action)
    assert env.unwrapped.view.cycle == 0


@pytest.mark.parametrize("one", [np.int64(1), np.array(1), torch.tensor(1)])
def test_every_kind_of_whole_number_is_a_choice(one):
    env = make()
    env.reset(seed=0)
    expected = make()
    expected.reset(seed=0)
    assert env.step(one)[4]["query"].tolist() == expected.step(1)[4]["query"].tolist()


def test_strategies_inside_use_the_environments_threads_and_candidates(monkeypatch):
    seen = []

    def pick(self, view, indices, count, generator):
        seen.append((torch.get_num_threads(), len(indices)))
        return indices[:count]

    monkeypatch.setattr(type(agents.make("coreset")), "pick", pick)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        for name in ("coreset", "coreset:pool=all"):
            env = make([name])
            env.reset(seed=0)
            env.step(0)
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)
    assert seen == [(1, 100), (1, 1087)]


@pytest.mark.parametrize("choice", [0, 1])
def test_the_end_of_the_budget_is_said_before_the_pool_is_asked(choice):
    env = make(initial_size=1087, query_size=10, budget=10)
    env.reset(seed=0)
    assert env.step(choice)[2]
    with pytest.raises(EpisodeOver):
        env.step(choice)


def test_what_cannot_be_chosen_from():
    for names in ([], "margin", None, 3):
        with pytest.raises(UnknownName, match="at least one"):
            make(names)
    with pytest.raises(UnknownName, match="did you mean 'margin'"):
        make(["margn"])
    with pytest.raises(UnknownName, match="no agent 'policy'"):
        make(["policy=runs/a"])
    with pytest.raises(MissingHead, match="loss"):
        make(["ll4al"], "ALDigits-v0", epochs=1).reset(seed=0)
    with pytest.raises(NotReset):
        agents.ChooseStrategy(gym.make("ALDigitsRidge-v0", disable_env_checker=True).unwrapped).step(0)


def test_spaces_compare_their_names():
    assert Strategies(["random", "margin"]) == Strategies(["random", "margin"])
    assert Strategies(["random", "margin"]) != Strategies(["margin", "random"])
    assert Strategies(["random"]) != gym.spaces.Discrete(1)
    assert "margin" in repr(Strategies(["margin"]))


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_gymnasium_vector_environments(vector):
    envs = vector([make, make])
    try:
        observations, _ = envs.reset(seed=[1, 1])
        assert observations.shape == (2, alenv.STATS_SIZE)
        np.testing.assert_array_equal(observations[0], observations[1])
        observations, rewards, *_ = envs.step(np.array([1, 1]))
        assert rewards[0] == rewards[1]
        np.testing.assert_array_equal(observations[0], observations[1])
    finally:
        envs.close()


@pytest.mark.parametrize("vector", [DummyVecEnv, SubprocVecEnv])
def test_stable_baselines_vector_environments(vector):
    envs = make_vec_env(
        "alenv:ALDigitsRidge-v0",
        vec_env_cls=vector,
        env_kwargs={"query_size": 10, "budget": 30, "observe": "progress"},
        wrapper_class=agents.ChooseStrategy,
        wrapper_kwargs={"strategies": NAMES},
    )
    try:
        assert envs.action_space.names == tuple(NAMES)
        assert envs.reset().shape == (1, alenv.STATS_SIZE)
        observations, rewards, *_ = envs.step(np.array([1]))
        assert observations.shape == (1, alenv.STATS_SIZE)
        assert rewards.shape == (1,)
    finally:
        envs.close()
