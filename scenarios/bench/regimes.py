"""What a cycle costs under each training regime, as a multiple of plain training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch

import alenv
from alenv import core
from alenv.errors import InvalidRecipe
from alenv.learners import objectives
from alenv.registration import known_id
from scenarios.plan.arm import check_environment

ENSEMBLE = 5


def regimes() -> dict[str, dict[str, Any]]:
    """Returns the settings of each regime by name: plain training first, every joint objective, an ensemble."""
    joint = {name: {"joint": name} for name in alenv.objectives()}
    return {"plain": {}, **joint, "ensemble": {"ensemble": ENSEMBLE}}


def measure(env_id: str, settings: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Times the first cycle of an environment under each regime, one after the other and again.

    Args:
        env_id: A registered environment that trains a network.
        settings: Its kwargs; those of a regime come on top, and options of objectives go to those that have them.
        repeats: Cycles of each regime.

    Returns:
        JSON values: ``rows`` with ``regime``, ``seconds`` (median), ``multiple`` of plain training, ``accuracy`` of
        seed 0; and the setting.

    Raises:
        AlenvError: A setting does not exist or does not fit, or the environment trains no network.
    """
    check_environment(env_id)
    name = known_id(env_id)
    made = {}
    for regime, own in regimes().items():
        options = objectives.find(own.get("joint")).options
        given = {k: v for k, v in settings.items() if not k.startswith("joint_") or k in options}
        env = gym.make(name, **{**given, **own, "budget": 0})
        if core(env).recipe.head != "network":
            raise InvalidRecipe(
                f"{env_id} trains no network, so it has no regimes to time; give another environment."
            )
        made[regime] = env
    times: dict[str, list[float]] = {regime: [] for regime in made}
    accuracy = {}
    for _ in range(repeats):
        for regime, env in made.items():
            start = time.perf_counter()
            info = env.reset(seed=0)[1]
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[regime].append(time.perf_counter() - start)
            accuracy[regime] = info["test_accuracy"]
    inner = core(made["plain"])
    seconds = {regime: statistics.median(each) for regime, each in times.items()}
    return {
        "rows": [
            {
                "regime": regime,
                "seconds": round(taken, 2),
                "multiple": round(taken / seconds["plain"], 2),
                "accuracy": accuracy[regime],
            }
            for regime, taken in seconds.items()
        ],
        "repeats": repeats,
        "environment": env_id,
        "settings": dict(settings),
        "labels": inner.protocol.initial_size,
        "found": inner.dataset_found,
        "device": inner.runtime.device,
        "threads": inner.runtime.threads,
        "precision": inner.runtime.precision,
        "torch": torch.__version__,
    }
