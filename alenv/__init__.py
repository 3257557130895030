"""Pool-based active learning for image classification as Gymnasium environments.

``import alenv`` registers the environment ids; torch loads at the first ``gym.make``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alenv import errors
from alenv.recipe import Protocol, Recipe
from alenv.registration import environment_id, register_all

if TYPE_CHECKING:
    from alenv.env import ActiveLearningEnv
    from alenv.observation import STATS_SIZE
    from alenv.spaces import Query
    from alenv.training.objectives import names as objectives
    from alenv.view import View

__version__ = "0.1.0"

ENVIRONMENTS = register_all()  # id -> (dataset, recipe)

__all__ = [
    "ENVIRONMENTS",
    "STATS_SIZE",
    "ActiveLearningEnv",
    "Protocol",
    "Query",
    "Recipe",
    "View",
    "environment_id",
    "errors",
    "objectives",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415  (only for the names that need torch)

    places = {
        "ActiveLearningEnv": ("alenv.env", "ActiveLearningEnv"),
        "STATS_SIZE": ("alenv.observation", "STATS_SIZE"),
        "View": ("alenv.view", "View"),
        "Query": ("alenv.spaces", "Query"),
        "objectives": ("alenv.training.objectives", "names"),
    }
    if name not in places:
        raise AttributeError(f"module 'alenv' has no attribute {name!r}")
    module, attribute = places[name]
    return getattr(import_module(module), attribute)
