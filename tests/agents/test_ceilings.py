"""A ceiling buys the best of what it tries, alone and in a batch, and gets nothing without leave."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import agents
from alenv.errors import InvalidQuery, MissingHead, PeekNotAllowed, UnknownName

ID, SPELLED = "ALDigitsRidge-v0", "oracle_greedy:samples=6:strategies=margin/coreset"
SMALL: dict[str, Any] = {
    **{"initial_size": 20, "query_size": 5, "budget": 15, "candidates": 30, "allow_peek": True},
    **{"observe": "progress", "test": False},
}


def lent(env: Any, seed: int = 0) -> Any:
    env.reset(seed=seed)
    agent = agents.make(SPELLED)
    agent.lend(env.unwrapped)
    agent.reset(env.unwrapped.view, seed=env.unwrapped.key)
    return agent


def test_it_buys_the_best_of_what_it_tries_and_reveals_nothing() -> None:
    env: Any = gym.make(ID, **SMALL).unwrapped
    agent = lent(env)
    asked: list[Any] = []
    peek, env.peek = env.peek, lambda queries: asked.append(queries) or peek(queries)
    before = env.ledger.tolist()
    found = agent.act(None)
    assert env.ledger.tolist() == before
    (tried,) = asked
    assert tried.shape == (8, 5)
    assert np.isin(tried, env.view.candidates).all()
    assert [tried[at].tolist() for at in (0, 1)] == [
        margin_or_coreset(env, name).tolist() for name in ("margin", "coreset")
    ]
    assert peek([found])[0] == peek(tried).max() > peek(tried).min()
    assert np.array_equal(agent.act(None), found)


def margin_or_coreset(env: Any, name: str) -> Any:
    agent = agents.make(name, pool="candidates")
    agent.reset(env.view, seed=env.key)
    return agent.act(None)


def test_in_a_batch_it_buys_what_it_buys_alone_or_what_is_as_good() -> None:
    many: Any = gym.make_vec(ID, num_envs=3, autoreset_mode="Disabled", **SMALL).unwrapped
    many.reset(seed=[4, 5, 6])
    player, found = agents.InBatch(SPELLED, many), []
    for _ in range(3):
        found.append(player.act())
        many.step(found[-1])
    for place, seed in enumerate((4, 5, 6)):
        env = gym.make(ID, **SMALL)
        agent: Any = lent(env, seed)
        for queries in found:
            mine, theirs = env.unwrapped.peek([agent.act(None), queries[place]])  # type: ignore[attr-defined]
            assert abs(mine - theirs) < 0.005  # rounding in float32 may turn an image
            env.step(queries[place])


def test_it_beats_whom_it_asks() -> None:
    gained = []
    for spelled in (SPELLED, "margin:pool=candidates", "random:pool=candidates"):
        env: Any = gym.make_vec(ID, num_envs=6, autoreset_mode="Disabled", **SMALL).unwrapped
        env.reset(seed=0)
        player = agents.InBatch(spelled, env)
        gained.append(sum(env.step(player.act())[1].mean() for _ in range(3)))
    assert gained[0] > max(gained[1:])


def test_nothing_without_leave() -> None:
    env: Any = gym.make(ID, **SMALL).unwrapped
    env.reset(seed=0)
    with pytest.raises(PeekNotAllowed, match=r"agent\.lend"):
        agents.make(SPELLED).reset(env.view, seed=0)
    forbidden = gym.make(ID, **{**SMALL, "allow_peek": False})
    with pytest.raises(PeekNotAllowed, match="allow_peek=True"):
        lent(forbidden).act(None)
    assert not agents.make("margin").ceiling
    agents.make("margin").lend(env)  # an agent that is no ceiling takes nothing
    with pytest.raises(InvalidQuery, match="samples=0"):
        agents.make("oracle_greedy:samples=0")
    with pytest.raises(UnknownName, match="did you mean 'margin'"):
        agents.make("oracle_greedy:strategies=margn")


def test_greedy_on_gains_buys_what_single_purchases_would_be() -> None:
    one_by_one = {**SMALL, "query_size": 1, "budget": 3, "ridge_penalty": 1.0}
    many: Any = gym.make_vec(
        ID, num_envs=2, autoreset_mode="Disabled", **{**one_by_one, "query_size": 3}
    ).unwrapped
    singly: Any = gym.make_vec(ID, num_envs=2, autoreset_mode="Disabled", **one_by_one).unwrapped
    many.reset(seed=0)
    singly.reset(seed=0)
    found = agents.InBatch("oracle_greedy:by=gains", many).act()
    candidates = many.batch.candidates
    for cycle in range(3):
        gains = singly.gains(candidates).numpy()
        gains[singly.batch.is_labeled[np.arange(2)[:, None], candidates]] = -np.inf
        best = np.take_along_axis(candidates, gains.argmax(1)[:, None], 1)
        assert found[:, cycle].tolist() == best[:, 0].tolist()
        singly.step(best)
    env: Any = gym.make(ID, **SMALL).unwrapped
    env.reset(seed=0)
    agent = agents.make("oracle_greedy:by=gains")
    agent.lend(env)
    with pytest.raises(MissingHead, match="by=gains"):
        agent.reset(env.view, seed=0)
