"""What ``pretraining=`` names, checked before anything is trained."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from alenv import data, errors
from alenv.data import image_folder
from alenv.learners.images import ImageSet
from alenv.pretraining.pretext import Pretext
from alenv.pretraining.rotation import Rotation
from alenv.pretraining.simclr import SimClr
from alenv.pretraining.store import weights
from alenv.pretraining.supervised import OtherLabels
from alenv.pretraining.weight_file import read_weights
from alenv.runtime import Runtime
from alenv.settings import Recipe, is_path

NAMES = ("rotation", "simclr")  # those that need no label


def is_file(name: str) -> bool:
    """Tells whether a text names a file: it looks like a path, or there is such a file."""
    return is_path(name) or (name not in (*NAMES, *data.names()) and Path(name).is_file())


def check(name: str) -> None:
    """Checks that there is a pretraining of this name.

    Raises:
        UnknownName: It is neither a file nor one of those that are known.
    """
    known = (*NAMES, *(each for each in data.names() if each != image_folder.NAME))
    if not is_file(name) and name not in known:
        raise errors.unknown("pretraining", name, (*known, "FILE.pt"))


def pretext(name: str, images: ImageSet, recipe: Recipe) -> Pretext:
    """Makes the task that a name stands for.

    Args:
        name: ``"rotation"``, ``"simclr"``, or another dataset.
        images: All training images of the environment's dataset.
        recipe: The environment's.

    Raises:
        UnknownName: There is no such task.
        InvalidRecipe: The images do not fit it, or the dataset is the environment's own.
    """
    check(name)
    if name == "rotation":
        return Rotation(images, recipe)
    if name == "simclr":
        return SimClr(images, recipe)
    own = images.known_origin
    other = data.load(name) if name != own.name else None
    if other is None or other.checksum == own.checksum:
        raise errors.InvalidRecipe(
            f"pretraining={name!r} was given for {own.name} itself, whose labels are hidden; use 'rotation', 'simclr' "
            "or another dataset."
        )
    if other.image_shape[2] != images.shape[0]:
        raise errors.InvalidRecipe(
            f"pretraining={name!r} was given, whose images have another number of channels ({other.image_shape[2]}) "
            f"than the environment's ({images.shape[0]}); use a dataset with as many."
        )
    return OtherLabels(other, images, recipe)


def initial(recipe: Recipe, images: ImageSet, runtime: Runtime) -> dict[str, Tensor] | None:
    """Returns the first weights of the trunk that a recipe names, trained where that was not done yet.

    Args:
        recipe: Names them in ``pretraining``.
        images: The pool; all stored images are trained on, those outside the pool too, without a label.
        runtime: Where to train.

    Returns:
        Weights by name, without a head's; None where the recipe names none.

    Raises:
        UnknownName: There is no such pretraining.
        InvalidRecipe: It does not fit the images, or a file cannot be read.
    """
    name = recipe.pretraining
    if name is None:
        return None
    check(name)
    if is_file(name):
        return read_weights(name)
    return weights(pretext(name, images.whole(), recipe), lambda: runtime)
