"""Image classifiers by name, built from a generator; see ``build``."""

from __future__ import annotations

from alenv.nets.classifier import BatchNorm, Classifier, Dropout, Outputs, aside
from alenv.nets.initialization import construct, initialize, kaiming_normal
from alenv.nets.registry import SMALLEST_IMAGE, build, check, fixed_size, names

__all__ = [
    "SMALLEST_IMAGE",
    "BatchNorm",
    "Classifier",
    "Dropout",
    "Outputs",
    "aside",
    "build",
    "check",
    "construct",
    "fixed_size",
    "initialize",
    "kaiming_normal",
    "names",
]
