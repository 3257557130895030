"""Saved policies of every wrapper: they act as the model did, anywhere, and what changed their sight is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from episodes import assert_no_leak
from gymnasium import wrappers
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

import agents
from agents.policies.trained import _layers
from agents.policies.wrapping import PolicyEnv
from alenv import ActiveLearningEnv, descriptors
from alenv.errors import CorruptRun, InvalidQuery, UnknownName

OPTIONS = {"query_size": 3, "budget": 9, "candidates": 12, "observe": "progress"}
SHORT = {
    PPO: {"n_steps": 6, "batch_size": 6, "n_epochs": 1},
    A2C: {"n_steps": 3},
    DQN: {"learning_starts": 2, "batch_size": 4, "train_freq": 2},
    SAC: {"learning_starts": 2, "batch_size": 4, "train_freq": 2},
}
MLP = {"net_arch": [8]}
SMALL = {"width": 16}
KINDS = {
    "mix, PPO": (agents.MixScores, PPO, "MlpPolicy", MLP),
    "mix, SAC": (agents.MixScores, SAC, "MlpPolicy", MLP | {"n_critics": 1}),
    "score, SAC": (agents.ScoreCandidates, SAC, "MultiInputPolicy", MLP),
    "score, PPO": (agents.ScoreCandidates, PPO, agents.SetGaussianPolicy, SMALL),
    "top, A2C": (agents.TopOfCandidates, A2C, agents.SetTopKPolicy, SMALL),
    "top, PPO": (agents.TopOfCandidates, PPO, "MultiInputPolicy", MLP),
    "pick, PPO": (agents.PickOneByOne, PPO, agents.SetPickPolicy, {}),
    "pick, DQN": (agents.PickOneByOne, DQN, "MultiInputPolicy", MLP),
}
ANY_SIZE = ["mix, PPO", "score, PPO", "top, A2C", "pick, PPO"]


def native(env_id="ALDigitsRidge-v0", **options):
    return gym.make(env_id, **{**OPTIONS, **options})


def trained(wrapper, algorithm, policy, options, env=None, steps=6):
    env = Monitor(wrapper(native())) if env is None else env
    with torch.random.fork_rng(devices=[]):
        model = algorithm(policy, env, seed=0, device="cpu", policy_kwargs=dict(options), **SHORT[algorithm])
        return model.learn(steps)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every kind, trained for a moment and saved: (model, folder) by name."""
    home = tmp_path_factory.mktemp("policies")
    models = {name: trained(*kind) for name, kind in KINDS.items()}
    return {name: (model, agents.save_policy(model, home / name)) for name, model in models.items()}


def played(agent, env, seed=5):
    """Returns the queries of an episode."""
    observation, _ = env.reset(seed=seed)
    view = env.unwrapped.view
    agent.reset(view, seed=env.unwrapped.key)
    queries, over = [], False
    while not over:
        query = agent.act(observation)
        observation, _, over, _, info = env.step(query)
        assert info["query"].tolist() == query.tolist()
        queries.append(query.tolist())
    return queries


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("top, PPO", "pick, DQN")])
def test_a_saved_policy_acts_as_the_model_did(saved, name):
    model, path = saved[name]
    wrapped = KINDS[name][0](native(on_invalid="raise"))
    observation, _ = wrapped.reset(seed=5)
    queries, over = [], False
    while not over:
        action, _ = model.predict(observation, deterministic=True)
        observation, _, over, _, info = wrapped.step(action)
        if "query" in info:
            queries.append(info["query"].tolist())
    assert played(agents.load_policy(path), native(on_invalid="raise")) == queries


@pytest.mark.parametrize("name", ["top, PPO", "pick, DQN"])
def test_others_take_the_place_of_positions_chosen_twice(saved, name):
    _, path = saved[name]
    for query in played(agents.load_policy(path), native(on_invalid="raise")):
        assert len(set(query)) == 3


@pytest.mark.parametrize("name", [name for name in KINDS if name != "pick, DQN"])
def test_drawing_depends_on_the_seed_alone(saved, name):
    _, path = saved[name]
    before = torch.get_rng_state()
    agent, env = agents.load_policy(path, deterministic=False), native(on_invalid="raise")
    assert played(agent, env) == played(agent, env)
    env.reset(seed=0)
    first = set()
    for seed in range(8):
        agent.reset(env.unwrapped.view, seed=seed)
        first.add(tuple(agent.act(None)))
    assert len(first) > 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ANY_SIZE)
