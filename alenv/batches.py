"""Passes over many images in batches of one size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alenv.progress import advance

INFERENCE_BATCH = 256  # one size for every pass: the last bits of a row depend on the batch it runs in


def in_batches(indices: Tensor, score: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Scores positions in batches of one size, the last one padded with its first position.

    Args:
        indices: int64 (n,) positions, n >= 1.
        score: Maps ``INFERENCE_BATCH`` positions to tensors with that many rows.

    Returns:
        The tensors of ``score`` with n rows.
    """
    parts: list[dict[str, Tensor]] = []
    for chunk in torch.split(indices, INFERENCE_BATCH):
        missing = INFERENCE_BATCH - len(chunk)
        padded = torch.cat([chunk, chunk[:1].expand(missing)]) if missing else chunk
        parts.append({name: values[: len(chunk)] for name, values in score(padded).items()})
        advance(len(chunk))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
