"""What must be known to repeat a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import alenv
from alenv import ActiveLearningEnv
from scenarios.play.checkpoint import FORMAT
from scenarios.play.run_folder import Run

# Recorded as resolved, changing no result, or a mere place: a folder's images are part of the checksum.
_LEFT_OUT = ("device", "default_device", "threads", "allow_peek", "root", "labels")
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
        "code": {"alenv": alenv.__version__, "sha256": code_digest()},
        "images": _images(env),
        "finished": False,
    }


def _images(env: ActiveLearningEnv) -> dict[str, Any]:
    """Returns what the images are, for a reader who does not have them."""
    height, width, channels = env.image_shape
    return {
        "dataset": env.dataset_name,
        "height": height,
        "width": width,
        "channels": channels,
        "class_names": list(env.class_names),
        "pool": len(env.rows),
        "test": env.test_size,
        "validation": env.protocol.validation,
    }


@functools.cache
def code_digest() -> str:
    """Returns the SHA-256 of all code of alenv, agents and scenarios: a checkout may stand between two versions."""
    home = Path(alenv.__file__).resolve().parent.parent
    files = sorted(file for name in ("alenv", "agents", "scenarios") for file in (home / name).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(home).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions on which the last bits of a result depend; a package without any is absent."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # a checkout on the import path has no metadata of its own
    return found
