"""Plays agents in many episodes of one environment, for policies that are selected or reported on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import agents
from alenv import BatchedEnv, core, is_batched
from alenv.errors import CorruptRun
from alenv.files import make_folder, write_text
from alenv.progress import progress
from alenv.registration import MIX, known_id
from scenarios.play.meta import versions
from scenarios.play.run_folder import ADVICE, short_hash, slug

AT_ONCE = 64  # episodes of a ridge environment


@dataclass(frozen=True)
class Budget:
    """How many labels there are: an initial set, and ten queries.

    Attributes:
        initial_size: Labels before the first query.
        query_size: Labels of a query.
    """

    initial_size: int
    query_size: int
    queries = 10

    @property
    def settings(self) -> dict[str, int]:
        """The kwargs of the environment; there are eight candidates for each that is chosen, and 256 at least."""
        return {
            "initial_size": self.initial_size,
            "query_size": self.query_size,
            "budget": self.queries * self.query_size,
            "candidates": max(256, 8 * self.query_size),
        }

    @property
    def title(self) -> str:
        """Such as ``64+10x32``."""
        return f"{self.initial_size}+{self.queries}x{self.query_size}"


# From two labels of each of ten classes to a hundred; on which policies were compared from the first on.
BUDGETS = tuple(Budget(*sizes) for sizes in ((20, 10), (50, 20), (64, 32), (200, 50), (500, 50), (1000, 100)))


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
    return _split(np.concatenate(list(_parts(agent, env_id, settings, seeds))))


def play_and_keep(
    folder: Path, agent: str, env_id: str, settings: Mapping[str, Any], seeds: Sequence[int]
) -> Played:
    """Plays an episode per seed as ``play`` does, less those that a file in ``folder`` has from an earlier call.

    Raises:
        CorruptRun: What is there cannot be read.
        StorageError: The folder cannot be written.
    """
    content = {
        name: found if isinstance(found, str) else sha256(found.read_bytes()).hexdigest()
        for name, found in agents.content(agent).items()
    }
    what = {
        "agent": agent,
        "content": content,
        "env_id": env_id,
        "settings": dict(settings),
        "first_seed": seeds[0],
        "versions": versions(),
    }
    path = folder / f"{slug(agent)[-60:]}-{short_hash(what)}.json"
    make_folder(folder, ADVICE)
    known = _kept(path)
    rows = list(known[: len(seeds)])
    for part in _parts(agent, env_id, settings, seeds[len(rows) :]):
        rows.extend([None if np.isnan(area) else area for area in both] for both in part.tolist())
        write_text(path, json.dumps({**what, "test, validation": rows}) + "\n", ADVICE)
    return _split(np.array(rows, dtype=np.float64))


def _kept(path: Path) -> list[list[float | None]]:
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text())["test, validation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptRun(f"{path} cannot be read; delete it to play its episodes anew.") from error


def _split(areas: np.ndarray) -> Played:
    test, validation = areas.T
    return Played(*(None if np.isnan(area).any() else area for area in (test, validation)))


def _parts(
    agent: str, env_id: str, settings: Mapping[str, Any], seeds: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yields the areas of some episodes after the other, float64 (n, 2), as they are played."""
    name = known_id(env_id)
    measured = {} if name == MIX else {"test": True}
    settings = {"observe": "progress", **settings, **measured}
    if agents.make(agent).ceiling:
        settings["allow_peek"] = True
    with progress(agent, len(seeds), "episodes") as shown:
        if is_batched(name, settings):
            for first in range(0, len(seeds), AT_ONCE):
                yield _at_once(agent, name, settings, seeds[first : first + AT_ONCE])
                shown(len(seeds[first : first + AT_ONCE]))
        elif seeds:
            env = gym.make(name, **settings)
            for seed in seeds:
                yield _alone(agent, env, seed)
                shown(1)
            env.close()


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
