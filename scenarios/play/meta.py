"""What must be known to repeat a run."""

from __future__ import annotations

import dataclasses
import platform
from importlib import metadata
from typing import Any

from alenv import ActiveLearningEnv
from scenarios.play.run_folder import FORMAT, Run

# Recorded as resolved, changing no result, or a mere place: a folder's images are part of the checksum.
_LEFT_OUT = ("device", "default_device", "threads", "allow_peek", "root")
_PACKAGES = ("alenv", "gymnasium", "numpy", "scikit-learn", "torch", "torchvision")


def describe(run: Run, env: ActiveLearningEnv) -> dict[str, Any]:
    """Returns the content of ``meta.json`` for a run that is not finished.

    Args:
        run: The run.
        env: The unwrapped environment that plays it.
    """
    return {
        "format": FORMAT,
        "label": run.arm.label,
        "configuration": run.configuration,
        "recipe": dataclasses.asdict(env.recipe),
        "protocol": dataclasses.asdict(env.protocol),
        "options": {k: v for k, v in dataclasses.asdict(env.options).items() if k not in _LEFT_OUT},
        "dataset": {"checksum": env.dataset_checksum, "source": env.dataset_source},
        "device": env.runtime.device,
        "precision": env.runtime.precision,
        "threads": env.runtime.threads,
        "versions": versions(),
        "finished": False,
    }


def versions() -> dict[str, str]:
    """Returns the versions on which the last bits of a result depend; a package without any is absent."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # a checkout on the import path has no metadata of its own
    return found
