"""Optimizers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from alenv.settings import Recipe


def make_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Builds the recipe's optimizer; it is rebuilt in every cycle, so no momentum crosses a query.

    Args:
        recipe: Names the optimizer and its constants.
        parameters: What is trained. With ``decay="weights"`` only tensors of two and more dimensions decay.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained}]
    if recipe.decay == "weights":
        decayed = [p for p in trained if p.ndim > 1]
        spared = [p for p in trained if p.ndim <= 1]
        groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    lr, decay = recipe.lr, recipe.weight_decay
    if recipe.optimizer == "sgd":
        cuda = trained[0].is_cuda
        for group in groups:  # a rate on the device can change between replays of a recorded step
            group["lr"] = torch.tensor(lr, device=trained[0].device) if cuda else lr
        return torch.optim.SGD(
            groups,
            lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=decay,
            fused=True if cuda else None,
        )
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr, momentum=recipe.momentum, weight_decay=decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr, weight_decay=decay)
    return torch.optim.AdamW(groups, lr, weight_decay=decay)


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """Returns the learning rate of one step.

    Args:
        recipe: Names the schedule; ``lr`` is its largest value.
        epoch: Zero-based epoch, which ``"multistep"`` goes by.
        progress: Share of all steps done, in [0, 1), which ``"cosine"`` and ``"onecycle"`` go by.

    ``"cosine"`` falls along half a cosine to 0, ``"onecycle"`` in a straight line to 0; both rise in a straight
    line from 0 over the first ``warmup`` of the steps.
    """
    if recipe.schedule == "multistep":
        # Rounded: 0.8 * 160 must be the whole number 128 whatever the last bit says.
        passed = sum(epoch >= round(share * recipe.epochs, 6) for share in recipe.milestones)
        return recipe.lr * recipe.lr_factor**passed
    if recipe.schedule == "constant":
        return recipe.lr
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    fall = (progress - recipe.warmup) / (1 - recipe.warmup)
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * fall))
    return recipe.lr * (1 - fall)
