"""Steps per second of an environment played by agents: alone, one after the other, and as a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import agents
from alenv import ActiveLearningEnv, RidgeVectorEnv, core
from alenv.learners.ridge import PENALTIES
from alenv.registration import known_id
from scenarios.bench.products import product_rate

AGENTS = ("random", "margin")
EPISODES = 64
SYNC_EPISODES = 4  # each holds its own copy of the embedding, and a step costs what one environment's costs


@dataclass
class Clock:
    """Seconds and steps, of the environment and of the agent that plays in it."""

    environment: float = 0.0
    agent: float = 0.0
    steps: int = 0

    def timed(self, part: str, call: Callable[[], Any]) -> Any:
        """Calls, and adds the seconds to ``environment`` or ``agent``."""
        start = time.perf_counter()
        found = call()
        setattr(self, part, getattr(self, part) + time.perf_counter() - start)
        return found

    def row(self, kind: str, agent: str, episodes: int) -> dict[str, Any]:
        """Returns what is told of it."""
        return {
            "episodes": kind,
            "together": episodes,
            "agent": agent,
            "steps_per_second": round(self.steps / (self.environment + self.agent), 1),
            "environment_steps_per_second": round(self.steps / self.environment, 1),
            "steps": self.steps,
        }


def measure(
    env_id: str, settings: Mapping[str, Any], steps: int, chosen: Sequence[str], episodes: int
) -> dict[str, Any]:
    """Plays whole episodes with each agent in a single environment, in a SyncVectorEnv and in a batch.

    The first episode of each is not timed; resets are, and so is the agent, apart from the environment. No environment
    measures test accuracy unless it has no validation split, as the batch does by itself.

    Args:
        env_id: An environment with a ridge head.
        settings: Its kwargs.
        steps: Steps to time at least, of each.
        chosen: Spellings of agents.
        episodes: E of the batch.

    Returns:
        JSON values: ``rows``, one per kind of environment and agent, and the ``floor``.

    Raises:
        AlenvError: A setting or an agent does not exist or does not fit.
    """
    for spelling in chosen:
        agents.make(spelling)
    name = known_id(env_id)
    same_step: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    batch = gym.make_vec(name, num_envs=episodes, **same_step, **settings).unwrapped
    assert isinstance(batch, RidgeVectorEnv), "other ids are refused by whoever asks"
    settings = {**settings, "test": batch.options.test}
    alone = core(gym.make(name, **settings))
    few = min(SYNC_EPISODES, episodes)
    sync = gym.make_vec(
        name, num_envs=few, vectorization_mode="sync", vector_kwargs=same_step, **settings
    ).unwrapped
    assert isinstance(sync, SyncVectorEnv), "it was asked for"
    rows = []
    for spelling in chosen:
        rows += [
            _alone(alone, spelling, steps).row("single", spelling, 1),
            _one_by_one(sync, spelling, steps).row("sync", spelling, few),
            _at_once(batch, spelling, steps).row("batched", spelling, episodes),
        ]
    return {"rows": rows, "floor": floor(batch)}


def _alone(env: ActiveLearningEnv, spelling: str, steps: int) -> Clock:
    agent, clock, warm, seed = agents.make(spelling), Clock(), False, 0
    while clock.steps < steps:
        clock.timed("environment", lambda: env.reset(seed=seed))  # noqa: B023  (called at once)
        agent.reset(env.view, seed=env.key)
        over = False
        while not over:
            query = clock.timed("agent", lambda: agent.act(None))
            over = clock.timed("environment", lambda: env.step(query))[2]  # noqa: B023  (called at once)
            clock.steps += 1
        seed += 1
        if not warm:
            warm, clock = True, Clock()
    return clock


def _one_by_one(env: SyncVectorEnv, spelling: str, steps: int) -> Clock:
    inside = [core(each) for each in env.envs]
    players = [agents.make(spelling) for _ in inside]

    def queries() -> list[Any]:
        for each, agent in zip(inside, players, strict=True):
            if each.view.cycle == 0:
                agent.reset(each.view, seed=each.key)
        return [agent.act(None) for agent in players]

    return _in_rounds(env, queries, inside[0].protocol.cycles, steps)


def _at_once(env: RidgeVectorEnv, spelling: str, steps: int) -> Clock:
    return _in_rounds(env, agents.InBatch(spelling, env).act, env.protocol.cycles, steps)


def _in_rounds(
    env: gym.vector.VectorEnv[Any, Any, Any], queries: Callable[[], Any], cycles: int, steps: int
) -> Clock:
    clock = Clock()
    env.reset(seed=0)
    rounds = -(-steps // env.num_envs)
    for number in range(cycles + -(-rounds // cycles) * cycles):
        if number == cycles:
            clock = Clock()
        query = clock.timed("agent", queries)
        clock.timed("environment", lambda: env.step(query))  # noqa: B023  (called at once)
        clock.steps += env.num_envs
    return clock


def floor(env: RidgeVectorEnv) -> dict[str, float]:
    """Returns what the products of a step take at least, at the speed of this machine's largest products.

    ``operations_per_step`` are floating-point operations of a batched step: P loses a product of B rows after it was
    multiplied by them, for each penalty; scores of the splits that are measured, and of the candidates where they are
    shown. What it costs to draw candidates, to look rows up and to keep the books is not in it.
    """
    size, classes = env.batch.feature_size, len(env.class_names)
    query, penalty = env.protocol.query_size, env.recipe.ridge_penalty
    penalties = len(PENALTIES) if isinstance(penalty, str) else 1
    update = penalties * (4 * size**2 * query + 4 * size * query**2 + 4 * size * query * classes)
    measured = env.protocol.validation + (env.test_size if env.options.test else 0)
    shown = 0 if env.options.observe == "progress" else int(env.options.candidates or 0)
    work = update + 2 * size * classes * (measured + shown)
    rate = product_rate(replace(env.runtime, precision="fp32"))
    return {
        "operations_per_step": work,
        "operations_per_second": round(rate),
        "steps_per_second": round(rate / work, 1),
    }
