"""How long a size of a scenario would take here, from a short training in each of its environments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import alenv
from alenv.learners import objectives
from alenv.settings import Recipe
from scenarios.plan.arm import Arm, make_environment
from scenarios.plan.scenario import Grid

EPOCHS = 2  # trained for a probe; the rest is extrapolated
_LEFT_OUT = ("pretraining", "pretraining_epochs", "pretraining_batch_size", "pretraining_lr", "initial_set")


@dataclass(frozen=True)
class Estimate:
    """An estimate of the seconds that all runs of a size take one after the other.

    Attributes:
        seconds: Training and evaluation; queries, pretraining and downloads are not in it.
        environments: How many distinct environments were timed.
        left_out: What is in the runs and not in the estimate.
    """

    seconds: float
    environments: int
    left_out: tuple[str, ...]


def estimate(grid: Grid) -> Estimate:
    """Trains ``EPOCHS`` epochs of the first cycle in every distinct environment of a grid, and extrapolates.

    The images trained count: labels times epochs, summed over the cycles. An objective that shows all unlabeled images
    in every epoch takes as long in every cycle.

    Args:
        grid: Arms and seeds; an arm counts as often as there are seeds.

    Raises:
        AlenvError: An environment cannot be made.
    """
    arms = [arm.resolved() for arm in grid.arms]
    known: dict[str, float] = {}
    left_out: dict[str, None] = {"queries": None}
    total = 0.0
    for arm in arms:
        if arm.env_kwargs.get("pretraining") is not None:
            left_out["pretraining"] = None
        key = json.dumps([arm.env_id, _probed(arm.env_kwargs)], sort_keys=True)
        if key not in known:
            known[key] = _seconds(arm)
        total += known[key] * grid.seeds
    return Estimate(total, len(known), tuple(left_out))


def _probed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings without what would train for hours before the first cycle."""
    kept = {name: value for name, value in settings.items() if name not in _LEFT_OUT}
    if kept.get("start") == "pretrained":
        kept["start"] = "cold"
    return kept


def _seconds(arm: Arm) -> float:
    """Returns the seconds of one run, estimated from a few epochs of its first cycle."""
    settings = _probed(arm.env_kwargs)
    env = make_environment(Arm(arm.label, arm.env_id, arm.agent, settings), None)
    recipe = alenv.core(env).recipe
    env.close()
    brief = min(EPOCHS, recipe.epochs) if recipe.head == "network" else recipe.epochs
    env = make_environment(Arm(arm.label, arm.env_id, arm.agent, {**settings, "epochs": brief}), None)
    core, before = alenv.core(env), torch.get_num_threads()
    try:
        for seed in (0, 1):  # the first training also starts up libraries, which the second has behind it
            env.reset(seed=seed)
        protocol, costs = core.protocol, core.costs
    finally:
        env.close()
        torch.set_num_threads(before)
    sizes = [protocol.initial_size + cycle * protocol.query_size for cycle in range(protocol.cycles + 1)]
    per_epoch = costs["train_seconds"] / brief
    epochs = _epochs(recipe, sizes)
    return per_epoch * epochs + costs["evaluate_seconds"] * len(sizes)


def _epochs(recipe: Recipe, sizes: Sequence[int]) -> float:
    """Returns how many epochs of the first cycle take as long as all epochs of all cycles."""
    options = {**objectives.find(recipe.joint).options, **dict(recipe.joint_options)}
    if options.get("joint_length") == "longest" or sizes[0] == 0:
        return float(recipe.epochs * len(sizes))
    return recipe.epochs * sum(sizes) / sizes[0]
