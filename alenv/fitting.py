"""Tools for training small networks: built from a generator, fed with seeded batches, in one loop.

The classifier's training, joint objectives, and strategies with networks of their own all use these. Nothing
here reads or changes a global random state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from alenv import nets
from alenv.captured import take_step
from alenv.errors import InvalidRecipe
from alenv.progress import EPOCHS, progress, training
from alenv.runtime import Runtime

LENGTHS = ("labeled", "unlabeled", "longest")

Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=nn.Module)


kaiming_normal = nets.kaiming_normal  # for a network's own ``draw_weights(generator)``


@dataclass(frozen=True)
class Moment:
    """Where a training stands.

    Attributes:
        epoch: Zero-based epoch.
        progress: Share of all steps that are done, in [0, 1).
    """

    epoch: int
    progress: float


def build(make: Callable[[], Network], generator: torch.Generator, runtime: Runtime) -> Network:
    """Builds a network on the environment's device, with weights from a generator.

    Weights have PyTorch's default distributions; a module with a method ``draw_weights(generator)`` then draws its own.

    Args:
        make: Builds the modules, for instance a class or a lambda; it must not look at weights.
        generator: A CPU generator that decides all weights, for instance the one that ``pick`` is given.
        runtime: ``view.runtime``.

    Raises:
        InvalidRecipe: A layer whose default distribution is not known.
    """
    return nets.construct(make, generator).to(runtime.device)


def fit(
    networks: nn.Module | Iterable[nn.Module],
    loss: Callable[[Batch, Moment], Tensor],
    batches: Callable[[int], Sequence[Batch]],
    *,
    epochs: int,
    first: int = 0,
    optimizer: torch.optim.Optimizer,
    step: Callable[[Batch, Moment], object] | None = None,
    learning_rate: Callable[[Moment], float] | None = None,
    after_step: Callable[[], None] | None = None,
    ended: Callable[[], bool] | None = None,
    runtime: Runtime | None = None,
    title: str = "",
) -> None:
    """Trains networks; they are in train mode meanwhile and in eval mode afterwards.

    Args:
        networks: The networks that are trained, for their modes.
        loss: Maps a batch to the scalar loss of one step.
        batches: Maps the zero-based epoch to its batches.
        epochs: Passes over the batches.
        first: The epoch to begin with, for a training that goes on.
        optimizer: Holds the parameters that each step changes.
        step: Takes the whole step in place of a plain one with ``loss``; may return its loss, for what is recorded.
        learning_rate: The rate of each step; None leaves the optimizer's.
        after_step: Runs after the optimizer's step, for instance for a second optimizer or an average.
        ended: Asked after each epoch; True ends the training early.
        runtime: ``view.runtime``: trains with the environment's threads and deterministic kernels; None where the
            caller has seen to that.
        title: What it is called where progress is shown, for instance ``"query network"``; empty to show none.
    """
    trained = [networks] if isinstance(networks, nn.Module) else list(networks)
    with (
        runtime.active() if runtime is not None else nullcontext(),
        progress(title, epochs - first, EPOCHS) as advance,
    ):
        for network in trained:
            network.train()
        steps, losses = 0, list[Tensor]()
        advance.loss = lambda: _mean(losses)
        for epoch in range(first, epochs):
            each = batches(epoch)
            losses.clear()
            for position, batch in enumerate(each):
                moment = Moment(epoch, (epoch + position / len(each)) / epochs)
                if learning_rate is not None:
                    _set_rate(optimizer, learning_rate(moment))
                if step is not None:
                    value = step(batch, moment)
                else:
                    take_step(optimizer, value := loss(batch, moment))
                if after_step is not None:
                    after_step()
                losses += [value.detach()] if isinstance(value, Tensor) else []
                advance(1 / len(each), _size(batch))
            steps += len(each)
            if ended is not None and ended():
                break
        for network in trained:
            network.eval()
    _note(steps, losses, optimizer)


def _size(batch: Any) -> int:
    """Returns how many images a batch holds: the rows of its tensor, or of those of a pair together."""
    if isinstance(batch, (tuple, list)):
        return sum(map(_size, batch))
    return len(batch) if isinstance(batch, Tensor) else 0


def _mean(losses: list[Tensor]) -> float | None:
    return float(torch.stack(losses).mean()) if losses else None


def _note(steps: int, losses: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Notes what a training came to, where somebody records that; ``losses`` are those of its last epoch."""
    found = training()
    if found is not None and steps:
        found.steps += steps
        found.loss = _mean(losses)
        found.learning_rate = float(optimizer.param_groups[0]["lr"])


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # a recorded step reads it there
        else:
            group["lr"] = rate


def minibatches(indices: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Returns int64 ``indices`` (n,) in random order, in batches of ``size``; the last one may be smaller.

    Args:
        indices: On any device; the batches lie there too.
        size: At least 1.
        generator: A CPU generator.
    """
    order = torch.randperm(len(indices), generator=generator).to(indices.device)
    return list(torch.split(indices[order], size))


def paired_batches(
    labeled: Tensor,
    unlabeled: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    unlabeled_size: int | None = None,
    length: str = "labeled",
    unlabeled_generator: torch.Generator | None = None,
    count: int | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Returns the batches of one epoch of labeled beside unlabeled images.

    Args:
        labeled: int64 (L,) pool indices, L >= 1.
        unlabeled: int64 (U,) pool indices; with none, the second part of every batch is empty.
        size: Labeled images per batch, at least 1.
        generator: A CPU generator.
        unlabeled_size: Unlabeled images per batch; None = ``size``.
        length: Whose images the epoch shows once: ``"labeled"``, ``"unlabeled"`` or ``"longest"``. The others come
            in as many batches: a fresh random order, then the next when it is used up.
        unlabeled_generator: A CPU generator of the unlabeled order, so that the labeled one is that of training
            without unlabeled images; None = ``generator``.
        count: Batches, all of them whole, for an epoch that is counted in steps; None = as ``length`` says.

    Raises:
        InvalidRecipe: There is no such length.
    """
    if length not in LENGTHS:
        raise InvalidRecipe(
            f"length={length!r} was given; it must be one of {', '.join(map(repr, LENGTHS))}."
        )
    other_size = size if unlabeled_size is None else unlabeled_size
    counts = {"labeled": -(-len(labeled) // size), "unlabeled": -(-len(unlabeled) // other_size)}
    if count is not None:
        counts = {}
    else:
        count = max(1, max(counts.values()) if length == "longest" else counts[length])
    some = _stretch(labeled, count, size, generator, exact=count == counts.get("labeled"))
    drawing = unlabeled_generator or generator
    others = _stretch(unlabeled, count, other_size, drawing, exact=count == counts.get("unlabeled"))
    return list(zip(some, others, strict=True))


def _stretch(indices: Tensor, count: int, size: int, generator: torch.Generator, exact: bool) -> list[Tensor]:
    """Returns ``count`` batches: each index once where ``exact``, else whole batches from orders in a row."""
    if exact:
        return minibatches(indices, size, generator)
    if not len(indices) or not count:
        return [indices] * count
    orders = [
        torch.randperm(len(indices), generator=generator) for _ in range(-(-count * size // len(indices)))
    ]
    drawn = torch.cat(orders)[: count * size].to(indices.device)
    return list(torch.split(indices[drawn], size))
