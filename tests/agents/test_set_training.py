"""Trainers that peek find the best query where it is known, go on as if never stopped, and save what plays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import rigged_al  # noqa: F401  (registers the environment)
import torch

import agents
from agents.policies import plackett_luce
from agents.policies.imitation import ImitateBest, outscored
from agents.policies.learned import SHIPPED
from agents.policies.peek_training import PeekPG, advantages
from agents.policies.set_training import SetTrainer
from agents.policies.training import LearningTask, find_trainer
from alenv.errors import CorruptRun, InvalidQuery, InvalidRecipe, MissingHead, UnknownName

RIGGED = LearningTask("RiggedAL-v0")
MIX = LearningTask(
    "ALMix-v0", {"datasets": ["digits"], "query_size": 8, "cycles": 2, "validation": 100, "pool_size": 300}
)
QUICK: dict[str, Any] = {"episodes": 8, "candidates": 12, "plays": 2, "width": 16}
KINDS: dict[str, dict[str, Any]] = {
    "peek_pg": {"samples": 8},
    "imitate_best": {"strategies": "random/margin/coreset", "memory": 100},
}


def trainer(name: str, *tasks: LearningTask, **changed: Any) -> Any:
    return find_trainer(name)(tasks or (RIGGED,), **{**QUICK, **KINDS[name], **changed})


def earned(learner: SetTrainer) -> tuple[float, float]:
    """Returns what the highest scores earn on average, and what the best queries do."""
    env: Any = gym.make_vec("RiggedAL-v0", num_envs=8, autoreset_mode="Disabled")
    env.reset(seed=1000)
    found, best = [], []
    for _ in range(env.protocol.cycles):
        worth, count = env.scores(), env.batch.query_size
        described = env.batch.descriptors()
        scores = learner._network(described.candidates, described.context)[0].detach()
        top = scores.topk(count, 1).indices.numpy()
        found.append(np.take_along_axis(worth, top, 1).mean())
        best.append(np.sort(worth, 1)[:, -count:].mean())
        env.step(np.take_along_axis(env.batch.candidates, top, 1))
    return float(np.mean(found)), float(np.mean(best))


@pytest.mark.parametrize("name", KINDS)
def test_it_finds_the_best_query(name: str) -> None:
    learner = trainer(name, lr=1e-2, plays=5)
    before, best = earned(learner)
    assert before < 0.5 * best  # what it has learned is not what it began with
    learner.advance(160)
    after, best = earned(learner)
    assert after > 0.75 * best


@pytest.mark.parametrize("name", KINDS)
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(name: str) -> None:
    whole = trainer(name)
    whole.advance(200)
    saved = io.BytesIO()
    torch.save(whole.get_state(), saved)
    told = whole.advance(200)
    stopped = trainer(name)
    stopped.set_state(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
    assert (stopped.round, stopped.steps) == (1, 64)
    assert stopped.advance(200) == told
    for mine, theirs in zip(stopped._network.parameters(), whole._network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_saved_plays_and_can_be_started_from(name: str, tmp_path: Path) -> None:
    learner = trainer(name)
    learner.advance(64)
    learner.save(tmp_path / "policy", {"round": 1})
    env: Any = gym.make("ALDigitsRidge-v0", candidates=30, query_size=6, budget=12)
    observation, _ = env.reset(seed=0)
    view = env.unwrapped.view
    agent = agents.make(f"policy={tmp_path / 'policy'}")
    agent.reset(view, seed=0)
    described = view.descriptors()
    scores = learner._network(described.candidates[None], described.context[None])[0]
    assert agent.act(observation).tolist() == view.candidates[scores.topk(6).indices[0].numpy()].tolist()
    again = trainer(name, seed=5, start=str(tmp_path / "policy"))
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(again._network.parameters(), learner._network.parameters(), strict=True)
    )
    with pytest.raises(CorruptRun, match="width=32"):
        trainer(name, width=32, start=str(tmp_path / "policy"))
    for folder in (tmp_path, SHIPPED):
        with pytest.raises(CorruptRun):
            trainer(name, start=str(folder))


@pytest.mark.parametrize("name", KINDS)
def test_it_learns_in_several_tasks_in_turn(name: str) -> None:
    learner = trainer(name, RIGGED, MIX, plays=1)
    told = learner.advance(100)
    assert learner.steps == 8 * (4 + 2)
    assert all(np.isfinite(value) for value in told.values())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("task", "changed", "error", "said"),
    [
        (LearningTask("ALDigits-v0", {"validation": 100}), {}, InvalidRecipe, "ridge head"),
        (LearningTask("ALDigitsRidge-v0", {"validation": 0}), {}, MissingHead, "validation"),
        (RIGGED, {"candidates": 2}, InvalidQuery, "candidates=2"),
        (RIGGED, {"width": 18}, InvalidQuery, "multiple of 4"),
        (RIGGED, {"lr": 0}, InvalidQuery, "lr=0"),
        (RIGGED, {"episodes": 0}, InvalidQuery, "episodes=0"),
    ],
)
def test_bad_input_is_refused_at_once(
    name: str, task: LearningTask, changed: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        trainer(name, task, **changed)


def test_options_of_their_own_are_refused_at_once() -> None:
    with pytest.raises(InvalidQuery, match="samples=1"):
        PeekPG([RIGGED], samples=1)
    with pytest.raises(UnknownName, match="did you mean 'margin'"):
        ImitateBest([RIGGED], strategies="random/margn")
    with pytest.raises(UnknownName, match="no strategy"):
        ImitateBest([RIGGED], strategies=[f"{Path(__file__).parents[1] / 'own' / 'ends.py'}:NoStrategy"])
    with pytest.raises(InvalidQuery, match="beta=2"):
        ImitateBest([RIGGED], beta=2)


def test_old_states_are_forgotten() -> None:
    learner = trainer("imitate_best")
    for _ in range(3):
        learner.advance(100)
    assert 100 <= sum(len(each.context) for each in learner._kept) < 100 + 8


def test_advantages_are_standardized_in_their_group() -> None:
    found = advantages(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]) * 1.5**0.5)


def test_the_first_picks_alone_have_the_probability_of_a_shorter_query() -> None:
    scores = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    picks = plackett_luce.drawn(scores, 5, torch.Generator().manual_seed(1))
    found = plackett_luce.log_probability(scores, picks, torch.tensor([3, 5]))
    torch.testing.assert_close(found[:1], plackett_luce.log_probability(scores[:1], picks[:1, :3]))
    torch.testing.assert_close(found[1:], plackett_luce.log_probability(scores[1:], picks[1:]))


def test_wanted_candidates_are_compared_with_the_others_alone() -> None:
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([[True, False, True, False, False], [False, True, False, False, False]])
    for row in range(2):
        rest = scores[row][~wanted[row]].exp().sum()
        each = [-(s.exp() / (s.exp() + rest)).log() for s in scores[row][wanted[row]]]
        torch.testing.assert_close(outscored(scores, wanted)[row], torch.stack(each).mean())
