"""Pretrained trunks on disk: each is trained once, however many environments and processes ask for it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from alenv.data import cache
from alenv.data.inventory import PRETRAINING
from alenv.pretraining.pretext import Pretext
from alenv.pretraining.training import train
from alenv.runtime import Runtime

FILE = "weights.pt"

Weights = dict[str, Tensor]

_LOADED: dict[Path, Weights] = {}


def key(pretext: Pretext) -> str:
    """Returns what tells the weights of a pretext from those of all others, 16 hexadecimal digits.

    All settings count, but not the machine: weights from a GPU serve a CPU too. What trained them is in ``meta.json``.
    """
    return hashlib.sha256(json.dumps(pretext.identity(), sort_keys=True).encode()).hexdigest()[:16]


def weights(pretext: Pretext, runtime: Callable[[], Runtime]) -> Weights:
    """Returns the weights of a pretrained trunk by name, CPU tensors that nobody may change.

    They are read from the data folder, or else trained and stored there: one process trains, others that ask
    meanwhile wait. A training that was stopped goes on from its last checkpoint; a damaged file is trained anew. Where
    the folder cannot be written they are trained for this process alone.

    Args:
        pretext: What to train on.
        runtime: Returns where to train; asked only if that is needed.
    """
    name = f"{pretext.origin.name}-{pretext.name}-{pretext.recipe.backbone}-{key(pretext)}"
    folder = cache.root() / PRETRAINING / name
    if folder not in _LOADED:
        checkpoint = folder.with_name(f"{name}.checkpoint")
        used: list[Runtime] = []

        def compute() -> Weights:
            used.append(runtime())
            return train(pretext, used[0], checkpoint)

        def write(trained: Weights, place: Path) -> None:
            buffer = io.BytesIO()
            torch.save(trained, buffer)
            content = buffer.getvalue()
            (place / FILE).write_bytes(content)
            facts = {
                **pretext.identity(),
                "device": used[0].device,
                "resolved_precision": used[0].precision,
                "threads": used[0].threads,
                "torch": torch.__version__,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            (place / cache.META).write_text(json.dumps(facts, indent=1), encoding="ascii")

        _LOADED[folder] = cache.computed(folder, compute, write, lambda: _stored(folder))
        if cache.is_finished(folder):
            with suppress(OSError):
                checkpoint.unlink(missing_ok=True)
    return _LOADED[folder]


def _stored(folder: Path) -> Weights | None:
    if not cache.is_finished(folder):
        return None
    try:
        content = (folder / FILE).read_bytes()
        digest = json.loads((folder / cache.META).read_text(encoding="ascii"))["sha256"]
    except (OSError, LookupError, TypeError, ValueError):
        return None
    if hashlib.sha256(content).hexdigest() != digest:
        return None
    read: Weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return read
