"""The folder of a saved policy: settings as JSON, weights as safetensors, and nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from agents.spelling import POLICY_CONFIG
from alenv.errors import RunConflict, StorageError
from alenv.files import publish_folder, write_bytes, write_text

WEIGHTS = "weights.safetensors"


def write(path: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Makes the folder, which appears complete or not at all.

    Raises:
        RunConflict: The path exists.
        StorageError: The folder cannot be written.
    """
    taken = f"{path} exists; choose another folder for the policy."
    if path.exists():
        raise RunConflict(taken)
    text = json.dumps(config, indent=2) + "\n"
    content = save({name: value.detach().cpu().clone() for name, value in weights.items()})

    def fill(folder: Path) -> None:
        write_text(folder / POLICY_CONFIG, text)
        write_bytes(folder / WEIGHTS, content)

    try:
        publish_folder(path, fill)
    except StorageError as error:
        if path.exists():
            raise RunConflict(taken) from error
        raise


def config_in(folder: Path) -> Any:
    """Returns the settings; whatever is wrong with the file raises as it does."""
    return json.loads((folder / POLICY_CONFIG).read_text())


def weights_in(folder: Path) -> dict[str, Tensor]:
    """Returns the weights; whatever is wrong with the file raises as it does."""
    return load((folder / WEIGHTS).read_bytes())
