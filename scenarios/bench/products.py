"""What a machine's matrix products allow at most."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from alenv.nets import Classifier
from alenv.runtime import Runtime

_SIDES = {False: 2048, True: 8192}  # on a CPU and on a GPU
_ROUNDS = 5


def product_rate(where: Runtime) -> float:
    """Returns how many floating-point operations per second square matrix products reach.

    The best of five products of 2048 x 2048 matrices on a CPU (8192 x 8192 on a GPU), in the precision that a
    training uses there.

    Args:
        where: The device, precision and threads.
    """
    gpu = where.device.startswith("cuda")
    side = _SIDES[gpu]
    dtype = torch.bfloat16 if where.precision == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(where.device, dtype) for _ in range(2))
    seconds = []
    with where.active():
        for _ in range(_ROUNDS + 1):
            start = time.perf_counter()
            left @ right
            if gpu:
                torch.cuda.synchronize(where.device)
            seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds[1:])  # the first product loads the kernel


def training_operations(network: Classifier, batch: torch.Tensor) -> float:
    """Returns the floating-point operations of one training step per image, products and convolutions only.

    Args:
        network: The network; it stays as it is, but for gradients and BatchNorm's statistics.
        batch: Normalized images, float32 (N, C, H, W).
    """
    with FlopCounterMode(display=False) as counted:
        targets = torch.zeros(len(batch), dtype=torch.int64, device=batch.device)
        F.cross_entropy(network(batch), targets).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return float(counted.get_total_flops()) / len(batch)
