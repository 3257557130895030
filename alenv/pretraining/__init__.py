"""The first weights of a trunk: by rotations, by contrast, from another dataset's labels, or from a file."""

from alenv.pretraining.choice import NAMES, check, initial, pretext
from alenv.pretraining.features import features, features_key
from alenv.pretraining.store import key, weights
from alenv.pretraining.weight_file import read_weights

__all__ = [
    "NAMES",
    "check",
    "features",
    "features_key",
    "initial",
    "key",
    "pretext",
    "read_weights",
    "weights",
]
