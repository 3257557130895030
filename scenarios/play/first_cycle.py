"""Cycle 0, which is equal for all agents of one environment and seed: computed once, then restored.

Its files go when every run of the folder has finished, unless weights are kept; an agent that joins later trains
the first cycles of its seeds again, to the same bits.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any, NamedTuple

import filelock
import gymnasium as gym
import torch

from alenv import ActiveLearningEnv, core
from alenv.files import make_folder, uninterrupted, write_bytes, writing
from alenv.progress import recording
from scenarios.play.checkpoint import load_archive
from scenarios.play.meta import versions
from scenarios.play.run_folder import ADVICE, FIRST_CYCLES, Run, short_hash

_OF_AGENTS = ("agent/", "policy/")  # content that no first cycle depends on


class FirstCycle(NamedTuple):
    """What the first cycle came to.

    Attributes:
        observation: Of ``reset``.
        info: Of ``reset``.
        costs: What it cost whoever computed it.
        tested: What the test set says by class; None where an earlier version has computed it.
    """

    observation: Any
    info: dict[str, Any]
    costs: dict[str, float]
    tested: dict[str, Any] | None


def first_cycle(run: Run, env: gym.Env[Any, Any]) -> FirstCycle:
    """Resets the environment, from a file when another run has already trained the first cycle.

    Parallel processes wait for the one that computes it.

    Args:
        run: The run; its seed resets the environment.
        env: The environment as ``gym.make`` returned it.
    """
    inner = core(env)
    path = run.out / FIRST_CYCLES / f"{_identity(run, inner)}.pt"
    make_folder(path.parent, ADVICE)
    lock = filelock.FileLock(path.with_suffix(".lock"))
    with writing(path, ADVICE):
        lock.acquire()
    try:
        saved = load_archive(path) if path.exists() else None
        if saved is not None:
            observation, info = env.reset(seed=run.seed, options={"state": saved["state"]})
            return FirstCycle(observation, info, dict(saved["costs"]), saved.get("tested"))
        with recording() as trained:
            observation, info = env.reset(seed=run.seed)
        costs = {name: float(value) for name, value in {**inner.costs, **trained.numbers()}.items()}
        buffer = io.BytesIO()
        tested = None if inner.evaluation is None else inner.evaluation.as_dict()
        torch.save({"state": inner.get_state(), "costs": costs, "tested": tested}, buffer)
        with uninterrupted():
            write_bytes(path, buffer.getvalue(), ADVICE)
        return FirstCycle(observation, info, costs, tested)
    finally:
        lock.release()


def _identity(run: Run, env: ActiveLearningEnv) -> str:
    """Hashes everything that the first cycle's bits depend on."""
    return short_hash(
        {
            "env_id": run.arm.env_id,
            "env_kwargs": dict(run.arm.env_kwargs),
            "seed": run.seed,
            "recipe": dataclasses.asdict(env.recipe),
            "protocol": dataclasses.asdict(env.protocol),
            "dataset": env.dataset_checksum,
            "files": {k: v for k, v in run.arm.content.items() if not k.startswith(_OF_AGENTS)},
            "device": env.runtime.device,
            "precision": env.runtime.precision,
            "threads": env.runtime.threads,
            "versions": versions(),
        }
    )
