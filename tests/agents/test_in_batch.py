"""Agents in all episodes of a batched environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import agents
from agents.strategies.uncertainty import Uncertainty
from alenv import core
from alenv.errors import MissingHead, UnknownName

ID = "ALDigitsRidge-v0"
SHORT: dict[str, Any] = {"query_size": 10, "budget": 30, "candidates": 60, "observe": "progress"}


def played_alone(spelling: str, seed: int, episodes: int, **settings: Any) -> list[list[int]]:
    env, agent, found = gym.make(ID, **settings), agents.make(spelling), []
    for number in range(episodes):
        env.reset(seed=None if number else seed)
        agent.reset(core(env).view, seed=core(env).key)
        over = False
        while not over:
            query = agent.act(None)
            found.append(query.tolist())
            _, _, over, _, _ = env.step(query)
    return found


# The last one finds its candidates repeated in the end.
@pytest.mark.parametrize(
    ("spelling", "changed"),
    [
        *((name, {}) for name in ("random", "margin", "entropy", "least_confidence", "margin:pool=all")),
        ("coreset+margin", {}),
        ("albl", {}),
        ("tailor:strategies=random/margin", {}),
        ("margin", {"pool_size": 50, "candidates": 40}),
    ],
)
def test_it_queries_what_the_agent_queries_alone(spelling: str, changed: dict[str, Any]) -> None:
    settings = {**SHORT, **changed}
    env: Any = gym.make_vec(ID, num_envs=3, autoreset_mode="SameStep", **settings).unwrapped
    player, found = agents.InBatch(spelling, env), []
    env.reset(seed=5)
    for _ in range(6):
        found.append(player.act())
        env.step(found[-1])
    for i in range(3):
        assert [each[i].tolist() for each in found] == played_alone(spelling, 5 + i, 2, **settings)


def test_uncertainty_chooses_for_all_episodes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = gym.make_vec(ID, num_envs=2, **SHORT).unwrapped
    env.reset(seed=0)
    monkeypatch.setattr(Uncertainty, "pick", lambda *_: 1 / 0)
    assert agents.InBatch("margin", env).act().shape == (2, 10)
    with pytest.raises(ZeroDivisionError):
        agents.InBatch("margin:pool=all", env).act()


def test_what_is_refused() -> None:
    env: Any = gym.make_vec(ID, num_envs=2, **SHORT).unwrapped
    env.reset(seed=0)
    with pytest.raises(UnknownName, match="did you mean 'margin'"):
        agents.InBatch("margn", env)
    with pytest.raises(MissingHead, match="loss"):
        agents.InBatch("ll4al", env).act()
