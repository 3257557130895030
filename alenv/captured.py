"""Optimizer steps recorded as CUDA graphs, so that a GPU does not wait for Python between its kernels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from types import TracebackType

import torch
from torch import Tensor

PLAIN = 3  # steps of a kind before it is recorded: they choose kernels and make the optimizer's state
WORTHWHILE = 64  # steps of a training from which recording pays


class CapturedSteps:
    """Runs the steps of one training: the first of a kind plainly, then as a recording that is replayed.

    Steps are of one kind when they have the same name and inputs of the same shapes. A replay launches the very
    kernels of the plain step, in one call. Where recording fails, all steps run plainly and one warning says why.
    A context manager: what runs inside has a stream of its own.

    Args:
        optimizer: Its step is recorded too, so its learning rates must be tensors.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._inside = torch.cuda.stream(self._stream)
        self._pool = torch.cuda.graph_pool_handle()
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self._seen: Counter[Hashable] = Counter()
        self._works = True

    def __enter__(self) -> CapturedSteps:
        self._stream.wait_stream(torch.cuda.current_stream())
        self._inside.__enter__()  # type: ignore[no-untyped-call]  # see above
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.__exit__(kind, error, trace)
        torch.cuda.current_stream().wait_stream(self._stream)
        self._recorded.clear()
        self._optimizer.zero_grad()  # gradients lie in the memory of a recording

    def run(self, name: Hashable, inputs: tuple[Tensor, ...], loss: Callable[..., Tensor]) -> None:
        """Takes one optimizer step.

        Args:
            name: What tells kinds of steps apart beyond the shapes of their inputs.
            inputs: All that differs from step to step.
            loss: Maps the inputs to the scalar loss; must do the same for all steps of a kind, and on the
                device alone.
        """
        kind = (name, tuple((each.shape, each.dtype, each.stride()) for each in inputs))
        self._seen[kind] += 1
        if self._works and kind not in self._recorded and self._seen[kind] > PLAIN:
            self._record(kind, inputs, loss)
        if kind not in self._recorded:
            take_step(self._optimizer, loss(*inputs))
            return
        graph, held = self._recorded[kind]
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given)
        graph.replay()

    def _record(self, kind: Hashable, inputs: tuple[Tensor, ...], loss: Callable[..., Tensor]) -> None:
        held = tuple(each.clone() for each in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            self._optimizer.zero_grad()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                loss(*held).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                self._optimizer.step()
        except RuntimeError as error:
            self._works = False
            self._optimizer.zero_grad()
            reason = str(error).partition("\n")[0]
            warnings.warn(f"Training goes on without CUDA graphs ({reason}).", stacklevel=2)
            return
        self._recorded[kind] = graph, held


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Takes one plain step down the gradient of a scalar loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()
