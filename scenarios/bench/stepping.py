"""What a step of an environment costs beside the choice of the query."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from agents.policies.wrapping import inside
from alenv.errors import InvalidProtocol
from alenv.registration import known_id
from scenarios.plan.arm import check_environment


def measure(env_id: str, settings: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Times steps with random queries, episode after episode.

    Args:
        env_id: A registered environment.
        settings: Its kwargs.
        steps: How many steps to time.

    Returns:
        JSON values: ``milliseconds_per_step`` (median), ``slowest_milliseconds``, ``reset_milliseconds``
        (median), ``steps_per_second``, what was ``found`` in an image folder (or null), and the setting.

    Raises:
        AlenvError: A setting does not exist or does not fit.
    """
    check_environment(env_id)
    env = gym.make(known_id(env_id), **settings)
    inner = inside(env)
    if inner.protocol.cycles == 0:
        raise InvalidProtocol("budget=0 was given, which has no step to time; use a larger budget.")
    rng = np.random.default_rng(0)
    resets: list[float] = []
    times: list[float] = []
    seed = 0
    while len(times) < steps:
        start = time.perf_counter()
        env.reset(seed=seed)
        resets.append(time.perf_counter() - start)
        seed, over = seed + 1, False
        while not over:
            query = rng.choice(inner.view.unlabeled, inner.view.query_size, replace=False)
            start = time.perf_counter()
            _, _, over, _, _ = env.step(query)
            times.append(time.perf_counter() - start)
    env.close()
    middle = statistics.median(times)
    return {
        "milliseconds_per_step": round(1000 * middle, 3),
        "slowest_milliseconds": round(1000 * max(times), 3),
        "reset_milliseconds": round(1000 * statistics.median(resets), 3),
        "steps_per_second": round(1 / middle, 1),
        "steps": len(times),
        "environment": env_id,
        "head": inner.recipe.head,
        "found": getattr(inner, "dataset_found", None),
        "settings": dict(settings),
        "device": inner.runtime.device,
        "threads": inner.runtime.threads,
    }
