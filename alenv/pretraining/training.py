"""Training a pretext in epochs whose random numbers are their own, so that a stopped training goes on as it was."""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alenv import files, fitting
from alenv.errors import StorageError
from alenv.learners.optimization import learning_rate, make_optimizer
from alenv.pretraining.pretext import Pretext
from alenv.runtime import Runtime
from alenv.seeding import Purpose, torch_stream

INTERVAL = 30.0  # seconds between two checkpoints

_KEY = 0  # of the streams: one pretraining for all episodes
_DIGEST = 32  # bytes in front of a checkpoint


def train(pretext: Pretext, runtime: Runtime, checkpoint: Path) -> dict[str, Tensor]:
    """Trains the network of a pretext and returns the weights of its trunk, on the CPU.

    Args:
        pretext: What to train on.
        runtime: Device, precision, threads.
        checkpoint: The file that a stopped training is continued from, and that this one is kept in.
    """
    training, images = pretext.training, pretext.images
    network = pretext.network(torch_stream(_KEY, Purpose.WEIGHTS))
    network = network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # no overload has both
    optimizer = make_optimizer(training, network.parameters())
    keeper = _Keeper(checkpoint, network, optimizer)
    keeper.restore(runtime.device)
    everything = torch.arange(len(images), device=images.device)
    views = torch.Generator()

    def batches(epoch: int) -> list[Tensor]:
        views.set_state(torch_stream(_KEY, Purpose.AUGMENTATION, epoch).get_state())
        order = torch_stream(_KEY, Purpose.BATCHES, epoch)
        return fitting.minibatches(everything, training.batch_size, order)

    fitting.fit(
        network,
        lambda batch, moment: pretext.loss(network, batch, views, runtime),
        batches,
        epochs=training.epochs,
        first=keeper.done,
        optimizer=optimizer,
        learning_rate=lambda moment: learning_rate(training, moment.epoch, moment.progress),
        ended=keeper.ended,
        runtime=runtime,
        title=f"pretraining {pretext.name}",
    )
    return {
        name: value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith("head.")
    }


class _Keeper:
    """Keeps what a training needs to go on, after an epoch now and then.

    Attributes:
        done: Epochs that are done.
    """

    def __init__(self, file: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._file, self._network, self._optimizer = file, network, optimizer
        self._kept = time.monotonic()
        self.done = 0

    def restore(self, device: str) -> None:
        """Takes over what the file holds; nothing where it is absent or damaged."""
        try:
            content = self._file.read_bytes()
        except OSError:
            return
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return
        state: dict[str, Any] = torch.load(
            io.BytesIO(content[_DIGEST:]), map_location=device, weights_only=True
        )
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.done = int(state["done"])

    def ended(self) -> bool:
        """Counts an epoch, and keeps the training if that was not done just now; never ends it."""
        self.done += 1
        if time.monotonic() - self._kept >= INTERVAL:
            buffer = io.BytesIO()
            network, optimizer = self._network.state_dict(), self._optimizer.state_dict()
            torch.save({"done": self.done, "network": network, "optimizer": optimizer}, buffer)
            content = buffer.getvalue()
            with suppress(
                StorageError
            ):  # a full disk costs a stopped training its progress, and nothing else
                files.write_bytes(self._file, hashlib.sha256(content).digest() + content)
            self._kept = time.monotonic()
        return False
