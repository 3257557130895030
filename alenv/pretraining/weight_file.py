"""Pretrained weights from a user's file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from alenv.errors import InvalidRecipe


def read_weights(path: str) -> dict[str, Tensor]:
    """Reads a ``state_dict`` file for ``pretraining=``, without its head.

    Args:
        path: A file written by ``torch.save``; it is loaded weights-only and so runs no code.

    Raises:
        InvalidRecipe: The file is missing or unreadable, or holds something else.
    """
    try:
        weights = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidRecipe(
            f"pretraining={path!r} cannot be read ({type(error).__name__}); give a state_dict file."
        ) from error
    if not isinstance(weights, dict):
        raise InvalidRecipe(f"pretraining={path!r} holds a {type(weights).__name__}; give a state_dict file.")
    return {str(name): value for name, value in weights.items() if not str(name).startswith("head.")}
