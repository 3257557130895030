"""Trainers that go through Stable-Baselines3: stopped, they go on to the same; refusals come before they learn."""

from __future__ import annotations

import io
import json
import random
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import agents
from agents.policies.sb3 import VectorEnvForSB3
from agents.policies.sb3_training import Sb3Trainer, divisor
from agents.policies.training import SELECTION_SEEDS, LearningTask, find_trainer
from alenv.errors import AlenvError, InvalidProtocol, InvalidQuery, MissingHead, UnknownName

ID = "ALDigitsRidge-v0"
SMALL: dict[str, Any] = {
    **{"pool_size": 60, "initial_size": 6, "query_size": 3, "budget": 6, "candidates": 10, "validation": 50}
}
TASKS = [
    LearningTask(ID, SMALL),
    LearningTask(ID, {**SMALL, "query_size": 2, "candidates": 8, "ridge_penalty": 1.0}),
]
PPO = {"episodes": 4, "updates": 2, "batch_size": 8, "n_epochs": 2}
DQN = {"episodes": 4, "updates": 2, "batch_size": 8, "learning_starts": 8, "target_update_interval": 8}
STRATEGIES = {"strategies": ["random", "margin", "coreset"]}
KINDS: dict[str, dict[str, Any]] = {
    "ppo_strategy": PPO | STRATEGIES,
    "ppo_mixture": PPO,
    "ppo_topk": PPO | {"width": 16},
    "ppo_pick": PPO | {"width": 16},
    "dqn_strategy": DQN | STRATEGIES,
}
needs_contrib = pytest.mark.skipif(
    find_spec("sb3_contrib") is None, reason="MaskablePPO is of sb3-contrib, which is optional"
)
EACH = [pytest.param(name, marks=needs_contrib if name == "ppo_pick" else ()) for name in KINDS]


def made(name: str, tasks: list[LearningTask] = TASKS, seed: int = 3, **options: Any) -> Sb3Trainer:
    trainer = find_trainer(name)(tasks, seed, **{**KINDS[name], **options})
    assert isinstance(trainer, Sb3Trainer)
    return trainer


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def streams() -> list[Any]:
    """Returns the states of the global random streams."""
    of_numpy: Any = np.random.get_state()  # noqa: NPY002  (it is that one)
    return [random.getstate(), of_numpy[1].tolist(), of_numpy[2], torch.get_rng_state().tolist()]


@pytest.mark.parametrize("name", EACH)
def test_stopped_it_goes_on_to_the_same_state_and_leaves_the_global_streams_alone(
    name: str, tmp_path: Path
) -> None:
    whole, first = made(name), made(name)
    before = streams()
    told = [whole.advance(100) for _ in range(3)]
    assert first.advance(100) == told[0]
    again = made(name)
    again.set_state(through_a_file(first.get_state()))
    assert [again.advance(100) for _ in range(2)] == told[1:]
    assert_same(again.get_state(), whole.get_state())
    assert (again.round, again.steps) == (3, whole.steps)
    assert streams() == before
    assert not torch.equal(
        *(next(iter(each.get_state()["learned"]["policy"].values())) for each in (first, whole))
    )
    again.save(tmp_path / "policy", {"round": 3})
    assert json.loads((tmp_path / "policy" / "config.json").read_text())["made"] == {"round": 3}
    assert agents.make(f"policy={tmp_path / 'policy'}").name == "policy"
    assert all(np.isfinite(list(each.values())).all() for each in told)


def test_another_seed_is_another_training() -> None:
    one, other = (made("ppo_mixture", seed=seed).advance(100) for seed in (3, 4))
    assert one["return"] != other["return"]


@pytest.mark.parametrize("name", EACH)
def test_a_round_is_whole_episodes_and_ends_soon_behind_the_total(name: str) -> None:
    trainer = made(name, TASKS[:1])
    length = 6 if name == "ppo_pick" else 2
    trainer.advance(1000)
    assert trainer.steps == 2 * 4 * length
    trainer.advance(trainer.steps + 1)
    assert trainer.steps == 3 * 4 * length


def test_episodes_come_from_the_seeds_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    seed = VectorEnvForSB3.seed

    def spied(self: VectorEnvForSB3, given: int | None = None) -> Any:
        found = seed(self, given)
        seeds.extend(each for each in found if each is not None)
        return found

    monkeypatch.setattr(VectorEnvForSB3, "seed", spied)
    trainer = made("ppo_mixture")
    for _ in range(2):
        seeds.clear()
        trainer.advance(100)
        assert max(seeds[-4:]) < SELECTION_SEEDS
        assert len(set(seeds[-4:])) == 4


