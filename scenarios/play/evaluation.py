"""Plays agents in many episodes of one environment, for policies that are selected or reported on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import agents
from alenv import ENVIRONMENTS, BatchedEnv, core
from alenv.presets import resolve
from alenv.progress import progress
from alenv.registration import MIX, known_id

AT_ONCE = 64  # episodes of a ridge environment


@dataclass(frozen=True)
class Played:
    """What an agent reached, episode by episode, in [0, 1].

    Attributes:
        area: Mean accuracy on the test set after queries 1 to T, float64 (n,); None where there is no test set.
        validation: The same on the validation split; None without one.
    """

    area: np.ndarray | None
    validation: np.ndarray | None


def play(agent: str, env_id: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> Played:
    """Plays an episode per seed; those of a ridge environment at once.

    Args:
        agent: How the agent is spelled.
        env_id: A registered environment.
        settings: Its kwargs.
        seeds: n of them, the same for every agent that is compared.

    Raises:
        AlenvError: A setting or the agent does not exist or does not fit.
    """
    name = known_id(env_id)
    measured = {} if name == MIX else {"test": True}
    settings = {"observe": "progress", **settings, **measured}
    if agents.make(agent).ceiling:
        settings["allow_peek"] = True
    with progress(f"{agent}: episodes", len(seeds)) as shown:
        if _is_batched(name, settings):
            parts = []
            for first in range(0, len(seeds), AT_ONCE):
                parts.append(_at_once(agent, name, settings, seeds[first : first + AT_ONCE]))
                shown(min(first + AT_ONCE, len(seeds)))
        else:
            env = gym.make(name, **settings)
            parts = []
            for number, seed in enumerate(seeds):
                parts.append(_alone(agent, env, seed))
                shown(number + 1)
            env.close()
    test, validation = np.concatenate(parts).T
    return Played(*(None if np.isnan(area).any() else area for area in (test, validation)))


def _is_batched(name: str, settings: Mapping[str, Any]) -> bool:
    """Tells whether ``make_vec`` computes an environment's episodes in a batch."""
    return name == MIX or (
        name in ENVIRONMENTS and resolve(*ENVIRONMENTS[name], dict(settings)).recipe.head == "ridge"
    )


def _at_once(agent: str, name: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> np.ndarray:
    """Returns both areas of every episode, float64 (n, 2)."""
    env = gym.make_vec(name, num_envs=len(seeds), autoreset_mode=AutoresetMode.DISABLED, **settings).unwrapped
    assert isinstance(env, BatchedEnv), "others are played one by one"
    env.reset(seed=list(seeds))
    player, total = agents.InBatch(agent, env), np.zeros((len(seeds), 2))
    for _ in range(env.protocol.cycles):
        total += _accuracies(env.step(player.act())[4], len(seeds))
    env.close()
    return total / env.protocol.cycles


def _alone(agent: str, env: gym.Env[Any, Any], seed: int) -> np.ndarray:
    """Returns both areas of one episode, float64 (1, 2)."""
    observation, _ = env.reset(seed=seed)
    inside, player = core(env), agents.make(agent)
    if player.ceiling:
        player.lend(inside)
    player.reset(inside.view, seed=inside.key)
    total, over = np.zeros((1, 2)), False
    while not over:
        observation, reward, over, _, info = env.step(player.act(observation))
        player.update(*agents.feedback(float(reward), info))
        total += _accuracies({name: np.array([value]) for name, value in info.items()}, 1)
    return total / inside.protocol.cycles


def _accuracies(info: Mapping[str, Any], episodes: int) -> np.ndarray:
    unknown = np.full(episodes, np.nan)
    return np.stack([info.get(f"{split}_accuracy", unknown) for split in ("test", "validation")], axis=1)