def test_they_play_anywhere(saved, name, image_folder):
    """Other K, B, C, D and recipes; an exhausted pool; no labels at first."""
    _, path = saved[name]
    for env in (
        native(candidates=40, query_size=7, budget=14, initial_size=0, on_invalid="raise"),
        native("ALDigits-v0", epochs=1, width=4, budget=3, validation=50, on_invalid="raise"),
        native("ALDigitsRidge-v0", initial_size=1087, query_size=5, budget=10, candidates=4, on_invalid="raise"),
        native(
            "ALImageFolderRidge-v0", root=str(image_folder), initial_size=6, validation=6, embedding="pixels",
            on_invalid="raise",
        ),
    ):  # fmt: skip
        for query in played(agents.load_policy(path), env):
            assert len(set(query)) == env.unwrapped.protocol.query_size


@pytest.mark.parametrize("name", ANY_SIZE)
def test_labels_that_were_not_bought_change_nothing(saved, name):
    settings = {"recipe": "ridge", "initial_size": 20, "query_size": 5, "budget": 10, "validation": 50}
    assert_no_leak(f"policy={saved[name][1]}", settings)


@pytest.mark.parametrize("name", ["score, SAC", "top, PPO"])
def test_what_is_bound_to_its_sizes_says_so(saved, name):
    agent = agents.load_policy(saved[name][1])
    env = native(candidates=20)
    env.reset(seed=0)
    with pytest.raises(InvalidQuery, match=r"candidates=12 and cannot act on 20; .* set policy"):
        agent.reset(env.unwrapped.view)


def test_what_a_folder_says(saved):
    _, path = saved["top, A2C"]
    config = json.loads((path / "config.json").read_text())
    assert sorted(each.name for each in path.iterdir()) == ["config.json", "weights.safetensors"]
    assert config["wrapper"] == "TopOfCandidates"
    assert config["policy"] == "SetTopKPolicy"
    assert config["descriptors"] == descriptors.VERSION
    mixed = json.loads((saved["mix, PPO"][1] / "config.json").read_text())
    assert mixed["arguments"] == {"scores": list(agents.MixScores(native())._names)}
    assert "Stable-Baselines3 on TopOfCandidates" in agents.describe(f"policy={path}").source


def test_a_policy_of_other_descriptors_is_refused(saved, monkeypatch):
    monkeypatch.setattr(descriptors, "VERSION", descriptors.VERSION + 1)
    with pytest.raises(CorruptRun, match=f"trained on version {descriptors.VERSION - 1}"):
        agents.load_policy(saved["top, A2C"][1])


# ---- what is refused at saving -----------------------------------------------------------------------------


class Doubled(gym.ObservationWrapper):
    """A wrapper of a user's own."""

    def observation(self, observation):
        return observation / 2


def mixing():
    return agents.MixScores(native())


def chosen(env):
    return trained(None, PPO, "MlpPolicy", MLP, env, steps=0)


BEHIND = {
    "NormalizeObservation": wrappers.NormalizeObservation,
    "TransformObservation": lambda env: wrappers.TransformObservation(
        env, lambda shown: shown, env.observation_space
    ),
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 2),
    "RescaleAction": lambda env: wrappers.RescaleAction(env, np.float32(0), np.float32(1)),
    "Doubled": Doubled,
}


@pytest.mark.parametrize("name", BEHIND)
def test_what_an_agent_cannot_repeat_is_refused_by_name(name, tmp_path):
    for make in (
        lambda: Monitor(BEHIND[name](mixing())),
        lambda: DummyVecEnv([lambda: BEHIND[name](mixing())]),
    ):
        with pytest.raises(UnknownName, match=f"behind {name}, which an agent cannot repeat"):
            agents.save_policy(chosen(make()), tmp_path / "policy")
    assert list(tmp_path.iterdir()) == []


def test_a_wrapper_inside_is_found_too(tmp_path):
    env = agents.MixScores(BEHIND["TransformObservation"](native()))
    with pytest.raises(UnknownName, match="behind TransformObservation"):
        agents.save_policy(chosen(env), tmp_path / "policy")
    with pytest.raises(UnknownName, match="with MixScores in ChooseStrategy"):
        agents.save_policy(chosen(agents.ChooseStrategy(mixing(), ["random", "margin"])), tmp_path / "policy")


