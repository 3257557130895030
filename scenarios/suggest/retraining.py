"""Networks that are trained on the labels instead of a linear head on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alenv import errors, presets
from alenv.data import unreadable
from alenv.nets import SMALLEST_IMAGE
from alenv.recipes import RECIPES
from alenv.settings import LINEAR_HEADS, Recipe
from scenarios.suggest.inputs import features, kinds
from scenarios.suggest.inputs.known import Known

IMAGE_SIZE = 32


class Trained(NamedTuple):
    """How a network is trained: a recipe with its name; and on what: uint8 (n, side, side, 3)."""

    name: str
    recipe: Recipe
    images: np.ndarray


def check(name: str, side: int) -> None:
    """Checks that there is a recipe, and that images of a size can be trained on.

    Raises:
        UnknownName: There is none, or it trains no network.
        InvalidRecipe: Images are too small for a network.
    """
    offered = [each for each in presets.recipes_of("image_folder") if _trains(RECIPES[each].settings)]
    if name not in offered:
        raise errors.unknown("recipe that trains a network", name, offered)
    if isinstance(side, bool) or not isinstance(side, int) or side < SMALLEST_IMAGE:
        raise errors.InvalidRecipe(
            f"image_size={side!r} was given; give a whole number of at least {SMALLEST_IMAGE}."
        )


def _trains(settings: Mapping[str, Any]) -> bool:
    """Tells whether a recipe trains a network on labels alone; pretraining takes an environment's whole dataset."""
    return settings.get("head") not in LINEAR_HEADS and "pretraining" not in settings


def trained(root: Path, known: Known, name: str, side: int) -> Trained:
    """Reads the images at a size, once for each content, for a recipe as image folders have it.

    Raises:
        UnreadableImages: One that has features cannot be read.
    """
    found = features.described(root, known.files, kinds.pixels(side))
    if found.failed:
        raise errors.UnreadableImages(
            f"There are features of images that cannot be read: {unreadable.described(found.failed)}; a network is "
            "trained on the images themselves, so mend them or move them away."
        )
    recipe = presets.resolve("image_folder", name, {}).recipe
    return Trained(name, recipe, found.rows.reshape(len(found.rows), side, side, 3))
