"""Policies that are trained, saved as data, and play as agents."""

from __future__ import annotations

import json
import os

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from torch import nn

import agents
from alenv.errors import CorruptRun, RunConflict, StorageError, UnknownName

NAMES = ["random", "margin", "coreset"]
OPTIONS = {"query_size": 10, "budget": 30, "observe": "progress"}


def native():
    return gym.make("ALDigitsRidge-v0", **OPTIONS)


def make():
    return Monitor(agents.ChooseStrategy(native(), NAMES))


def trained(algorithm=PPO, env=None, steps=4, **options):
    if algorithm is not DQN:
        options = {"n_steps": 4, **options}
    if algorithm is PPO:
        options = {"batch_size": 4, **options}
    with torch.random.fork_rng(devices=[]):
        return algorithm("MlpPolicy", env or make(), seed=0, device="cpu", **options).learn(steps)


@pytest.fixture(scope="module")
def model():
    return trained()


KINDS = {
    "PPO": {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [4, 4]}, "activation_fn": nn.ReLU}},
    "A2C": {"policy_kwargs": {"net_arch": [8, 8], "ortho_init": False}},
    "DQN": {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 2},
}


@pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
def test_a_saved_policy_acts_as_the_model_did(tmp_path, algorithm):
    model = trained(algorithm, **KINDS[algorithm.__name__])
    agent = agents.load_policy(agents.save_policy(model, tmp_path / "policy"))
    wrapped, env = make(), native()
    observation, _ = wrapped.reset(seed=5)
    env.reset(seed=5)
    agent.reset(
        env.unwrapped.view, seed=env.unwrapped.key
    )  # the wrapper's strategies draw from the episode's key
    for _ in range(3):
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, *_, info = wrapped.step(action)
        found = agent.act(None)
        assert found.tolist() == info["query"].tolist()
        assert env.step(found)[1] == reward


def test_loading_by_spelling(tmp_path, model):
    path = agents.save_policy(model, tmp_path / "policy")
    assert sorted(each.name for each in path.iterdir()) == ["config.json", "weights.safetensors"]
    for text in (f"policy={path}", str(path)):
        agent = agents.make(text)
        assert isinstance(agent, agents.LearnedPolicy)
        assert "validation" in agent.needs
    assert "Stable-Baselines3" in agents.describe(f"policy={path}").source


def test_loading_leaves_the_global_random_state_alone(tmp_path, model):
    path = agents.save_policy(model, tmp_path / "policy")
    before = torch.get_rng_state()
    first = agents.load_policy(path)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    again = agents.load_policy(path)
    weights = (list(each._brain.policy.parameters()) for each in (first, again))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_drawing_instead_of_preferring(tmp_path, model):
    agent = agents.make(f"policy={agents.save_policy(model, tmp_path / 'policy')}", deterministic=False)
    env = native()
    env.reset(seed=0)
    before = torch.get_rng_state()
    queries = []
    for seed in (0, 0, *range(1, 12)):
        agent.reset(env.unwrapped.view, seed=seed)
        queries.append(tuple(agent.act(None)))
    assert queries[0] == queries[1]
    assert len({tuple(sorted(query)) for query in queries}) > 2  # not one strategy with one query
    assert torch.equal(torch.get_rng_state(), before)


def test_dqn_has_no_probabilities(tmp_path):
    path = agents.save_policy(trained(DQN, learning_starts=2), tmp_path / "policy")
    with pytest.raises(UnknownName, match="no probabilities"):
        agents.load_policy(path, deterministic=False)


def test_nothing_is_overwritten(tmp_path, model):
    path = agents.save_policy(model, tmp_path / "deep" / "policy")
    before = (path / "weights.safetensors").read_bytes()
    with pytest.raises(RunConflict, match="exists"):
        agents.save_policy(model, path)
    assert (path / "weights.safetensors").read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["policy"]


def test_a_failed_save_leaves_nothing(tmp_path, model, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(StorageError, match="No space left"):
        agents.save_policy(model, tmp_path / "policy")
    assert list(tmp_path.iterdir()) == []


class Touch:
    """Code that a weights file would run if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_loading_runs_no_code(tmp_path, model):
    path = agents.save_policy(model, tmp_path / "policy")
    torch.save({"weight": Touch(tmp_path / "ran")}, path / "weights.safetensors")
    with pytest.raises(CorruptRun, match="cannot be read"):
        agents.load_policy(path)
    assert not (tmp_path / "ran").exists()


def spoiled(**changes):
    def spoil(path):
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | changes))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: (path / "config.json").unlink(), CorruptRun),
        (lambda path: (path / "weights.safetensors").unlink(), CorruptRun),
        (lambda path: (path / "config.json").write_text("{"), CorruptRun),
        (lambda path: (path / "config.json").write_text("{}"), CorruptRun),
        (lambda path: (path / "weights.safetensors").write_bytes(b"PK"), CorruptRun),
        (spoiled(format=2), CorruptRun),
        (spoiled(algorithm="os"), CorruptRun),
        (spoiled(algorithm="SAC"), CorruptRun),
        (spoiled(policy="SetTopKPolicy"), CorruptRun),
        (spoiled(wrapper="os"), CorruptRun),
        (spoiled(wrapper="TopOfCandidates"), CorruptRun),
        (spoiled(stats_size=3), CorruptRun),
        (spoiled(arguments={}), CorruptRun),
        (spoiled(arguments={"strategies": ["random"]}), CorruptRun),
        (spoiled(arguments={"strategies": ["random", "margin", "no_such"]}), UnknownName),
        (spoiled(options={"activation_fn": "Module"}), UnknownName),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, model, spoil, error):
    path = agents.save_policy(model, tmp_path / "policy")
    spoil(path)
    with pytest.raises(error):
        agents.load_policy(path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(CorruptRun, match="holds no saved policy"):
        agents.make(f"policy={tmp_path / 'nowhere'}")


class OwnActivation(nn.Tanh):
    """Not one that a config can name."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation_fn": OwnActivation}, "OwnActivation"),
        ({"squash_output": False}, "squash_output"),
    ],
)
def test_options_that_are_code_are_refused(tmp_path, options, message):
    with pytest.raises(UnknownName, match=message):
        agents.save_policy(trained(steps=0, policy_kwargs=options), tmp_path / "policy")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_an_earlier_format_is_refused_in_a_sentence(tmp_path, model):
    path = agents.save_policy(model, tmp_path / "policy")
    spoiled(format=2)(path)
    with pytest.raises(CorruptRun, match=r"of format 2, which is not read here; save the policy again\.$"):
        agents.load_policy(path)


@pytest.mark.parametrize("name", ["random", "margin", "coreset+margin"])
def test_any_agent_can_be_evaluated_by_stable_baselines(name):
    env = Monitor(gym.make("ALDigitsRidge-v0", **OPTIONS, on_invalid="raise"))
    predictor = agents.as_predictor(agents.make(name), env)
    rewards, lengths = evaluate_policy(predictor, env, n_eval_episodes=2, return_episode_rewards=True)
    assert lengths == [3, 3]
    assert len(rewards) == 2


def test_a_predictor_alone_gives_one_query():
    env = native()
    observation, _ = env.reset(seed=0)
    predictor = agents.as_predictor(agents.make("random"), env)
    first, state = predictor.predict(observation)
    assert state is None
    assert first.shape == (10,)
    batch, _ = predictor.predict(observation, episode_start=np.array([True]))
    assert batch.tolist() == [first.tolist()]
    observation, _ = env.reset(seed=1)
    assert predictor.predict(observation)[0].tolist() != first.tolist()
