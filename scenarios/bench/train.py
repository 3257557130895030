"""Training speed: the environment's own loop, its ceiling on this machine, and the loop that peers use."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sized
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler
from torchvision import transforms

from alenv import nets, runtime
from alenv.learners.images import ImageSet
from alenv.learners.network import NetworkLearner
from alenv.learners.optimization import make_optimizer
from alenv.runtime import Runtime
from alenv.settings import Recipe
from scenarios.bench.products import product_rate, training_operations

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CLASSES, SIDE = 10, 32
# Batches per round, on a CPU and on a GPU; the reference takes several times as long for each.
BATCHES, REFERENCE_BATCHES = {False: 8, True: 160}, {False: 3, True: 16}


def measure(
    *, backbone: str, batch_size: int, rounds: int, device: str, threads: int | None
) -> dict[str, Any]:
    """Measures images trained per second on random images of CIFAR-10's shape.

    The three loops take turns in short rounds, and the ratios are medians of each round's own ratio, because
    the speed of a shared machine drifts.

    Args:
        backbone: A name of ``alenv.nets``.
        batch_size: Images per optimizer step.
        rounds: How many turns each loop takes.
        device: ``"auto"`` or a torch device.
        threads: CPU threads; None takes all.

    Returns:
        JSON values: ``images_per_second`` (the environment's own loop, augmentation included),
        ``ceiling_images_per_second`` (the same network and precision on one batch that is ready on the
        device), ``reference_images_per_second`` (fp32, NCHW, torchvision transforms in a DataLoader without
        workers), ``of_ceiling``, ``speedup``, the machine's own limit
        (``limit_images_per_second``, what its matrix products of ``product_teraflops`` would train if a step
        were nothing else, and ``gigaflop_per_image``), and the setting.

    Raises:
        UnknownName: There is no such backbone or device.
    """
    where = runtime.resolve(device, "auto", threads)
    gpu = where.device.startswith("cuda")
    recipe = Recipe(backbone=backbone, batch_size=batch_size, epochs=BATCHES[gpu] // 8)
    pixels = np.random.default_rng(0).integers(0, 256, (8 * batch_size, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, CLASSES, len(pixels))
    loops = {
        "own": _own_loop(recipe, where, pixels, labels),
        "ceiling": _ceiling(recipe, where, pixels, labels),
        "reference": _reference_loop(recipe, where, pixels, labels),
    }
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    with where.active(), torch.random.fork_rng():  # torchvision's transforms draw from the global generator
        for turn in range(rounds + 1):
            for name, loop in loops.items():
                speed = _images_per_second(loop, where.device)
                if turn:  # the first turn compiles kernels and fills caches
                    speeds[name].append(speed)
    own, ceiling, reference = speeds["own"], speeds["ceiling"], speeds["reference"]
    rate = product_rate(where)
    work = training_operations(_build(recipe).train(), torch.zeros(2, 3, SIDE, SIDE))
    return {
        "images_per_second": round(statistics.median(own), 1),
        "ceiling_images_per_second": round(statistics.median(ceiling), 1),
        "reference_images_per_second": round(statistics.median(reference), 1),
        "of_ceiling": round(_median_ratio(own, ceiling), 3),
        "speedup": round(_median_ratio(own, reference), 2),
        "limit_images_per_second": round(rate / work, 1),
        "product_teraflops": round(rate / 1e12, 3),
        "gigaflop_per_image": round(work / 1e9, 3),
        "backbone": backbone,
        "batch_size": batch_size,
        "rounds": rounds,
        "device": where.device,
        "precision": where.precision,
        "threads": where.threads,
        "torch": torch.__version__,
    }


def _median_ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def _images_per_second(loop: Callable[[], int], device: str) -> float:
    """Times one turn of a loop that returns how many images it has trained on."""
    _wait(device)
    start = time.perf_counter()
    count = loop()
    _wait(device)
    return count / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _own_loop(recipe: Recipe, where: Runtime, pixels: np.ndarray, labels: np.ndarray) -> Callable[[], int]:
    """One cycle of the environment's own learner."""
    images = ImageSet(torch.from_numpy(pixels).to(where.device), np.arange(len(pixels)), MEAN, STD)
    learner = NetworkLearner(recipe, images.shape, CLASSES, where)
    learner.begin(0)
    everything = np.arange(len(pixels))

    def turn() -> int:
        learner.fit(images, everything, labels, 0)
        return recipe.epochs * len(pixels)

    return turn


def _build(recipe: Recipe) -> nets.Classifier:
    return nets.build(
        recipe.backbone,
        num_classes=CLASSES,
        channels=3,
        image_size=(SIDE, SIDE),
        generator=torch.Generator().manual_seed(0),
    )


def _ceiling(recipe: Recipe, where: Runtime, pixels: np.ndarray, labels: np.ndarray) -> Callable[[], int]:
    """Forward, backward and optimizer step on one batch that is ready on the device."""
    network = _build(recipe).to(where.device)
    network.to(memory_format=torch.channels_last)
    network.train()
    optimizer = make_optimizer(recipe, list(network.parameters()))
    images = ImageSet(torch.from_numpy(pixels).to(where.device), np.arange(len(pixels)), MEAN, STD)
    size = recipe.batch_size
    batch = images.normalize(images.raw(torch.arange(size, device=where.device)))
    targets = torch.from_numpy(labels[:size]).to(where.device)

    batches = 8 * recipe.epochs

    def turn() -> int:
        for _ in range(batches):
            with where.autocast():
                logits = network(batch)
            optimizer.zero_grad()
            F.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        return batches * size

    return turn


class _Pictures(Dataset[tuple[torch.Tensor, int]], Sized):
    """Images as torchvision's CIFAR-10 gives them: one PIL picture at a time, through the transforms."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self._pixels, self._labels = pixels, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(SIDE, padding=4),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), int(self._labels[index])


def _reference_loop(
    recipe: Recipe, where: Runtime, pixels: np.ndarray, labels: np.ndarray
) -> Callable[[], int]:
    """The loop of the public code of the paper's field: fp32, NCHW, a DataLoader without workers."""
    network = _build(recipe).to(where.device)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    count = min(REFERENCE_BATCHES[where.device.startswith("cuda")] * recipe.batch_size, len(pixels))
    sampler = SubsetRandomSampler(range(count), generator=torch.Generator().manual_seed(0))
    loader = DataLoader(_Pictures(pixels, labels), batch_size=recipe.batch_size, sampler=sampler)

    def turn() -> int:
        for batch, targets in loader:
            logits = network(batch.to(where.device))
            loss = F.cross_entropy(logits, targets.to(where.device), reduction="none").mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        return count

    return turn
