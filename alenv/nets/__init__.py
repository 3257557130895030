"""Image classifiers by name, built from a generator; see ``build``."""

from __future__ import annotations

from alenv.nets.classifier import BatchNorm, Classifier, Dropout, Outputs
from alenv.nets.initialization import construct, initialize
from alenv.nets.registry import SMALLEST_IMAGE, build, check, fixed_size, names

__all__ = [
    "SMALLEST_IMAGE",
    "BatchNorm",
    "Classifier",
    "Dropout",
    "Outputs",
    "build",
    "check",
    "construct",
    "fixed_size",
    "initialize",
    "names",
]
