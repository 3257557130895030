"""Image classifiers by name, built from a generator; see ``build``."""

from __future__ import annotations

from alenv.nets import airbench, convnet, densenet, lenet, resnet, vgg
from alenv.nets.classifier import BatchNorm, Classifier, Dropout, Outputs
from alenv.nets.initialization import initialize
from alenv.nets.registry import SMALLEST_IMAGE, build, check, fixed_size, names

__all__ = [
    "SMALLEST_IMAGE",
    "BatchNorm",
    "Classifier",
    "Dropout",
    "Outputs",
    "build",
    "check",
    "fixed_size",
    "initialize",
    "names",
]

_FAMILIES = (airbench, convnet, densenet, lenet, resnet, vgg)  # imported so that they register