def test_wrappers_of_vectors(tmp_path):
    def one():
        return DummyVecEnv([mixing])

    with pytest.raises(UnknownName, match="behind VecFrameStack"):
        agents.save_policy(chosen(VecFrameStack(one(), 2)), tmp_path / "policy")
    with pytest.raises(UnknownName, match="norm_obs=False"):
        agents.save_policy(chosen(VecMonitor(VecNormalize(one(), norm_obs=True))), tmp_path / "policy")
    fine = VecMonitor(VecNormalize(one(), norm_obs=False, norm_reward=True, gamma=1.0))
    agents.save_policy(chosen(fine), tmp_path / "policy")


def test_what_changes_rewards_and_lengths_alone_is_fine(tmp_path):
    env = wrappers.NormalizeReward(wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(mixing(), 2)))
    agents.load_policy(agents.save_policy(chosen(env), tmp_path / "policy"))


def test_environments_in_other_processes(tmp_path):
    for name, wrapped in (("fine", lambda env: env), ("not", BEHIND["NormalizeObservation"])):
        envs = SubprocVecEnv([lambda w=wrapped: w(mixing())], start_method="fork")
        try:
            model = chosen(envs)
            if name == "fine":
                agents.save_policy(model, tmp_path / name)
            else:
                with pytest.raises(UnknownName, match="behind NormalizeObservation"):
                    agents.save_policy(model, tmp_path / name)
        finally:
            envs.close()


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_vector_environments_of_gymnasium(vector):
    envs = vector([lambda: BEHIND["NormalizeObservation"](mixing())])
    try:
        wrapped = wrappers.vector.RecordEpisodeStatistics(envs)
        names = [layer.name for layer in _layers(SimpleNamespace(env=wrapped))]
        assert [name for name in names if name not in ("PassiveEnvChecker", "OrderEnforcing")] == [
            "MixScores",
            "NormalizeObservation",
            "RecordEpisodeStatistics",
        ]
    finally:
        envs.close()


def test_what_cannot_be_told_is_refused(tmp_path):
    def bare():
        return agents.MixScores(ActiveLearningEnv("digits", "ridge", **OPTIONS))

    agents.save_policy(chosen(bare()), tmp_path / "alone")
    envs = SubprocVecEnv([bare], start_method="fork")
    try:
        with pytest.raises(UnknownName, match="cannot be told"):
            agents.save_policy(chosen(envs), tmp_path / "policy")
    finally:
        envs.close()


class NoEnv(PPO):
    """A model that was loaded without its environment."""

    def get_env(self):
        return None


NoEnv.__name__ = "PPO"


def test_models_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "policy"
    with pytest.raises(UnknownName, match="TD3"):
        agents.save_policy(TD3("MlpPolicy", gym.make("Pendulum-v1")), path)
    with pytest.raises(UnknownName, match="wrap it in one of ChooseStrategy"):
        agents.save_policy(chosen(gym.make("CartPole-v1")), path)
    with pytest.raises(UnknownName, match="no environment"):
        agents.save_policy(NoEnv("MlpPolicy", mixing(), n_steps=2, batch_size=2), path)
    with pytest.raises(UnknownName, match="use_sde"):
        agents.save_policy(PPO("MlpPolicy", mixing(), n_steps=2, batch_size=2, use_sde=True), path)
    with pytest.raises(UnknownName, match="Own cannot be saved"):
        agents.save_policy(PPO(Own, agents.TopOfCandidates(native()), n_steps=2, batch_size=2), path)
    assert list(tmp_path.iterdir()) == []


class Own(agents.SetTopKPolicy):
    """A policy of a user's own."""


def test_set_policies_are_for_their_wrappers():
    for policy, wrapper in (
        (agents.SetTopKPolicy, agents.ScoreCandidates),
        (agents.SetGaussianPolicy, agents.PickOneByOne),
        (agents.SetPickPolicy, agents.TopOfCandidates),
    ):
        with pytest.raises(UnknownName, match="train it on"):
            PPO(policy, wrapper(native()), n_steps=2, batch_size=2)


def test_every_wrapper_has_an_agent():
    from agents.policies.saved import AGENTS
    from agents.policies.trained import WRAPPERS

    assert set(AGENTS) == set(WRAPPERS)
    assert all(issubclass(wrapper, PolicyEnv) for wrapper in WRAPPERS.values())
