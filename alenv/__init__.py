"""Pool-based active learning for image classification as Gymnasium environments.

``import alenv`` registers the environment ids; torch loads at the first ``gym.make``. ``alenv.suggest`` and
``alenv.advise`` do what the commands of these names do; they belong to ``scenarios``, and are found among what this
installation lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alenv import errors
from alenv.needs import offers
from alenv.registration import ENVIRONMENTS, environment_id, is_batched, register_all, register_dataset
from alenv.settings import Protocol, Recipe

if TYPE_CHECKING:
    from alenv.asking import Asking
    from alenv.batch_view import BatchView
    from alenv.batched_env import BatchedEnv
    from alenv.data import Dataset
    from alenv.env import ActiveLearningEnv, core
    from alenv.learners.augmentation import Augmentation
    from alenv.learners.objectives import Objective, Part, Step
    from alenv.learners.objectives import names as objectives
    from alenv.learners.protocol import Learner
    from alenv.mix import MixEnv
    from alenv.nets import Classifier
    from alenv.observation import STATS_SIZE
    from alenv.runtime import Runtime
    from alenv.spaces import Query
    from alenv.tasks import TaskDistribution
    from alenv.vector import RidgeVectorEnv
    from alenv.view import View

__version__ = "0.1.0"

register_all()

__all__ = [
    "ENVIRONMENTS",
    "STATS_SIZE",
    "ActiveLearningEnv",
    "Asking",
    "Augmentation",
    "BatchView",
    "BatchedEnv",
    "Classifier",
    "Dataset",
    "Learner",
    "MixEnv",
    "Objective",
    "Part",
    "Protocol",
    "Query",
    "Recipe",
    "RidgeVectorEnv",
    "Runtime",
    "Step",
    "TaskDistribution",
    "View",
    "core",
    "environment_id",
    "errors",
    "is_batched",
    "objectives",
    "offers",
    "register_dataset",
]

# Where the names are that need torch or time; they load when they are asked for.
_PLACES = {
    "ActiveLearningEnv": ("alenv.env", "ActiveLearningEnv"),
    "Asking": ("alenv.asking", "Asking"),
    "Augmentation": ("alenv.learners.augmentation", "Augmentation"),
    "BatchView": ("alenv.batch_view", "BatchView"),
    "BatchedEnv": ("alenv.batched_env", "BatchedEnv"),
    "Classifier": ("alenv.nets", "Classifier"),
    "Dataset": ("alenv.data", "Dataset"),
    "Learner": ("alenv.learners.protocol", "Learner"),
    "MixEnv": ("alenv.mix", "MixEnv"),
    "Objective": ("alenv.learners.objectives", "Objective"),
    "Part": ("alenv.learners.objectives", "Part"),
    "Query": ("alenv.spaces", "Query"),
    "RidgeVectorEnv": ("alenv.vector", "RidgeVectorEnv"),
    "Runtime": ("alenv.runtime", "Runtime"),
    "STATS_SIZE": ("alenv.observation", "STATS_SIZE"),
    "Step": ("alenv.learners.objectives", "Step"),
    "TaskDistribution": ("alenv.tasks", "TaskDistribution"),
    "View": ("alenv.view", "View"),
    "core": ("alenv.env", "core"),
    "objectives": ("alenv.learners.objectives", "names"),
}


# Functions of ``scenarios``: entry points of the group "alenv.commands" in pyproject.toml.
_COMMANDS = ("advise", "suggest")


def __getattr__(name: str) -> Any:
    from importlib import import_module, metadata  # noqa: PLC0415  (only for names that are not here yet)

    if name in _PLACES:
        module, attribute = _PLACES[name]
        return getattr(import_module(module), attribute)
    if name not in _COMMANDS:
        raise AttributeError(f"module 'alenv' has no attribute {name!r}")
    for found in metadata.entry_points(group="alenv.commands", name=name):
        return found.load()
    raise AttributeError(
        f"alenv.{name} is not listed by this installation of alenv, which is of an older version; install it again, "
        "with pip install, and in a checkout with pip install -e ."
    )
