"""Registers every environment id with Gymnasium."""

from __future__ import annotations

import gymnasium as gym

from alenv.presets import DATASETS, LEFT_OUT, RECIPES

ENTRY_POINT = "alenv.env:ActiveLearningEnv"  # a string, so that torch loads at the first gym.make


def environment_id(dataset: str, recipe: str = "paper") -> str:
    """Returns the id of a dataset with a recipe, for instance ``"ALCifar10Ridge-v0"``."""
    return f"AL{DATASETS[dataset].title}{RECIPES[recipe].title}-v0"


def register_all() -> dict[str, tuple[str, str]]:
    """Registers each dataset with each recipe and returns the (dataset, recipe) of every id."""
    ids = {}
    for dataset in DATASETS:
        for recipe in RECIPES:
            if (dataset, recipe) in LEFT_OUT:
                continue
            name = environment_id(dataset, recipe)
            if name not in gym.registry:
                gym.register(name, ENTRY_POINT, kwargs={"dataset": dataset, "recipe": recipe})
            ids[name] = (dataset, recipe)
    return ids
