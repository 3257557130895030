"""Registers every environment id with Gymnasium, those of a user's own datasets too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from alenv import plugins
from alenv.errors import UnknownName, unknown
from alenv.presets import DATASETS, add_dataset, recipe_named, recipes_of, resolve
from alenv.recipes import RECIPES

if TYPE_CHECKING:
    from alenv.data import Dataset

ENTRY_POINT = "alenv.env:ActiveLearningEnv"  # a string, so that torch loads at the first gym.make
VECTOR_ENTRY_POINT = (
    "alenv.vector:RidgeVectorEnv"  # of the environments whose episodes are computed as a batch
)
MIX = "ALMix-v0"  # whose episodes are tasks of their own; see ``alenv.mix``
ENVIRONMENTS: dict[str, tuple[str, str]] = {}  # id -> (dataset, recipe)


def environment_id(dataset: str, recipe: str = "paper") -> str:
    """Returns the id of a dataset with a recipe, for instance ``"ALCifar10Ridge-v0"``."""
    return f"AL{DATASETS[dataset].title}{RECIPES[recipe_named(recipe)].title}-v0"


def register_all() -> None:
    """Registers each dataset with each recipe."""
    for dataset in DATASETS:
        _register(dataset)
    if MIX not in gym.registry:
        gym.register(MIX, "alenv.mix:MixEnv", vector_entry_point="alenv.mix:MixVectorEnv")


def _register(dataset: str) -> tuple[str, ...]:
    ids = []
    for recipe in recipes_of(dataset):
        name = environment_id(dataset, recipe)
        if name not in gym.registry:
            batched = RECIPES[recipe].settings.get("head") == "ridge"
            gym.register(
                name,
                ENTRY_POINT,
                vector_entry_point=VECTOR_ENTRY_POINT if batched else None,
                kwargs={"dataset": dataset, "recipe": recipe},
            )
        ENVIRONMENTS[name] = (dataset, recipe)
        ids.append(name)
    return tuple(ids)


def register_dataset(title: str, load: Callable[[], Dataset], **settings: Any) -> tuple[str, ...]:
    """Registers environments on a dataset of your own: ``AL<title>-v0``, ``AL<title>Ridge-v0`` and so on.

    On the command line, ``FILE.py:AL<title>-v0`` runs the file that calls this and then takes the id.

    Args:
        title: How the ids call it, in capitals and lower case, for instance ``"Leaves"``.
        load: Returns the dataset (see ``alenv.Dataset.of``); called at the first ``gym.make``.
        **settings: Defaults of these environments: fields of ``Recipe``, ``Protocol`` and ``Options``.

    Returns:
        The ids.

    Raises:
        UnknownName: The title is no identifier or belongs to a dataset of alenv's own, or there is no such setting.
        AlenvError: A setting has a value that is not allowed.
    """
    if not isinstance(title, str) or not (title.isidentifier() and title[0].isupper()):
        raise UnknownName(f"title={title!r} was given; give a word in letters and digits, such as 'Leaves'.")
    name = title.lower()
    from alenv import data  # noqa: PLC0415  (`import alenv` stays light)

    data.register(name, load)
    add_dataset(name, title, settings)
    return _register(name)


def known_id(text: str) -> str:
    """Returns the id that ``gym.make`` takes, after running the file or module in front of it.

    Args:
        text: ``ID``, ``FILE.py:ID`` or ``MODULE:ID``.

    Raises:
        UnknownName: The file or module does not exist, or it registers no such id.
    """
    place, _, name = text.rpartition(":")
    if place:
        plugins.load_module(place, "environment")
    if place.endswith(".py") and name not in gym.registry:
        raise unknown(
            f"environment in {place}", name, [each for each in gym.registry if each.startswith("AL")]
        )
    return name


def is_batched(text: str, settings: Mapping[str, Any]) -> bool:
    """Tells whether ``gym.make_vec`` computes the episodes of an environment as a batch.

    Args:
        text: As ``known_id`` takes it.
        settings: Its kwargs.

    Raises:
        AlenvError: There is no such setting, or it has a value that is not allowed.
    """
    name = known_id(text)
    if name not in gym.registry or gym.spec(name).vector_entry_point is None:
        return False
    if name == MIX:
        return True
    return name in ENVIRONMENTS and resolve(*ENVIRONMENTS[name], dict(settings)).recipe.head == "ridge"