def test_numbers_say_what_was_done() -> None:
    told = made("ppo_strategy").advance(100)
    shares = {name: value for name, value in told.items() if name.startswith("share/")}
    assert list(shares) == ["share/random", "share/margin", "share/coreset"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert {"return", "loss/value", "loss/policy", "entropy"} <= told.keys()
    assert 0 < told["entropy"] < np.log(3) + 1e-6
    weights = made("ppo_mixture", scores="log_margin,typicality").advance(100)
    assert {"weight/log_margin", "weight/typicality"} <= weights.keys()


def test_exploration_falls_over_the_whole_training() -> None:
    trainer = made("dqn_strategy", exploration_fraction=0.5)
    first, second, third = (trainer.advance(64)["exploration"] for _ in range(3))
    assert (first, second, third) == pytest.approx((1 - 0.95 / 2, 0.05, 0.05))


def test_ridge_environments_are_a_batch_and_others_are_not() -> None:
    assert isinstance(made("ppo_topk")._envs[0], VectorEnvForSB3)
    mixed = [TASKS[0], LearningTask("rigged_al:RiggedAL-v0", {})]
    both = made("ppo_topk", mixed, episodes=6)
    assert [type(env) for env in both._envs] == [VectorEnvForSB3, DummyVecEnv]
    both.advance(100)
    before = both.steps
    both.advance(100)
    assert both.steps == 3 * before  # episodes of two steps, and of four


@pytest.mark.parametrize("name", EACH)
def test_it_learns_where_every_episode_is_a_task_of_its_own(name: str, tmp_path: Path) -> None:
    mix = {
        **{"datasets": ["digits"], "classes": [2, 4], "pool_size": 120, "validation": 60, "initial": [2, 4]},
        **{"query_size": 3, "cycles": 2, "candidates": 10, "feature_size": [8, 16]},
    }
    trainer = made(name, [LearningTask("ALMix-v0", mix), TASKS[0]])
    for _ in range(2):
        assert np.isfinite(trainer.advance(100)["return"])
    trainer.save(tmp_path / "policy", {})


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[AlenvError], str]] = [
    ({"depth": 3}, {}, UnknownName, "no option of the training of ppo_strategy 'depth'"),
    ({"episodes": 0}, {}, InvalidQuery, "episodes=0 was given; give a whole number of at least 1"),
    ({"learning_rate": "fast"}, {}, InvalidQuery, "learning_rate='fast' was given; give a number"),
    ({"device": 3}, {}, InvalidQuery, "device=3 was given; give text"),
    ({"strategies": "random,margn"}, {}, UnknownName, "did you mean 'margin'"),
    ({"strategies": 3}, {}, UnknownName, "give a list of at least one agent"),
    ({}, {"budget": 0}, InvalidProtocol, "budget=0 was given"),
    ({}, {"validation": 0}, MissingHead, "no validation split"),
    ({}, {"validation": 0, "recipe": "logistic"}, AlenvError, "validation"),
    ({}, {"query_sise": 3}, UnknownName, "query_size"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "settings", "error", "sentence"), REFUSED)
def test_what_is_wrong_is_said_before_anything_is_learned(
    options: dict[str, Any], settings: dict[str, Any], error: type[AlenvError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as found:
        made("ppo_strategy", [TASKS[0], LearningTask(ID, {**SMALL, **settings})], **options)
    assert str(found.value).endswith((".", "?"))


def test_fewer_candidates_than_a_query_takes() -> None:
    with pytest.raises(InvalidQuery, match="candidates=3 or more"):
        made("ppo_topk", [LearningTask(ID, {**SMALL, "candidates": 2})])


def test_picks_need_sb3_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.delitem(sys.modules, "agents.masked", raising=False)
    monkeypatch.delattr(agents, "masked", raising=False)
    with pytest.raises(MissingHead, match=r"needs sb3-contrib.*alenv\[contrib\]"):
        made("ppo_pick")


def test_divisors() -> None:
    assert [divisor(*each) for each in ((40, 8), (7, 8), (30, 100), (9, 8), (11, 8))] == [8, 7, 30, 3, 1]
