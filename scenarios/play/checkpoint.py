"""The checkpoint of a run as bytes, and how damage to it and to other archives is noticed."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenarios.play.record import Record

FORMAT = 1
_DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
    pickle.UnpicklingError,
)


@dataclass
class Checkpoint:
    """Everything a run needs to go on.

    Attributes:
        record: The rows so far.
        env: State of the environment.
        agent: State of the agent.
        finished: Whether the budget is spent.
    """

    record: Record
    env: Any
    agent: Any
    finished: bool


def packed(checkpoint: Checkpoint) -> bytes:
    """Returns the content of a checkpoint file."""
    import torch  # noqa: PLC0415  (the command line's light commands never load it)

    buffer = io.BytesIO()
    content = {
        "format": FORMAT,
        "record": checkpoint.record.state(),
        "env": checkpoint.env,
        "agent": checkpoint.agent,
        "finished": checkpoint.finished,
    }
    torch.save(content, buffer)
    return buffer.getvalue()


def unpacked(path: Path) -> Checkpoint | None:
    """Returns the checkpoint of a file, or None when the file is damaged."""
    content = load_archive(path)
    if content is None or content.get("format") != FORMAT:
        return None
    record = Record(**content["record"])
    return Checkpoint(record, content["env"], content["agent"], content["finished"])


def load_archive(path: Path) -> dict[str, Any] | None:
    """Loads what ``torch.save`` wrote, or returns None when a single byte of it is missing or damaged.

    Torch itself notices a short file, but not a flipped bit: the archive's own checksums do.
    """
    import torch  # noqa: PLC0415  (see above)

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        content = torch.load(path, weights_only=True, map_location="cpu")
    except _DAMAGE:
        return None
    return content if isinstance(content, dict) else None


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Loads an ``.npz`` file, or returns None when a single byte of it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        with np.load(path) as found:
            return dict(found)
    except _DAMAGE:
        return None
