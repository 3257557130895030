"""The backbones by name: a decorator registers a builder, whose name is the id; every file here is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from alenv.errors import InvalidRecipe, unknown
from alenv.nets.classifier import Classifier, Dropout
from alenv.nets.initialization import construct
from alenv.plugins import walk

SMALLEST_IMAGE = 8


class Shape(NamedTuple):
    """What a classifier is built for: channels, height and width of its images, and the number of classes."""

    channels: int
    height: int
    width: int
    num_classes: int


Builder = Callable[[Shape, int], Classifier]


class Backbone(NamedTuple):
    """A registered builder, its default width (None: the family has none), and whether image sizes are fixed."""

    builder: Builder
    width: int | None
    fixed_size: bool


_BACKBONES: dict[str, Backbone] = {}


def register(*, width: int | None, fixed_size: bool = False) -> Callable[[Builder], Builder]:
    """Registers ``builder(shape, width)`` under its own name.

    Args:
        width: The default width, or None where the family has none (its builder is then given 0).
        fixed_size: Whether a classifier takes images of the size it was built for and no other.
    """

    def add(builder: Builder) -> Builder:
        _BACKBONES[builder.__name__] = Backbone(builder, width, fixed_size)
        return builder

    return add


def _registered() -> dict[str, Backbone]:
    walk("alenv.nets")
    return _BACKBONES


def check(name: str) -> None:
    """Checks that there is a backbone of this name.

    Raises:
        UnknownName: There is none.
    """
    if name not in _registered():
        raise unknown("backbone", name, _BACKBONES)


def fixed_size(name: str) -> bool:
    """Says whether a backbone takes images of the size it was built for and no other; False for unknown names."""
    return name in _registered() and _BACKBONES[name].fixed_size


def names() -> tuple[str, ...]:
    """Returns the names of all backbones."""
    return tuple(sorted(_registered()))


def build(
    name: str,
    *,
    num_classes: int,
    channels: int,
    image_size: int | tuple[int, int],
    width: int | None = None,
    dropout: float = 0.0,
    generator: torch.Generator,
) -> Classifier:
    """Builds a classifier on the CPU, in train mode, without touching the global random state.

    Args:
        name: A name from ``names()``.
        num_classes: C, at least 2.
        channels: Image channels, at least 1.
        image_size: Side of the square images, or (height, width); at least 8.
        width: Channels of the first stage (growth rate of a DenseNet); None = the published width.
        dropout: Share of penultimate features dropped before the head while training, in [0, 1).
        generator: A CPU generator that decides all weights.

    Raises:
        UnknownName: There is no such backbone.
        InvalidRecipe: A number out of range, or a width for a family that has none.
    """
    check(name)
    backbone = _BACKBONES[name]
    height, breadth = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, breadth) < SMALLEST_IMAGE:
        raise InvalidRecipe(f"Images of {height}x{breadth} are too small; backbones take 8x8 and larger.")
    if num_classes < 2 or channels < 1:
        raise InvalidRecipe(f"{num_classes} classes and {channels} channels; at least 2 and 1 are needed.")
    if width is not None and backbone.width is None:
        raise InvalidRecipe(f"Backbone {name!r} has no width to choose; leave width out.")
    if width is not None and width < 1:
        raise InvalidRecipe(f"width={width} is not a positive number of channels.")
    drop = Dropout(dropout)
    shape = Shape(channels, height, breadth, num_classes)
    classifier = construct(lambda: backbone.builder(shape, width or backbone.width or 0), generator)
    classifier.dropout = drop
    return classifier
